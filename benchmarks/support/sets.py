"""Sets of recordings in two halves to measure systems on: CALLHOME and simulated.

Every simulated set changes some constants of the simulation. Its recordings are
diarized with the model that drew the other half, with one trained on labelled x-vectors
of the same speaker space, with the other half's mean and whitening alone, or without
any model.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.support.halves import CALLHOME, Halves, Item, read_items, read_shaped
from ssahc import Model, fit_model
from ssahc.core.types import NO_MODEL
from ssahc.simulation.conversations import (
    Half,
    SimulateOptions,
    simulate_corpus,
    simulate_training,
)

# From the folder of the data and a seed.
Read = Callable[[Path, int], Halves]
Given = Literal["other", "fitted", "whitening", "none"]
OTHER = {"a": "b", "b": "a"}


def read_callhome(data: Path, seed: int) -> Halves:
    """Read callhome_shaped, which no seed changes."""
    return read_shaped(data)


def read_real(data: Path, seed: int) -> Halves:
    """Read callhome_real, which no seed changes: each of its recordings is a half."""
    model = data / "callhome_model" / CALLHOME["callhome1"]
    items = read_items(data / "callhome_real", model)
    return {item.recording.id: [item] for item in items}


def simulated(given: Given = "other", **constants: Any) -> Read:
    """Return what draws a simulated set."""
    usual = {"recordings": 20, "duration": 150.0}

    def draw(data: Path, seed: int) -> Halves:
        options = SimulateOptions(**usual | constants, seed=seed)
        corpus = simulate_corpus(options)
        models = give_models(given, corpus, options)
        return {
            name: [
                Item(conversation.recording, conversation.turns, models[name])
                for conversation in half.conversations
            ]
            for name, half in corpus.items()
        }

    return draw


def give_models(
    given: Given, corpus: dict[str, Half], options: SimulateOptions
) -> dict[str, Model]:
    """Return the model for each half."""
    if given == "none":
        return dict.fromkeys(OTHER, NO_MODEL)
    if given == "fitted":
        training = simulate_training(options)
        return dict.fromkeys(OTHER, fit_model(training.xvectors, training.speakers))
    models = {half: corpus[other].model for half, other in OTHER.items()}
    if given == "whitening":
        return {half: replace(model, plda=None) for half, model in models.items()}
    return models


SETS: dict[str, Read] = {
    "callhome_shaped": read_callhome,
    "callhome_real": read_real,
    "usual": simulated(),
    "one-speaker": simulated(min_speakers=1, max_speakers=1, dim=64),
    "two-speakers": simulated(min_speakers=2, max_speakers=2, turn_seconds=8.0),
    "many-speakers": simulated(min_speakers=6, max_speakers=10, duration=300.0),
    "short-turns": simulated(turn_seconds=1.5),
    "slow-noise": simulated(slow_noise=0.5),
    "heavy-tails": simulated("fitted", noise_dof=4.0, dim=256),
    "whole-turns": simulated(windows="turns", duration=300.0),
    "fitted-512": simulated("fitted", dim=512, slow_noise=0.2),
    "whitening": simulated("whitening", dim=64, turn_seconds=8.0),
    "no-model": simulated("none", dim=256),
    "no-model-turns": simulated("none", dim=512, windows="turns", duration=300.0),
}
