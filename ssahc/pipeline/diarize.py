"""One recording from x-vectors to speaker turns; the only module that joins stages."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from ssahc.backend.affinity import Affinity, ScoreMatrix, cosine_affinity
from ssahc.backend.fusion import fuse
from ssahc.backend.plda import PldaOptions, plda_affinity, speaker_space
from ssahc.backend.preprocess import center, project_recording, whiten_and_normalize
from ssahc.clustering.ahc import (
    agglomerative_cluster,
    has_factored_linkage,
    is_steered,
    link,
)
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import DataError
from ssahc.core.model import check_model
from ssahc.core.turns import make_turns, to_annotation
from ssahc.core.types import (
    NO_MODEL,
    Float32Array,
    FloatArray,
    IntArray,
    Model,
    Progress,
    Recording,
    Turn,
    no_progress,
)
from ssahc.learning.ssa import Learned, Period, learn
from ssahc.pipeline.clustering import Windows, cluster_windows
from ssahc.pipeline.memory_model import working_set
from ssahc.pipeline.options import DiarizeOptions, SpeakerOptions, settle
from ssahc.resegmentation.resegment import Resegmentation, resegment
from ssahc.runtime.batching import work_alone
from ssahc.runtime.memory import check_room

if TYPE_CHECKING:
    from pyannote.core import Annotation

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, repr=False)
class Diarization:
    """The answer for one recording.

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
        What was clustered.
    history : MergeHistory or None
        All merges, to be cut elsewhere; None for clusterings that do not merge, and
        where Kaldi's ``max-spk-fraction`` or two passes steered them.
    resegmentation : Resegmentation or None
        The evidence for every number of speakers, to be cut elsewhere as well; None if
        the labels are those of the clustering.
    learning : tuple of Period
        What was learned; empty for systems that do not learn.
    """

    recording_id: str
    utterances: tuple[str, ...]
    segments: FloatArray
    labels: IntArray
    affinity: Affinity
    history: MergeHistory | None
    resegmentation: Resegmentation | None
    learning: tuple[Period, ...]

    def __repr__(self) -> str:
        return (
            f"Diarization({self.recording_id!r}: {len(self.utterances)} windows, "
            f"{self.num_speakers} speakers, {len(self.turns)} turns)"
        )

    @cached_property
    def turns(self) -> list[Turn]:
        """The speaker turns; speakers are named "1", "2", ... as Kaldi does."""
        return make_turns(self.segments, [str(label + 1) for label in self.labels])

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


def diarize_recording(
    recording: Recording,
    model: Model = NO_MODEL,
    options: DiarizeOptions = DiarizeOptions(),  # noqa: B008
    *,
    plda_scores: Float32Array | FloatArray | None = None,
    progress: Progress = no_progress,
) -> Diarization:
    """Say who speaks when in one recording.

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean, whitening and PLDA, as far as they are there.
    options : DiarizeOptions
    plda_scores : (N, N) array, optional
        Scores that take the place of those of the model's PLDA.
    progress : callable, optional
        Called with the step ("scoring", "learning", "clustering", "resegmenting"), how
        much of it is done, and how much there is.

    Returns
    -------
    Diarization

    Raises
    ------
    DataError
        If the recording, the model and the scores do not fit together.
    UsageError
        If options contradict each other or the system lacks what it needs.
    """
    steps = diarize_steps(
        recording, model, options, plda_scores=plda_scores, progress=progress
    )
    return work_alone(steps)


async def diarize_steps(
    recording: Recording,
    model: Model = NO_MODEL,
    options: DiarizeOptions = DiarizeOptions(),  # noqa: B008
    *,
    plda_scores: Float32Array | FloatArray | None = None,
    progress: Progress = no_progress,
) -> Diarization:
    """Do as `diarize_recording`, side by side with other recordings.

    To be run by `ssahc.runtime.batching.work_together`.
    """
    warn_of_excess(recording.id, len(recording), options.speakers.stop())
    prepared = _Prepared(recording, model, plda_scores, progress)
    return await prepared.diarize(options)


def prepare_recording(
    recording: Recording,
    model: Model = NO_MODEL,
    *,
    plda_scores: Float32Array | FloatArray | None = None,
    progress: Progress = no_progress,
) -> Callable[[DiarizeOptions], Diarization]:
    """Return a function that diarizes one recording with any options.

    The answers are those of `diarize_recording`. What options have in common is
    computed once: PLDA scores, and what the network learns.

    Parameters
    ----------
    recording, model, plda_scores, progress
        As for `diarize_recording`.

    Raises
    ------
    DataError
        If there are not as many scores as windows, or nothing can be computed with the
        model.
    """
    prepared = _Prepared(recording, model, plda_scores, progress)
    return lambda options: work_alone(prepared.diarize(options))


class _Prepared:
    """A recording, and what was computed of it for any options so far."""

    def __init__(
        self,
        recording: Recording,
        model: Model,
        plda_scores: Float32Array | FloatArray | None,
        progress: Progress,
    ) -> None:
        check_model(model)
        self.recording, self.model, self.progress = recording, model, progress
        self.given: ScoreMatrix | None = None
        if plda_scores is not None:
            self.given = _score_matrix(plda_scores, len(recording))
        self._scores: dict[PldaOptions, Affinity] = {}
        self._learned: dict[DiarizeOptions, Learned] = {}

    @cached_property
    def whitened(self) -> FloatArray:
        """The x-vectors, whitened and length-normalised."""
        centered = center(self.recording.xvectors, self.model.mean)
        return whiten_and_normalize(centered, self.model)

    async def diarize(self, options: DiarizeOptions) -> Diarization:
        """Diarize the recording."""
        has_scores = self.given is not None
        options = settle(options, self.model, has_scores=has_scores)
        count, dim = self.recording.xvectors.shape
        needed = working_set(count, dim, options, has_scores=has_scores)
        check_room(needed, options.max_bytes(), f"the work on {count} windows")
        learned = await self._compute_affinity(options)
        options = _without_steered_resegmentation(
            self.recording.id, learned.affinity, options
        )
        clustered = _cluster(self.recording, learned, options, self.progress)
        if options.resegmentation.resegmentation == "none":
            return clustered
        latent, psi = speaker_space(self.whitened, self.model)
        return _resegment(clustered, latent, psi, options, self.progress)

    async def _compute_affinity(self, options: DiarizeOptions) -> Learned:
        """Compute what the chosen system clusters; no periods if it does not learn."""
        if options.system in ("cosine", "spectral"):
            vectors = project_recording(
                self.recording.xvectors, self.model, options.pca_dim
            )
            return Learned(cosine_affinity(vectors), ())
        if options.system == "plda":
            return Learned(self._score(options.plda), ())
        if options.system == "ssahc":
            return await self._learn(options)
        scores = self._score(options.plda)
        learned = await self._learn(options)
        return Learned(fuse(learned.affinity, scores, options.fusion), learned.periods)

    def _score(self, options: PldaOptions) -> Affinity:
        if self.given is not None:
            return self.given
        if self.model.plda is None:
            raise AssertionError("settle lets nothing pass without a PLDA")
        if options not in self._scores:
            self.progress("scoring", 0, 1)
            scores = plda_affinity(self.whitened, self.model.plda, options)
            self._scores[options] = scores
            self.progress("scoring", 1, 1)
        return self._scores[options]

    async def _learn(self, options: DiarizeOptions) -> Learned:
        options = _about_learning(options)
        if options not in self._learned:
            self._learned[options] = await _learn(
                self.recording, self.model, options, self.progress
            )
        return self._learned[options]


def _without_steered_resegmentation(
    recording_id: str, affinity: Affinity, options: DiarizeOptions
) -> DiarizeOptions:
    """Return the options without a resegmentation that has no merges to start from."""
    steered = is_steered(affinity, options.speakers.stop(), options.ahc)
    if options.resegmentation.resegmentation == "none" or not steered:
        return options
    _logger.warning(
        "recording %r: not resegmented, since max-spk-fraction or two passes "
        "(--first-pass-max-utterances) steer its merges; a --threshold is one on "
        "affinities here",
        recording_id,
    )
    none = replace(options.resegmentation, resegmentation="none")
    return replace(options, resegmentation=none)


def _about_learning(options: DiarizeOptions) -> DiarizeOptions:
    """Return the options with only what learning depends on, all else as by default."""
    return DiarizeOptions(
        pca_dim=options.pca_dim,
        device=options.device,
        max_memory=options.max_memory,
        learning=options.learning,
        speakers=SpeakerOptions(options.speakers.num_speakers),
    )


def _cluster(
    recording: Recording, learned: Learned, options: DiarizeOptions, progress: Progress
) -> Diarization:
    stop, affinity, method = options.stop(), learned.affinity, options.final_method()
    history = None
    progress("clustering", 0, 1)
    if method != "ahc":
        labels = cluster_windows(
            Windows(affinity, recording.segments),
            stop,
            method,
            seed=options.learning.seed,
        )
    else:
        # Eq. 2 decides below the number of clusters that were learned from.
        below = learned.periods[0].num_clusters if learned.periods else 0
        cost = options.learning.cost(below)
        if is_steered(affinity, stop, options.ahc):
            labels = agglomerative_cluster(
                affinity.dense(), stop, options.ahc, cost=cost
            )
        else:
            if has_factored_linkage(affinity):
                _logger.debug(
                    "recording %r: %d windows, clustered without the matrix of all "
                    "their pairs",
                    *(recording.id, len(affinity)),
                )
            history = link(affinity, cost=cost)
            labels = history.cut(stop)
    progress("clustering", 1, 1)
    return Diarization(
        recording.id,
        recording.utterances,
        recording.segments,
        labels,
        affinity,
        history,
        None,
        learned.periods,
    )


def _resegment(
    clustered: Diarization,
    latent: FloatArray,
    psi: FloatArray,
    options: DiarizeOptions,
    progress: Progress,
) -> Diarization:
    """Refine the labels of a clustering, and log what was found."""
    if clustered.history is None:
        raise AssertionError("only a full history of merges can be refined")
    stop = options.stop()
    progress("resegmenting", 0, 1)
    found = resegment(
        latent,
        psi,
        clustered.segments,
        clustered.affinity,
        clustered.history,
        stop,
        options.resegmentation,
    )
    labels = found.cut(stop)
    progress("resegmenting", 1, 1)
    _logger.debug(
        "recording %r, resegmentation: noise %.2f, evidence %s",
        clustered.recording_id,
        found.noise,
        ", ".join(
            f"{answer.num_speakers}: {answer.evidence - found.path[-1].evidence:.0f}"
            for answer in reversed(found.path)
        ),
    )
    return replace(clustered, labels=labels, resegmentation=found)


def _score_matrix(scores: Float32Array | FloatArray, count: int) -> ScoreMatrix:
    if scores.shape != (count, count):
        raise DataError(
            f"PLDA scores must be one row and one column a window, {count} x {count}, "
            f"found {' x '.join(map(str, scores.shape))}; score these x-vectors again"
        )
    return ScoreMatrix(scores)


def warn_of_excess(recording_id: str, num_windows: int, stop: Stop) -> None:
    """Log a warning if more speakers are wanted than there are windows.

    Parameters
    ----------
    recording_id : str
    num_windows : int
    stop : Stop
    """
    wanted = stop.num_speakers or stop.min_speakers
    if wanted > num_windows:
        _logger.warning(
            "recording %r: %d speakers wanted, but %d windows there; each becomes a "
            "speaker of its own",
            recording_id,
            wanted,
            num_windows,
        )


async def _learn(
    recording: Recording, model: Model, options: DiarizeOptions, progress: Progress
) -> Learned:
    """Learn an affinity, and log what happened."""
    learned = await learn(
        recording,
        model,
        options.learning,
        pca_dim=options.pca_dim,
        num_speakers=options.speakers.num_speakers,
        device=options.device,
        progress=progress,
    )
    for number, period in enumerate(learned.periods, start=1):
        _logger.debug(
            "recording %r, period %d: %d clusters, losses %s, %s: %s",
            recording.id,
            number,
            period.num_clusters,
            " ".join(f"{loss:.3f}" for loss in period.losses) or "none",
            "learned" if period.learned else "the affinities stay as they were",
            period.stopped.replace("_", " "),
        )
    return learned
