"""The work of ``ssahc diarize`` on a batch of recordings, in any process."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from ssahc.cli.inputs import Inputs
from ssahc.cli.runner import as_fault
from ssahc.core.errors import counted
from ssahc.core.types import Fault, Float32Array, IntArray, Recording
from ssahc.io.text import keep_likely, round_confidence
from ssahc.learning.options import Stopped
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.options import LEARNING, DiarizeOptions
from ssahc.runtime.batching import FAILURES
from ssahc.runtime.device import has_gpu
from ssahc.runtime.memory import check_room

# Recordings that are sent to a process, or trained on a GPU, at once; and windows.
_MOST_RECORDINGS, _MOST_RECORDINGS_ON_GPU, _MOST_WINDOWS = 8, 500, 100_000
# Computed in float64, and kept in float32.
_BYTES_PER_SCORE = 12


@dataclass(frozen=True, eq=False)
class Outcome:
    """What is kept of a diarization.

    Labels (N,), affinities (N, N) if wanted, why the network was not used, if so, and
    how likely each number of speakers is; empty if the number is known, if only one is
    possible, or if it is estimated without evidence. How likely the speaker of each
    window is right (N,), rounded as in files.
    """

    labels: IntArray
    scores: Float32Array | None
    not_learned: Stopped | None
    posterior: Mapping[int, float]
    confidence: Float32Array


@dataclass(frozen=True, eq=False)
class DiarizeTask:
    """Diarizes batches by settled options; on a GPU, trains them together."""

    inputs: Inputs
    method: DiarizeOptions
    with_scores: bool

    def __call__(self, recordings: list[Recording]) -> list[Outcome | Fault]:
        """Return the outcomes in the order of the recordings."""
        if len(recordings) > 1 and self._trains_on_gpu():
            # If one of them fails, each is diarized by itself.
            with suppress(*FAILURES):
                together = self.inputs.diarize_batch(recordings, self.method)
                return [self._outcome(result) for result in together]
        return [self._diarize(recording) for recording in recordings]

    def load(self, recording: Recording, num_processes: int) -> float:
        """Return the share of a batch that a recording fills."""
        most = _MOST_RECORDINGS
        if self._trains_on_gpu():
            most = _MOST_RECORDINGS_ON_GPU
        elif self.with_scores or num_processes == 1:
            # Nothing is gained by holding more.
            most = 1
        # Recordings on their way to other processes are held by this one.
        room = self.method.max_bytes() / (4 * num_processes)
        held = recording.xvectors.nbytes / room
        return 1 / most + len(recording) / _MOST_WINDOWS + held

    def _trains_on_gpu(self) -> bool:
        # Matrices of all pairs are too large to hold many of them.
        has_matrices = self.with_scores or self.inputs.plda_scores is not None
        learns = self.method.system in LEARNING
        return learns and not has_matrices and has_gpu(self.method.device)

    def _diarize(self, recording: Recording) -> Outcome | Fault:
        try:
            if self.with_scores:
                count = len(recording)
                what = f"the matrix of scores of {counted(count, 'window')}"
                check_room(_BYTES_PER_SCORE * count**2, self.method.max_bytes(), what)
            return self._outcome(self.inputs.diarize(recording, self.method))
        except FAILURES as error:
            return as_fault(recording, error)

    def _outcome(self, result: Diarization) -> Outcome:
        scores = result.affinity.dense() if self.with_scores else None
        first = result.learning[0] if result.learning else None
        not_learned = None if first is None or first.learned else first.stopped
        posterior = result.speaker_posterior
        likely = keep_likely(posterior) if len(posterior) > 1 else {}
        confidence = round_confidence(result.window_confidence)
        return Outcome(result.labels, scores, not_learned, likely, confidence)
