"""Synthetic conversations as x-vectors, drawn from a PLDA model of ssahc's own.

The model has the spectrum of a telephone x-vector PLDA: one strong direction, then a
slow decay. A recording has an offset, its speakers, and noise of its own: a covariance
that differs from recording to recording, correlated between windows that share speech,
larger where a window is short. Windows of two speakers mix them by their time. If asked
for, part of the noise changes slowly, and some windows are outliers.
Figures measured on these data say how systems compare, not how well they do on speech.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Annotated, Literal

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import (
    LARGEST,
    FloatArray,
    LabelledXvectors,
    Model,
    Plda,
    Recording,
    Turn,
)
from ssahc.core.validation import Interval

WINDOW, SHIFT = 1.5, 0.75
# Shares of the between-class variance: speakers around their recording, recordings.
_SPEAKER_SHARE, _OFFSET_SHARE = 1.2, 0.3
# Spread (log-normal) of the noise variances over directions, recording by recording.
_NOISE_SPREAD = 0.35
# Directions along which a recording's noise is stronger, and by what share of it.
_NOISE_DIRECTIONS, _NOISE_DIRECTION_SHARE = 3, 2 / 3
# Correlation of the noise between windows that overlap by half.
_NOISE_CORRELATION = 0.45
# Seconds that every turn lasts; the rest of its length follows a gamma distribution.
_TURN_FLOOR, _TURN_SHAPE = 0.4, 1.5
# How far the two halves' means and whitenings are apart, in standard deviations.
_HALF_MISMATCH = 0.1


@dataclass(frozen=True)
class SimulateOptions(Options):
    """What is simulated.

    Parameters
    ----------
    recordings : int
        Number of recordings in each half.
    duration : float
        Length of a recording, in seconds; it ends with the turn that exceeds this, and
        not before every speaker has spoken.
    fewest_speakers, most_speakers : int
        Range of the number of speakers, drawn uniformly.
    turn_seconds : float
        Mean length of a turn, in seconds.
    overlap : float
        Probability that a turn begins before the previous one ends.
    windows : {"sliding", "turns"}
        One x-vector per 1.5 s window slid over speech, or per speaker turn.
    noise : float
        Variance of the noise in windows of 1.5 s; the within-class variance is 1.
    slow_noise : float
        Share of the noise, 0 to 1, that changes slowly, in the same way for all
        speakers of a recording: an Ornstein-Uhlenbeck process.
    slow_seconds : float
        Time in which the correlation of the slow noise falls to 1/e, in seconds.
    noise_dof : float
        Degrees of freedom of the noise, a multivariate Student's t of the same
        variance; smaller values give more outliers, inf is Gaussian.
    train_speakers, train_sessions : int
        Number of speakers of the labelled training x-vectors, and of sessions (one
        x-vector each) per speaker; 0 speakers for no training x-vectors.
    dim : int
        Dimension of the x-vectors.
    seed : int
        Random seed; the same seed gives the same corpus.
    """

    # More than any corpus has: a corpus is held in memory as a whole.
    recordings: Annotated[int, Interval(ge=1, le=10_000)] = 10
    duration: Annotated[float, Interval(ge=10, le=604_800)] = 120.0
    fewest_speakers: Annotated[int, Interval(ge=1)] = 2
    most_speakers: Annotated[int, Interval(ge=1, le=1_000)] = 5
    turn_seconds: Annotated[float, Interval(gt=_TURN_FLOOR)] = 3.4
    overlap: Annotated[float, Interval(ge=0, le=1)] = 0.2
    windows: Literal["sliding", "turns"] = "sliding"
    noise: Annotated[float, Interval(ge=0, le=LARGEST)] = 1.5
    slow_noise: Annotated[float, Interval(ge=0, le=1)] = 0.0
    slow_seconds: Annotated[float, Interval(gt=0, lt=inf)] = 5.0
    # The variance is finite above 2.
    noise_dof: Annotated[float, Interval(gt=2)] = inf
    train_speakers: Annotated[int, Interval(ge=0, le=100_000)] = 200
    train_sessions: Annotated[int, Interval(ge=1, le=10_000)] = 10
    dim: Annotated[int, Interval(ge=2, le=10_000)] = 128
    seed: Annotated[int, Interval(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fewest_speakers > self.most_speakers:
            raise UsageError(
                f"--fewest-speakers must be at most --most-speakers, "
                f"{self.most_speakers}, found {self.fewest_speakers}"
            )
        if self.turn_seconds > self.duration:
            raise UsageError(
                f"--turn-seconds must be at most --duration, {self.duration:g}, found "
                f"{self.turn_seconds:g}"
            )


@dataclass(frozen=True, eq=False)
class Conversation:
    """A simulated recording and its reference turns."""

    recording: Recording
    turns: list[Turn]


@dataclass(frozen=True, eq=False)
class Half:
    """Conversations, and the model that drew their x-vectors."""

    conversations: list[Conversation]
    model: Model


def simulate_corpus(options: SimulateOptions = SimulateOptions()) -> dict[str, Half]:
    """Return two halves of a corpus, "a" and "b".

    Parameters
    ----------
    options : SimulateOptions

    Returns
    -------
    dict
        Name to half. Each half is meant to be diarized with the other's model: both
        share one speaker space, but mean and whitening differ a little.
    """
    generator = np.random.default_rng(options.seed)
    mean, coloring, plda = _draw_space(options.dim, generator)
    halves = {}
    for name in ("a", "b"):
        drift = generator.standard_normal((options.dim, options.dim + 1))
        drift *= _HALF_MISMATCH / np.sqrt(options.dim)
        half_coloring = coloring @ (np.eye(options.dim) + drift[:, 1:])
        half_mean = mean + coloring @ drift[:, 0] * np.sqrt(options.dim)
        mixing = half_coloring @ np.linalg.inv(plda.transform)
        draw = _Source(half_mean, mixing, plda.psi)
        conversations = [
            _draw_conversation(f"{name}{index:03d}", draw, options, generator)
            for index in range(options.recordings)
        ]
        whitening: FloatArray = np.linalg.inv(half_coloring).astype(np.float64)
        model = Model(half_mean, whitening, plda)
        halves[name] = Half(conversations, model)
    return halves


def simulate_training(options: SimulateOptions = SimulateOptions()) -> LabelledXvectors:
    """Return x-vectors of known speakers, from the speaker space of the two halves.

    Every x-vector is of a session of its own: offset and noise are drawn anew, as for a
    recording. The halves' own differences in mean and whitening are not in it.

    Parameters
    ----------
    options : SimulateOptions
    """
    generator = np.random.default_rng(options.seed)
    mean, coloring, plda = _draw_space(options.dim, generator)
    # A child generator: what the halves draw does not depend on the training vectors.
    child = generator.spawn(1)[0]
    window = np.array([[0.0, WINDOW]])
    rows, utterances, speakers = [], [], []
    for index in range(options.train_speakers):
        speaker = _draw_speakers(1, plda.psi, child)
        for session in range(options.train_sessions):
            offset = _draw_offset(plda.psi, child)
            noise = _draw_noise(window, plda.psi, options, child)
            rows.append(offset + speaker + noise)
            speakers.append(f"t{index:04d}")
            utterances.append(f"t{index:04d}-{session:03d}")
    latent = np.concatenate([np.zeros((0, options.dim)), *rows])
    mixing = coloring @ np.linalg.inv(plda.transform)
    return LabelledXvectors(
        tuple(utterances), tuple(speakers), mean + latent @ mixing.T
    )


def _draw_space(
    dim: int, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray, Plda]:
    """Draw mean, coloring (the inverse of whitening) and PLDA of all x-vectors."""
    psi = 2.2 / (1 + np.arange(dim) / 8)
    psi[0] = 6.0
    rotation = np.linalg.qr(generator.standard_normal((dim,) * 2))[0]
    plda = Plda(np.zeros(dim), np.sqrt(1 + psi)[:, None] * rotation.T, psi)
    mean = 3 * generator.standard_normal(dim)
    coloring = np.linalg.qr(generator.standard_normal((dim,) * 2))[0]
    coloring *= np.exp(0.5 * generator.standard_normal(dim))
    return mean, coloring, plda


@dataclass(frozen=True, eq=False)
class _Source:
    """Where x-vectors come from: ``x = mean + mixing @ z``, z as in a diagonal PLDA."""

    mean: FloatArray
    mixing: FloatArray
    psi: FloatArray


def _draw_conversation(
    name: str, source: _Source, options: SimulateOptions, generator: np.random.Generator
) -> Conversation:
    count = int(generator.integers(options.fewest_speakers, options.most_speakers + 1))
    turns = _draw_turns(count, options, generator)
    segments = _windows(turns, options.windows)
    shares = _speaker_shares(segments, turns, count)
    latent = _draw_latent(segments, shares, source.psi, options, generator)
    xvectors = source.mean + latent @ source.mixing.T
    utterances = tuple(
        f"{name}-{round(100 * start):08d}-{round(100 * end):08d}"
        for start, end in segments.tolist()
    )
    return Conversation(Recording(name, utterances, segments, xvectors), turns)


def _draw_turns(
    count: int, options: SimulateOptions, generator: np.random.Generator
) -> list[Turn]:
    """Draw turns with pauses and overlaps; every speaker speaks, times in 10 ms."""
    scale = (options.turn_seconds - _TURN_FLOOR) / _TURN_SHAPE
    talkativeness = generator.dirichlet(np.full(count, 3.0))
    turns: list[Turn] = []
    # Everybody opens once, then the talkative take over.
    queue = list(generator.permutation(count))
    speaker, clock = -1, float(generator.exponential(0.5))
    while clock < options.duration or queue:
        if queue:
            speaker = int(queue.pop())
        elif count > 1:
            odds = talkativeness.copy()
            odds[speaker] = 0
            speaker = int(generator.choice(count, p=odds / odds.sum()))
        end = clock + _TURN_FLOOR + float(generator.gamma(_TURN_SHAPE, scale))
        turns.append(Turn(round(clock, 2), round(end, 2), f"s{speaker + 1}"))
        if count > 1 and generator.random() < options.overlap:
            clock = end - float(generator.uniform(0.1, 0.5)) * (end - clock)
        else:
            clock = end + float(generator.exponential(0.4))
    return turns


def _windows(turns: list[Turn], kind: str) -> FloatArray:
    """Cut every stretch of speech into windows."""
    stretches: list[list[float]] = []
    for turn in sorted(turns):
        if stretches and turn.start <= stretches[-1][1]:
            stretches[-1][1] = max(stretches[-1][1], turn.end)
        else:
            stretches.append([turn.start, turn.end])
    windows: list[tuple[float, float]] = []
    for begin, end in stretches:
        if kind == "turns":
            starts = [turn.start for turn in turns if begin <= turn.start < end]
            windows += pairwise([*starts, end])
        else:
            windows += _slide(begin, end)
    return np.array(windows)


def _slide(begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Slide windows over a stretch of speech; the last one takes what is left."""
    count = 1 + max(int(np.ceil((end - begin - WINDOW) / SHIFT - 1e-9)), 0)
    for start in begin + SHIFT * np.arange(count):
        yield round(start, 2), round(min(start + WINDOW, end), 2)


