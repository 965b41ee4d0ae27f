"""Random chunks of the speech of speakers."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssahc.core.types import IntArray
from ssahc.learning.extractor.options import (
    ExtractorTrainingOptions,
    SpeechAugmentationOptions,
)
from ssahc.learning.extractor.speech import LabelledSpeech

# Lengths of chunks are multiples of this many frames, for which FFTs are fast.
_STEP = 10


class Chunks(NamedTuple):
    """Chunks of a batch.

    `parts` are arrays (b, S) of samples, or (b, T, F) of features, each of one speed;
    `rows` are the rows of the batch that they are. Of all the batch are `classes`,
    `members` (the speakers, whatever the speed), `speeds` (places in the drawer's) and
    `middles` (places in the speech of the speaker), each (B,).
    """

    parts: list[NDArray[np.generic]]
    rows: list[IntArray]
    classes: IntArray
    members: IntArray
    speeds: IntArray
    middles: IntArray


class ChunkDrawer:
    """Draws chunks of a random part of the speech of random speakers.

    The utterances of a speaker follow each other without end, so that chunks may be
    longer than they are.

    Parameters
    ----------
    speech : LabelledSpeech
    options : ExtractorTrainingOptions
    augmentation : SpeechAugmentationOptions
    """

    def __init__(
        self,
        speech: LabelledSpeech,
        options: ExtractorTrainingOptions,
        augmentation: SpeechAugmentationOptions,
    ) -> None:
        self.speakers, members = np.unique(
            np.asarray(speech.speakers), return_inverse=True
        )
        self._signals: list[list[NDArray[np.generic]]] = [[] for _ in self.speakers]
        for member, signal in zip(members.tolist(), speech.signals, strict=True):
            if len(signal):
                self._signals[member].append(signal)
        # Where each utterance ends, if those of the speaker follow each other.
        self._ends = [np.cumsum([len(s) for s in own]) for own in self._signals]
        self._options, self._augmentation = options, augmentation
        share, change = augmentation.speed_share, augmentation.speed_change
        is_changed = share > 0 and change > 0
        self.speeds = [1.0, 1 - change, 1 + change] if is_changed else [1.0]
        self._has_more = is_changed and augmentation.speed_speakers

    @property
    def num_classes(self) -> int:
        """Number of speakers, those of other speeds included."""
        return len(self.speakers) * (len(self.speeds) if self._has_more else 1)

    def size_of(self, member: int) -> int:
        """Return how much speech there is of a speaker, in samples or frames."""
        return int(self._ends[member][-1])

    def stream(self, member: int) -> NDArray[np.generic]:
        """Return all speech of a speaker, utterance by utterance."""
        return np.concatenate(self._signals[member])

    def draw(self, size: int, generator: np.random.Generator) -> Chunks:
        """Return a batch of chunks of `size` samples or frames.

        Chunks of another speed are longer or shorter by that, and not yet resampled.
        """
        options, share = self._options, self._augmentation.speed_share
        count = min(options.speakers_per_batch, len(self.speakers))
        chosen = generator.choice(len(self.speakers), count, replace=False)
        if self._has_more:
            changed = generator.random(count) < share
            chosen += len(self.speakers) * changed * generator.integers(1, 3, count)
        classes = np.repeat(chosen, options.utterances_per_speaker)
        return self.draw_classes(classes, size, generator)

    def draw_classes(
        self, classes: IntArray, size: int, generator: np.random.Generator
    ) -> Chunks:
        """Return a chunk of each of these classes (B,), as `draw` does."""
        speeds, members = np.divmod(classes, len(self.speakers))
        if len(self.speeds) > 1 and not self._has_more:
            changed = generator.random(len(classes)) < self._augmentation.speed_share
            speeds = changed * generator.integers(1, 3, len(classes))
        parts, rows = [], []
        middles = np.zeros(len(classes), np.int64)
        for number, speed in enumerate(self.speeds):
            own = np.flatnonzero(speeds == number)
            if len(own):
                length = round(size * speed)
                starts = [self._draw_start(members[row], generator) for row in own]
                cuts = [
                    self._cut(members[row], start, length)
                    for row, start in zip(own, starts, strict=True)
                ]
                parts.append(np.stack(cuts))
                rows.append(own)
                sizes = [self.size_of(member) for member in members[own].tolist()]
                middles[own] = (np.array(starts) + length // 2) % sizes
        return Chunks(parts, rows, classes, members, speeds, middles)

    def _draw_start(self, member: int, generator: np.random.Generator) -> int:
        return int(generator.integers(self._ends[member][-1]))

    def _cut(self, member: int, start: int, length: int) -> NDArray[np.generic]:
        signals, ends = self._signals[member], self._ends[member]
        number = int(np.searchsorted(ends, start, side="right"))
        first = start - int(ends[number]) + len(signals[number])
        parts = [signals[number][first : first + length]]
        left = length - len(parts[0])
        while left > 0:
            number = (number + 1) % len(signals)
            parts.append(signals[number][:left])
            left -= len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


def draw_lengths(
    options: ExtractorTrainingOptions, chunks: int, generator: np.random.Generator
) -> list[int]:
    """Return the frames of the chunks of each step of an epoch, of 10 ms.

    A step has so many chunks.
    """
    low, high = round(100 * options.min_chunk), round(100 * options.max_chunk)
    frames, lengths = options.epoch_hours * 360_000 / chunks, []
    while frames > 0:
        length = int(generator.integers(low, high + 1)) // _STEP * _STEP
        lengths.append(max(length, low))
        frames -= lengths[-1]
    return lengths
