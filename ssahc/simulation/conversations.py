"""Simulated conversations as x-vectors, drawn from a PLDA model.

A corpus has a speaker space (mean, whitening and PLDA, `_draw_space`). A recording has
an offset in this space, its speakers, their turns (`ssahc.simulation.turns`), and noise
of its own (`ssahc.simulation.noise`). A window of two speakers is their average,
weighted by time. Results on these data compare systems; they do not predict error rates
on real speech.
"""

from dataclasses import dataclass
from functools import cached_property
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
from ssahc.simulation.noise import draw_noise
from ssahc.simulation.turns import (
    TURN_FLOOR,
    WINDOW,
    cut_windows,
    draw_turns,
    speaker_shares,
)

# Variances of the speakers of a recording, and of the offset of a recording, relative
# to the between-class variance.
_SPEAKER_SHARE, _OFFSET_SHARE = 1.2, 0.3
# Difference of mean and whitening of the two halves, in standard deviations.
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
    turn_seconds: Annotated[float, Interval(gt=TURN_FLOOR)] = 3.4
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
    """Conversations, and the model that their x-vectors were drawn from."""

    conversations: list[Conversation]
    model: Model


@dataclass(frozen=True, eq=False)
class _Space:
    """A space of x-vectors: ``x = mean + coloring @ plda.transform^-1 @ latent``.

    Attributes
    ----------
    mean : (D,) array
    coloring : (D, D) array
        Inverse of the whitening.
    plda : Plda
        Of whitened x-vectors.
    """

    mean: FloatArray
    coloring: FloatArray
    plda: Plda

    @cached_property
    def _mixing(self) -> FloatArray:
        return self.coloring @ np.linalg.inv(self.plda.transform)

    def embed(self, latent: FloatArray) -> FloatArray:
        """Return the x-vectors of (N, D) latent vectors."""
        return self.mean + latent @ self._mixing.T


def simulate_corpus(options: SimulateOptions = SimulateOptions()) -> dict[str, Half]:
    """Simulate a corpus of two halves, "a" and "b".

    Each half is meant to be diarized with the model of the other one: both share
    one PLDA, but mean and whitening differ a little.
    """
    generator = np.random.default_rng(options.seed)
    space = _draw_space(options.dim, generator)
    halves = {}
    for name in ("a", "b"):
        half_space = _drift(space, generator)
        conversations = [
            _draw_conversation(f"{name}{index:03d}", half_space, options, generator)
            for index in range(options.recordings)
        ]
        whitening: FloatArray = np.linalg.inv(half_space.coloring).astype(np.float64)
        model = Model(half_space.mean, whitening, space.plda)
        halves[name] = Half(conversations, model)
    return halves


def simulate_training(options: SimulateOptions = SimulateOptions()) -> LabelledXvectors:
    """Simulate x-vectors of known speakers in the speaker space of the corpus.

    Each x-vector is from a session of its own, with its own offset and noise. The
    small differences of the halves in mean and whitening are not applied.
    """
    generator = np.random.default_rng(options.seed)
    space = _draw_space(options.dim, generator)
    # A child generator, so that the halves do not depend on the training vectors.
    child = generator.spawn(1)[0]
    psi = space.plda.psi
    window = np.array([[0.0, WINDOW]])
    rows, utterances, speakers = [], [], []
    for index in range(options.train_speakers):
        speaker = _draw_speakers(1, psi, child)
        for session in range(options.train_sessions):
            offset = _draw_offset(psi, child)
            rows.append(offset + speaker + _draw_noise(window, options, child))
            speakers.append(f"t{index:04d}")
            utterances.append(f"t{index:04d}-{session:03d}")
    latent = np.concatenate([np.zeros((0, options.dim)), *rows])
    return LabelledXvectors(tuple(utterances), tuple(speakers), space.embed(latent))


def _draw_space(dim: int, generator: np.random.Generator) -> _Space:
    """Draw the space of a corpus.

    As in a PLDA of telephone x-vectors, psi has one strong direction, then a slow
    decay.
    """
    psi = 2.2 / (1 + np.arange(dim) / 8)
    psi[0] = 6.0
    rotation = np.linalg.qr(generator.standard_normal((dim, dim)))[0]
    plda = Plda(np.zeros(dim), np.sqrt(1 + psi)[:, None] * rotation.T, psi)
    mean = 3 * generator.standard_normal(dim)
    coloring = np.linalg.qr(generator.standard_normal((dim, dim)))[0]
    coloring *= np.exp(0.5 * generator.standard_normal(dim))
    return _Space(mean, coloring, plda)


def _drift(space: _Space, generator: np.random.Generator) -> _Space:
    """Return the space with mean and coloring changed a little."""
    dim = len(space.mean)
    drift = generator.standard_normal((dim, dim + 1)) * (_HALF_MISMATCH / np.sqrt(dim))
    coloring = space.coloring @ (np.eye(dim) + drift[:, 1:])
    mean = space.mean + space.coloring @ drift[:, 0] * np.sqrt(dim)
    return _Space(mean, coloring, space.plda)


def _draw_conversation(
    name: str, space: _Space, options: SimulateOptions, generator: np.random.Generator
) -> Conversation:
    count = int(generator.integers(options.fewest_speakers, options.most_speakers + 1))
    turns = draw_turns(
        count,
        generator,
        duration=options.duration,
        mean_seconds=options.turn_seconds,
        overlap=options.overlap,
    )
    segments = cut_windows(turns, options.windows)
    psi = space.plda.psi
    offset = _draw_offset(psi, generator)
    speakers = _draw_speakers(count, psi, generator)
    latent = offset + speaker_shares(segments, turns, count) @ speakers
    latent = latent + _draw_noise(segments, options, generator)
    utterances = tuple(
        f"{name}-{round(100 * start):08d}-{round(100 * end):08d}"
        for start, end in segments.tolist()
    )
    recording = Recording(name, utterances, segments, space.embed(latent))
    return Conversation(recording, turns)


def _draw_offset(psi: FloatArray, generator: np.random.Generator) -> FloatArray:
    return np.sqrt(_OFFSET_SHARE) * np.sqrt(psi) * generator.standard_normal(len(psi))


def _draw_speakers(
    count: int, psi: FloatArray, generator: np.random.Generator
) -> FloatArray:
    spread = np.sqrt(_SPEAKER_SHARE) * np.sqrt(psi)
    return spread * generator.standard_normal((count, len(psi)))


def _draw_noise(
    segments: FloatArray, options: SimulateOptions, generator: np.random.Generator
) -> FloatArray:
    return draw_noise(
        segments,
        options.dim,
        generator,
        variance=options.noise,
        slow_share=options.slow_noise,
        slow_seconds=options.slow_seconds,
        dof=options.noise_dof,
    )
