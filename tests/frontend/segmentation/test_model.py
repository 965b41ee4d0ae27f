"""The network, and pyannote's weights for it."""

import numpy as np
import pytest
import soundfile
import torch

from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.extractors import installed
from ssahc.frontend.extractors.installed import SEGMENTERS
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.model import (
    FRAME_SHIFT,
    GRID,
    RECEPTIVE_FIELD,
    SegmentationNet,
)


@pytest.mark.parametrize("name", ["ami_trn06", "pyannote_sample"])
def test_outputs_are_those_of_pyannotes_network(segmenter, test_data, name):
    audio = test_data / "data" / "ami_audio" / f"{name}.wav"
    # Five chunks of 10 s, from 0, 5, 10, 15 and 20 s.
    samples, _ = soundfile.read(audio, dtype="float32", frames=480_000)
    golden = test_data / "golden" / "frontend" / "pretrained"
    expected = np.load(golden / f"{name}.segmentation-3.0.npy")
    found = segmenter.run(samples, segmenter.chunk, 80_000 // GRID * GRID)
    # The second starts 20 samples early; the first is the same.
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    chunks = torch.from_numpy(samples).unfold(0, 160_000, 80_000)
    network = segmenter.run.args[0]
    with torch.inference_mode():
        np.testing.assert_allclose(network(chunks), expected, atol=1e-4)


def test_chunks_that_share_their_filters_are_as_by_themselves():
    torch.manual_seed(0)
    network = SegmentationNet(7).eval()
    # With an offset, which the normalisation of chunks takes away.
    stretch = 0.1 * torch.randn(20_000) + torch.linspace(0, 0.2, 20_000)
    chunks = stretch.unfold(0, 8000, 40 * GRID)
    with torch.inference_mode():
        together = network.slide(stretch, 8000, 40 * GRID)
        np.testing.assert_allclose(together, network(chunks), atol=1e-5)
        longer = network(stretch[None, : RECEPTIVE_FIELD + FRAME_SHIFT])
        shorter = network(stretch[None, : RECEPTIVE_FIELD + 2 * FRAME_SHIFT - 1])
    assert together.shape == (11, (8000 - RECEPTIVE_FIELD) // FRAME_SHIFT + 1, 7)
    assert (longer.shape[1], shorter.shape[1]) == (2, 2)
    np.testing.assert_allclose(together.exp().sum(-1), 1, atol=1e-5)


def test_gradients_reach_the_edges_of_the_filters():
    torch.manual_seed(0)
    network = SegmentationNet(7)
    network(torch.randn(2, 4000))[..., 1].mean().backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_missing_and_other_weights_are_named(tmp_path, monkeypatch):
    other = tmp_path / "other.bin"
    torch.save({"state_dict": {"classifier.bias": torch.zeros(4)}}, other)
    with pytest.raises(FormatError, match=r"other\.bin: .*segmentation-3\.0"):
        Segmenter.load(other, device="cpu")
    with pytest.raises(UsageError, match=r"nowhere: .*one of segmentation-3\.0"):
        Segmenter.load("nowhere", device="cpu")
    monkeypatch.setattr(installed, "find_spec", lambda module: None)
    with pytest.raises(UsageError, match=r"weights are missing .*pip install"):
        Segmenter.load(*SEGMENTERS, device="cpu")
