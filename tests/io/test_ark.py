import os
import struct
import subprocess
import sys
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from kaldi_tables import read_table

from ssahc.core.errors import FormatError
from ssahc.io.ark import (
    ArchiveWriter,
    read_entries,
    read_single,
    write_single,
)
from ssahc.io.objects import format_text
from ssahc.io.scp import read_scp


def read_all(path, kind="vector"):
    return dict(read_table(path, kind))


def write_archive(folder, items):
    with ArchiveWriter(folder / "x.ark", folder / "x.scp") as archive:
        for key, value in items.items():
            archive.write(key, value)
    return folder / "x.scp"


# ---- files of real Kaldi -----------------------------------------------------------


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_scp_archive_and_text_hold_the_same(golden, name):
    folder = golden / "plda_train"
    binary, by_scp = read_all(folder / f"{name}.ark"), read_all(folder / f"{name}.scp")
    text = read_all(folder / f"{name}.txt.ark")
    assert list(binary) == list(by_scp) == list(text)
    for key, vector in binary.items():
        assert np.array_equal(vector, by_scp[key])
        np.testing.assert_allclose(text[key], vector, rtol=1e-6)


@pytest.mark.parametrize(
    ("source", "kind"),
    [("plda_train/balanced.ark", "vector"), ("ahc_random/scores.ark", "matrix")],
)
def test_archives_are_written_as_kaldi_does(golden, tmp_path, source, kind):
    scp = write_archive(tmp_path, read_all(golden / source, kind))
    assert (tmp_path / "x.ark").read_bytes() == (golden / source).read_bytes()
    expected = (golden / source).with_suffix(".scp")
    if expected.exists():
        assert scp.read_text().replace("x.ark", "balanced.ark") == expected.read_text()


@pytest.mark.parametrize(
    ("name", "kind", "binary"),
    [("mean.vec", "vector", False), ("transform.mat", "matrix", True)],
)
def test_single_objects_are_written_as_kaldi_does(golden, tmp_path, name, kind, binary):
    source = golden / "plda_train" / f"balanced.{name}"
    write_single(tmp_path / name, read_single(source, kind), binary=binary)
    assert (tmp_path / name).read_bytes() == source.read_bytes()


def test_text_is_formatted_as_kaldi_does(test_data):
    model = test_data / "golden" / "callhome_real" / "model" / "transform.txt"
    assert format_text(read_single(model, "matrix")) == model.read_text()


def test_archives_are_read_front_to_back(tmp_path):
    items = {f"k{i}": np.full(3, i, np.float32) for i in range(5)}
    scp = write_archive(tmp_path, items)
    entries = list(read_scp(scp).values())
    assert [key for key, _ in read_entries(entries[::-1], "vector")] == list(items)


def test_vector_is_not_read_as_a_matrix_like_the_one_before(tmp_path):
    items = {"m": np.ones((3, 1)), "v": np.ones(3), "w": np.ones(3)}
    results = read_all(write_archive(tmp_path, items), "matrix")
    assert np.array_equal(results["m"], items["m"])
    for key in "vw":
        assert "expected a matrix (FM/DM), found b'DV '" in str(results[key])


def test_memory_does_not_grow_with_the_archive(tmp_path):
    scp = write_archive(tmp_path, {f"k{i}": np.ones(4000) for i in range(100)})
    entries = read_scp(scp).values()
    tracemalloc.start()
    # Vectors that wait for the rest of their recording keep no blocks alive.
    kept = [
        pair for i, pair in enumerate(read_entries(entries, "vector")) if i % 50 < 1
    ]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 2
    assert peak < 1e6 < (tmp_path / "x.ark").stat().st_size / 3


# ---- compressed matrices -----------------------------------------------------------


def compress(token, minimum, value_range, body, shape):
    return b"\0B" + token + struct.pack("<ffii", minimum, value_range, *shape) + body


def decode_element(code, quartiles, minimum, value_range):
    """Decode one element: Kaldi draws three straight lines through the quartiles."""
    p0, p25, p75, p100 = (minimum + value_range * q / 65535 for q in quartiles)
    if code <= 64:
        return p0 + (p25 - p0) * code / 64
    if code <= 192:
        return p25 + (p75 - p25) * (code - 64) / 128
    return p75 + (p100 - p75) * (code - 192) / 63


def test_compressed_with_quartiles_equals_the_definition(tmp_path, rng):
    rows, columns = 256, 7
    quartiles = np.sort(rng.integers(0, 65536, (columns, 4)), axis=1).astype("<u2")
    codes = np.stack([rng.permutation(256) for _ in range(columns)]).astype("u1")
    path = tmp_path / "m"
    body = quartiles.tobytes() + codes.tobytes()
    path.write_bytes(compress(b"CM ", -3, 8, body, (rows, columns)))
    expected = [
        [decode_element(code, knots, -3, 8) for code in column]
        for column, knots in zip(codes.tolist(), quartiles.tolist())
    ]
    np.testing.assert_allclose(read_single(path, "matrix").T, expected, atol=1e-5)


