"""Segmentation networks as ONNX files."""

import shutil
import sys

import numpy as np
import pytest
import soundfile
import torch
from fault_table import PAGE

from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.loading import (
    TrainedNet,
    load_segmenter,
    write_network,
)
from ssahc.frontend.segmentation.model import SegmentationNet
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.frontend.segmentation.onnx_export import write_onnx

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
NETWORKS = {
    "powerset": NetworkOptions(encoder="sincnet", sample_rate=8000, lstm_dim=8),
    "multilabel": NetworkOptions(head="multilabel", chunk_speakers=2, lstm_dim=8),
}


@pytest.fixture(scope="module", params=NETWORKS)
def folder(request, tmp_path_factory):
    """A network as train-segmentation writes it."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    network = SegmentationNet(NETWORKS[request.param])
    write_network(folder / "segmentation.npz", TrainedNet(network, 0.3))
    return folder


def test_the_verb_writes_a_network_that_equals_the_original(folder, ssahc_here, rng):
    arguments = ("export-segmentation", folder, folder / "net.onnx")
    result = ssahc_here(*arguments)
    assert (result.returncode, result.stderr) == (0, "")
    assert "chunks of 10 s at" in result.stdout
    original = load_segmenter(folder / "segmentation.npz")
    exported = Segmenter.load(folder / "net.onnx", device="cpu")
    for name in ("sample_rate", "chunk", "frame_shift", "receptive_field"):
        assert getattr(exported, name) == getattr(original, name)
    np.testing.assert_array_equal(exported.sets, original.sets)
    stretch = 0.1 * rng.standard_normal(30_000, np.float32) + np.float32(0.05)
    step = 5 * original.frame_shift
    for size in (9000, 20_000):
        found = exported.run(stretch, size, step)
        expected = original.run(stretch, size, step)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(np.exp(found).sum(-1), 1, atol=1e-5)
    for wrong, message in (
        ((folder / "net.onnx", folder / "b.onnx"), "net.onnx: is an ONNX file"),
        ((folder, folder / "net.bin"), "net.bin: the name of an ONNX file ends"),
        ((folder, folder / "no" / "net.onnx"), "no: no such folder"),
    ):
        result = ssahc_here("export-segmentation", *wrong)
        assert result.returncode == 2
        assert message in result.stderr


def test_segmentation_3_equals_pyannotes_network(segmenter, test_data, tmp_path):
    path = tmp_path / "segmentation-3.0.onnx"
    weights = segmenter.run.args[0]
    write_onnx(path, TrainedNet(weights))
    audio = test_data / "data" / "ami_audio" / "pyannote_sample.wav"
    samples, _ = soundfile.read(audio, dtype="float32", frames=160_000)
    golden = test_data / "golden" / "frontend" / "pretrained"
    expected = np.load(golden / "pyannote_sample.segmentation-3.0.npy")
    found = Segmenter.load(path, device="cpu").run(samples, 160_000, 160_000)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    network = SegmentationNet(NetworkOptions(lstm_dim=8, lstm_layers=1))
    write_onnx(path, TrainedNet(network))
    return onnx.load(path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample_rate": ""}, "has no sample_rate"),
        ({"num_speakers": "-3"}, "num_speakers: .*'-3'"),
        ({"num_speakers": "99999"}, "num_speakers: expected 1 to 8"),
        ({"window_size": "1" * 5000}, "window_size: "),
        ({"window_size": "2000"}, "window_size: .*2320"),
        ({"num_classes": "8"}, "num_classes: expected 7, found 8"),
        ({"powerset_max_classes": "4"}, "powerset_max_classes: expected 3"),
        ({"receptive_field_size": "9000"}, "gives shape .* expected"),
        (
            {"num_classes": "4", "powerset_max_classes": "1"},
            "gives shape .*7.* expected",
        ),
    ],
)
def test_metadata_that_do_not_fit_are_named(exported, tmp_path, changes, named):
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    metadata = {item.key: item.value for item in model.metadata_props} | changes
    onnx.helper.set_model_props(model, {k: v for k, v in metadata.items() if v})
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(FormatError, match=rf"net\.onnx: .*{named}"):
        Segmenter.load(tmp_path / "net.onnx", device="cpu")


def test_other_and_damaged_files_are_named(exported, golden, tmp_path, monkeypatch):
    path = tmp_path / "net.onnx"
    shutil.copy(golden / "frontend" / "onnx" / "rectified-mean.onnx", path)
    with pytest.raises(FormatError) as caught:
        Segmenter.load(path, device="cpu")
    row = PAGE["Audio"]["an ONNX file of something else for `--segmentation`"]
    assert row.is_said_in(f"ssahc: error: {caught.value}")
    path.write_bytes(b"\x08\x08\x12\x05ssahc")
    with pytest.raises(FormatError, match=r"net\.onnx: no usable ONNX model"):
        Segmenter.load(path, device="cpu")
    # Weights in other files could be anywhere.
    model = onnx.ModelProto()
    model.CopyFrom(exported)
    external = {"save_as_external_data": True, "location": "net.bin"}
    onnx.save(model, path, **external, size_threshold=0)
    with pytest.raises(FormatError, match=r"net\.onnx: no usable ONNX model"):
        Segmenter.load(path, device="cpu")
    monkeypatch.setitem(sys.modules, "onnx", None)
    trained = TrainedNet(SegmentationNet(NetworkOptions(lstm_dim=1)))
    with pytest.raises(UsageError, match=r"pip install 'ssahc\[onnx\]'"):
        write_onnx(path, trained)
