"""Options of simulated corpora."""

from dataclasses import dataclass, field
from math import inf
from typing import Annotated, Literal

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import LARGEST
from ssahc.core.validation import Interval

# Minimum length of a turn, in seconds.
TURN_FLOOR = 0.4


@dataclass(frozen=True)
class SimulateOptions(Options, group="Simulation"):
    """Options for simulating a corpus.

    Parameters
    ----------
    recordings : int
        Number of recordings in each half.
    duration : float
        Length of a recording, in seconds; it ends with the turn that exceeds this, and
        not before every speaker has spoken.
    min_speakers : int
        Minimum number of speakers; the number is drawn uniformly.
    max_speakers : int
        Maximum number of speakers.
    turn_seconds : float
        Mean length of a turn, in seconds.
    overlap : float
        Probability that a turn begins before the previous one ends.
    concentration : float, optional
        Dirichlet concentration of the speakers' shares of the speech; 1 or less often
        gives one dominant speaker. By default, speakers differ only in how often they
        speak, not in how long.
    windows : {"sliding", "turns"}
        One x-vector per 1.5 s window slid over speech, or per speaker turn.
    noise : float
        Variance of the noise in windows of 1.5 s, in units of the within-class
        variance.
    slow_noise : float
        Share of the noise, 0 to 1, that changes slowly, in the same way for all
        speakers of a recording: an Ornstein-Uhlenbeck process.
    slow_seconds : float
        Time in which the correlation of the slow noise falls to 1/e, in seconds.
    noise_dof : float
        Degrees of freedom of the noise, a multivariate Student's t of the same
        variance; smaller values give more outliers, inf is Gaussian.
    drift : float
        Share, 0 to 1, of the variance between speakers by which each speaker changes
        in the course of a recording: an Ornstein-Uhlenbeck process of its own.
    drift_seconds : float
        Time in which the correlation of the drift falls to 1/e, in seconds.
    speaker_variance : float, optional
        Variance between speakers over that within one speaker, in the x-vectors as
        extracted. By default, it is that of a PLDA of telephone x-vectors in each of
        128 directions of whitened x-vectors, and less in further ones.
    speaker_decay : float
        Exponent of the power law by which the variance between speakers falls from
        direction to direction, from the eighth on; larger values leave fewer directions
        in which speakers differ.
    anisotropy : float
        Standard deviation of the logarithms of the variances along the principal
        directions, of x-vectors of one speaker if --speaker-variance is given, else of
        all; 0 gives equal variances.
    mean_scale : float
        Standard deviation of the elements of the common mean, in units of the standard
        deviation along the median of these directions.
    dead_dims : int
        Number of dimensions that are always 0.
    relu : bool
        Set negative elements to 0, as in networks that end with a ReLU.
    unit_length : bool
        Scale x-vectors to length 1.
    train_speakers : int
        Number of speakers of the labelled training x-vectors; 0 for none.
    train_sessions : int
        Number of sessions, with one x-vector each, of every training speaker.
    dim : int
        Dimension of the x-vectors.
    seed : int
        Random seed; the same seed gives the same corpus.
    """

    # More than any corpus has: a corpus is held in memory as a whole.
    recordings: Annotated[int, Interval(ge=1, le=10_000)] = 10
    duration: Annotated[float, Interval(ge=10, le=604_800)] = 120.0
    min_speakers: Annotated[int, Interval(ge=1)] = field(
        default=2, metadata={"old": "fewest_speakers"}
    )
    max_speakers: Annotated[int, Interval(ge=1, le=1_000)] = field(
        default=5, metadata={"old": "most_speakers"}
    )
    turn_seconds: Annotated[float, Interval(gt=TURN_FLOOR)] = 3.4
    overlap: Annotated[float, Interval(ge=0, le=1)] = 0.2
    concentration: Annotated[float | None, Interval(ge=0.01, le=LARGEST)] = None
    windows: Literal["sliding", "turns"] = "sliding"
    noise: Annotated[float, Interval(ge=0, le=LARGEST)] = 1.5
    slow_noise: Annotated[float, Interval(ge=0, le=1)] = 0.0
    slow_seconds: Annotated[float, Interval(gt=0, lt=inf)] = 5.0
    # The variance is finite above 2.
    noise_dof: Annotated[float, Interval(gt=2)] = inf
    drift: Annotated[float, Interval(ge=0, le=1)] = 0.0
    drift_seconds: Annotated[float, Interval(gt=0, lt=inf)] = 15.0
    speaker_variance: Annotated[float | None, Interval(gt=0, le=LARGEST)] = None
    speaker_decay: Annotated[float, Interval(ge=0, le=10)] = 1.0
    anisotropy: Annotated[float, Interval(ge=0, le=10)] = 1.0
    mean_scale: Annotated[float, Interval(ge=0, le=1_000)] = 3.0
    dead_dims: Annotated[int, Interval(ge=0)] = 0
    relu: bool = False
    unit_length: bool = False
    train_speakers: Annotated[int, Interval(ge=0, le=100_000)] = 200
    train_sessions: Annotated[int, Interval(ge=1, le=10_000)] = 10
    dim: Annotated[int, Interval(ge=2, le=10_000)] = 128
    seed: Annotated[int, Interval(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_speakers > self.max_speakers:
            raise UsageError(
                f"--min-speakers must be at most --max-speakers, "
                f"{self.max_speakers}, found {self.min_speakers}"
            )
        if self.turn_seconds > self.duration:
            raise UsageError(
                f"--turn-seconds must be at most --duration, {self.duration:g}, found "
                f"{self.turn_seconds:g}"
            )
        if self.latent_dim < 2:
            raise UsageError(
                f"--dead-dims must leave two dimensions of --dim, {self.dim}; found "
                f"{self.dead_dims}"
            )

    @property
    def latent_dim(self) -> int:
        """Number of dimensions that are not dead."""
        return self.dim - self.dead_dims

    @property
    def is_linear(self) -> bool:
        """Whether x-vectors are a linear function of latent vectors."""
        return not (self.relu or self.unit_length)
