import os
import struct
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ssahc.core.errors import FormatError
from ssahc.io import ark
from ssahc.io.ark import (
    ArchiveWriter,
    read_archive,
    read_entries,
    read_single,
    read_table,
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


# ---- round trips -------------------------------------------------------------------

values = st.floats(-1e6, 1e6, width=32)


@settings(max_examples=40)
@given(arrays(st.sampled_from([np.float32, np.float64]), array_shapes(max_dims=2)))
def test_archives_survive_a_round_trip(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("ark")
    kind = "vector" if value.ndim == 1 else "matrix"
    nothing = np.zeros((0,) * value.ndim, value.dtype)
    items = {"one": value, "two": value[:1], "empty": nothing}
    back = read_all(write_archive(folder, items), kind)
    for key, expected in items.items():
        assert back[key].dtype == expected.dtype
        np.testing.assert_array_equal(back[key], expected)


@settings(max_examples=40)
@given(arrays(np.float64, array_shapes(max_dims=2), elements=values))
def test_text_survives_a_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("ark") / "x"
    write_single(path, value, binary=False)
    kind = "vector" if value.ndim == 1 else "matrix"
    np.testing.assert_allclose(read_single(path, kind), value, rtol=1e-6)


def test_archives_are_read_front_to_back(tmp_path):
    items = {f"k{i}": np.full(3, i, np.float32) for i in range(5)}
    scp = write_archive(tmp_path, items)
    entries = list(read_scp(scp).values())
    assert [key for key, _ in read_entries(entries[::-1], "vector")] == list(items)


# ---- runs of vectors that are alike ------------------------------------------------


def one_by_one(entries, kind):
    """Read every entry by itself, without the short cut for vectors that are alike."""
    archives = list(dict.fromkeys(entry.archive for entry in entries))
    order = sorted(entries, key=lambda e: (archives.index(e.archive), e.offset or 0))
    return [pair for entry in order for pair in read_entries([entry], kind)]


def assert_same(results, expected):
    for (key, value), (other, wanted) in zip(results, expected, strict=True):
        assert key == other
        if isinstance(wanted, FormatError):
            assert str(value) == str(wanted)
        else:
            assert value.dtype == wanted.dtype
            assert np.array_equal(value, wanted)


FORMS = {
    "float": lambda n: b"\0BFV " + struct.pack(f"<bi{n}f", 4, n, *range(n)),
    "double": lambda n: b"\0BDV " + struct.pack(f"<bi{n}d", 4, n, *range(n)),
    "text": lambda n: format_text(np.arange(n, dtype=np.float64)).encode(),
    "matrix": lambda n: b"\0BFM " + struct.pack(f"<bibi{n}f", 4, n, 4, 1, *range(n)),
    "big-endian": lambda n: b"\0BFV " + struct.pack(f">bi{n}f", 4, n, *range(n)),
    "rubbish": lambda n: b"x" * n,
}
# Mostly alike, so that the others interrupt runs.
objects = st.lists(
    st.tuples(
        st.one_of(st.just("float"), st.sampled_from(sorted(FORMS))),
        st.one_of(st.just(3), st.integers(0, 4)),
        st.one_of(st.just(0), st.integers(-30, 30), st.just(10**17)),
        st.sampled_from(["k", "key-", "\u00e4"]),
        st.integers(0, 1),
    ),
    max_size=12,
)


@settings(max_examples=80)
@given(
    objects,
    st.sampled_from(["vector", "vector", "matrix"]),
    st.integers(0, 60),
    st.randoms(),
)
def test_runs_are_read_as_one_by_one(tmp_path_factory, items, kind, cut, random):
    folder = tmp_path_factory.mktemp("runs")
    archives, lines = [b"", b""], []
    for number, (form, dim, shift, name, which) in enumerate(items):
        archives[which] += f"{name}{number} ".encode()
        offset = max(len(archives[which]) + shift, 0)
        lines.append(f"{name}{number} {which}.ark:{offset}\n")
        archives[which] += FORMS[form](dim)
    (folder / "0.ark").write_bytes(archives[0])
    (folder / "1.ark").write_bytes(archives[1][: len(archives[1]) - cut])
    random.shuffle(lines)
    (folder / "x.scp").write_text("".join(lines))
    entries = list(read_scp(folder / "x.scp").values())
    assert_same(read_entries(entries, kind), one_by_one(entries, kind))


def test_vector_is_not_read_as_a_matrix_like_the_one_before(tmp_path):
    items = {"m": np.ones((3, 1)), "v": np.ones(3), "w": np.ones(3)}
    results = read_all(write_archive(tmp_path, items), "matrix")
    assert np.array_equal(results["m"], items["m"])
    for key in "vw":
        assert "expected a matrix (FM/DM), found b'DV '" in str(results[key])


def test_only_the_first_of_a_run_is_decoded_step_by_step(tmp_path, monkeypatch):
    single = {f"k{i}": np.full(3, i, np.float32) for i in range(5)}
    double = {f"l{i}": np.full(3, i, np.float64) for i in range(5)}
    scp = write_archive(tmp_path, single | double)
    read, starts = ark.read_object, []

    def counted(file, size, kind):
        starts.append(file.tell())
        return read(file, size, kind)

    monkeypatch.setattr(ark, "read_object", counted)
    assert len(read_all(scp)) == 10
    entries = read_scp(scp)
    assert starts == [entries["k0"].offset, entries["l0"].offset]


def test_memory_does_not_grow_with_the_archive(tmp_path):
    scp = write_archive(tmp_path, {f"k{i}": np.ones(1000) for i in range(1000)})
    entries = read_scp(scp).values()
    tracemalloc.start()
    # Vectors that wait for the rest of their recording keep no blocks alive.
    kept = [
        pair for i, pair in enumerate(read_entries(entries, "vector")) if i % 100 < 1
    ]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 10
    assert peak < 1e6 < (tmp_path / "x.ark").stat().st_size / 8


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
        [
            decode_element(int(codes[column, row]), quartiles[column].tolist(), -3, 8)
            for column in range(columns)
        ]
        for row in range(rows)
    ]
    np.testing.assert_allclose(read_single(path, "matrix"), expected, atol=1e-5)


@pytest.mark.parametrize(("token", "dtype"), [(b"CM2 ", "<u2"), (b"CM3 ", "u1")])
def test_compressed_evenly(tmp_path, token, dtype):
    top = np.iinfo(dtype).max
    codes = np.array([[0, top], [top, 0]], dtype)
    path = tmp_path / "m"
    path.write_bytes(compress(token, 1, 2, codes.tobytes(), (2, 2)))
    np.testing.assert_allclose(read_single(path, "matrix"), [[1, 3], [3, 1]])


# ---- faults ------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path):
    return write_archive(
        tmp_path, {f"k{i}": np.arange(4, dtype=np.float32) + i for i in range(3)}
    )


def test_truncation_costs_only_the_tail(archive):
    data = archive.with_suffix(".ark").read_bytes()
    for cut in range(1, len(data)):
        archive.with_suffix(".ark").write_bytes(data[:cut])
        for results in (
            read_all(archive),
            dict(guarded(read_archive(archive.with_suffix(".ark"), "vector"))),
        ):
            for key, value in results.items():
                if isinstance(value, FormatError):
                    continue
                assert np.array_equal(value, np.arange(4) + int(key[1]))
            good = sum(not isinstance(v, FormatError) for v in results.values())
            assert good == cut * 3 // len(data)


def guarded(items):
    """Yield until a FormatError is raised, as for a key cut in two."""
    try:
        yield from items
    except FormatError:
        return


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\0BFV \1\0\0\0\0", "header's dimensions"),
        (b" [ 1 2 ] 3\n", "unexpected text"),
        (b" [\n 1 2\n 3 4 ]\n", "found a matrix of 2 rows"),
    ],
)
def test_malformed_objects_are_refused(tmp_path, data, message):
    (tmp_path / "object").write_bytes(data)
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
        "import os; before = dict(os.environ)\n"
        "from pathlib import Path\n"
        "from ssahc.io.ark import read_table\n"
        f"list(read_table(Path({str(golden / 'plda_train' / 'balanced.ark')!r}),"
        " 'vector'))\n"
        "import sys; assert 'kaldi_io' in sys.modules\n"
        "assert dict(os.environ) == before"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_python_without_asserts_is_refused(golden):
    archive = golden / "plda_train" / "balanced.ark"
    code = (
        "from pathlib import Path\n"
        "from ssahc.core.errors import UsageError\n"
        "from ssahc.io.ark import read_archive\n"
        f"try: print(list(read_archive(Path({str(archive)!r}), 'vector')))\n"
        "except UsageError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("python -O and PYTHONOPTIMIZE leave out")
