"""Faults of Kaldi's archives and scp files, as docs/faults.md says."""

import gzip
import os
import struct
import time
import tracemalloc

import numpy as np
import pytest

from ssahc.core.errors import FormatError
from ssahc.io.ark import read_archive, read_single, read_table
from ssahc.io.objects import format_text
from ssahc.io.scp import read_scp

SECTION = "Kaldi archives and scp files"
DIM = 24
VALUES = np.linspace(1, 2, DIM)
VECTOR = b"\0BFV " + struct.pack(f"<bi{DIM}f", 4, DIM, *VALUES)
MATRIX = b"\0BFM " + struct.pack(f"<bibi{DIM}f", 4, 1, 4, DIM, *VALUES)
COMPRESSED = b"\0BCM " + struct.pack("<ffii", 0, 1, 1, DIM) + bytes(9 * DIM)
SWAPPED = b"\0BFV " + struct.pack(f">bi{DIM}f", 4, DIM, *VALUES)


def single(data):
    return lambda broken: broken.single(data)


def names(text):
    """Have the scp say something else of one utterance."""
    return lambda broken: broken.line("xvector.scp", "{key} " + text)


def cut(broken):
    archive = broken.x / "xvector.ark"
    archive.write_bytes(archive.read_bytes()[:-10])


def damage(broken):
    data = bytearray((broken.x / "xvector.ark").read_bytes())
    data[broken.offset + 2] = ord("X")
    (broken.x / "xvector.ark").write_bytes(data)


def replace_by_rubbish(broken):
    (broken.x / "xvector.ark").write_text("rubbish\n" * 10_000)


def mix(*forms):
    """Write vectors in turn in several forms, and their scp."""

    def hurt(broken):
        scp, archive = "", b""
        vectors = read_table(broken.x / "xvector.scp", "vector")
        for number, (key, vector) in enumerate(list(vectors)):
            archive += f"{key} ".encode()
            scp += f"{key} xvector.ark:{len(archive)}\n"
            archive += forms[number % len(forms)](np.array(vector, np.float64))
        (broken.x / "xvector.ark").write_bytes(archive)
        (broken.x / "xvector.scp").write_text(scp)

    return hurt


def as_float(vector):
    return b"\0BFV " + struct.pack("<bi", 4, DIM) + vector.astype("<f4").tobytes()


def as_double(vector):
    return b"\0BDV " + struct.pack("<bi", 4, DIM) + vector.astype("<f8").tobytes()


def as_text(vector):
    return format_text(vector).encode()


def make_pipe(broken):
    os.mkfifo(broken.x / "pipe")
    broken.line("xvector.scp", "{key} pipe:{offset}")


def make_loop(broken):
    (broken.x / "loop").symlink_to("loop")
    broken.line("xvector.scp", "{key} loop:{offset}")


def link(broken):
    (broken.x / "link.ark").symlink_to("xvector.ark")
    broken.line("xvector.scp", "{key} link.ark:{offset}")


def name_absolutely(broken):
    broken.edit("x/xvector.scp", " ", f" {broken.x}/", 10**6)


def shift(broken):
    broken.line("xvector.scp", f"{{key}} xvector.ark:{broken.offset + 1}")


def swap(broken):
    broken.line("xvector.scp", "{key} xvector.ark:30")


