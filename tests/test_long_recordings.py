"""Recordings so long that there is no matrix of all pairs of their windows."""

import numpy as np
import pytest

from ssahc.api import DataError, UsageError, diarize_recording, make_options

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
    monkeypatch.setattr("ssahc.cluster.ahc._LONGEST_DENSE", 10)


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

    factored = "ssahc.affinity.FactoredAffinity"
    make = diarize(recording, model, {}).affinity.__class__.dense
    monkeypatch.setattr(f"{factored}.dense", refuse)
    diarize(recording, model, SYSTEMS[system])


@pytest.mark.parametrize(
    "values",
    [
        {"system": "spectral"},
        {"max_spk_fraction": 0.5, "num_speakers": 3},
        {"first_pass_max_utterances": 30},
    ],
)
def test_where_there_must_be_a_matrix_memory_may_be_too_little(
    recording, model, values
):
    needed = 20 * len(recording) ** 2
    assert diarize(recording, model, values | {"max_memory": f"{needed}"}).num_speakers
    with pytest.raises(DataError, match=r"of 62 windows or clusters takes 0\.1 MiB"):
        diarize(recording, model, values | {"max_memory": f"{needed - 1}"})


def test_where_a_matrix_is_too_large_there_is_none(recording, model, caplog):
    caplog.set_level("DEBUG", "ssahc")
    found = diarize(recording, model, {"max_memory": "10K"})
    assert "clustered without the matrix" in caplog.text
    assert found.labels.tolist() == diarize(recording, model, {}).labels.tolist()


def test_the_merging_cost_needs_a_matrix_of_the_first_clusters(recording, model):
    values = {"lambda_": 0.5, "init_threshold": 0.9, "max_memory": "2K"}
    with pytest.raises(DataError, match="windows or clusters takes"):
        diarize(recording, model, values)
    assert diarize(recording, model, values | {"init_threshold": 0.3}).num_speakers


def test_scores_need_a_matrix(recording, model):
    options = make_options(max_memory="1K")
    scores = np.zeros((len(recording), len(recording)))
    with pytest.raises(DataError, match=r"--max-memory allows 0\.0;"):
        diarize_recording(recording, model, options, plda_scores=scores)
    assert diarize_recording(recording, model, options).num_speakers


@pytest.mark.parametrize("wrong", ["4X", "", "-1G", "G", "1 G", "four"])
def test_memory_is_a_number_with_a_unit(wrong):
    with pytest.raises(UsageError, match="such as 4G, found"):
        make_options(max_memory=wrong)


def test_units():
    sizes = {"1000": 1000, "2k": 2048, "1.5M": 1.5 * 2**20, "4G": 2**32, "1TB": 2**40}
    for text, size in sizes.items():
        assert make_options(max_memory=text).max_bytes() == size
    assert make_options().max_bytes() == np.inf
