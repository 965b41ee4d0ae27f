"""One recording from x-vectors to speaker turns; the only module that joins stages."""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from ssahc.affinity import Affinity, cosine_affinity, weighted_sum
from ssahc.cluster.ahc import (
    AhcOptions,
    agglomerative_cluster,
    average_linkage,
    is_steered,
)
from ssahc.cluster.history import MergeHistory
from ssahc.cluster.stop import Stop
from ssahc.errors import UsageError
from ssahc.plda import PldaOptions, plda_affinity
from ssahc.preprocess import center, project_recording, whiten_and_normalize
from ssahc.selfsup import Device, LearningOptions, Period, learn
from ssahc.turns import make_turns
from ssahc.types import NO_MODEL, FloatArray, IntArray, Model, Recording, Turn

System = Literal["cosine", "plda", "ssahc", "ssahc+plda"]
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
        self.stop()

    def stop(self, known: int | None = None, *, sign: float = 1.0) -> Stop:
        """Return when merging stops.

        Parameters
        ----------
        known : int, optional
            Number of speakers of the recording at hand; takes the place of
            `num_speakers`.
        sign : float
            -1 if the threshold is one on costs.

        Raises
        ------
        UsageError
            If an exact number stands beside a threshold or bounds.
        """
        exact = self.num_speakers if known is None else known
        threshold = self.threshold
        if exact is None and threshold is None:
            threshold = 0.0
        if threshold is not None:
            threshold *= sign
        return Stop(exact, threshold, self.min_speakers, self.max_speakers)


@dataclass(frozen=True)
class FusionOptions:
    """How the learned affinity and the PLDA scores become one.

    Parameters
    ----------
    fusion : {"raw"}
        Weighted sum of cosine and log-likelihood ratio as they are.
    fusion_weight : float
        Share of the learned affinity, 0 to 1; the rest is PLDA.
    """

    fusion: Literal["raw"] = "raw"
    fusion_weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.fusion_weight <= 1:
            raise UsageError(
                f"fusion-weight must be between 0 and 1, found {self.fusion_weight:g}"
            )


@dataclass(frozen=True)
class DiarizeOptions:
    """What is done to a recording.

    Parameters
    ----------
    system : {"cosine", "plda", "ssahc", "ssahc+plda"}, optional
        Affinity that is clustered. If not given: ssahc+plda if the model has a PLDA,
        else ssahc.
    pca_dim : int
        Dimensions of the recording's PCA for cosine and for the network.
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
        if self.pca_dim < 1:
            raise UsageError(f"pca-dim must be 1 or more, found {self.pca_dim}")


@dataclass(frozen=True, eq=False)
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
        Speaker of every window, 0..K-1 in Kaldi's order.
    affinity : Affinity
        What was clustered.
    history : MergeHistory or None
        All merges, to be cut elsewhere; None where Kaldi's ``max-spk-fraction`` or two
        passes steered them.
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

    @cached_property
    def turns(self) -> list[Turn]:
        """The speaker turns; speakers are named "1", "2", ... as Kaldi does."""
        return make_turns(self.segments, [str(label + 1) for label in self.labels])

    @property
    def labelled_utterances(self) -> list[tuple[str, int]]:
        """Every window id with its label."""
        return list(zip(self.utterances, self.labels.tolist(), strict=True))


def choose_system(system: System | None, model: Model) -> System:
    """Return the system to run: the one asked for, or the best the model allows.

    Raises
    ------
    UsageError
        If the system needs a PLDA and the model has none.
    """
    if system is None:
        return "ssahc" if model.plda is None else "ssahc+plda"
    if system in _NEEDS_PLDA and model.plda is None:
        raise UsageError(
            f"--system {system} needs a PLDA: give --plda FILE or a --model-dir that "
            "holds one, or use --system ssahc"
        )
    return system


def diarize_recording(
    recording: Recording,
    model: Model = NO_MODEL,
    options: DiarizeOptions = DiarizeOptions(),
    *,
    num_speakers: int | None = None,
) -> Diarization:
    """Say who speaks when in one recording.

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean, whitening and PLDA, as far as they are there.
    options : DiarizeOptions
    num_speakers : int, optional
        Known number of speakers of this recording.

    Returns
    -------
    Diarization

    Raises
    ------
    DataError
        If the recording and the model do not fit together.
    UsageError
        If options contradict each other or the system needs what the model lacks.
    """
    stop = options.speakers.stop(num_speakers)
    warn_of_excess(recording.id, len(recording), stop)
    affinity, periods = compute_affinity(
        recording, model, options, num_speakers=stop.num_speakers
    )
    matrix = affinity.dense()
    if is_steered(len(recording), stop, options.ahc):
        history, labels = None, agglomerative_cluster(matrix, stop, options.ahc)
    else:
        history = average_linkage(matrix)
        labels = history.cut(stop)
    return Diarization(
        recording.id,
        recording.utterances,
        recording.segments,
        labels,
        affinity,
        history,
        periods,
    )


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


def compute_affinity(
    recording: Recording,
    model: Model,
    options: DiarizeOptions,
    *,
    num_speakers: int | None,
) -> tuple[Affinity, tuple[Period, ...]]:
    """Compute what the chosen system clusters.

    Parameters
    ----------
    recording : Recording
    model : Model
    options : DiarizeOptions
    num_speakers : int or None
        If known, the floor of the clusters that the network learns from.

    Returns
    -------
    affinity : Affinity
    periods : tuple of Period
        What was learned; empty for systems that do not learn.

    Raises
    ------
    DataError
        If the dimensions of recording and model disagree.
    UsageError
        If the system needs a PLDA and the model has none.
    """
    system = choose_system(options.system, model)
    if system == "cosine":
        projected = project_recording(recording.xvectors, model, options.pca_dim)
        return cosine_affinity(projected.vectors), ()
    scores = None
    if system != "ssahc" and model.plda is not None:
        centered = center(recording.xvectors, model.mean)
        whitened = whiten_and_normalize(centered, model)
        scores = plda_affinity(whitened, model.plda, options.plda)
        if system == "plda":
            return scores, ()
    learned = learn(
        recording,
        model,
        options.learning,
        pca_dim=options.pca_dim,
        num_speakers=num_speakers,
        device=options.device,
    )
    for period in learned.periods:
        _logger.debug(
            "recording %r: N0 %d, losses %s, %s: %s",
            recording.id,
            period.num_clusters,
            " ".join(f"{loss:.3f}" for loss in period.losses) or "none",
            "learned" if period.learned else "the network keeps its start",
            period.stopped.replace("_", " "),
        )
    if scores is None:
        return learned.affinity, learned.periods
    fused = weighted_sum(learned.affinity, scores, options.fusion.fusion_weight)
    return fused, learned.periods
