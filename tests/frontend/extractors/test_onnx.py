"""ONNX models, and the TOML files that describe their features."""

import shutil
import sys

import numpy as np
import pytest

from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.feature_options import FbankOptions
from ssahc.frontend.features import fbank

RECIPE = 'sample_rate = 8000\nnum_mel_bins = 8\noutput = "embs"\n'
# The matrix in the models.
WEIGHT = (np.arange(32).reshape(8, 4) % 7 - 3) / 4


@pytest.fixture
def load(golden, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

    def load(recipe=RECIPE, model="rectified-mean", toml="net.toml"):
        path = tmp_path / "net.onnx"
        shutil.copy(golden / "frontend" / "onnx" / f"{model}.onnx", path)
        (tmp_path / toml).write_text(recipe)
        return Extractor.load(path, device="cpu")

    return load


@pytest.mark.parametrize("model", ["rectified-mean", "transposed-one"])
@pytest.mark.parametrize("scale", ["int16", "unit"])
def test_embeddings_are_the_models(load, rng, model, scale):
    extractor = load(f'{RECIPE}mean = "none"\nscale = "{scale}"\n', model)
    assert (extractor.sample_rate, extractor.dim) == (8000, 4)
    samples = (20000 * rng.standard_normal(24000)).astype(np.int16)
    windows = [[0, 1.5], [0.75, 2.25], [1.5, 2.9]]
    options = FbankOptions(sample_frequency=8000, num_mel_bins=8)
    features = fbank(samples / (1 if scale == "int16" else 32768), options)
    ranges = [(0, 148), (75, 223), (150, 288)]
    means = [np.maximum(features[a:b], 0).mean(axis=0) for a, b in ranges]
    found = extractor.embed(samples, windows)
    np.testing.assert_allclose(found, np.array(means) @ WEIGHT, rtol=1e-3, atol=1e-4)


def test_a_recipe_may_be_for_all_models_of_a_folder(load):
    assert load(toml="model.toml").dim == 4


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ("sample_rate = 8000\nnum_mel_bins = 8\n", "outputs are embs, positive"),
        (RECIPE.replace("embs", "xvector"), "'xvector'"),
        (RECIPE.replace("embs", "positive"), "grows with the window"),
        (RECIPE.replace("= 8\n", "= 80\n"), "num_mel_bins"),
        (f'{RECIPE}input = "wav"\n', "inputs are feats"),
        (f"{RECIPE}high_freq = 6000\n", "net.toml: .*high-freq"),
        (f'{RECIPE}mean = "all"\n', "net.toml: .*mean"),
        (f"{RECIPE}bins = 8\n", "net.toml: .*bins"),
        ("num_mel_bins = 8\n", "net.toml: sample_rate"),
        ("sample_rate: 8000", "net.toml: not a TOML"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(load, recipe, named):
    with pytest.raises(FormatError, match=named):
        load(recipe)


def test_missing_and_damaged_models_are_named(load, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08\x12\x05ssahc")
    with pytest.raises(FormatError, match=r"model.toml: no such file.*num_mel_bins"):
        Extractor.load(tmp_path)
    (tmp_path / "model.toml").write_text(RECIPE)
    with pytest.raises(FormatError, match=r"model.onnx: no usable ONNX model"):
        Extractor.load(tmp_path)
    with pytest.raises(FormatError, match=r"other.onnx: no such file"):
        Extractor.load(tmp_path / "other.onnx")


def test_a_missing_extra_is_named_with_its_command(golden, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "model.toml").write_text(RECIPE)
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UsageError, match=r"pip install 'ssahc\[onnx\]'"):
        Extractor.load(tmp_path)
