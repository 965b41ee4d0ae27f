"""Encoders of wav2vec 2.0 and its kind, from folders of transformers."""

import json
import shutil
import socket
import sys

import numpy as np
import pytest
import torch
from fault_table import PAGE

from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.segmentation.loading import (
    TrainedNet,
    load_segmenter,
    write_network,
)
from ssahc.frontend.segmentation.model import SegmentationNet
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.frontend.segmentation.wav2vec import read_wav2vec

OPTIONS = NetworkOptions(encoder="wav2vec", lstm_dim=4, lstm_layers=1)
TINY = {
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "conv_dim": [4] * 7,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}


@pytest.fixture(scope="module")
def transformers():
    reason = "the extra wav2vec is not installed"
    return pytest.importorskip("transformers", reason=reason)


@pytest.fixture(scope="module")
def original(transformers):
    """A tiny network of random weights."""
    torch.manual_seed(0)
    return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**TINY)).eval()


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wav2vec")
    original.save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(folder, monkeypatch):
    def refuse(*_):
        raise AssertionError("no network is needed")

    monkeypatch.setattr(socket, "socket", refuse)
    return read_wav2vec(folder)


def test_frames_are_a_weighted_sum_of_the_layers(encoder, original):
    assert (encoder.dim, encoder.frame_shift, encoder.receptive_field) == (8, 320, 400)
    stretch = 0.1 * torch.randn(9000) + 0.02
    chunks = stretch.unfold(0, 5000, 4 * encoder.grid)
    with torch.no_grad():
        encoder.layer_logits.copy_(torch.tensor([0.5, -1, 2]).log_softmax(0))
        frames = encoder.train()(chunks)
        together = encoder.slide(stretch, 5000, 4 * encoder.grid)
        deviations, means = torch.std_mean(chunks, dim=1, correction=0, keepdim=True)
        outputs = original((chunks - means) / deviations, output_hidden_states=True)
        exponentials = torch.tensor([0.5, -1, 2]).exp()
        shares = exponentials / exponentials.sum()
        layers = zip(shares, outputs.hidden_states, strict=True)
        expected = sum(share * layer for share, layer in layers).transpose(1, 2)
    assert frames.shape == (len(chunks), 8, (5000 - 400) // 320 + 1)
    np.testing.assert_allclose(frames, expected, atol=1e-4)
    np.testing.assert_allclose(together, frames, atol=1e-5)


def test_only_the_sum_and_what_is_behind_it_learn(encoder):
    network = SegmentationNet(OPTIONS, encoder).train()
    network(torch.randn(2, 4000))[..., 1].mean().backward()
    for name, weight in network.named_parameters():
        if name.startswith("encoder.model."):
            assert not weight.requires_grad
        else:
            assert weight.grad.abs().max() > 0, name


def test_trained_networks_have_their_encoder_in_their_file(encoder, tmp_path):
    network = SegmentationNet(OPTIONS, encoder)
    path = tmp_path / "segmentation.npz"
    write_network(path, TrainedNet(network))
    segmenter = load_segmenter(path)
    assert segmenter.frame_shift == 320
    samples = torch.randn(1, 6000)
    found = segmenter.run(samples[0].numpy(), 6000, 6000)
    with torch.no_grad():
        np.testing.assert_allclose(found, network.eval()(samples), atol=1e-5)


@pytest.fixture
def broken(folder, tmp_path):
    """A copy of the folder."""
    return shutil.copytree(folder, tmp_path / "copy")


def test_folders_that_cannot_be_used_are_named(broken, transformers):
    weights, config = broken / "model.safetensors", broken / "config.json"
    values = json.loads(config.read_text())
    config.write_text(json.dumps(values | {"hidden_size": 16}))
    with pytest.raises(FormatError, match=r"copy: cannot be read by transformers"):
        read_wav2vec(broken)
    config.write_text(json.dumps(values | {"num_hidden_layers": 3}))
    with pytest.raises(FormatError, match=r"copy: lacks \d+ weights .*layers\.2"):
        read_wav2vec(broken)
    config.write_text(json.dumps(values))
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(FormatError, match=r"copy: cannot be read by transformers"):
        read_wav2vec(broken)


def test_pickles_and_other_kinds_are_refused(tmp_path):
    """Without transformers."""
    config = tmp_path / "config.json"
    with pytest.raises(FormatError, match=r"config\.json: no such file"):
        read_wav2vec(tmp_path)
    for text in ('{"model_type": "bert"}', "[]", "{"):
        config.write_text(text)
        with pytest.raises(FormatError, match=r"config\.json: .*wav2vec2, hubert"):
            read_wav2vec(tmp_path)
    config.write_text('{"model_type": "wav2vec2"}')
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(FormatError) as caught:
        read_wav2vec(tmp_path)
    row = PAGE["Audio"]["weights of wav2vec 2.0 in a pickle for `--wav2vec`"]
    assert row.is_said_in(f"ssahc: error: {caught.value}")


def test_a_missing_extra_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    (tmp_path / "config.json").write_text('{"model_type": "wavlm"}')
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(UsageError, match=r"pip install 'ssahc\[wav2vec\]'"):
        read_wav2vec(tmp_path)


def test_options_that_do_not_fit_are_refused(ssahc_here, tmp_path):
    for options, message in (
        (["--encoder", "wav2vec"], "needs --wav2vec"),
        (["--wav2vec", "x"], "--wav2vec needs --encoder wav2vec, found logmel"),
        (["--encoder", "wav2vec", "--sample-rate", 8000], "takes 16000 Hz"),
    ):
        arguments = ("train-segmentation", tmp_path / "out", *options)
        result = ssahc_here(*arguments, "--train", tmp_path, "--dev", tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