FAULTS = {
    "an archive that was cut off": cut,
    "an archive with a damaged object": damage,
    "something else in place of the archive": replace_by_rubbish,
    "an empty archive": lambda b: (b.x / "xvector.ark").write_bytes(b""),
    "rubbish behind the last object": lambda b: b.append("x/xvector.ark", b"x\0\xff"),
    "float and double in one archive": mix(as_float, as_double),
    "text and binary in one archive": mix(as_text, as_float, as_double),
    "a matrix in place of a vector": single(MATRIX),
    "a compressed matrix in place of a vector": single(COMPRESSED),
    "an unknown kind of object": single(b"\0BXX " + VECTOR[5:]),
    "a negative dimension": single(b"\0BFV " + struct.pack("<bi", 4, -1)),
    "a dimension of 2147483647": single(b"\0BFV " + struct.pack("<bi", 4, 2**31 - 1)),
    "a header that is cut off": single(VECTOR[:8]),
    "an object that is cut off": single(VECTOR[:-1]),
    "numbers of the other byte order": single(SWAPPED),
    "an empty file in place of an object": single(b""),
    "bytes behind an object in a file of its own": single(VECTOR + b"\0\0"),
    "text without its closing bracket": single(b" [ 1 2 3"),
    "text that is no number": single(b" [ 1 2 three ]\n"),
    "an archive named without an offset": single(b"key " + VECTOR),
    "gzipped bytes under another name": single(gzip.compress(VECTOR)),
    "a command that is to be read from": names("touch pwned |"),
    "a command that is to be written to": names("| touch pwned"),
    "a range": names("xvector.ark:{offset}[0:10]"),
    "a gzipped archive": names("xvector.ark.gz:{offset}"),
    "a URL": names("http://host/xvector.ark:{offset}"),
    "standard input": names("-"),
    "a line without a path": lambda b: b.line("xvector.scp", "{key}"),
    "a key twice": lambda b: b.line(
        "xvector.scp", "{key} xvector.ark:{offset}\n{key} xvector.ark:{offset}"
    ),
    "the offset of another key": swap,
    "an offset inside an object": shift,
    "an offset beyond the end": names("xvector.ark:99999999"),
    "a negative offset": names("xvector.ark:-5"),
    "an offset of many digits": names("xvector.ark:" + "9" * 30),
    "an archive that is missing": names("moved.ark:{offset}"),
    "a path longer than any": names("long" * 2000 + ".ark:{offset}"),
    "a folder in place of an archive": names(".:{offset}"),
    "a device in place of an archive": names("/dev/zero:{offset}"),
    "a named pipe in place of an archive": make_pipe,
    "a link to itself in place of an archive": make_loop,
    "a link to an archive": link,
    "absolute paths": name_absolutely,
    "paths that go up": names("../x/xvector.ark:{offset}"),
    "an archive in place of the scp": lambda b: (b.x / "xvector.scp").write_bytes(
        (b.x / "xvector.ark").read_bytes()
    ),
    "an empty scp": lambda b: (b.x / "xvector.scp").write_text(""),
    "no scp": lambda b: (b.x / "xvector.scp").unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_page_is_true(faults_page, as_the_page_says, fault):
    as_the_page_says(faults_page[SECTION][fault], FAULTS[fault])


def test_the_page_has_a_row_for_every_fault(faults_page):
    assert list(faults_page[SECTION]) == list(FAULTS)


# ---- the same, whatever the form ---------------------------------------------------


@pytest.mark.parametrize("forms", [(as_float, as_double), (as_text, as_float)])
def test_mixed_forms_give_the_same_labels(broken, diarize, forms):
    assert diarize()[0] == 0
    mix(*forms)(broken)
    assert diarize(out="mixed")[0] == 0
    same = [(broken.folder / out / "labels").read_bytes() for out in ("out", "mixed")]
    assert same[0] == same[1]


# ---- cut anywhere, and headers that promise too much -------------------------------


def compressed(token, shape, body):
    return b"\0B" + token + struct.pack("<ffii", -1, 2, *shape) + bytes(body)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("vector", b"\0BFV " + struct.pack("<bi4f", 4, 4, *range(4))),
        ("vector", b"\0BDV " + struct.pack("<bi4d", 4, 4, *range(4))),
        ("vector", b" [ 1.5 -2e3 17 ]"),
        ("matrix", b"\0BFM " + struct.pack("<bibi6f", 4, 2, 4, 3, *range(6))),
        ("matrix", b"\0BDM " + struct.pack("<bibi6d", 4, 2, 4, 3, *range(6))),
        ("matrix", b" [\n  1 2 \n  3 4 ]"),
        ("matrix", compressed(b"CM ", (3, 2), 2 * 8 + 6)),
        ("matrix", compressed(b"CM2 ", (3, 2), 2 * 6)),
        ("matrix", compressed(b"CM3 ", (3, 2), 6)),
    ],
)
def test_what_is_cut_is_never_taken_for_less(tmp_path, kind, data):
    single, archive, scp = (tmp_path / name for name in ("one", "x.ark", "x.scp"))
    single.write_bytes(data)
    whole = read_single(single, kind)
    assert whole.size > 0
    scp.write_text("key x.ark:4\n")
    for length in range(len(data)):
        single.write_bytes(data[:length])
        with pytest.raises(FormatError):
            read_single(single, kind)
        archive.write_bytes(b"key " + data[:length])
        for results in (read_table(scp, kind), read_archive(archive, kind)):
            ((key, value),) = results
            assert key == "key"
            assert isinstance(value, FormatError)
    archive.write_bytes(b"key " + data)
    for results in (read_table(scp, kind), read_archive(archive, kind)):
        assert np.array_equal(dict(results)["key"], whole)


HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("vector", b"\0BFV " + struct.pack("<bi", 4, HUGE)),
        ("vector", b"\0BDV " + struct.pack("<bi", 4, HUGE) + bytes(1000)),
        ("matrix", b"\0BFM " + struct.pack("<bibi", 4, HUGE, 4, HUGE)),
        ("matrix", b"\0BDM " + struct.pack("<bibi", 4, HUGE, 4, HUGE) + bytes(1000)),
        ("matrix", b"\0BDM " + struct.pack("<bibi", 4, 1, 4, HUGE)),
        ("matrix", compressed(b"CM ", (HUGE, HUGE), 100)),
        ("matrix", compressed(b"CM2 ", (HUGE, HUGE), 100)),
        ("matrix", compressed(b"CM3 ", (1, HUGE), 100)),
    ],
)
def test_a_huge_header_is_refused_at_once(tmp_path, kind, data):
    path = tmp_path / "object"
    path.write_bytes(data)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(FormatError, match=r"truncated: a .* needs \d+ bytes"):
        read_single(path, kind)
    seconds = time.perf_counter() - start
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 0.1
    assert peak < 1e6


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u2028", "\x85", "\x1c"])
def test_only_kaldis_white_space_ends_a_key(tmp_path, space):
    key = f"a{space}b"
    archive = f"{key} ".encode() + VECTOR
    (tmp_path / "x.ark").write_bytes(archive)
    (tmp_path / "x.scp").write_text(f"{key}\tx.ark:{len(archive) - len(VECTOR)} \r\n")
    assert list(read_scp(tmp_path / "x.scp")) == [key]
    for name in ("x.ark", "x.scp"):
        ((found, vector),) = read_table(tmp_path / name, "vector")
        assert found == key
        np.testing.assert_allclose(vector, VALUES, rtol=1e-6)
