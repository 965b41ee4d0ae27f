"""Giving the speakers of diarized recordings the names of enrolled people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ssahc.backend.plda import speaker_variances
from ssahc.backend.prepared import PreparedXvectors
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Centroid, FloatArray, Model, Recording
from ssahc.linking.identify import identify_voices, measure_voices
from ssahc.linking.voices import Voices
from ssahc.pipeline.centroids import compute_centroids
from ssahc.pipeline.diarization import Diarization


@dataclass(frozen=True)
class Identification:
    """What was found out of a speaker.

    Attributes
    ----------
    recording, speaker : str
    name : str
        Enrolled person that the speaker is, or else is most like.
    is_named : bool
        Whether the speaker is taken for that person.
    score : float
        Log-likelihood ratio of the two being one person, in standard deviations above
        what it is for different people.
    log_ratio : float
        That ratio itself, in nats.
    """

    recording: str
    speaker: str
    name: str
    is_named: bool
    score: float
    log_ratio: float


def identify_speakers(
    diarizations: Sequence[Diarization],
    enrolled: Mapping[str, Sequence[Recording]],
    model: Model,
    *,
    threshold: float | None = None,
) -> list[Identification]:
    """Find enrolled people among speakers, as ``ssahc diarize --enroll`` does.

    In each recording a name is given to one speaker at most. More recordings, and more
    enrolled people, tell better what scores of different people are like.

    Parameters
    ----------
    diarizations : sequence of Diarization
        One per recording.
    enrolled : mapping of str to sequence of Recording
        Speech of each person alone, such as from `extract_audio`.
    model : Model
        The one that recordings were diarized with; it needs a mean.
    threshold : float, optional
        Score above which a speaker gets a name. By default it follows from the number
        of enrolled people.

    Returns
    -------
    list of Identification
        One for each speaker, in the order of recordings and centroids.

    Raises
    ------
    DataError
        If nobody is enrolled, a person has no speech or the same as another, or
        x-vectors are of another extractor than the model.
    UsageError
        If the model has no mean: recordings have no space in common then.
    """
    speakers = [
        (one.recording_id, centroid)
        for one in diarizations
        for centroid in one.centroids
    ]
    people = measure_enrolled(enrolled, model)
    return identify_centroids(speakers, list(enrolled), people, threshold)


def identify_centroids(
    speakers: Sequence[tuple[str, Centroid]],
    names: Sequence[str],
    people: Voices,
    threshold: float | None = None,
) -> list[Identification]:
    """Return who the speakers of recordings are; see `identify_speakers`.

    `people` are the voices of `names`, from `measure_enrolled`.
    """
    latent: list[FloatArray] = []
    for recording, centroid in speakers:
        if centroid.latent is None or centroid.latent.shape != people.psi.shape:
            raise DataError(
                f"recording {recording!r} was diarized with another model; diarize all "
                "recordings with the one that is given"
            )
        latent.append(centroid.latent)
    voices = measure_voices(
        np.array(latent).reshape(-1, len(people.psi)),
        np.array([centroid.num_windows for _, centroid in speakers]),
        people.psi,
    )
    recordings = [recording for recording, _ in speakers]
    found = identify_voices(voices, recordings, people, threshold)
    return [
        Identification(
            recording,
            centroid.speaker,
            names[found.people[row]],
            bool(found.is_named[row]),
            float(found.scores[row]),
            float(found.ratios[row]),
        )
        for row, (recording, centroid) in enumerate(speakers)
    ]


def measure_enrolled(
    enrolled: Mapping[str, Sequence[Recording]], model: Model
) -> Voices:
    """Return the voices of enrolled people, in their order.

    Raises a DataError or a UsageError as `identify_speakers` does.
    """
    if model.mean is None:
        raise UsageError(
            "speakers are compared with enrolled people by a model with a mean, and "
            "this one has none; give --model-dir, or no model at all to learn one"
        )
    check_enrolled(enrolled, len(model.mean), "recordings")
    psi = speaker_variances(model)
    latent: list[FloatArray] = []
    counts: list[float] = []
    owners: list[int] = []
    for owner, recordings in enumerate(enrolled.values()):
        for recording in recordings:
            (centroid,) = compute_centroids(
                PreparedXvectors(recording.xvectors, model),
                recording.segments,
                np.zeros(len(recording), np.int64),
            )
            if centroid.latent is None:
                raise AssertionError("a model with a mean has a latent space")
            latent.append(centroid.latent)
            counts.append(centroid.num_windows)
            owners.append(owner)
    voices = measure_voices(np.array(latent), np.array(counts), psi)
    return voices.merge(np.array(owners))


def check_enrolled(
    enrolled: Mapping[str, Sequence[Recording]], dim: int, of: str
) -> None:
    """Raise a DataError for enrolled people who cannot be looked for.

    `dim` is the dimension of the x-vectors `of` what they are looked for in.
    """
    if not enrolled:
        raise DataError("nobody is enrolled; give speech of one person at least")
    owner_of: dict[bytes, str] = {}
    for name, recordings in enrolled.items():
        if not recordings:
            raise DataError(f"no speech of enrolled {name!r}; give some")
        for recording in recordings:
            found = recording.xvectors.shape[1]
            if found != dim:
                raise DataError(
                    f"x-vectors of enrolled {name!r} have {found} dimensions, those of "
                    f"{of} {dim}; extract both with one network"
                )
            other = owner_of.setdefault(recording.xvectors.tobytes(), name)
            if other != name:
                raise DataError(
                    f"{other!r} and {name!r} are enrolled with the same speech "
                    f"({recording.id!r}); remove it from one of them"
                )
