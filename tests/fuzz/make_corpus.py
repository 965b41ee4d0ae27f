"""Write the corpus anew: inputs that readers accept (good-*) and refuse (bad-*).

    python tests/fuzz/make_corpus.py [FOLDER]

What fuzzing found is here as well, cut down to what is needed (bad-found-*).
"""

import shutil
import struct
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import seeds_of_text
from fuzz_objects import make_state
from harnesses import CUT, HARNESSES

from ssahc.cli.train_metric import _write_checkpoint
from ssahc.core.types import EmbeddingNet, Model, Plda
from ssahc.io.ark import format_text, write_entry
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.embedding_net import write_metric
from ssahc.io.model import write_model_dir
from ssahc.io.plda import write_plda

CORPUS = Path(__file__).parent / "corpus"

VECTOR = np.array([0.5, -1.25, 3.0])
MATRIX = np.array([[1.0, 0.25], [-0.5, 2.0]])
# Two that the processor warns of when it makes doubles of them.
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


def one(value):
    """Return a file of one vector or matrix."""
    return archive(_=value)[2:]


def join(*parts):
    """Return several files as one input."""
    return CUT.join(parts)


def objects(kind):
    """Return archives of vectors or of matrices."""
    value, other = (VECTOR, MATRIX) if kind == "vectors" else (MATRIX, VECTOR)
    token = b"FV " if kind == "vectors" else b"FM "
    half = one(value.astype("f4"))
    seeds = {
        "good-float": archive(a=value.astype("f4"), b=value.astype("f4")),
        "good-double": archive(a=value, b=2 * value),
        "good-mixed": archive(a=value, b=value.astype("f4"), a2=value),
        "good-text": f"a {format_text(value)}b {format_text(value)}".encode(),
        "good-text-and-binary": f"a {format_text(value)}".encode() + archive(b=value),
        "good-empty-object": archive(a=value[:0], b=value),
        "good-nan": archive(a=value * np.nan, b=value),
        "good-nothing": b"",
        "bad-other-kind": archive(a=other),
        "bad-truncated": archive(a=value)[:-3],
        "bad-truncated-header": archive(a=value)[:9],
        "bad-truncated-text": f"a {format_text(value)}".encode()[:-3],
        "bad-text-of-words": b"a  [ 1 two ]\n",
        "bad-trailing-bytes": archive(a=value) + b"\1\2",
        "bad-huge": b"a \0B" + token + HUGE * value.ndim + half,
        "bad-negative": b"a \0B" + token + struct.pack("<bi", 4, -2) * value.ndim,
        "bad-big-endian": b"a \0B" + token + struct.pack(">bi", 4, 3) * value.ndim,
        "bad-int64": b"a \0B" + token + struct.pack("<bq", 8, 3) * value.ndim,
        "bad-token": b"a \0BXX " + half[5:],
        "bad-no-key": one(value),
        "bad-key-not-utf8": b"\xff\xfe " + one(value),
        "bad-pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "bad-found-underscore": b"a  [ 1_0 2 ]\n",
        "bad-found-blanks": b"\n" * 4100 + archive(a=value),
    }
    if kind == "matrices":
        for name, data in COMPRESSED.items():
            seeds[f"good-{name}"] = b"a " + data + b"b " + data
            seeds[f"bad-{name}-truncated"] = b"a " + data[:-1]
            seeds[f"bad-{name}-huge"] = b"a " + data[:12] + b"\xff\xff\xff\x7f" * 2
        seeds["good-empty-object"] = archive(a=np.zeros((0, 0)), b=value)
        seeds["bad-found-no-columns"] = archive(a=np.zeros((3, 0)))
        seeds["bad-ragged-text"] = b"a  [\n 1 2\n 3 ]\n"
        inf = b"\0BCM2 " + struct.pack("<ffii2H", 0, np.inf, 1, 2, 0, 65535)
        seeds["good-found-compressed-infinity"] = b"a " + inf
    return seeds


def singles():
    """Return files of one object each."""
    return {
        "good-vector": one(VECTOR),
        "good-vector-float": one(VECTOR.astype("f4")),
        "good-matrix": one(MATRIX),
        "good-compressed": COMPRESSED["cm"],
        "good-vector-text": format_text(VECTOR).encode(),
        "good-matrix-text": format_text(MATRIX).encode(),
        "good-empty-text": b" [ ]\n",
        "good-found-signalling-nans": SIGNALLING_NANS,
        "bad-empty": b"",
        "bad-huge": b"\0BFM " + HUGE * 2,
        "bad-found-many-empty-rows": b"\0BCM "
        + struct.pack("<ffii", 0, 1, 2**31 - 1, 0),
        "bad-archive": archive(a=VECTOR),
        "bad-not-closed": b" [ 1 2\n",
        "bad-after-the-end": b" [ 1 2 ] 3\n",
    }


