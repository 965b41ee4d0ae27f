"""The result of diarizing one recording."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ssahc.backend.affinity import Affinity
from ssahc.clustering.merge_history import MergeHistory
from ssahc.core.errors import counted
from ssahc.core.turns import (
    mean_confidence,
    rate_turns,
    to_annotation,
    turns_of_labels,
)
from ssahc.core.types import Centroid, FloatArray, IntArray, Turn
from ssahc.learning.options import Period
from ssahc.resegmentation.resegment import Resegmentation
from ssahc.resegmentation.vbx import VbxResegmentation

if TYPE_CHECKING:
    from pyannote.core import Annotation


@dataclass(frozen=True, eq=False, repr=False)
class Diarization:
    """Who speaks when in one recording.

    Attributes
    ----------
    recording_id : str
    utterances : tuple of str
        The N window ids.
    segments : (N, 2) array
        Start and end of every window, in seconds.
    labels : (N,) int array
        Speaker of every window, 0..K-1 in Kaldi's order (in order of first appearance
        for clusterings that do not merge, and after resegmentation).
    affinity : Affinity
        Affinities that were clustered.
    history : MergeHistory or None
        All merges, which can be cut at other thresholds; None for clusterings that do
        not merge, and where Kaldi's ``max-spk-fraction`` or two passes steer merges.
    resegmentation : Resegmentation, VbxResegmentation or None
        The evidence for every number of speakers, or what VBx starts from; it can be
        cut at other thresholds as well. None if the labels are those of the clustering.
    learning : tuple of Period
        What happened in each period of learning; empty for systems that do not learn.
    speaker_posterior : mapping of int to float
        How likely each number of speakers is, from the evidence and the drift of
        speakers (`ssahc.resegmentation.counting`); 1 for a known number. Empty if the
        number is estimated in another way.
    window_confidence : (N,) array
        Probability that the speaker of each window is right
        (`ssahc.pipeline.confidence`); empty where it was not estimated.
    centroids : tuple of Centroid
        One per speaker, in the order of the labels; see `link_speakers`.
    single : tuple of Turn or None
        Turns of one speaker at a time, where changes of speaker were heard in the
        audio; None where only the windows are known.
    overlapping : tuple of Turn or None
        Turns with second speakers, where overlap is known; None where it is not.
    """

    recording_id: str
    utterances: tuple[str, ...]
    segments: FloatArray
    labels: IntArray
    affinity: Affinity
    history: MergeHistory | None
    resegmentation: Resegmentation | VbxResegmentation | None
    learning: tuple[Period, ...]
    speaker_posterior: Mapping[int, float] = field(default_factory=dict)
    window_confidence: FloatArray = field(default_factory=lambda: np.zeros(0))
    centroids: tuple[Centroid, ...] = ()
    single: tuple[Turn, ...] | None = None
    overlapping: tuple[Turn, ...] | None = None

    def __repr__(self) -> str:
        sure = ""
        if len(self.speaker_posterior) > 1:
            probability = self.speaker_posterior.get(self.num_speakers, 0.0)
            sure = f" ({100 * probability:.0f} % sure)"
        return (
            f"Diarization({self.recording_id!r}: "
            f"{counted(len(self.utterances), 'window')}, "
            f"{counted(self.num_speakers, 'speaker')}{sure}, "
            f"{counted(len(self.turns), 'turn')})"
        )

    def _repr_html_(self) -> str:
        """Return the timeline and the speakers, as notebooks show them."""
        from ssahc.report.snippet import render_snippet

        # Of a known number, or the only one, there is nothing to say.
        estimated = len(self.speaker_posterior) > 1
        posterior = self.speaker_posterior if estimated else {}
        return render_snippet(self.recording_id, self.turns, posterior)

    @cached_property
    def turns(self) -> list[Turn]:
        """The speaker turns; speakers are named "1", "2", ... as Kaldi does.

        They overlap where second speakers were added. The confidence of a turn is the
        mean of its speaker's windows; of second speakers outside of these, it is None.
        """
        if self.overlapping is not None:
            return self._rate(self.overlapping)
        return self.exclusive_turns

    @cached_property
    def exclusive_turns(self) -> list[Turn]:
        """The turns of one speaker at a time: of the windows, unless heard in audio."""
        if self.single is not None:
            return self._rate(self.single)
        return self._rate(turns_of_labels(self.segments, self.labels))

    def _rate(self, turns: Sequence[Turn]) -> list[Turn]:
        if not len(self.window_confidence):
            return list(turns)
        return rate_turns(turns, self.segments, self.labels, self.window_confidence)

    @property
    def confidence(self) -> float | None:
        """Share of the speech whose speaker is expected to be right, 0 to 1.

        None where it was not estimated, and without a turn.
        """
        return mean_confidence(self.exclusive_turns)

    @cached_property
    def annotation(self) -> "Annotation":
        """The turns as a `pyannote.core.Annotation`."""
        return to_annotation(self.turns, self.recording_id)

    @property
    def num_speakers(self) -> int:
        """Number of speakers that were found."""
        return int(self.labels.max()) + 1

    @property
    def labelled_utterances(self) -> list[tuple[str, int]]:
        """Every window id with its label."""
        return list(zip(self.utterances, self.labels.tolist(), strict=True))
