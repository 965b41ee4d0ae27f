"""What ``ssahc diarize --write-speakers`` writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ssahc.backend.plda import speaker_variances
from ssahc.backend.prepared import PreparedXvectors
from ssahc.cli.diarize_config import AllOptions, DiarizeConfig
from ssahc.cli.enrollment import stored_extractor
from ssahc.cli.journal import Unfinished
from ssahc.core.errors import DataError
from ssahc.core.types import Centroid, Fault, Model, Recording
from ssahc.io.speakers import SpeakerSpace, identify_model, write_speakers
from ssahc.io.xvectors import XvectorDir, read_recordings
from ssahc.pipeline.centroids import compute_centroids


def list_centroids(
    folder: XvectorDir,
    model: Model,
    run: DiarizeConfig,
    unfinished: Unfinished,
    option: str,
) -> Iterator[tuple[Recording, tuple[Centroid, ...]]]:
    """Yield the recordings that are done, and their speakers.

    They follow from labels and x-vectors, which are read once more, whether a recording
    was done by this run or by one that it continues. Raises a DataError, with the
    option that needs them, if they cannot be read any more.
    """
    done = folder.select(unfinished.labels)
    for recording in read_recordings(done, max_bytes=run.method.max_bytes()):
        if isinstance(recording, Fault):
            name, reason = recording.recording, recording.reason
            raise DataError(f"{option}, recording {name!r}: {reason}")
        labels = unfinished.labels[recording.id]
        xvectors = PreparedXvectors(recording.xvectors, model)
        yield recording, compute_centroids(xvectors, recording.segments, labels)


def write_run_speakers(
    folder: XvectorDir,
    model: Model,
    run: DiarizeConfig,
    unfinished: Unfinished,
    stored: AllOptions | None,
    names: Mapping[str, Mapping[str, str]],
) -> None:
    """Write the speakers of all recordings that are done, with their names."""

    def list_speakers() -> Iterator[tuple[str, Centroid, Sequence[str]]]:
        for recording, centroids in list_centroids(
            folder, model, run, unfinished, "--write-speakers"
        ):
            labels = unfinished.labels[recording.id]
            own = names.get(recording.id, {})
            for label, centroid in enumerate(centroids):
                windows = (labels == label).nonzero()[0].tolist()
                name = own.get(centroid.speaker, centroid.speaker)
                utterances = [recording.utterances[window] for window in windows]
                yield recording.id, replace(centroid, speaker=name), utterances

    extractor = find_extractor(folder, stored)
    space = None
    if model.mean is not None:
        space = SpeakerSpace(identify_model(model), speaker_variances(model), extractor)
    write_speakers(unfinished.folder, list_speakers(), space)


def find_extractor(folder: XvectorDir, stored: AllOptions | None) -> str | None:
    """Return the name of the extractor of x-vectors, if it is known."""
    if stored is None:
        return stored_extractor(folder.path)
    extractor = stored.audio.extractor
    return None if extractor is None else Path(extractor).name
