"""X-vectors are Kaldi's, whatever the windows and however the audio comes."""

import shutil

import numpy as np
import pytest
from kaldi_tables import read_table

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.nnet3 import (
    Affine,
    Input,
    LogSoftmax,
    Nnet3,
    Node,
    Normalization,
    Relu,
    StatisticsExtraction,
    StatisticsPooling,
)
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.kaldi_nnet3 import ChunkOptions, load_kaldi
from ssahc.frontend.extractors.tdnn import embed_chunks, prepare_tdnn
from ssahc.io.ark import write_single

# nnet3-xvector-compute --min-chunk-size=20 --chunk-size=400
CHUNKS = ChunkOptions(min_chunk_size=20, chunk_size=400)
CONF = "--sample-frequency=8000\n--high-freq=3700\n--num-ceps=23\n--snip-edges=false\n"


OUTPUT = "output-node name=output input="


@pytest.fixture(scope="module")
def folder(golden, tmp_path_factory):
    """A Kaldi model folder with the tiny network."""
    folder = tmp_path_factory.mktemp("tiny")
    shutil.copytree(golden / "frontend/model/tiny", folder, dirs_exist_ok=True)
    (folder / "mfcc.conf").write_text(CONF)
    return folder


def make_folder(tmp_path, model, conf, network="final.raw"):
    shutil.copy(model / network, tmp_path / "final.raw")
    shutil.copy(model / "extract.config", tmp_path)
    (tmp_path / "mfcc.conf").write_text(conf)
    return tmp_path


def read_windows(kaldi):
    """Return the windows (N, 2) of a recording, in seconds."""
    frames = [line[2:4] for line in kaldi.read_lines("frames")]
    return np.array(frames, float) * 0.01


@pytest.mark.parametrize(
    "network", ["tiny/final.raw", "tiny/final.txt", "tiny7/final.raw"]
)
def test_xvectors_of_small_networks_are_kaldis(golden, tmp_path, network):
    home = golden / "frontend"
    model, name = network.split("/")
    folder = make_folder(tmp_path, home / "model" / model, CONF, name)
    lines = (home / "model" / model / "xvector_8k.txt").read_text().splitlines()
    expected = [[float(x) for x in line.split()[2:-1]] for line in lines]
    frames = [
        line.split()[2:4] for line in (home / "data/8k/frames").read_text().splitlines()
    ]
    windows = np.array(frames, float) * 0.01
    features = dict(read_table(home / "data/8k/cmn.ark", "matrix"))["trn06-8k"]
    extractor = load_kaldi(folder, cmvn=None, chunks=CHUNKS)
    found = extractor.embed_features(features, windows)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    features = dict(read_table(home / "data/8k/mfcc.ark", "matrix"))["trn06-8k"]
    found = load_kaldi(folder, chunks=CHUNKS).embed_features(features, windows)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_xvectors_of_the_recipes_networks_are_kaldis(kaldi, test_data, tmp_path):
    if kaldi.name not in ("prompts-8k", "libri-16k"):
        pytest.skip("two recordings are enough for two networks")
    home = test_data / "golden" / "frontend"
    rate = kaldi.name.split("-")[-1]
    model = home / "model" / {"8k": "v2", "16k": "voxceleb"}[rate]
    conf = (home / "conf" / f"mfcc_{rate}.conf").read_text()
    folder = make_folder(tmp_path, model, conf)

    def read_features(table):
        path = home / "data" / rate / f"{table}.ark"
        return dict(read_table(path, "matrix"))[kaldi.name]

    def read_xvectors(table):
        text = (home / "data" / rate / f"{table}.txt").read_text()
        lines = (line.split() for line in text.splitlines())
        return [
            [float(x) for x in line[2:-1]]
            for line in lines
            if line[0].startswith(kaldi.name)
        ]

    windows = read_windows(kaldi)
    end = len(kaldi.read("mfcc")) * 0.01
    extractor = load_kaldi(folder, cmvn=None, chunks=CHUNKS)
    for features, table, times in (
        ("cmn", "xvector_cmn", windows),
        ("cmn_compressed", "xvector_cmn_compressed", windows),
        ("cmn", "xvector_whole", [[0, end]]),
        # The same 12 frames as often as there are lines.
        ("cmn", "xvector_short", [[0.03, 0.15]]),
    ):
        expected = read_xvectors(table)
        found = extractor.embed_features(read_features(features), times)
        np.testing.assert_allclose(found, expected[: len(times)], atol=2e-4)
    found = load_kaldi(folder, chunks=CHUNKS).embed(kaldi.samples, windows)
    np.testing.assert_allclose(found, read_xvectors("xvector_cmn"), atol=5e-4)


