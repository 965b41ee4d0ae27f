"""The turns that ``ssahc diarize`` writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssahc.cli.overlap import Chunks
from ssahc.core.turns import measure_speech, turns_of_labels
from ssahc.core.types import IntArray, Turn
from ssahc.io.text import times_of
from ssahc.io.xvectors import XvectorDir
from ssahc.pipeline.overlap import SecondSpeakerOptions, add_overlap
from ssahc.pipeline.second_speakers import add_second_speakers
from ssahc.pipeline.turn_changes import move_changes
from ssahc.scoring.regions import Spans


@dataclass(frozen=True, eq=False)
class RecordingTurns(Mapping[str, list[Turn]]):
    """The turns of recordings, made on access: those of a large corpus fill memory."""

    folder: XvectorDir
    labels: Mapping[str, IntArray]
    chunks: Mapping[str, Chunks]
    regions: Mapping[str, Spans]
    # None where times have one speaker each.
    second: SecondSpeakerOptions | None

    def silent(self) -> Iterator[str]:
        """Yield the recordings without a turn."""
        for name in self.labels:
            times = times_of(self.folder.segments, self.folder.utterances[name])
            if (times[:, 0] == times[:, 1]).all():
                yield name

    def seconds(self) -> float:
        """Return the seconds of speech of all recordings."""
        tables, segments = self.folder.utterances, self.folder.segments
        each = (measure_speech(times_of(segments, tables[name])) for name in self)
        return sum(each)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __getitem__(self, name: str) -> list[Turn]:
        times = times_of(self.folder.segments, self.folder.utterances[name])
        turns = turns_of_labels(times, self.labels[name])
        if name in self.chunks:
            segmentation = self.chunks[name].segmentation
            turns = move_changes(turns, segmentation)
            if self.second is None:
                return turns
            return add_overlap(turns, segmentation, self.second)
        return add_second_speakers(turns, self.regions.get(name, ()))
