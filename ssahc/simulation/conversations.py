"""Simulated conversations as x-vectors, drawn from a PLDA model.

A corpus has a speaker space (mean, whitening and PLDA, `_draw_space`). A recording has
an offset in this space, its speakers, their turns (`ssahc.simulation.turns`), and noise
of its own (`ssahc.simulation.noise`). A window of two speakers is their average,
weighted by time. Results on these data compare systems; they do not predict error rates
on real speech.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssahc.core.types import FloatArray, LabelledXvectors, Model, Plda, Recording, Turn
from ssahc.simulation.noise import draw_noise
from ssahc.simulation.options import SimulateOptions
from ssahc.simulation.turns import WINDOW, cut_windows, draw_turns, speaker_shares

# Variances of the speakers of a recording, and of the offset of a recording, relative
# to the between-class variance.
_SPEAKER_SHARE, _OFFSET_SHARE = 1.2, 0.3
# Difference of mean and whitening of the two halves, in standard deviations.
_HALF_MISMATCH = 0.1


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

    The coloring is the inverse of the whitening, the PLDA that of whitened x-vectors.
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

    Each half is meant to be diarized with the model of the other one: both share one
    PLDA, but mean and whitening differ a little.
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

    Each x-vector is from a session of its own, with its own offset and noise. The small
    differences of the halves in mean and whitening are not applied.
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
            rows.append(offset + speaker + draw_noise(window, options, child))
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
    count = int(generator.integers(options.min_speakers, options.max_speakers + 1))
    turns = draw_turns(count, options, generator)
    segments = cut_windows(turns, options.windows)
    psi = space.plda.psi
    offset = _draw_offset(psi, generator)
    speakers = _draw_speakers(count, psi, generator)
    latent = offset + speaker_shares(segments, turns, count) @ speakers
    latent = latent + draw_noise(segments, options, generator)
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
