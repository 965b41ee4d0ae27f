"""Recordings so long that there is no matrix of all pairs of their windows."""

import numpy as np
import pytest

from ssahc.api import UsageError, diarize_recording, make_options

SYSTEMS = {
    "cosine": {"system": "cosine"},
    "plda": {"system": "plda"},
    "default": {},
    "no model": {"system": "ssahc", "resegmentation": "none"},
    "znorm": {"fusion": "znorm", "resegmentation": "none"},
    "paper": {"preset": "paper-ssa2-lambda0.2", "init_threshold": 0.4},
}


@pytest.fixture
def long(monkeypatch):
    """Every recording is a long one."""
    monkeypatch.setattr("ssahc.clustering.ahc.LONGEST_DENSE", 10)


def diarize(recording, model, values):
    return diarize_recording(recording, model, make_options(**values))


@pytest.mark.parametrize("speakers", [{"num_speakers": 3}, {"max_speakers": 5}])
@pytest.mark.parametrize("system", SYSTEMS)
def test_labels_are_those_of_the_matrix(recording, model, request, system, speakers):
    values = SYSTEMS[system] | speakers
    dense = diarize(recording, model, values)
    request.getfixturevalue("long")
    found = diarize(recording, model, values)
    assert found.labels.tolist() == dense.labels.tolist()
    assert found.learning == dense.learning


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_matrix_is_made(recording, model, monkeypatch, system):
    def refuse(self):
        if len(self) > len(recording) // 2:
            raise AssertionError("a matrix of all pairs")
        return make(self)

    factored = "ssahc.backend.affinity.FactoredAffinity"
    make = diarize(recording, model, {}).affinity.__class__.dense
    monkeypatch.setattr(f"{factored}.dense", refuse)
    diarize(recording, model, SYSTEMS[system])


@pytest.mark.parametrize(
    "wrong",
    [
        *("4X", "", "-1G", "G", "1 G", "four", "9" * 400, "9" * 300 + "T"),
        *("\N{FULLWIDTH DIGIT FOUR}G", "4\N{KELVIN SIGN}"),
    ],
)
def test_memory_is_a_number_with_a_unit(wrong):
    with pytest.raises(UsageError, match="as in 4G, found"):
        make_options(max_memory=wrong)


def test_units():
    sizes = {"1000": 1000, "2k": 2048, "1.5M": 1.5 * 2**20, "4G": 2**32, "1TB": 2**40}
    for text, size in sizes.items():
        assert make_options(max_memory=text).max_bytes() == size
    assert make_options().max_bytes() == np.inf
