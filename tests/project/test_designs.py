"""What benchmarks/metric_learning.py compares, and what it learns from."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from ssahc import Recording, Turn
from ssahc.core.types import NO_MODEL

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def designs(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("designs")


def test_every_design_can_be_learned_by(designs):
    listed = designs.list_designs()
    assert len(set(listed)) == len({design.names for design in listed}) == len(listed)
    for design in listed:
        learning = design.for_recordings(seed=3).learning
        training = design.for_training(seed=3)
        assert learning.loss == training.loss == design.loss
        assert learning.objective == training.objective
        assert learning.seed == training.seed == 3


def test_windows_are_of_who_talks_alone(designs):
    segments = np.array([[0, 2], [1, 3], [2, 4], [3, 5], [5, 7]], float)
    turns = [Turn(0, 2.9, "x"), Turn(2.9, 5, "y"), Turn(3.5, 4, "x")]
    recording = Recording("r", tuple("abcde"), segments, np.eye(5))
    item = designs.Item(recording, turns, NO_MODEL)
    xvectors, speakers = designs.label_windows([item])
    # The third and the fourth are of two, the fifth is of nobody.
    np.testing.assert_array_equal(xvectors, np.eye(5)[:2])
    assert speakers == ["r-x", "r-x"]
