"""Kaldi's nnet3 models: what is read, and what is refused in one line."""

import pickle
import struct

import numpy as np
import pytest

from ssahc.core.errors import FormatError
from ssahc.core.nnet3 import Affine, Normalization
from ssahc.io.nnet3 import read_nnet3


@pytest.fixture(scope="module")
def tiny(golden):
    return golden / "frontend" / "model" / "tiny"


@pytest.fixture(scope="module")
def text(tiny):
    return (tiny / "final.txt").read_text()


def test_text_and_binary_models_are_the_same(tiny):
    models = [
        read_nnet3(tiny / name, tiny / "extract.config")
        for name in ("final.raw", "final.txt")
    ]
    assert [model.input_dim for model in models] == [23, 23]
    assert [model.output_dim for model in models] == [12, 12]
    for one, other in zip(models[0].nodes, models[1].nodes):
        assert (one.name, one.inputs, one.dim) == (other.name, other.inputs, other.dim)
        match one.component:
            case Affine(weight=first, bias=second):
                both = other.component.weight, other.component.bias
            case Normalization(scale=first, offset=second):
                both = other.component.scale, other.component.offset
            case _:
                # Text has 7 digits.
                assert str(one.component)[:70] == str(other.component)[:70]
                continue
        np.testing.assert_allclose(first, both[0], rtol=1e-5)
        np.testing.assert_allclose(second, both[1], rtol=1e-5)


def test_config_names_another_output(tiny, tmp_path):
    assert read_nnet3(tiny / "final.raw").nodes[-2].name == "output.log-softmax"
    config = tmp_path / "config"
    config.write_text("# earlier\noutput-node name=output input=Append(tdnn6.relu)\n")
    assert read_nnet3(tiny / "final.raw", config).nodes[-2].name == "tdnn6.relu"
    config.write_text("\nreload name=output\n")
    with pytest.raises(FormatError, match=r"config:2: .*'reload'"):
        read_nnet3(tiny / "final.raw", config)


def test_descriptors_give_nodes_and_offsets(text, tmp_path):
    path = tmp_path / "final.txt"
    nested = "Append(Offset(Append(input, Round(Offset(input, 1), 1)), -2)"
    path.write_text(edit(text, "Append(Offset(input, -2), Offset(input, -1)", nested))
    offsets = [one.offset for one in read_nnet3(path).nodes[0].inputs]
    assert offsets == [-2, -1, 0, 1, 2]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("<RectifiedLinearComponent>", "<LstmNonlinearityComponent>", "LstmNonlin"),
        ("Append(Offset(input, -2)", "Sum(Offset(input, -2)", "'Sum'"),
        ("Append(Offset(input, -2)", "Append(Offset(input, x)", "'x'"),
        ("Append(Offset(input, -2)", "(" * 40 + "Append(", "descriptor"),
        ("Append(Offset(input, -2)", "Append(" * 400 + "input", "nested"),
        (
            "tdnn2.affine input=Append(",
            "tdnn2.affine input=Append(nowhere, ",
            "nowhere",
        ),
        ("input=tdnn1.affine", "input=tdnn2.affine", "depends on itself"),
        ("output-node name=output", "output-node name=other", "'other'"),
        ("<Count> 3992", "<Count> 0", "tdnn1.batchnorm.*count 0"),
        ("<StatsMean>  [ 5", "<StatsMean>  [ nan 5", "tdnn1.batchnorm"),
        ("<LinearParams>  [\n  ", "<LinearParams>  [\n  1e39 ", "tdnn1.affine|row"),
        ("<BiasParams>  [ ", "<BiasParams>  [ inf ", "tdnn1.affine"),
        ("<BlockDim> 16", "<BlockDim> 5", "blocks of 5"),
        ("<Epsilon> 0.001", "<Epsilon> F", "Epsilon|number"),
        ("<Epsilon> 0.001", "", "Epsilon"),
        (
            "input-node name=input dim=23",
            "input-node name=input dim=24",
            "tdnn1.affine",
        ),
        ("input-node name=input dim=23", "input-node name=ivector dim=23", "input"),
        ("<InputPeriod> 1", "<InputPeriod> 10", "period"),
        ("<NumComponents> ", "<NumComponents> 9", "ComponentName"),
        ("<ComponentName> tdnn1.affine", "<ComponentName> tdnn1.x", "tdnn1.affine"),
        ("</Nnet3> ", "</Nnet3> \nmore", "follow"),
    ],
)
def test_unusable_models_are_refused_by_name(text, tmp_path, old, new, named):
    path = tmp_path / "final.txt"
    path.write_text(edit(text, old, new))
    with pytest.raises(FormatError, match=named) as caught:
        read_nnet3(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_components_behind_the_output_may_be_of_any_kind(tiny, text, tmp_path):
    path = tmp_path / "final.txt"
    path.write_text(text.replace("LogSoftmaxComponent", "SoftmaxComponent"))
    assert read_nnet3(path, tiny / "extract.config").output_dim == 12
    with pytest.raises(FormatError, match="SoftmaxComponent"):
        read_nnet3(path)


def test_truncated_models_are_refused(tiny, tmp_path):
    path = tmp_path / "final.raw"
    for name in ("final.raw", "final.txt"):
        data = (tiny / name).read_bytes()
        for size in range(0, len(data) - 12, len(data) // 41):
            path.write_bytes(data[:size])
            with pytest.raises(FormatError):
                read_nnet3(path, tiny / "extract.config")


def test_a_header_alone_allocates_nothing(tiny, tmp_path):
    path = tmp_path / "final.raw"
    data = (tiny / "final.raw").read_bytes()
    huge = struct.pack("<bibi", 4, 2**31 - 1, 4, 2**31 - 1)
    place = data.index(b"FM ") + 3
    path.write_bytes(data[:place] + huge + data[place + 10 :])
    with pytest.raises(FormatError, match="truncated"):
        read_nnet3(path)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "empty"),
        (b"\0B<Plda> FV ", "PLDA"),
        (b"\0B<TransitionModel> ", "nnet3-am-copy"),
        (b"\x08\x08\x12\x05ssahc", "ONNX"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"PK\x03\x04", "PyTorch"),
        (b"RIFF\0\0\0\0WAVE", "RIFF"),
    ],
)
def test_other_files_are_named(tmp_path, data, named):
    path = tmp_path / "final.raw"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=named):
        read_nnet3(path)


def edit(text, old, new):
    assert old in text
    return text.replace(old, new, 1)
