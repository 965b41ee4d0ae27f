"""The section of docs/reference/faults.md on Kaldi's archives and scp files."""

import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest
from fault_table import PAGE
from kaldi_tables import read_table

from ssahc.core.errors import FormatError
from ssahc.io.ark import read_single
from ssahc.io.objects import format_text

ROWS = PAGE["Kaldi archives and scp files"]
DIM = 24
VALUES = np.linspace(1, 2, DIM)
VECTOR = b"\0BFV " + struct.pack(f"<bi{DIM}f", 4, DIM, *VALUES)
MATRIX = b"\0BFM " + struct.pack(f"<bibi{DIM}f", 4, 1, 4, DIM, *VALUES)
COMPRESSED = b"\0BCM " + struct.pack("<ffii", 0, 1, 1, DIM) + bytes(9 * DIM)
SWAPPED = b"\0BFV " + struct.pack(f">bi{DIM}f", 4, DIM, *VALUES)


def single(data):
    """Have the scp name a file of its own for one utterance."""
    return lambda broken: broken.single(data)


def location(text):
    """Have the scp give another location for one utterance."""
    return lambda broken: broken.line("xvector.scp", "{key} " + text)


def archive(change):
    """Change the bytes of the archive."""

    def hurt(broken):
        path = broken.x / "xvector.ark"
        path.write_bytes(change(path.read_bytes(), broken.offset))

    return hurt


def linked(name, target):
    """Have the scp name a link for one utterance."""

    def hurt(broken):
        (broken.x / name).symlink_to(target)
        broken.line("xvector.scp", f"{{key}} {name}:{{offset}}")

    return hurt


def pipe(broken):
    os.mkfifo(broken.x / "pipe")
    broken.line("xvector.scp", "{key} pipe:{offset}")


def mix(*forms):
    """Write vectors in several forms in turn, and their scp."""

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


FAULTS = {
    "an archive that was cut off": archive(lambda data, _: data[:-10]),
    "an archive with a damaged object": archive(
        lambda data, offset: data[: offset + 2] + b"X" + data[offset + 3 :]
    ),
    "something else in place of the archive": archive(lambda *_: b"rubbish\n" * 9999),
    "an empty archive": archive(lambda *_: b""),
    "rubbish behind the last object": archive(lambda data, _: data + b"x\0\xff"),
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
    "a command that is to be read from": location("touch pwned |"),
    "a command that is to be written to": location("| touch pwned"),
    "a range": location("xvector.ark:{offset}[0:10]"),
    "a gzipped archive": location("xvector.ark.gz:{offset}"),
    "a URL": location("http://host/xvector.ark:{offset}"),
    "standard input": location("-"),
    "a line without a path": lambda b: b.line("xvector.scp", "{key}"),
    "a key twice": lambda b: b.line(
        "xvector.scp", "{key} xvector.ark:{offset}\n{key} xvector.ark:{offset}"
    ),
    "the offset of another key": location("xvector.ark:30"),
    "an offset inside an object": lambda b: b.line(
        "xvector.scp", f"{{key}} xvector.ark:{b.offset + 1}"
    ),
    "an offset beyond the end": location("xvector.ark:99999999"),
    "a negative offset": location("xvector.ark:-5"),
    "an offset of many digits": location("xvector.ark:" + "9" * 30),
    "an archive that is missing": location("moved.ark:{offset}"),
    "paths of another machine": lambda b: b.edit(
        "x/xvector.scp", " ", " /home/them/exp/", 10**6
    ),
    "a path longer than any": location("long" * 2000 + ".ark:{offset}"),
    "a folder in place of an archive": location(".:{offset}"),
    "a device in place of an archive": location("/dev/zero:{offset}"),
    "a named pipe in place of an archive": pipe,
    "a link to itself in place of an archive": linked("loop", "loop"),
    "a link to an archive": linked("link.ark", "xvector.ark"),
    "absolute paths": lambda b: b.edit("x/xvector.scp", " ", f" {b.x}/", 10**6),
    "paths that go up": location("../x/xvector.ark:{offset}"),
    "an archive in place of the scp": lambda b: (b.x / "xvector.scp").write_bytes(
        (b.x / "xvector.ark").read_bytes()
    ),
    "an empty scp": lambda b: (b.x / "xvector.scp").write_text(""),
    "no scp": lambda b: (b.x / "xvector.scp").unlink(),
}


@pytest.mark.parametrize("fault", ROWS)
def test_fault_is_handled_as_documented(as_the_page_says, fault):
    as_the_page_says(ROWS[fault], FAULTS[fault])


def test_mixed_forms_give_the_same_labels(broken, diarize):
    assert diarize()[0] == 0
    mix(as_float, as_double)(broken)
    assert diarize(out="mixed")[0] == 0
    same = [(broken.folder / out / "labels").read_bytes() for out in ("out", "mixed")]
    assert same[0] == same[1]


# ---- truncated objects -------------------------------------------------------------


def compressed(token, shape, body):
    return b"\0B" + token + struct.pack("<ffii", -1, 2, *shape) + bytes(body)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("vector", b"\0BFV " + struct.pack("<bi2f", 4, 2, *range(2))),
        ("vector", b"\0BDV " + struct.pack("<bi2d", 4, 2, *range(2))),
        ("vector", b" [ 1.5 -2e3 17 ]"),
        ("matrix", b"\0BFM " + struct.pack("<bibi2f", 4, 2, 4, 1, *range(2))),
        ("matrix", b"\0BDM " + struct.pack("<bibi2d", 4, 1, 4, 2, *range(2))),
        ("matrix", b" [\n  1 2 \n  3 4 ]"),
        ("matrix", compressed(b"CM ", (3, 2), 2 * 8 + 6)),
        ("matrix", compressed(b"CM2 ", (3, 2), 2 * 6)),
        ("matrix", compressed(b"CM3 ", (3, 2), 6)),
    ],
)
def test_truncated_object_is_never_read_as_a_shorter_one(tmp_path, kind, data):
    single, archive, scp = (tmp_path / name for name in ("one", "x.ark", "x.scp"))
    scp.write_text("key x.ark:4\n")
    for length in range(len(data) + 1):
        single.write_bytes(data[:length])
        archive.write_bytes(b"key " + data[:length])
        found = [dict(read_table(path, kind)) for path in (scp, archive)]
        if length == len(data):
            whole = read_single(single, kind)
            assert whole.size > 0
            assert all(np.array_equal(table["key"], whole) for table in found)
            return
        with pytest.raises(FormatError):
            read_single(single, kind)
        assert all(isinstance(table["key"], FormatError) for table in found)


HUGE = 2**31 - 1


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("vector", b"\0BFV " + struct.pack("<bi", 4, HUGE)),
        ("matrix", b"\0BDM " + struct.pack("<bibi", 4, HUGE, 4, HUGE) + bytes(1000)),
        ("matrix", b"\0BDM " + struct.pack("<bibi", 4, 1, 4, HUGE)),
        ("matrix", compressed(b"CM ", (HUGE, HUGE), 100)),
        ("matrix", compressed(b"CM3 ", (1, HUGE), 100)),
    ],
)
def test_huge_dimensions_are_refused_before_allocation(tmp_path, kind, data):
    path = tmp_path / "object"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"truncated: a .* needs \d+ bytes"):
        read_single(path, kind)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