def scps():
    """Return scp files, with the archive that they point into."""
    data = archive(a=VECTOR, b=VECTOR, c=VECTOR)
    places = [data.index(b"\0B", at) for at in (0, 3, data.index(b"b \0B"))][::2]
    places.append(data.index(b"c \0B") + 2)
    lines = [f"{key} x.ark:{at}\n".encode() for key, at in zip("abc", places)]
    lines[1] = b"b x.ark:%d\n" % (data.index(b"b \0B") + 2)
    scp = b"".join(lines)
    return {
        "good-vectors": join(scp, data),
        "good-unsorted": join(b"".join(lines[::-1]), data),
        "good-matrix": join(b"a x.ark:2\n", archive(a=MATRIX)),
        "good-no-offset": join(b"a x.ark\n", one(VECTOR)),
        "good-empty": b"",
        "bad-no-archive": scp,
        "bad-other-archive": join(scp, archive(other=VECTOR)),
        "bad-offset-beyond": join(b"a x.ark:99999\n", data),
        "bad-offset-huge": join(b"a x.ark:99999999999999999999\n", data),
        "bad-duplicate": join(scp + lines[0], data),
        "bad-pipe": join(b"a cat x.ark |\n", data),
        "bad-range": join(b"a x.ark:2[0:1]\n", data),
        "bad-gzip": join(b"a x.ark.gz:2\n", data),
        "bad-zero-byte": join(b"a x\0.ark:2\n", data),
        "bad-found-zero-byte-in-key": join(b"a\0 x.ark:2\n", data),
        "bad-long-name": join(b"a " + b"x" * 300 + b":2\n", data),
        "bad-no-location": join(b"a\n", data),
        "bad-folder": join(b"a :2\n", data),
        "bad-byte-order-mark": join(b"\xef\xbb\xbf" + scp, data),
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
        "bad-token": good.replace(b"<Plda>", b"<Xlda>"),
        "bad-huge": good.replace(b"DM \4\2\0\0\0\4\2\0\0\0", b"DM " + HUGE * 2),
        "bad-empty": b"",
        "bad-singular": written(write_plda, replace(PLDA, transform=np.ones((2, 2)))),
        "bad-nan": written(write_plda, replace(PLDA, psi=np.array([np.nan, 1]))),
        "bad-negative": written(write_plda, replace(PLDA, psi=np.array([-1.0, 1]))),
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
        "bad-no-projection": archive(whitening=np.eye(2)),
        "bad-nothing": b"",
        "bad-shapes": archive(whitening=np.eye(2), projection=np.eye(3)),
        "bad-nan": archive(whitening=np.eye(2) * np.nan, projection=np.eye(2)),
    }


def models():
    """Return model folders."""

    def parts(model, **options):
        with tempfile.TemporaryDirectory() as folder:
            write_model_dir(folder, model, **options)
            names = (Path(folder, name) for name in HARNESSES["model"].files)
            return [path.read_bytes() for path in names if path.exists()]

    whole = Model(VECTOR[:2], np.eye(2), PLDA, METRIC)
    bare = Model(VECTOR[:2], np.eye(2, 3))
    longer = parts(Model(VECTOR, np.eye(3)))[0]
    return {
        "good-whole": join(*parts(whole)),
        "good-text": join(*parts(whole, file_format="text")),
        "good-affine": join(*parts(bare)),
        "bad-no-transform": parts(bare)[0],
        "bad-dimensions": join(longer, *parts(bare)[1:]),
        "bad-plda-dimension": join(longer, *parts(whole)[1:]),
        "bad-zero": join(parts(bare)[0], one(np.zeros((2, 2), np.float32))),
        "bad-nan": join(format_text(VECTOR[:2] * np.nan).encode(), parts(bare)[1]),
        "bad-found-signalling-nans": join(SIGNALLING_NANS, parts(bare)[1]),
        "bad-broken-plda": join(*parts(whole)[:2], b"<Plda> "),
    }


def checkpoints():
    """Return checkpoints."""
    kept = make_state().checkpoint()
    good = written(_write_checkpoint, kept)

    def other(**changes):
        return written(_write_checkpoint, replace(kept, **changes))

    def bare(record):
        return written(write_checkpoint, kept.arrays, record)

    lost = {name: kept.arrays[name] for name in list(kept.arrays)[1:]}
    broad = kept.arrays | {"layer0": np.ones(1, "f4")}
    wide = kept.arrays | {"layer0": np.eye(2)}
    words = kept.arrays | {"layer0": np.array(["x"])}
    large = {"layer0": np.zeros(3_000_000, "f4")}
    # The bytes of its last part, where the directory of a zip file has them.
    length = good.rindex(b"PK\1\2") + 20

    def alone(path):
        with path.open("wb") as file:
            np.save(file, VECTOR)

    def compressed(path):
        with path.open("wb") as file:
            np.savez_compressed(file, record=np.array("{}"), **large)

    return {
        "good-after-a-step": good,
        "bad-truncated": good[:-30],
        "bad-empty": b"",
        "bad-array-alone": written(alone),
        "bad-pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "bad-record": bare("{}"),
        "bad-record-no-json": bare("{"),
        "bad-layer-missing": other(arrays=lost),
        "bad-epoch-missing": other(epochs=kept.epochs[1:]),
        "bad-found-nested-record": bare("[" * 2000),
        "bad-found-layer-of-one": other(arrays=broad),
        "bad-found-layer-of-double": other(arrays=wide),
        "bad-found-layer-of-words": other(arrays=words),
        "bad-found-bomb": written(compressed),
        "bad-found-more-to-read-than-there-is": good[:length]
        + b"\xff\xff\xff\x7f"
        + good[length + 4 :],
    }


def main():
    """Write the corpus to a folder in place of the one there."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS
    seeds = {
        "ark-vectors": objects("vectors"),
        "ark-matrices": objects("matrices"),
        "single": singles(),
        "scp": scps(),
        "plda": pldas(),
        "metric": metrics(),
        "model": models(),
        "checkpoint": checkpoints(),
        **seeds_of_text.make(archive, join, VECTOR, MATRIX),
    }
    shutil.rmtree(folder, ignore_errors=True)
    for name, inputs in seeds.items():
        (folder / name).mkdir(parents=True)
        for what, data in inputs.items():
            (folder / name / what).write_bytes(data)


if __name__ == "__main__":
    main()
