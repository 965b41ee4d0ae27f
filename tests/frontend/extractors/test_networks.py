"""Networks that are trained here: as files, as extractors, and as Kaldi's."""

import shutil

import numpy as np
import pytest
import torch
from kaldi_tables import read_table

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.networks import (
    feature_source,
    new_network,
    normalize_features,
)
from ssahc.frontend.extractors.networks.kaldi import from_nnet3, to_nnet3
from ssahc.frontend.extractors.networks.loading import read_network
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.networks.writing import write_extractor
from ssahc.io.ark import write_single
from ssahc.io.nnet3 import read_nnet3
from ssahc.io.nnet3_writing import write_nnet3

CONF = "--sample-frequency=8000\n--high-freq=3700\n--num-ceps=23\n--snip-edges=false\n"
KINDS = {
    "tdnn": ExtractorNetworkOptions("tdnn", 8000, 5, 8, num_ceps=13, pooled_width=9),
    "sliding mean": ExtractorNetworkOptions(
        "tdnn", 8000, 5, 8, num_ceps=13, pooled_width=9, mean="sliding"
    ),
    "no mean": ExtractorNetworkOptions(
        "tdnn", 8000, 5, 8, num_ceps=13, pooled_width=9, mean="none"
    ),
    "attention": ExtractorNetworkOptions(
        "attention", 8000, 5, 8, pooling="average", attention_heads=2
    ),
    "sincnet": ExtractorNetworkOptions("sincnet", 8000, 5, 8),
}


def compute_features(options, samples):
    blocks = feature_source(options)(np.array_split(samples, 7))
    return torch.from_numpy(normalize_features(options, np.concatenate([*blocks])))


@pytest.fixture(params=KINDS)
def trained(request, rng):
    """A network, what its batch normalisation has seen, and its features of audio."""
    options = KINDS[request.param]
    samples = (2000 * rng.standard_normal(8000 * 4)).astype(np.int16)
    features = compute_features(options, samples)
    network = new_network(options, 7)
    with torch.no_grad():
        network(features[:300].reshape(4, 75, -1))
    return network.eval(), samples, features


def test_extractors_give_what_the_network_gives(trained, tmp_path):
    network, samples, features = trained
    write_extractor(tmp_path / "model", network)
    extractor = Extractor.load(tmp_path / "model", device="cpu")
    assert (extractor.dim, extractor.sample_rate) == (5, 8000)
    windows = np.array([[0, 1.5], [2, 4], [0.75, 2.25], [1, 1.6]])
    expected = []
    for start, end in windows:
        frames = features[round(100 * start) : round(100 * end)]
        if network.options.mean == "window" and not network.options.takes_samples:
            frames = frames - frames.mean(dim=0)
        with torch.no_grad():
            expected.append(network(frames[None])[0])
    found = extractor.embed(samples, windows)
    np.testing.assert_allclose(found, np.stack(expected), atol=1e-4)
    # The shortest windows are made longer as the network needs it.
    assert np.isfinite(extractor.embed(samples, [[0, 0.02]])).all()
    write_single(tmp_path / "model" / "mean.vec", np.ones(5, np.float32))
    loaded = Extractor.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.model.mean, np.ones(5))


def test_networks_are_read_as_they_were_written(trained, tmp_path):
    network, _, features = trained
    write_extractor(tmp_path, network)
    found = read_network(tmp_path)
    assert found.options == network.options
    assert found.state_dict().keys() == network.state_dict().keys()
    for name, tensor in network.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    # The fewest frames are enough, and one less is not.
    fewest = network.fewest_frames
    assert network(features[None, :fewest]).shape == (1, 5)
    with pytest.raises(RuntimeError):
        network(features[None, : fewest - 1])


def test_a_seed_makes_one_network_and_leaves_torchs_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    one, same, other = (new_network(KINDS["tdnn"], seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(one.embedding.weight, same.embedding.weight)
    assert not torch.equal(one.embedding.weight, other.embedding.weight)


def test_attention_is_softmax_of_scaled_products(rng):
    options = ExtractorNetworkOptions("attention", 8000, 3, 4, attention_heads=2)
    layer = new_network(options, 1).layers[0].double()
    x = rng.standard_normal((6, 4))

    def apply(module, values):
        return module(torch.from_numpy(values)).detach().numpy()

    q, k, v = np.split(apply(layer.projections, apply(layer.attention_norm, x)), 3, 1)
    heads = []
    for head in (slice(0, 2), slice(2, 4)):
        weights = np.exp(q[:, head] @ k[:, head].T / np.sqrt(2))
        heads.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, head])
    attended = x + apply(layer.merge, np.hstack(heads))
    hidden = np.maximum(apply(layer.inner, apply(layer.inner_norm, attended)), 0)
    expected = attended + apply(layer.outer, hidden)
    found = layer(torch.from_numpy(x)[None])[0].detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


# ---- Kaldi -------------------------------------------------------------------------


@pytest.fixture(params=["tiny", "tiny7"])
def tiny(request, golden):
    return golden / "frontend" / "model" / request.param