@pytest.mark.parametrize(("token", "dtype"), [(b"CM2 ", "<u2"), (b"CM3 ", "u1")])
def test_compressed_evenly(tmp_path, token, dtype):
    top = np.iinfo(dtype).max
    codes = np.array([[0, top], [top, 0]], dtype)
    path = tmp_path / "m"
    path.write_bytes(compress(token, 1, 2, codes.tobytes(), (2, 2)))
    np.testing.assert_allclose(read_single(path, "matrix"), [[1, 3], [3, 1]])


def test_compressed_features_of_kaldi_are_those_that_were_compressed(golden):
    folder = golden / "frontend" / "data" / "8k"
    (compressed,) = read_all(folder / "mfcc_compressed.ark", "matrix").values()
    (features,) = read_all(folder / "mfcc.ark", "matrix").values()
    errors = np.abs(compressed - features)
    assert errors.max() < 0.46
    assert np.median(errors) < 0.032


def test_rows_of_features(tmp_path):
    features = np.arange(20, dtype=np.float32).reshape(10, 2)
    scp = write_archive(tmp_path, {"f": features, "g": -features})
    f, g = (line.split()[1] for line in scp.read_text().splitlines())
    lines = [f"w1 {f}[0:2]", f"w2 {g}[9:9]", f"w3 {f}[2:9]", f"long {f}[8:10]"]
    scp.write_text("\n".join([*lines, f"f {f}", f"off {g}5[0:1]", "back x.ark:2[3:2]"]))
    faults = []
    entries = read_scp(scp, lambda key, error: faults.append(key), with_rows=True)
    found = dict(read_entries(entries.values(), "matrix"))
    for key, expected in (
        ("w1", features[:3]),
        ("w2", -features[9:]),
        ("w3", features[2:]),
        ("f", features),
    ):
        assert np.array_equal(found[key], expected)
    assert "has 10 rows, the scp asks for [8:10]" in str(found["long"])
    assert "truncated: " in str(found["off"])
    assert faults == ["back"]


# ---- faults ------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    return write_archive(
        tmp_path, {f"k{i}": np.arange(4, dtype=np.float32) + i for i in range(3)}
    )


def test_truncation_costs_only_the_tail(archive):
    data = archive.with_suffix(".ark").read_bytes()
    for cut in range(1, len(data), 3):
        archive.with_suffix(".ark").write_bytes(data[:cut])
        for path in (archive, archive.with_suffix(".ark")):
            results = {}
            # An archive whose last key is cut in two raises an error at the end.
            with suppress(FormatError):
                results.update(read_table(path, "vector"))
            good = {k: v for k, v in results.items() if not isinstance(v, FormatError)}
            assert len(good) == cut * 3 // len(data)
            for key, value in good.items():
                assert np.array_equal(value, np.arange(4) + int(key[1]))


def test_matrices_and_further_text_are_no_vectors(tmp_path):
    for text, message in (
        (" [ 1 2 ] 3\n", "unexpected text"),
        (" [\n 1 2\n 3 4 ]\n", "found a matrix of 2 rows"),
    ):
        (tmp_path / "object").write_text(text)
        with pytest.raises(FormatError, match=message):
            read_single(tmp_path / "object", "vector")


def test_relative_paths_start_at_the_scp(archive, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    write_archive(other, {"k0": np.zeros(4, np.float32)})
    monkeypatch.chdir(other)
    assert read_all(archive)["k0"].tolist() == [0, 1, 2, 3]
    # Not beside the scp: from the working directory, as Kaldi does.
    moved = tmp_path / "scp" / "x.scp"
    moved.parent.mkdir()
    archive.rename(moved)
    assert read_all(moved)["k0"].tolist() == [0, 0, 0, 0]


def test_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stop"):  # noqa: PT012
        with ArchiveWriter(tmp_path / "x.ark", tmp_path / "x.scp") as archive:
            archive.write("k", np.zeros(3))
            raise RuntimeError("stop")
    assert os.listdir(tmp_path) == []


def test_importing_kaldi_io_is_silent_and_leaves_the_environment(golden):
    code = (
        "import os, sys; before = dict(os.environ)\n"
        "from pathlib import Path\n"
        "from ssahc.io.ark import read_archive\n"
        "list(read_archive(Path(sys.argv[1]), 'vector'))\n"
        "assert 'kaldi_io' in sys.modules\n"
        "assert dict(os.environ) == before"
    )
    archive = golden / "plda_train" / "balanced.ark"
    result = subprocess.run(
        [sys.executable, "-c", code, archive], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
