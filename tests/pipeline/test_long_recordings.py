"""Recordings so long that there is no matrix of all pairs of their windows."""

import numpy as np
import pytest

from ssahc.api import UsageError, diarize_recording, make_options
from ssahc.backend.affinity import FactoredAffinity
from ssahc.clustering.discriminative import DiscriminativeCost
from ssahc.learning.options import LearningOptions

SYSTEMS = {
    "cosine": {"system": "cosine"},
    "plda": {"system": "plda"},
    "default": {},
    "no model": {"system": "ssahc", "resegmentation": "none"},
    "znorm": {"fusion": "znorm", "resegmentation": "none"},
    "paper": {"preset": "paper-ssa2-lambda0.2", "init_threshold": 0.4},
}


def diarize(recording, model, values):
    return diarize_recording(recording, model, make_options(**values))


@pytest.mark.parametrize("speakers", [{"num_speakers": 3}, {"max_speakers": 5}])
@pytest.mark.parametrize("system", SYSTEMS)
def test_labels_are_those_of_the_matrix_which_is_not_made(
    recording, model, monkeypatch, system, speakers
):
    values = SYSTEMS[system] | speakers

    def make_cost(options):
        return DiscriminativeCost(options.lambda_, options.kc, below=20)

    monkeypatch.setattr(LearningOptions, "cost", make_cost)
    dense = diarize(recording, model, values)
    make = FactoredAffinity.dense

    def refuse(affinity):
        assert len(affinity) <= len(recording) // 2, "a matrix of all pairs"
        return make(affinity)

    monkeypatch.setattr("ssahc.clustering.ahc.LONGEST_DENSE", 10)
    monkeypatch.setattr(FactoredAffinity, "dense", refuse)
    found = diarize(recording, model, values)
    assert found.labels.tolist() == dense.labels.tolist()
    assert found.learning == dense.learning


def test_memory_is_a_number_with_a_unit():
    sizes = {"1000": 1000, "2k": 2048, "1.5M": 1.5 * 2**20, "4G": 2**32, "1TB": 2**40}
    for text, size in sizes.items():
        assert make_options(max_memory=text).max_bytes() == size
    assert make_options().max_bytes() == np.inf
    for wrong in ("4X", "", "-1G", "G", "1 G", "9" * 400, "9" * 300 + "T", "\uff14G"):
        with pytest.raises(UsageError, match="as in 4G, found"):
            make_options(max_memory=wrong)