def test_kaldis_networks_give_kaldis_xvectors_in_torch(golden, tiny):
    network = from_nnet3(
        read_nnet3(tiny / "final.raw", tiny / "extract.config"), 8000
    ).eval()
    data = golden / "frontend" / "data" / "8k"
    features = torch.tensor(dict(read_table(data / "cmn.ark", "matrix"))["trn06-8k"])
    frames = [line.split()[2:4] for line in (data / "frames").read_text().splitlines()]
    lines = (tiny / "xvector_8k.txt").read_text().splitlines()
    expected = np.array([line.split()[2:-1] for line in lines], float)
    with torch.no_grad():
        found = [
            network(features[None, int(start) : int(end)].float())[0]
            for start, end in frames
        ]
    np.testing.assert_allclose(np.stack(found), expected, atol=1e-4)


def test_from_kaldi_to_torch_and_back_no_byte_changes(golden, tmp_path):
    tiny = golden / "frontend" / "model" / "tiny"
    text, path = (tiny / "final.txt").read_text(), tmp_path / "final.txt"
    network = from_nnet3(read_nnet3(tiny / "final.txt", tiny / "extract.config"), 8000)
    write_nnet3(path, to_nnet3(network), as_text=True)
    # Kaldi's own file, without what follows the embedding.
    nodes, components = text.split("<NumComponents> ")
    nodes = nodes[: nodes.index("component-node name=tdnn6.relu")]
    output = "output-node name=output input=tdnn6.affine objective=linear\n\n"
    first = components.index("<ComponentName> ")
    last = components.index("<ComponentName> tdnn6.relu")
    expected = f"{nodes}{output}<NumComponents> 18 \n{components[first:last]}</Nnet3> "
    assert path.read_text() == expected


@pytest.fixture
def folder(golden, tmp_path):
    """A Kaldi model folder."""
    folder = tmp_path / "kaldi"
    shutil.copytree(golden / "frontend/model/tiny", folder)
    (folder / "mfcc.conf").write_text(CONF)
    return folder


def test_a_kaldi_model_can_be_trained_further(folder, tmp_path):
    network = read_network(folder)
    options = network.options
    assert (options.width, options.pooled_width, options.num_ceps) == (16, 24, 23)
    write_extractor(tmp_path / "again", network)
    one, other = (Extractor.load(path) for path in (folder, tmp_path / "again"))
    assert one.mfcc == other.mfcc
    samples = np.sin(np.arange(16000.0)).astype(np.float32) * 1000
    expected = one.embed(samples, [[0, 2]])
    np.testing.assert_array_equal(other.embed(samples, [[0, 2]]), expected)
    # Speech is detected by its energy for Kaldi's models alone.
    assert one.vad is not None
    assert other.vad is None


@pytest.mark.parametrize(
    ("name", "old", "new", "named"),
    [
        ("final.txt", "Append(Offset(input, -2)", "Append(Offset(input, -3)", "inputs"),
        ("final.txt", "<Epsilon> 0.001", "<Epsilon> 0.01", "batchnorm.* kind"),
        ("extract.config", "tdnn6.affine", "output.affine", "7 affine"),
        ("mfcc.conf", "3700", "3800", "3700 Hz"),
        ("final.txt", "tdnn3.relu input=tdnn3.affine", "tdnn3.relu input=input", None),
    ],
)
def test_other_networks_of_kaldi_are_refused(folder, name, old, new, named):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    shutil.move(folder / "final.txt", folder / "final.raw")
    with pytest.raises(FormatError, match=named):
        read_network(folder)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("extractor.toml", b"heads = 3", "extractor.toml: .*heads"),
        ("extractor.toml", b'network = "lstm"', "extractor.toml: .*network.* tdnn"),
        ("extractor.toml", b"sample_rate = 11025", "extractor.toml: .*8000 or 16000"),
        ("extractor.toml", b'network = "attention"', "weights.npz: .*extractor.toml"),
        ("weights.npz", b"PK\3\4", "weights.npz: is broken"),
        ("weights.npz", None, "weights.npz: no such file"),
    ],
)
def test_damaged_folders_are_refused(tmp_path, name, content, named):
    write_extractor(tmp_path, new_network(KINDS["attention"], 0))
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FormatError, match=named):
        Extractor.load(tmp_path)


def test_what_is_no_folder_of_a_network_is_refused(tmp_path):
    with pytest.raises(FormatError, match="train-extractor"):
        read_network(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    "values",
    [
        {"sample_rate": 11025},
        {"pooling": "average"},
        {"network": "attention", "width": 12, "attention_heads": 4},
        {"network": "attention", "pooled_width": 12},
        {"network": "sincnet", "attention_heads": 8},
    ],
)
def test_options_that_contradict_each_other_are_refused(values):
    with pytest.raises(UsageError, match="--"):
        ExtractorNetworkOptions(**values)


def test_samples_that_are_not_finite_are_named():
    samples = np.zeros(1000, np.float32)
    samples[900] = np.nan
    source = feature_source(KINDS["sincnet"])
    with pytest.raises(DataError, match="sample 900"):
        list(source(np.array_split(samples, 3)))