def test_blocks_of_audio_and_orders_of_windows_do_not_matter(folder, rng):
    extractor = Extractor.load(folder, device="cpu")
    samples = (1000 * rng.standard_normal(8000 * 100)).astype(np.int16)
    starts = rng.uniform(0, 95, 40)
    windows = np.column_stack([starts, starts + rng.uniform(0.2, 5, 40)])
    windows = np.vstack([windows, [0, 100], [99.9, 100.4]])
    expected = extractor.embed(samples, windows)
    order = rng.permutation(len(windows))
    blocks = np.split(samples, np.sort(rng.integers(0, len(samples), 9)))
    found = extractor.embed(iter(blocks), windows[order])
    np.testing.assert_allclose(found, expected[order], atol=1e-5)
    assert extractor.embed(samples, np.zeros((0, 2))).shape == (0, extractor.dim)


def test_short_windows_are_padded_and_long_ones_cut(folder, rng):
    features = rng.standard_normal((700, 23)).astype(np.float32)
    options = ChunkOptions(min_chunk_size=50, chunk_size=200)
    extractor = load_kaldi(folder, cmvn=None, chunks=options)
    one = load_kaldi(folder, cmvn=None, chunks=ChunkOptions(min_chunk_size=15))

    def embed(frames):
        return one.embed_features(frames, [[0, len(frames) * 0.01]])[0]

    (short, long) = extractor.embed_features(features, [[0.1, 0.31], [0.5, 4.7]])
    padded = np.pad(features[10:31], ((14, 15), (0, 0)), mode="edge")
    np.testing.assert_allclose(short, embed(padded), atol=1e-5)
    rest = np.pad(features[450:470], ((15, 15), (0, 0)), mode="edge")
    parts = [embed(features[50:250]), embed(features[250:450]), embed(rest)]
    average = np.average(parts, axis=0, weights=[200, 200, 20])
    np.testing.assert_allclose(long, average, atol=1e-5)


@pytest.mark.parametrize("include_variance", [True, False])
@pytest.mark.parametrize("output_stddevs", [True, False])
def test_any_tdnn_gives_what_layer_by_layer_computation_gives(
    rng, include_variance, output_stddevs
):
    def affine(outputs, inputs):
        weight = rng.standard_normal((outputs, inputs)) / np.sqrt(inputs)
        bias = rng.standard_normal(outputs)
        return Affine(weight.astype(np.float32), bias.astype(np.float32))

    def norm(dim):
        return Normalization(rng.standard_normal(dim), rng.uniform(0.5, 2, dim))

    def inputs(name, *offsets):
        return tuple(Input(name, offset) for offset in offsets)

    size = 1 + (2 if include_variance else 1) * 9
    count = StatisticsExtraction(9, include_variance)
    pool = StatisticsPooling(size, 0, 60, 2, output_stddevs, 1e-3)
    nodes = (
        Node("norm0", norm(3), inputs("input", 0), 3),
        Node("wide", affine(130, 9), inputs("norm0", -1, 0, 4), 130),
        Node("relu1", Relu(130), inputs("wide", 0), 130),
        Node("norm1", norm(130), inputs("relu1", 0), 130),
        Node("dilated", affine(5, 390), inputs("norm1", -4, -1, 2), 5),
        Node("relu2", Relu(5), inputs("dilated", 0), 5),
        # What the rectifier is given is needed as it was.
        Node("norm3", norm(5), inputs("relu2", 0), 5),
        Node("both", None, inputs("norm3", 1) + inputs("dilated", 0), 10),
        Node("narrow", affine(9, 10), inputs("both", 0), 9),
        Node("norm2", norm(9), inputs("narrow", -2), 9),
        Node("count", count, inputs("norm2", 0), size),
        Node("pool", pool, inputs("count", 0), size + 1),
        Node("last", affine(4, size + 1), inputs("pool", 0), 4),
        Node("output", LogSoftmax(4), inputs("last", 0), 4),
    )
    net = Nnet3(3, nodes)
    tdnn = prepare_tdnn(net)
    features = rng.standard_normal((2000, 3)).astype(np.float32)
    chunks = np.array(
        [[0, 1500], [3, 60], [20, 80], [1700, 1790], [1990, 2000], [40, 41 + 15]]
    )
    chunks = chunks[chunks[:, 1] - chunks[:, 0] > sum(tdnn.context)]
    found = embed_chunks(tdnn, features, chunks)
    # Not "cpu", so by torch as on a GPU.
    by_torch = embed_chunks(prepare_tdnn(net, "cpu:0"), features, chunks)
    np.testing.assert_allclose(by_torch, found, atol=1e-5)
    for row, (first, last) in zip(found, chunks):
        expected = compute_naively(net, features[first:last])
        np.testing.assert_allclose(row, expected, atol=1e-4)


