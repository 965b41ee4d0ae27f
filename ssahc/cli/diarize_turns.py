"""The turns that ``ssahc diarize`` writes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ssahc.cli.overlap import Chunks
from ssahc.core.turns import measure_speech, rate_turns, turns_of_labels
from ssahc.core.types import Float32Array, FloatArray, IntArray, Turn
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
    confidence: Mapping[str, Float32Array]
    chunks: Mapping[str, Chunks]
    regions: Mapping[str, Spans]
    # None where times have one speaker each.
    second: SecondSpeakerOptions | None

    def silent(self) -> Iterator[str]:
        """Yield the recordings without a turn."""
        for name in self.labels:
            times = self._times(name)
            if (times[:, 0] == times[:, 1]).all():
                yield name

    def seconds(self) -> float:
        """Return the seconds of speech of all recordings."""
        return sum(measure_speech(self._times(name)) for name in self)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __getitem__(self, name: str) -> list[Turn]:
        times, labels = self._times(name), self.labels[name]
        turns = self._make(name, turns_of_labels(times, labels))
        return rate_turns(turns, times, labels, self.confidence[name])

    def _times(self, name: str) -> FloatArray:
        return times_of(self.folder.segments, self.folder.utterances[name])

    def _make(self, name: str, turns: list[Turn]) -> list[Turn]:
        if name in self.chunks:
            segmentation = self.chunks[name].segmentation
            turns = move_changes(turns, segmentation)
            if self.second is None:
                return turns
            return add_overlap(turns, segmentation, self.second)
        return add_second_speakers(turns, self.regions.get(name, ()))
