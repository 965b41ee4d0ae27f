"""Files of networks."""

import json

import numpy as np
import pytest
import torch

from ssahc.core.errors import FormatError
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.loading import (
    TrainedNet,
    read_network,
    write_network,
)
from ssahc.frontend.segmentation.model import SegmentationNet
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint

TINY = NetworkOptions(sample_rate=8000, chunk=1, lstm_dim=4, lstm_layers=1)


@pytest.fixture
def written(tmp_path):
    """A folder with a multi-label network."""
    torch.manual_seed(0)
    options = NetworkOptions(**(vars(TINY) | {"head": "multilabel"}))
    trained = TrainedNet(SegmentationNet(options), threshold=0.3)
    write_network(tmp_path / "segmentation.npz", trained)
    return tmp_path


def test_a_threshold_is_half_of_the_probability_of_a_model(written):
    trained = read_network(written / "segmentation.npz")
    segmenter = Segmenter.load(written, device="cpu")
    samples = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(np.float32)
    outputs = segmenter.run(samples, 8000, 160)[0]
    np.testing.assert_allclose(np.exp(outputs).sum(axis=-1), 1, atol=1e-5)
    with torch.inference_mode():
        odds = trained.network(torch.from_numpy(samples)[None])[0].exp().numpy()
    odds /= 0.3 / 0.7
    speakers = np.exp(outputs) @ segmenter.sets
    np.testing.assert_allclose(speakers, odds / (1 + odds), atol=1e-5)


def test_damaged_files_and_those_of_others_are_named(written):
    path = written / "segmentation.npz"
    arrays, text = read_checkpoint(path)
    record = json.loads(text)
    whole = path.read_bytes()
    other = record["network"] | {"lstm_dim": 5}
    for broken in (
        record | {"network": other},
        record | {"network": other | {"encoder": "other"}},
        record | {"threshold": 2.0},
        record | {"format": "another"},
        [],
    ):
        write_checkpoint(path, arrays, json.dumps(broken))
        with pytest.raises(FormatError, match=r"segmentation\.npz: .*train anew"):
            read_network(path)
    arrays["classifier.bias"] *= np.nan
    write_checkpoint(path, arrays, text)
    with pytest.raises(FormatError, match="train anew"):
        read_network(path)
    for content in (whole[:-100], b"", whole[:100] + b"x" + whole[101:]):
        path.write_bytes(content)
        with pytest.raises(FormatError, match="train anew"):
            read_network(path)
