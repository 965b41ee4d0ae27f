"""The seeds that are objects of Kaldi and checkpoints, and what makes them."""

import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from fuzz_objects import make_state
from harnesses import CUT, READERS

from ssahc.core.types import EmbeddingNet, Model, Plda
from ssahc.io.ark import write_entry
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.embedding_net import write_metric
from ssahc.io.model import write_model_dir
from ssahc.io.objects import format_text
from ssahc.io.plda import write_plda

VECTOR = np.array([0.5, -1.25, 3.0])
MATRIX = np.array([[1.0, 0.25], [-0.5, 2.0]])
# The processor warns of these when they are converted to double.
SIGNALLING_NANS = b"\0BFV " + struct.pack("<bi", 4, 2) + b"M\0\xbf\x7f" * 2
HUGE = struct.pack("<bi", 4, 2**31 - 1)
COMPRESSED = {
    "cm": b"\0BCM " + struct.pack("<ffii4H3B", 0, 1, 3, 1, 0, 9, 99, 999, 0, 99, 255),
    "cm2": b"\0BCM2 " + struct.pack("<ffii2H", 0, 1, 1, 2, 0, 65535),
    "cm3": b"\0BCM3 " + struct.pack("<ffii2B", -1, 2, 2, 1, 0, 255),
}