def _speaker_shares(segments: FloatArray, turns: list[Turn], count: int) -> FloatArray:
    """Return the (N, count) shares of speech time of the speakers in each window."""
    seconds = np.zeros((len(segments), count))
    for turn in turns:
        shared = np.minimum(segments[:, 1], turn.end) - np.maximum(
            segments[:, 0], turn.start
        )
        seconds[:, int(turn.speaker[1:]) - 1] += np.maximum(shared, 0)
    return seconds / seconds.sum(axis=1, keepdims=True)


def _draw_latent(
    segments: FloatArray,
    shares: FloatArray,
    psi: FloatArray,
    options: SimulateOptions,
    generator: np.random.Generator,
) -> FloatArray:
    """Draw the windows' vectors in the space where the PLDA is diagonal."""
    offset = _draw_offset(psi, generator)
    speakers = _draw_speakers(shares.shape[1], psi, generator)
    return offset + shares @ speakers + _draw_noise(segments, psi, options, generator)


def _draw_offset(psi: FloatArray, generator: np.random.Generator) -> FloatArray:
    return np.sqrt(_OFFSET_SHARE) * np.sqrt(psi) * generator.standard_normal(len(psi))


def _draw_speakers(
    count: int, psi: FloatArray, generator: np.random.Generator
) -> FloatArray:
    spread = np.sqrt(_SPEAKER_SHARE) * np.sqrt(psi)
    return spread * generator.standard_normal((count, len(psi)))


