"""Linking the speakers of diarized recordings."""

from collections.abc import Sequence

import numpy as np

from ssahc.backend.plda import speaker_variances
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import FloatArray, Model
from ssahc.linking.link import link_centroids, name_speakers
from ssahc.linking.options import LinkOptions
from ssahc.pipeline.diarization import Diarization


def link_speakers(
    diarizations: Sequence[Diarization],
    model: Model,
    options: LinkOptions = LinkOptions(),
) -> dict[str, dict[str, str]]:
    """Find the same speakers across recordings, as ``ssahc link`` does.

    Parameters
    ----------
    diarizations : sequence of Diarization
        One per recording.
    model : Model
        The one that all of them were diarized with, which is not checked; it needs a
        mean.
    options : LinkOptions

    Returns
    -------
    dict
        Recording id to a mapping of its speakers to names that are the same in all
        recordings: "S1", "S2", ... Speakers of one recording have different names.

    Raises
    ------
    DataError
        If a recording id is there twice, or x-vectors have other dimensions than the
        model.
    UsageError
        If the model has no mean: recordings have no space in common then.
    """
    if model.mean is None:
        raise UsageError(
            "linking needs the model that recordings were diarized with, and its mean; "
            "fit_unlabelled learns one from recordings"
        )
    psi = speaker_variances(model)
    names: dict[str, dict[str, str]] = {}
    recordings: list[str] = []
    speakers: list[str] = []
    latent: list[FloatArray] = []
    counts: list[float] = []
    for one in diarizations:
        if one.recording_id in names:
            raise DataError(
                f"recording {one.recording_id!r} is there twice; give each its own id"
            )
        names[one.recording_id] = {}
        for centroid in one.centroids:
            if centroid.latent is None or centroid.latent.shape != psi.shape:
                raise DataError(
                    f"recording {one.recording_id!r} was diarized with another model; "
                    "diarize all recordings with the one that is given"
                )
            recordings.append(one.recording_id)
            speakers.append(centroid.speaker)
            latent.append(centroid.latent)
            counts.append(centroid.num_windows)
    links = link_centroids(
        np.array(latent).reshape(-1, len(psi)),
        np.array(counts),
        recordings,
        psi,
        options,
    )
    for recording, speaker, name in zip(
        recordings, speakers, name_speakers(links), strict=True
    ):
        names[recording][speaker] = name
    return names
