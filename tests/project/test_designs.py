"""What the study of metric learning compares, and what it learns from."""

import numpy as np

from benchmarks.studies import designs
from ssahc import Recording, Turn
from ssahc.core.types import NO_MODEL


def test_every_design_keeps_its_options_for_recordings_and_for_training():
    listed = designs.list_designs()
    assert len(set(listed)) == len({design.names for design in listed}) == len(listed)
    for design in listed:
        learning = design.for_recordings(seed=3).learning
        training = design.for_training(seed=3)
        assert learning.loss == training.loss == design.loss
        assert learning.objective == training.objective
        assert learning.seed == training.seed == 3


def test_only_windows_of_one_speaker_are_labelled():
    segments = np.array([[0, 2], [1, 3], [2, 4], [3, 5], [5, 7]], float)
    turns = [Turn(0, 2.9, "x"), Turn(2.9, 5, "y"), Turn(3.5, 4, "x")]
    recording = Recording("r", tuple("abcde"), segments, np.eye(5))
    item = designs.Item(recording, turns, NO_MODEL)
    xvectors, speakers = designs.label_windows([item])
    # The third and the fourth are of two, the fifth is of nobody.
    np.testing.assert_array_equal(xvectors, np.eye(5)[:2])
    assert speakers == ["r-x", "r-x"]
