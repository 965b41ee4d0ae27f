"""The network, and pyannote's weights for it."""

import numpy as np
import pytest
import soundfile
import torch

from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.extractors import installed
from ssahc.frontend.extractors.installed import SEGMENTERS
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.logmel import LogMel
from ssahc.frontend.segmentation.model import SegmentationNet
from ssahc.frontend.segmentation.network_options import NetworkOptions


@pytest.mark.parametrize("name", ["ami_trn06", "pyannote_sample"])
def test_outputs_are_those_of_pyannotes_network(segmenter, test_data, name):
    audio = test_data / "data" / "ami_audio" / f"{name}.wav"
    # Five chunks of 10 s, from 0, 5, 10, 15 and 20 s.
    samples, _ = soundfile.read(audio, dtype="float32", frames=480_000)
    golden = test_data / "golden" / "frontend" / "pretrained"
    expected = np.load(golden / f"{name}.segmentation-3.0.npy")
    found = segmenter.run(samples, segmenter.chunk, 79_980)
    # The second starts 20 samples early; the first is the same.
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    chunks = torch.from_numpy(samples).unfold(0, 160_000, 80_000)
    network = segmenter.run.args[0]
    with torch.inference_mode():
        np.testing.assert_allclose(network(chunks), expected, atol=1e-4)


NETWORKS = [
    NetworkOptions(encoder="sincnet", lstm_layers=4),
    NetworkOptions(encoder="sincnet", sample_rate=8000),
    NetworkOptions(encoder="logmel"),
    NetworkOptions(encoder="logmel", sample_rate=8000, head="multilabel"),
]


@pytest.fixture(params=NETWORKS, ids=lambda o: f"{o.encoder}-{o.sample_rate}-{o.head}")
def network(request):
    torch.manual_seed(0)
    return SegmentationNet(request.param).eval()


def test_chunks_that_share_their_filters_are_as_by_themselves(network):
    encoder, rate = network.encoder, network.options.sample_rate
    assert 0.016 < encoder.frame_shift / rate < 0.021
    # With an offset, which the normalisation of chunks takes away.
    offset = torch.linspace(0, 0.2, 20_000) if rate == 16000 else 0.1
    stretch = 0.1 * torch.randn(20_000) + offset
    step = 4 * encoder.frame_shift
    chunks = stretch.unfold(0, 8000, step)
    seen, shift = encoder.receptive_field, encoder.frame_shift
    with torch.inference_mode():
        together = network.slide(stretch, 8000, step)
        np.testing.assert_allclose(together, network(chunks), atol=1e-5)
        longer = network(stretch[None, : seen + shift])
        shorter = network(stretch[None, : seen + 2 * shift - 1])
    is_powerset = network.options.head == "powerset"
    width = 7 if is_powerset else 3
    assert together.shape == (len(chunks), (8000 - seen) // shift + 1, width)
    assert (longer.shape[1], shorter.shape[1]) == (2, 2)
    if is_powerset:
        np.testing.assert_allclose(together.exp().sum(-1), 1, atol=1e-5)


def test_gradients_reach_all_weights(network):
    network(torch.randn(2, 4000))[..., 1].mean().backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_log_mel_frames_tell_the_level_apart_from_what_is_said():
    encoder = LogMel(16000)
    chunk = 0.1 * torch.randn(1, 8000) * torch.linspace(0.5, 1, 8000)
    with torch.inference_mode():
        loud, soft = encoder(chunk), encoder(chunk / 10)
    np.testing.assert_allclose(soft[:, :-8], loud[:, :-8], atol=0.02)
    # Log energies, scaled by 0.25.
    np.testing.assert_allclose(loud[:, -8:] - soft[:, -8:], np.log(10) / 2, atol=0.01)


def test_missing_and_other_weights_are_named(tmp_path, monkeypatch):
    other = tmp_path / "other.bin"
    torch.save({"state_dict": {"classifier.bias": torch.zeros(4)}}, other)
    with pytest.raises(FormatError, match=r"other\.bin: .*segmentation-3\.0"):
        Segmenter.load(other, device="cpu")
    with pytest.raises(UsageError, match=r"nowhere: .*segmentation-3\.0"):
        Segmenter.load("nowhere", device="cpu")
    monkeypatch.setattr(installed, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=r"weights are missing .*pip install"):
        Segmenter.load(*SEGMENTERS, device="cpu")
