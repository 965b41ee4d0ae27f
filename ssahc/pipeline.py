"""One recording from x-vectors to speaker turns; the only module that joins stages."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal

from ssahc.affinity import Affinity, ScoreMatrix, cosine_affinity
from ssahc.cluster.ahc import (
    AhcOptions,
    agglomerative_cluster,
    average_linkage,
    is_steered,
)
from ssahc.cluster.history import MergeHistory
from ssahc.cluster.spectral import spectral_cluster
from ssahc.cluster.stop import Stop
from ssahc.errors import DataError, UsageError
from ssahc.fusion import FusionOptions, fuse
from ssahc.options import check_fields
from ssahc.plda import PldaOptions, plda_affinity
from ssahc.preprocess import center, project_recording, whiten_and_normalize
from ssahc.selfsup import Device, Learned, LearningOptions, Period, learn
from ssahc.turns import make_turns, to_annotation
from ssahc.types import (
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

if TYPE_CHECKING:
    from pyannote.core import Annotation

System = Literal["cosine", "plda", "spectral", "ssahc", "ssahc+plda"]
_NEEDS_PLDA = ("plda", "ssahc+plda")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpeakerOptions:
    """How many speakers a recording has.

    Parameters
    ----------
    num_speakers : int, optional
        Known number of speakers, the same for all recordings.
    threshold : float, optional
        Merge while the best average affinity is at or above it; 0 if not given, where
        a log-likelihood ratio finds "same" and "different" equally likely.
    min_speakers : int
        Never fewer speakers than this.
    max_speakers : int, optional
        Never more speakers than this.
    """

    num_speakers: int | None = None
    threshold: float | None = None
    min_speakers: int = 1
    max_speakers: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.stop()

    def stop(self, *, sign: float = 1.0) -> Stop:
        """Return when merging stops.

        Parameters
        ----------
        sign : float
            -1 if the threshold is one on costs.

        Raises
        ------
        UsageError
            If an exact number stands beside a threshold or bounds.
        """
        threshold = self.threshold
        if self.num_speakers is None and threshold is None:
            threshold = 0.0
        if threshold is not None:
            threshold *= sign
        return Stop(self.num_speakers, threshold, self.min_speakers, self.max_speakers)


@dataclass(frozen=True)
class DiarizeOptions:
    """What is done to a recording.

    Parameters
    ----------
    system : {"cosine", "plda", "spectral", "ssahc", "ssahc+plda"}, optional
        Affinity that is clustered; "spectral" is that of "cosine", clustered
        spectrally. If not given: ssahc+plda if there is a PLDA or its scores, else
        ssahc.
    pca_dim : int
        Dimensions of the recording's PCA for cosine, spectral and the network.
    device : {"auto", "cpu", "cuda"}
        Where networks are trained; auto is the GPU if there is one.
    plda : PldaOptions
        Of the PLDA scores.
    learning : LearningOptions
        Of the network.
    fusion : FusionOptions
        Of the two.
    speakers : SpeakerOptions
        When merging stops.
    ahc : AhcOptions
        Kaldi's further options of the clustering.
    """

    system: System | None = None
    pca_dim: int = 10
    device: Device = "auto"
    plda: PldaOptions = field(default_factory=PldaOptions)
    learning: LearningOptions = field(default_factory=LearningOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    ahc: AhcOptions = field(default_factory=AhcOptions)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.pca_dim < 1:
            raise UsageError(f"pca-dim must be 1 or more, found {self.pca_dim}")
        if self.system == "spectral" and self.speakers.threshold is not None:
            raise UsageError(
                "--system spectral knows no --threshold: it finds the number of "
                "speakers by eigengap; leave it out, or give bounds or a number"
            )


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
        Speaker of every window, 0..K-1 in Kaldi's order (for "spectral", in order of
        first appearance).
    affinity : Affinity
        What was clustered.
    history : MergeHistory or None
        All merges, to be cut elsewhere; None for "spectral", and where Kaldi's
        ``max-spk-fraction`` or two passes steered them.
    learning : tuple of Period
        What was learned; empty for systems that do not learn.
    """

    recording_id: str
    utterances: tuple[str, ...]
    segments: FloatArray
    labels: IntArray
    affinity: Affinity
    history: MergeHistory | None
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