def compute_naively(net, features):
    """Compute every node on every frame of a chunk where it can be; NaN elsewhere."""
    values = {"input": features.astype(np.float64)}
    length = len(features)
    for node in net.nodes:
        parts = []
        for one in node.inputs:
            source = values[one.node]
            if source.ndim == 1:
                parts.append(source)
                continue
            part = np.full((length, source.shape[1]), np.nan)
            for t in range(length):
                if 0 <= t + one.offset < length:
                    part[t] = source[t + one.offset]
            parts.append(part)
        x = np.concatenate(parts, axis=-1)
        match node.component:
            case Affine(weight=weight, bias=bias):
                x = x @ weight.T.astype(np.float64) + bias
            case Relu():
                x = np.where(x < 0, 0, x)
            case Normalization(scale=scale, offset=offset):
                x = x * scale + offset
            case StatisticsPooling() as pooling:
                known = x[: pooling.right + 1]
                known = known[~np.isnan(known).any(axis=1)]
                means, squares = known.mean(axis=0), (known**2).mean(axis=0)
                log = [np.log(len(known))] * pooling.num_log_counts
                if pooling.dim == 1 + len(means):
                    squares = squares[:0]
                elif pooling.output_stddevs:
                    squares = np.sqrt(
                        np.maximum(known.var(axis=0), pooling.variance_floor)
                    )
                x = np.concatenate([log, means, squares])
            case LogSoftmax():
                x = x - np.log(np.exp(x).sum())
        values[node.name] = x
    return x


def test_chunk_sizes_are_read_from_the_folder(folder, tmp_path, rng):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "min_chunk_size").write_text("25\n")
    (tmp_path / "max_chunk_size").write_text("90\n")
    features = rng.standard_normal((300, 23)).astype(np.float32)
    options = ChunkOptions(min_chunk_size=25, chunk_size=90)
    windows = [[0, 3], [1, 1.1]]
    expected = load_kaldi(folder, chunks=options).embed_features(features, windows)
    found = load_kaldi(tmp_path).embed_features(features, windows)
    np.testing.assert_array_equal(found, expected)
    (tmp_path / "min_chunk_size").write_text("many\n")
    with pytest.raises(FormatError, match="min_chunk_size"):
        load_kaldi(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [
        ("extract.config", "", r"final.raw: .*extract.config"),
        ("extract.config", f"{OUTPUT}tdnn4.affine\n", "Pooling"),
        ("extract.config", f"{OUTPUT}Append(tdnn6.affine, input)\n", "mixes"),
        ("mfcc.conf", "--num-ceps=20\n", "final.raw: .* 23 .* 20"),
        ("mfcc.conf", None, "mfcc.conf"),
        ("min_chunk_size", "14", "final.raw: .*15 frames.* 14"),
    ],
)
def test_a_folder_that_does_not_fit_together_is_refused(
    folder, tmp_path, name, text, named
):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).unlink(missing_ok=True)
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=named):
        Extractor.load(tmp_path)


def test_chunks_shorter_than_the_least_are_refused():
    with pytest.raises(UsageError, match="--chunk-size"):
        ChunkOptions(min_chunk_size=100, chunk_size=50)


def test_a_model_of_other_dimensions_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    assert Extractor.load(tmp_path).model.mean is None
    write_single(tmp_path / "mean.vec", np.ones(12, np.float32))
    assert len(Extractor.load(tmp_path).model.mean) == 12
    write_single(tmp_path / "transform.mat", np.eye(13, dtype=np.float32)[:4])
    assert Extractor.load(tmp_path).model.transform.shape == (4, 13)
    write_single(tmp_path / "mean.vec", np.ones(128, np.float32))
    (tmp_path / "transform.mat").unlink()
    with pytest.raises(FormatError, match=r"mean.vec: .*128.*12"):
        Extractor.load(tmp_path)
