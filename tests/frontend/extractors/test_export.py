"""ssahc export-extractor: ONNX files and Kaldi model folders."""

import re
import shutil
import sys

import fault_table
import numpy as np
import pytest
import torch

from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.networks import new_network
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.networks.writing import write_extractor
from ssahc.io.ark import write_single

NETWORKS = {
    "tdnn": ExtractorNetworkOptions("tdnn", 8000, 5, 8, num_ceps=13),
    "attention": ExtractorNetworkOptions("attention", 8000, 5, 8, attention_heads=2),
    "sincnet": ExtractorNetworkOptions("sincnet", 16000, 5, 8, pooling="average"),
}
WINDOWS = [[0, 1.5], [0.5, 2], [0.25, 1], [1, 2]]


def make_model(folder, kind):
    network = new_network(NETWORKS[kind], 1)
    # Batch normalisation that has seen something.
    features = torch.randn(4, 80, network.options.feature_dim)
    with torch.no_grad():
        network(features)
    write_extractor(folder, network)
    return folder


def embed(model, rng):
    extractor = Extractor.load(model, device="cpu")
    samples = (3000 * rng.standard_normal(2 * extractor.sample_rate)).astype(np.int16)
    return extractor.embed(samples, WINDOWS)


@pytest.mark.parametrize("kind", NETWORKS)
def test_onnx_files_embed_as_the_networks(tmp_path, ssahc_here, kind):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    model, output = make_model(tmp_path / "model", kind), tmp_path / "net.onnx"
    result = ssahc_here("export-extractor", model, output)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"net.toml: {kind}, 5 dimensions" in result.stdout
    expected, found = (embed(one, np.random.default_rng(1)) for one in (model, output))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_folders_for_kaldi_embed_as_the_networks(tmp_path, ssahc_here):
    model, output = make_model(tmp_path / "model", "tdnn"), tmp_path / "kaldi"
    write_single(model / "mean.vec", np.ones(5, np.float32))
    for arguments, start in (((), b"\0B<Nnet3>"), (("--text",), b"<Nnet3>")):
        result = ssahc_here("export-extractor", model, output, *arguments)
        assert (result.returncode, result.stderr) == (0, "")
        names = {path.name for path in output.iterdir()}
        assert names == {
            *("final.raw", "extract.config", "mfcc.conf", "mean.vec"),
            *("min_chunk_size", "max_chunk_size", "extractor.toml"),
        }
        assert (output / "final.raw").read_bytes().startswith(start)
        expected, found = (embed(x, np.random.default_rng(1)) for x in (model, output))
        np.testing.assert_allclose(found, expected, atol=1e-4)
    # And back: what is exported is a network that can be exported, or trained.
    (model / "mean.vec").unlink()
    assert ssahc_here("export-extractor", output, tmp_path / "again").returncode == 0
    text = (output / "mfcc.conf").read_text()
    assert (tmp_path / "again" / "mfcc.conf").read_text() == text
    assert ssahc_here("export-extractor", model, output).returncode == 0
    # The mean was that of an earlier export.
    assert not (output / "mean.vec").exists()


def test_what_cannot_be_exported_is_refused(tmp_path, ssahc_here):
    tdnn = make_model(tmp_path / "tdnn", "tdnn")
    attention = make_model(tmp_path / "attention", "attention")
    (attention / "config.toml").touch()
    for arguments, named in (
        ((tdnn, tdnn), "give another folder"),
        ((tdnn, attention), "attention: holds the network of a training"),
        ((tdnn, tmp_path / "a.onnx", "--text"), "--text"),
        ((tdnn, tmp_path / "no" / "a.onnx"), "no: no such folder"),
        ((tmp_path / "gone", tmp_path / "out"), "gone: expected the folder"),
    ):
        result = ssahc_here("export-extractor", *arguments)
        assert result.returncode == 2
        assert not list(tmp_path.glob("out*"))
        assert re.search(named, result.stderr), result.stderr


def test_faults_of_networks_are_as_the_page_says(golden, tmp_path, ssahc_here):
    attention = make_model(tmp_path / "attention", "attention")
    damaged = make_model(tmp_path / "damaged", "attention")
    (damaged / "extractor.toml").write_text('network = "attention"\n')
    kaldi = tmp_path / "kaldi"
    shutil.copytree(golden / "frontend/model/tiny", kaldi)
    (kaldi / "extract.config").unlink()
    (kaldi / "mfcc.conf").write_text("--num-ceps=23\n")
    page = fault_table.PAGE["Audio"]
    for model, fault in (
        (attention, "a network that Kaldi does not have, to be exported for it"),
        (damaged, "weights of another network than `extractor.toml` describes"),
        (
            kaldi,
            "a network of Kaldi's to be exported or trained that is none of its "
            "x-vector recipes",
        ),
    ):
        result = ssahc_here("export-extractor", model, tmp_path / "out")
        assert page[fault].is_said_in(result.stderr), result.stderr
        assert result.returncode == 2
        assert not list(tmp_path.glob("out*"))


def test_the_package_that_is_missing_is_named(tmp_path, ssahc_here, monkeypatch):
    model = make_model(tmp_path / "model", "tdnn")
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = ssahc_here("export-extractor", model, tmp_path / "net.onnx")
    assert result.returncode == 2
    assert "pip install 'ssahc[onnx]'" in result.stderr
    shutil.rmtree(model)
    assert not list(tmp_path.iterdir())
