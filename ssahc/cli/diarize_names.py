"""The names that ``ssahc diarize --enroll`` gives to speakers."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ssahc.cli.diarize_config import AllOptions, DiarizeConfig
from ssahc.cli.diarize_speakers import find_extractor, list_centroids
from ssahc.cli.enrollment import Enrollment, refuse_other_extractor
from ssahc.cli.journal import Unfinished
from ssahc.core.errors import counted
from ssahc.core.types import Model, Turn
from ssahc.io.named import NAMED, NamedSpeaker, write_named
from ssahc.io.xvectors import XvectorDir
from ssahc.linking.identify import default_threshold
from ssahc.pipeline.identification import identify_centroids, measure_enrolled

# Recording to the names of those of its speakers that have one.
Names = Mapping[str, Mapping[str, str]]

_logger = logging.getLogger("ssahc")


def check_comparable(
    enrollment: Enrollment | None,
    folder: XvectorDir,
    model: Model,
    stored: AllOptions | None,
) -> None:
    """Raise an error if there are enrolled people who cannot be compared."""
    if enrollment is None:
        return
    refuse_other_extractor(
        enrollment.folder, folder.path, find_extractor(folder, stored)
    )
    measure_enrolled(enrollment.recordings, model)


def name_run_speakers(
    folder: XvectorDir,
    model: Model,
    run: DiarizeConfig,
    unfinished: Unfinished,
    enrollment: Enrollment | None,
    out_dir: Path,
) -> Names:
    """Name the speakers of all recordings that are done, and write who they are."""
    if enrollment is None:
        return {}
    people = measure_enrolled(enrollment.recordings, model)
    speakers = [
        (recording.id, centroid)
        for recording, centroids in list_centroids(
            folder, model, run, unfinished, "--enroll"
        )
        for centroid in centroids
    ]
    threshold = run.enroll_threshold
    if threshold is None:
        threshold = default_threshold(len(people))
    found = identify_centroids(speakers, list(enrollment.recordings), people, threshold)
    write_named(
        unfinished.folder / NAMED,
        (
            NamedSpeaker(
                one.recording,
                one.speaker,
                one.name,
                one.score,
                one.log_ratio,
                one.is_named,
            )
            for one in found
        ),
    )
    names: dict[str, dict[str, str]] = {}
    for one in found:
        if one.is_named:
            names.setdefault(one.recording, {})[one.speaker] = one.name
    named = sum(map(len, names.values()))
    _logger.info(
        f"named {named} of {counted(len(found), 'speaker')}, with scores above "
        f"{threshold:.2f}; see {out_dir / NAMED}"
    )
    return names


@dataclass(frozen=True, eq=False)
class NamedTurns(Mapping[str, Sequence[Turn]]):
    """Turns of recordings, with the names of speakers that have one."""

    turns: Mapping[str, Sequence[Turn]]
    names: Names

    def __len__(self) -> int:
        return len(self.turns)

    def __iter__(self) -> Iterator[str]:
        return iter(self.turns)

    def __getitem__(self, recording: str) -> Sequence[Turn]:
        turns, names = self.turns[recording], self.names.get(recording, {})
        return [
            replace(turn, speaker=names.get(turn.speaker, turn.speaker))
            for turn in turns
        ]
