"""The objects that travel between modules; nothing here computes or reads files."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssahc.core.errors import DataError

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
IntArray = NDArray[np.int64]
# Called with the current step, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
ClusteringName = Literal["ahc", "kmeans", "xmeans", "spectral", "vb"]
# Values beyond this are no measurements; their squares would leave float64 or, as
# network weights, float32.
LARGEST = 1e30
# The sum of all affinities of a recording must stay within float32.
LARGEST_AFFINITY = 1e25
# Seconds: windows of one x-vector are not as long.
_LONGEST_WINDOW = 100.0
# Longer tuples are counted in a repr.
_MOST_SHOWN = 3
# Kinds of arrays that numpy would convert to floats silently, losing information.
_NO_NUMBERS = {
    "c": "complex numbers",
    "m": "durations (timedelta64), not seconds",
    "M": "dates (datetime64), not seconds",
}


def as_numbers(values: ArrayLike, what: str) -> FloatArray:
    """Return an array as float64; DataError unless all values are real numbers."""
    try:
        # A mask would be lost on the way, and what it hides would count.
        array = np.asanyarray(values)
        if np.ma.is_masked(array):
            raise TypeError("found masked values; leave them out")
        if array.dtype.kind in _NO_NUMBERS:
            raise TypeError(f"found {_NO_NUMBERS[array.dtype.kind]}")
        return np.array(array, np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} must be an array of numbers: {error}") from error


def as_matrix(values: ArrayLike, what: str) -> FloatArray:
    """Return an (N, D) array as float64; DataError unless all are real numbers."""
    array = as_numbers(values, what)
    if array.ndim != 2:
        raise DataError(f"{what} must have one row a window, found {array.ndim} axes")
    return array


def find_unusable(xvectors: FloatArray) -> Iterator[tuple[IntArray, str]]:
    """Yield row numbers of (N, D) x-vectors that share a fault, and the fault."""
    # What is beyond these sizes overflows or vanishes when it is squared.
    sizes = np.abs(xvectors)
    finite = (sizes < LARGEST).all(axis=1)
    nonzero = (sizes > 1 / LARGEST).any(axis=1)
    checks = (
        (finite, f"holds NaN, infinity or a value beyond {LARGEST:g}"),
        (nonzero, "is all zero"),
    )
    for rows, fault in checks:
        if not rows.all():
            yield np.flatnonzero(~rows), fault


def suspect_unit(segments: FloatArray) -> str | None:
    """Return a warning if windows (N, 2) are too long for seconds; None if not."""
    typical = float(np.median(segments[:, 1] - segments[:, 0])) if len(segments) else 0
    if typical <= _LONGEST_WINDOW:
        return None
    return (
        f"the median window lasts {typical:g} s; are these times in milliseconds or "
        "samples? They must be in seconds"
    )


@dataclass(frozen=True, eq=False, repr=False)
class BriefRepr:
    """Base of dataclasses whose repr fits a screen: it has shapes, not numbers."""

    def __repr__(self) -> str:
        shown = (field for field in fields(self) if field.repr)
        values = ((field.name, getattr(self, field.name)) for field in shown)
        texts = (f"{name}={_brief(value)}" for name, value in values)
        return f"{type(self).__name__}({', '.join(texts)})"


def _brief(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"<{' x '.join(map(str, value.shape))} array>"
    if isinstance(value, Collection) and not isinstance(value, str):
        if len(value) > _MOST_SHOWN or isinstance(value, Mapping):
            return f"<{len(value)} items>"
        if isinstance(value, tuple):
            return f"({', '.join(map(_brief, value))})"
    return repr(value)


@dataclass(frozen=True, eq=False, repr=False)
class Recording(BriefRepr):
    """One recording: its windows in time and their x-vectors.

    Parameters
    ----------
    id : str
        Recording id.
    utterances : tuple of str
        The N window ids (Kaldi's utterance ids).
    segments : (N, 2) array
        Start and end of every window, in seconds.
    xvectors : (N, D) array
        One x-vector a window, as extracted.

    Raises
    ------
    DataError
        If shapes disagree, nothing is there, ids repeat, a time is negative or not
        finite, a window ends before it starts, or a vector is not finite or all zero.
    """

    id: str
    utterances: tuple[str, ...]
    segments: FloatArray
    xvectors: FloatArray

    @classmethod
    def from_arrays(
        cls,
        recording_id: str,
        xvectors: ArrayLike,
        segments: ArrayLike,
        utterances: Sequence[str] | None = None,
    ) -> Self:
        """Return a recording of arrays; its windows are numbered if not named."""
        vectors = as_matrix(xvectors, "x-vectors")
        if utterances is None:
            utterances = [f"{recording_id}-{row:07d}" for row in range(len(vectors))]
        times = as_matrix(segments, "segments")
        return cls(str(recording_id), tuple(utterances), times, vectors)

    def __post_init__(self) -> None:
        # Integer arrays would truncate times.
        for name, what in (("segments", "segments"), ("xvectors", "x-vectors")):
            values = getattr(self, name)
            if type(values) is not np.ndarray or values.dtype.kind != "f":
                object.__setattr__(self, name, as_matrix(values, what))
        count = len(self.utterances)
        if count == 0:
            raise DataError(
                "the recording has no x-vectors; remove it or extract them again"
            )
        if len(set(self.utterances)) < count:
            raise DataError("two windows have one utterance id; name each differently")
        if self.segments.shape != (count, 2) or self.xvectors.shape[:1] != (count,):
            raise DataError(
                f"{count} utterances need segments of shape "
                f"({count}, 2) and x-vectors of shape ({count}, D), found "
                f"{self.segments.shape} and {self.xvectors.shape}"
            )
        if self.xvectors.ndim != 2 or self.xvectors.shape[1] == 0:
            raise DataError(
                f"x-vectors must be the rows of a matrix of "
                f"one column or more, found shape {self.xvectors.shape}"
            )
        starts, ends = self.segments.T
        in_order = (starts >= 0) & (starts <= ends) & (ends < np.inf)
        if not in_order.all():
            row = int(np.argmin(in_order))
            raise DataError(
                "expected 0 <= start <= end in seconds, found start "
                f"{starts[row]:.15g} and end {ends[row]:.15g} of "
                f"{self.utterances[row]!r}; correct the times"
            )
        for rows, fault in find_unusable(self.xvectors):
            raise DataError(
                f"the x-vector of {self.utterances[rows[0]]!r} {fault} "
                f"({len(rows)} such of {count}); extract it again or "
                "remove the utterance"
            )

    def __len__(self) -> int:
        return len(self.utterances)


@dataclass(frozen=True, eq=False, repr=False)
class LabelledXvectors(BriefRepr):
    """X-vectors (N, D) as extracted, with utterance and speaker ids, to train on."""

    utterances: tuple[str, ...]
    speakers: tuple[str, ...]
    xvectors: FloatArray


@dataclass(frozen=True)
class Fault:
    """A recording that cannot be used, and why."""

    recording: str
    reason: str


@dataclass(frozen=True, order=True)
class Turn:
    """A stretch of speech of one speaker.

    Parameters
    ----------
    start, end : float
        In seconds.
    speaker : str
    confidence : float, optional
        Probability, 0 to 1, that the speaker is right; None where it was not
        estimated. Turns are compared and sorted without it.
    """

    start: float
    end: float
    speaker: str
    confidence: float | None = field(default=None, compare=False)


class RttmObject(NamedTuple):
    """An object of an RTTM that is not a speaker turn, such as a laugh or a word.

    Parameters
    ----------
    kind : str
        Type in upper case, such as NOSCORE, NON-LEX or LEXEME.
    subtype : str
        In lower case, such as laugh.
    start, end : float
        In seconds.
    """

    kind: str
    subtype: str
    start: float
    end: float


@dataclass(frozen=True, order=True)
class LocalSpeaker:
    """One of the speakers heard in a window, counted from 0 within it.

    Where speech overlaps, it is (window, local speaker) pairs that have embeddings and
    are clustered. Local speakers of one window are different people for certain.
    """

    window: int
    index: int


@dataclass(frozen=True, eq=False, repr=False)
class Centroid(BriefRepr):
    """What represents one speaker of a recording.

    Parameters
    ----------
    speaker : str
        Name in the turns of the recording.
    xvector : (D,) array
        Mean of the speaker's x-vectors as extracted.
    latent : (d,) array or None
        Their mean in the latent space of the model's PLDA, where the variance within
        speakers is 1; None without a global mean.
    num_windows : float
        Number of independent windows that the means are worth.
    """

    speaker: str
    xvector: FloatArray
    latent: FloatArray | None
    num_windows: float


@dataclass(frozen=True, eq=False, repr=False)
class Plda(BriefRepr):
    """A two-covariance PLDA model in the space where it is diagonal.

    The model of a vector x with speaker s is ``transform @ (x - mean) = s + e`` with
    ``s ~ N(0, diag(psi))`` and ``e ~ N(0, I)`` (Kaldi's ``<Plda>`` object).

    Parameters
    ----------
    mean : (D,) array
    transform : (d, D) array
        One direction a row; square in a Kaldi file.
    psi : (d,) array
        Between-class variance along each direction, decreasing.
    """

    mean: FloatArray
    transform: FloatArray
    psi: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingNet(BriefRepr):
    """An embedding network trained on labelled x-vectors; outputs compare by cosine.

    ``z = W2 h`` with ``h = sqrt(D') u / |u|`` and ``u = W1 (x - mean)``: the two-layer
    network of Singh & Ganapathy (Interspeech 2020). A deeper one has residual layers
    between the two: ``h + V max(0, U h + b)``.

    Parameters
    ----------
    whitening : (D', D) or (D', D + 1) array
        W1; a last column beyond D is an offset. D' is D, or less if W1 projects.
    hidden : tuple of (H, D' + 1) and (D', H) arrays
        U with b as its last column, and V, of each residual layer.
    projection : (d, D') array
        W2.
    """

    whitening: FloatArray
    hidden: tuple[tuple[FloatArray, FloatArray], ...]
    projection: FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Model(BriefRepr):
    """What is known about x-vectors before a recording is seen.

    Parameters
    ----------
    mean : (D,) array, optional
        Global mean, subtracted from every x-vector.
    transform : (d, D) or (d, D + 1) array, optional
        Whitening, or with d < D a projection such as LDA; a last column beyond D is an
        offset (affine transform).
    plda : Plda, optional
        Trained on vectors that were centred, whitened and length-normalised.
    metric : EmbeddingNet, optional
        Trained on vectors that were centred.
    """

    mean: FloatArray | None = None
    transform: FloatArray | None = None
    plda: Plda | None = None
    metric: EmbeddingNet | None = None


NO_MODEL = Model()


def no_progress(step: str, completed: int, total: int) -> None:
    """Ignore progress."""