def _draw_noise(
    segments: FloatArray,
    psi: FloatArray,
    options: SimulateOptions,
    generator: np.random.Generator,
) -> FloatArray:
    """Draw what windows of one speaker of one recording differ by."""
    # A child generator: corpora that differ in their noise alone have the same turns.
    child = generator.spawn(1)[0]
    count, dim = len(segments), len(psi)
    # Windows that overlap share the noise of the half second and more they share.
    shared = generator.standard_normal((count + 1, dim))
    new_stretch = np.flatnonzero(segments[1:, 0] >= segments[:-1, 1]) + 1
    left, right = shared[:-1].copy(), shared[1:]
    left[new_stretch] = generator.standard_normal((len(new_stretch), dim))
    noise = np.sqrt(_NOISE_CORRELATION) * (left + right)
    noise += np.sqrt(1 - 2 * _NOISE_CORRELATION) * generator.standard_normal(
        (count, dim)
    )
    noise *= np.sqrt(1 - options.slow_noise)
    noise += np.sqrt(options.slow_noise) * _draw_slow(segments, dim, options, child)
    directions = generator.standard_normal((_NOISE_DIRECTIONS, dim)) / np.sqrt(dim)
    along = noise @ directions.T
    noise *= np.sqrt(options.noise) * np.exp(
        0.5 * _NOISE_SPREAD * generator.standard_normal(dim)
    )
    noise += np.sqrt(options.noise * _NOISE_DIRECTION_SHARE) * along @ directions
    length = np.diff(segments, axis=1)
    noise *= np.sqrt(np.minimum(WINDOW / length, 4.0))
    if options.noise_dof < inf:
        chi_square = child.chisquare(options.noise_dof, (count, 1))
        noise *= np.sqrt((options.noise_dof - 2) / chi_square)
    return noise


def _draw_slow(
    segments: FloatArray,
    dim: int,
    options: SimulateOptions,
    generator: np.random.Generator,
) -> FloatArray:
    """Draw an Ornstein-Uhlenbeck process of unit variance in each dimension."""
    slow = generator.standard_normal((len(segments), dim))
    gaps = np.diff(segments.mean(axis=1))
    with np.errstate(over="ignore"):
        correlations = np.exp(-gaps / options.slow_seconds)
    for row, correlation in enumerate(correlations, start=1):
        slow[row] *= np.sqrt(1 - correlation**2)
        slow[row] += correlation * slow[row - 1]
    return slow