def choose_system(
    system: System | None, model: Model, *, has_scores: bool = False
) -> System:
    """Return the system to run: the one asked for, or the best there is input for.

    Parameters
    ----------
    system : str, optional
    model : Model
    has_scores : bool
        Whether PLDA scores are given ready-made.

    Raises
    ------
    UsageError
        If the system needs a PLDA and there is neither a model nor scores.
    """
    has_plda = has_scores or model.plda is not None
    if system is None:
        return "ssahc+plda" if has_plda else "ssahc"
    if system in _NEEDS_PLDA and not has_plda:
        raise UsageError(
            f"--system {system} needs a PLDA: give --plda FILE, a --model-dir that "
            "holds one, or --plda-scores, or use --system ssahc"
        )
    return system


def uses_plda(system: System | None) -> bool:
    """Whether a system clusters PLDA scores, alone or fused, if there are any."""
    return system is None or system in _NEEDS_PLDA


def diarize_recording(
    recording: Recording,
    model: Model = NO_MODEL,
    options: DiarizeOptions = DiarizeOptions(),
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
        Called with the step ("scoring", "learning", "clustering"), how much of it is
        done, and how much there is.

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
    warn_of_excess(recording.id, len(recording), options.speakers.stop())
    diarize = prepare_recording(
        recording, model, plda_scores=plda_scores, progress=progress
    )
    return diarize(options)


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
        If there are not as many scores as windows.
    """
    given = None if plda_scores is None else _score_matrix(plda_scores, len(recording))

    @cache
    def score(options: PldaOptions) -> Affinity:
        if given is not None:
            return given
        return _score_plda(recording, model, options, progress)

    @cache
    def learn_from(options: DiarizeOptions) -> Learned:
        return _learn(recording, model, options, progress)

    def compute_affinity(options: DiarizeOptions) -> Learned:
        """Compute what the chosen system clusters; no periods if it does not learn."""
        system = choose_system(options.system, model, has_scores=given is not None)
        if system in ("cosine", "spectral"):
            projected = project_recording(recording.xvectors, model, options.pca_dim)
            return Learned(cosine_affinity(projected.vectors), ())
        if system == "plda":
            return Learned(score(options.plda), ())
        if system == "ssahc":
            return learn_from(_about_learning(options))
        scores = score(options.plda)
        learned = learn_from(_about_learning(options))
        return Learned(fuse(learned.affinity, scores, options.fusion), learned.periods)

    def diarize(options: DiarizeOptions) -> Diarization:
        return _cluster(recording, compute_affinity(options), options, progress)

    return diarize


def _about_learning(options: DiarizeOptions) -> DiarizeOptions:
    """Return the options with only what learning depends on, all else as by default."""
    return DiarizeOptions(
        pca_dim=options.pca_dim,
        device=options.device,
        learning=options.learning,
        speakers=SpeakerOptions(options.speakers.num_speakers),
    )


def _cluster(
    recording: Recording, learned: Learned, options: DiarizeOptions, progress: Progress
) -> Diarization:
    stop = options.speakers.stop()
    matrix = learned.affinity.dense()
    history = None
    progress("clustering", 0, 1)
    if options.system == "spectral":
        labels = spectral_cluster(
            matrix,
            num_speakers=stop.num_speakers,
            min_speakers=stop.min_speakers,
            max_speakers=stop.max_speakers,
        )
    else:
        # Eq. 2 decides below the number of clusters that were learned from.
        below = learned.periods[0].num_clusters if learned.periods else 0
        cost = options.learning.cost(below)
        if is_steered(len(recording), stop, options.ahc):
            labels = agglomerative_cluster(matrix, stop, options.ahc, cost=cost)
        else:
            history = average_linkage(matrix, cost=cost)
            labels = history.cut(stop)
    progress("clustering", 1, 1)
    return Diarization(
        recording.id,
        recording.utterances,
        recording.segments,
        labels,
        learned.affinity,
        history,
        learned.periods,
    )


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


def _score_plda(
    recording: Recording, model: Model, options: PldaOptions, progress: Progress
) -> Affinity:
    if model.plda is None:
        raise AssertionError("choose_system lets nothing pass without a PLDA")
    progress("scoring", 0, 1)
    centered = center(recording.xvectors, model.mean)
    whitened = whiten_and_normalize(centered, model)
    scores = plda_affinity(whitened, model.plda, options)
    progress("scoring", 1, 1)
    return scores


def _learn(
    recording: Recording, model: Model, options: DiarizeOptions, progress: Progress
) -> Learned:
    """Learn an affinity, and log what happened."""
    learned = learn(
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
