"""Networks are written as Kaldi's nnet3-copy writes them, byte for byte."""

from dataclasses import replace

import pytest

from ssahc.core.errors import DataError
from ssahc.io.nnet3 import read_nnet3
from ssahc.io.nnet3_writing import write_nnet3


@pytest.mark.parametrize(
    "name", ["tiny/final.raw", "tiny/final.txt", "tiny7/final.raw"]
)
def test_kaldis_models_are_rewritten_byte_for_byte(golden, tmp_path, name):
    source, path = golden / "frontend" / "model" / name, tmp_path / "final.raw"
    write_nnet3(path, read_nnet3(source), as_text=name.endswith(".txt"))
    assert path.read_bytes() == source.read_bytes()


def test_text_and_binary_hold_the_same_values(golden, tmp_path):
    nnet = read_nnet3(golden / "frontend/model/tiny7/final.raw")
    for name, as_text in (("text", True), ("binary", False), ("again", True)):
        write_nnet3(tmp_path / name, nnet, as_text=as_text)
        nnet = read_nnet3(tmp_path / name)
    text = (tmp_path / "text").read_text()
    assert (tmp_path / "again").read_text() == text
    assert text.startswith("<Nnet3>")


def test_nodes_without_a_component_are_refused(golden, tmp_path):
    nnet = read_nnet3(golden / "frontend/model/tiny/final.raw")
    first, *others = nnet.nodes
    nnet = replace(nnet, nodes=(replace(first, component=None), *others))
    with pytest.raises(DataError, match=r"tdnn1.affine"):
        write_nnet3(tmp_path / "final.raw", nnet)
    assert not list(tmp_path.iterdir())
