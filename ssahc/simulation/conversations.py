"""Simulated conversations as x-vectors, drawn from a PLDA model.

A corpus has a speaker space (`ssahc.simulation.space`). A recording has an offset in
this space, its speakers, who may drift, their turns (`ssahc.simulation.turns`), and
noise of its own (`ssahc.simulation.noise`). A window of two speakers is their average,
weighted by time. Results on these data compare systems; they do not predict error rates
on real speech.
"""

from dataclasses import dataclass

import numpy as np

from ssahc.backend.training import fit_model
from ssahc.core.types import FloatArray, LabelledXvectors, Model, Recording, Turn
from ssahc.simulation.noise import draw_noise, draw_process
from ssahc.simulation.options import SimulateOptions
from ssahc.simulation.space import Space, draw_space, shift_space
from ssahc.simulation.turns import WINDOW, cut_windows, draw_turns, speaker_shares

# Variances of the speakers of a recording, and of the offset of a recording, relative
# to the between-class variance.
_SPEAKER_SHARE, _OFFSET_SHARE = 1.2, 0.3
# Where a model is fitted: sessions of a speaker, speakers for each dimension, and the
# least variance of a dimension that is used, as a share of the mean one.
_SESSIONS, _SPEAKERS_PER_DIM, _LEAST_VARIANCE = 4, 2, 1e-4


@dataclass(frozen=True, eq=False)
class Conversation:
    """A simulated recording and its reference turns."""

    recording: Recording
    turns: list[Turn]


@dataclass(frozen=True, eq=False)
class Half:
    """Conversations, and the model that their x-vectors were drawn from.

    With a ReLU or scaling to length 1, it is one fitted to other speakers of the half.
    """

    conversations: list[Conversation]
    model: Model


def simulate_corpus(options: SimulateOptions = SimulateOptions()) -> dict[str, Half]:
    """Simulate a corpus of two halves, "a" and "b".

    Each half is meant to be diarized with the model of the other one: both share one
    PLDA, but mean and whitening differ a little.
    """
    generator = np.random.default_rng(options.seed)
    space = draw_space(options, generator)
    halves = {}
    for name in ("a", "b"):
        half_space = shift_space(space, generator)
        conversations = [
            _draw_conversation(f"{name}{index:03d}", half_space, options, generator)
            for index in range(options.recordings)
        ]
        if options.is_linear:
            model = half_space.model()
        else:
            model = _fit_model(half_space, options, generator.spawn(1)[0])
        halves[name] = Half(conversations, model)
    return halves


def simulate_training(options: SimulateOptions = SimulateOptions()) -> LabelledXvectors:
    """Simulate x-vectors of known speakers in the speaker space of the corpus.

    Each x-vector is from a session of its own, with its own offset and noise. The small
    differences of the halves in mean and whitening are not applied.
    """
    generator = np.random.default_rng(options.seed)
    space = draw_space(options, generator)
    # A child generator, so that the halves do not depend on the training vectors.
    child = generator.spawn(1)[0]
    counts = options.train_speakers, options.train_sessions
    return _draw_training(space, *counts, options, child)


def _draw_training(
    space: Space,
    num_speakers: int,
    num_sessions: int,
    options: SimulateOptions,
    generator: np.random.Generator,
) -> LabelledXvectors:
    psi = space.plda.psi
    window = np.array([[0.0, WINDOW]])
    rows, utterances, speakers = [], [], []
    for index in range(num_speakers):
        speaker = _draw_speakers(1, psi, generator)
        for session in range(num_sessions):
            offset = _draw_offset(psi, generator)
            rows.append(offset + speaker + draw_noise(window, options, generator))
            speakers.append(f"t{index:04d}")
            utterances.append(f"t{index:04d}-{session:03d}")
    latent = np.concatenate([np.zeros((0, len(psi))), *rows])
    return LabelledXvectors(tuple(utterances), tuple(speakers), space.embed(latent))


def _fit_model(
    space: Space, options: SimulateOptions, generator: np.random.Generator
) -> Model:
    """Fit a model to labelled x-vectors of the space, less constant dimensions."""
    num_speakers = _SPEAKERS_PER_DIM * options.latent_dim
    labelled = _draw_training(space, num_speakers, _SESSIONS, options, generator)
    variances = labelled.xvectors.var(axis=0)
    alive = variances > _LEAST_VARIANCE * variances.mean()
    fitted = fit_model(labelled.xvectors[:, alive], labelled.speakers)
    # Back at the dimensions of the x-vectors.
    transform: FloatArray = fitted.transform @ np.eye(options.dim)[alive]
    return Model(labelled.xvectors.mean(axis=0), transform, fitted.plda)


def _draw_conversation(
    name: str, space: Space, options: SimulateOptions, generator: np.random.Generator
) -> Conversation:
    count = int(generator.integers(options.min_speakers, options.max_speakers + 1))
    turns = draw_turns(count, options, generator)
    segments = cut_windows(turns, options.windows)
    psi = space.plda.psi
    offset = _draw_offset(psi, generator)
    speakers = _draw_speakers(count, psi, generator)
    shares = speaker_shares(segments, turns, count)
    if options.drift == 0:
        voices = shares @ speakers
    else:
        voices = _draw_drifting(speakers, shares, segments, psi, options, generator)
    latent = offset + voices + draw_noise(segments, options, generator)
    utterances = tuple(
        f"{name}-{round(100 * start):08d}-{round(100 * end):08d}"
        for start, end in segments.tolist()
    )
    recording = Recording(name, utterances, segments, space.embed(latent))
    return Conversation(recording, turns)


def _draw_drifting(
    speakers: FloatArray,
    shares: FloatArray,
    segments: FloatArray,
    psi: FloatArray,
    options: SimulateOptions,
    generator: np.random.Generator,
) -> FloatArray:
    """Return the voices heard in windows (N, D) of speakers (K, D) who drift."""
    # A child generator, so that corpora that differ in their drift have the same turns.
    child = generator.spawn(1)[0]
    spread = np.sqrt(_SPEAKER_SHARE * psi)
    voices = np.zeros((len(segments), len(psi)))
    for speaker, share in zip(speakers, shares.T, strict=True):
        rows = np.flatnonzero(share)
        process = draw_process(segments[rows], len(psi), options.drift_seconds, child)
        voice = np.sqrt(1 - options.drift) * speaker
        voice = voice + np.sqrt(options.drift) * spread * process
        voices[rows] += share[rows, None] * voice
    return voices


def _draw_offset(psi: FloatArray, generator: np.random.Generator) -> FloatArray:
    return np.sqrt(_OFFSET_SHARE) * np.sqrt(psi) * generator.standard_normal(len(psi))


def _draw_speakers(
    count: int, psi: FloatArray, generator: np.random.Generator
) -> FloatArray:
    spread = np.sqrt(_SPEAKER_SHARE) * np.sqrt(psi)
    return spread * generator.standard_normal((count, len(psi)))