def written(write, *arguments, **options):
    """Return the bytes that a writer leaves in a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        write(path, *arguments, **options)
        return path.read_bytes()


def archive(**values):
    """Return an archive."""

    def write(path):
        with path.open("wb") as file:
            for key, value in values.items():
                write_entry(file, key, value)

    return written(write)


def single(value):
    """Return a file of one vector or matrix."""
    return archive(_=value)[2:]


def join(*parts):
    """Return several files as one input."""
    return CUT.join(parts)


def scp_of(data, keys):
    """Return the scp of an archive."""
    places = ((key, data.index(key.encode() + b" \0B") + len(key) + 1) for key in keys)
    return "".join(f"{key} x.ark:{place}\n" for key, place in places).encode()


def objects(kind):
    """Return archives of vectors or of matrices."""
    value = VECTOR if kind == "vectors" else MATRIX
    token = b"FV " if kind == "vectors" else b"FM "
    half = single(value.astype("f4"))
    seeds = {
        "good-float": archive(a=value.astype("f4"), b=value.astype("f4")),
        "good-double": archive(a=value, b=2 * value),
        "good-mixed": archive(a=value, b=value.astype("f4"), a2=value),
        "good-text": f"a {format_text(value)}b {format_text(value)}".encode(),
        "good-text-and-binary": f"a {format_text(value)}".encode() + archive(b=value),
        "good-empty-object": archive(a=value[:0], b=value),
        "good-nan": archive(a=value * np.nan, b=value),
        "good-nothing": b"",
        "bad-truncated": archive(a=value)[:-3],
        "bad-trailing-bytes": archive(a=value) + b"\1\2",
        "bad-huge": b"a \0B" + token + HUGE * value.ndim + half,
        "bad-big-endian": b"a \0B" + token + struct.pack(">bi", 4, 3) * value.ndim,
        "bad-no-key": single(value),
        "bad-key-not-utf8": b"\xff\xfe " + single(value),
        "bad-found-underscore": b"a  [ 1_0 2 ]\n",
        "bad-found-blanks": b"\n" * 4100 + archive(a=value),
    }
    if kind == "matrices":
        for name, data in COMPRESSED.items():
            seeds[f"good-{name}"] = b"a " + data + b"b " + data
        seeds["good-empty-object"] = archive(a=np.zeros((0, 0)), b=value)
        seeds["bad-found-no-columns"] = archive(a=np.zeros((3, 0)))
        seeds["bad-ragged-text"] = b"a  [\n 1 2\n 3 ]\n"
        inf = b"\0BCM2 " + struct.pack("<ffii2H", 0, np.inf, 1, 2, 0, 65535)
        seeds["good-found-compressed-infinity"] = b"a " + inf
    return seeds


def singles():
    """Return files of one object each."""
    return {
        "good-vector": single(VECTOR),
        "good-matrix": single(MATRIX),
        "good-compressed": COMPRESSED["cm"],
        "good-vector-text": format_text(VECTOR).encode(),
        "good-matrix-text": format_text(MATRIX).encode(),
        "good-empty-text": b" [ ]\n",
        "good-found-signalling-nans": SIGNALLING_NANS,
        "bad-huge": b"\0BFM " + HUGE * 2,
        "bad-found-many-empty-rows": b"\0BCM "
        + struct.pack("<ffii", 0, 1, 2**31 - 1, 0),
    }


def scps():
    """Return scp files, with the archive that they point into."""
    data = archive(a=VECTOR, b=VECTOR, c=VECTOR)
    scp = scp_of(data, "abc")
    lines = scp.splitlines(keepends=True)
    # Two alike and one that is not, in turn: runs of vectors that are alike are read
    # by a short cut.
    forms = [VECTOR, VECTOR, VECTOR.astype("f4"), VECTOR[:2], MATRIX, VECTOR]
    mixed = archive(**{f"m{n}-": value for n, value in enumerate(forms * 2)})
    text = f"t {format_text(VECTOR)}u ".encode() + single(VECTOR)
    return {
        "good-vectors": join(scp, data),
        "good-text-and-binary": join(b"t x.ark:2\nu x.ark:21\n", text),
        "bad-mixed": join(scp_of(mixed, [f"m{n}-" for n in range(12)]), mixed),
        "bad-wrong-offsets": join(scp.replace(b"x.ark:2", b"x.ark:3"), data),
        "good-unsorted": join(b"".join(lines[::-1]), data),
        "good-matrix": join(b"a x.ark:2\n", archive(a=MATRIX)),
        "good-rows": join(b"w x.ark:2[0:0]\nv x.ark:2[0:1]\n", archive(a=MATRIX)),
        "bad-rows": join(b"w x.ark:2[0:2]\n", archive(a=MATRIX)),
        "good-no-offset": join(b"a x.ark\n", single(VECTOR)),
        "good-empty": b"",
        "bad-duplicate": join(scp + lines[0], data),
        "bad-found-zero-byte-in-key": join(b"a\0 x.ark:2\n", data),
        "bad-long-name": join(b"a " + b"x" * 300 + b":2\n", data),
        "bad-folder": join(b"a :2\n", data),
        "bad-found-carriage-return-in-name": join(b"a x\r.ark:2\n", data),
        "bad-found-wide-space": join("\u3000\n".encode() + scp, data),
        "bad-found-wide-space-in-key": join("a\u3000x x.ark:2\n".encode(), data),
    }


PLDA = Plda(
    np.array([0.1, 0.2]), np.array([[2.0, 1.0], [0.0, 1.0]]), np.array([2.0, 1])
)


def pldas():
    """Return <Plda> objects."""
    good = written(write_plda, PLDA)
    return {
        "good-binary": good,
        "good-text": written(write_plda, PLDA, binary=False),
        "good-float": good.replace(b"DV ", b"FV ", 1)[:17]
        + VECTOR[:2].astype("<f4").tobytes()
        + good[17 + 16 :],
        "bad-truncated": good[: len(good) // 2],
        "bad-not-closed": good[:-9],
        "bad-huge": good.replace(b"DM \4\2\0\0\0\4\2\0\0\0", b"DM " + HUGE * 2),
        "bad-dimensions": written(write_plda, replace(PLDA, psi=np.ones(3))),
    }


METRIC = EmbeddingNet(
    np.eye(2, 3), ((np.ones((3, 3)), np.ones((2, 3))),), np.ones((1, 2))
)


def metrics():
    """Return metrics."""
    plain = EmbeddingNet(np.eye(2), (), np.eye(2))
    return {
        "good-deep": written(write_metric, METRIC),
        "good-two-layers": written(write_metric, plain),
        "bad-truncated": written(write_metric, METRIC)[:-2],
        "bad-key-twice": written(write_metric, plain) * 2,
    }


def models():
    """Return model folders."""

    def parts(model, **options):
        with tempfile.TemporaryDirectory() as folder:
            write_model_dir(folder, model, **options)
            names = (Path(folder, name) for name in READERS["model"][1])
            return [path.read_bytes() for path in names if path.exists()]

    whole = Model(VECTOR[:2], np.eye(2), PLDA, METRIC)
    bare = Model(VECTOR[:2], np.eye(2, 3))
    longer = parts(Model(VECTOR, np.eye(3)))
    return {
        "good-whole": join(*parts(whole)),
        "good-text": join(*parts(whole, file_format="text")),
        "good-affine": join(*parts(bare)),
        "good-lda": join(longer[0], *parts(bare)[1:]),
        "bad-dimensions": join(parts(bare)[0], *longer[1:]),
        "bad-found-signalling-nans": join(SIGNALLING_NANS, parts(bare)[1]),
        "bad-broken-plda": join(*parts(whole)[:2], b"<Plda> "),
    }


def checkpoints():
    """Return checkpoints."""
    kept = make_state().checkpoint()
    good = written(write_checkpoint, kept.arrays, kept.to_json())

    def other(**changes):
        changed = replace(kept, **changes)
        return written(write_checkpoint, changed.arrays, changed.to_json())

    def bare(record):
        return written(write_checkpoint, kept.arrays, record)

    lost = {name: kept.arrays[name] for name in list(kept.arrays)[1:]}
    broad = kept.arrays | {"layer0": np.ones(1, "f4")}
    wide = kept.arrays | {"layer0": np.eye(2)}
    words = kept.arrays | {"layer0": np.array(["x"])}
    large = {"layer0": np.zeros(3_000_000, "f4")}

    def alone(path):
        with path.open("wb") as file:
            np.save(file, VECTOR)

    def compressed(path):
        with path.open("wb") as file:
            np.savez_compressed(file, record=np.array("{}"), **large)

    return {
        "good-after-a-step": good,
        "bad-array-alone": written(alone),
        "bad-record": bare("{}"),
        "bad-layer-missing": other(arrays=lost),
        "bad-epoch-missing": other(epochs=kept.epochs[1:]),
        "bad-found-nested-record": bare("[" * 2000),
        "bad-found-layer-of-one": other(arrays=broad),
        "bad-found-layer-of-double": other(arrays=wide),
        "bad-found-layer-of-words": other(arrays=words),
        "bad-found-bomb": written(compressed),
    }


def make_seeds():
    """Return reader to inputs by name."""
    return {
        "ark-vectors": objects("vectors"),
        "ark-matrices": objects("matrices"),
        "single": singles(),
        "scp": scps(),
        "plda": pldas(),
        "metric": metrics(),
        "model": models(),
        "checkpoint": checkpoints(),
    }
