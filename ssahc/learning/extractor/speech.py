"""Utterances of known speakers, and which speakers are held out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ssahc.core.errors import DataError
from ssahc.core.types import BriefRepr


@dataclass(frozen=True, eq=False, repr=False)
class LabelledSpeech(BriefRepr):
    """Utterances and their speakers.

    Parameters
    ----------
    names : sequence of N str
        Utterances.
    speakers : sequence of N str
    signals : sequence of N arrays
        Samples (S,) of int16 at the rate of the network, 115 MB an hour at 16 kHz; or
        features (T, F) of float32 that are not normalized yet.
    """

    names: Sequence[str]
    speakers: Sequence[str]
    signals: Sequence[NDArray[np.generic]]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def is_audio(self) -> bool:
        """Whether signals are samples."""
        return all(signal.ndim == 1 for signal in self.signals)

    def select(self, rows: Sequence[int]) -> "LabelledSpeech":
        """Return some of the utterances."""
        return replace(
            self,
            names=[self.names[row] for row in rows],
            speakers=[self.speakers[row] for row in rows],
            signals=[self.signals[row] for row in rows],
        )


def hold_out(speakers: Iterable[str], share: float, seed: int) -> set[str]:
    """Return a share of the speakers of some utterances, given one by one.

    They are drawn among those with two utterances or more, and are two at least unless
    the share is 0. A DataError is raised if there are not as many.
    """
    counts = Counter(speakers)
    several = sorted(speaker for speaker, count in counts.items() if count > 1)
    number = 0 if share == 0 else max(round(share * len(counts)), 2)
    if number > len(several):
        raise DataError(
            f"{number} speakers with two utterances or more are needed to hold out, "
            f"found {len(several)}; give more speech, others as --dev, or "
            "--validation-share 0"
        )
    order = np.random.default_rng(seed).permutation(len(several))
    return {several[place] for place in order[:number].tolist()}
