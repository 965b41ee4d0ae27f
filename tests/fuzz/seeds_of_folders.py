"""The seeds that are folders of x-vectors, scores and speakers."""

from zipfile import ZipFile

import numpy as np
from seeds_of_objects import MATRIX, VECTOR, archive, join, scp_of, written


def make_seeds():
    """Return reader to inputs by name."""
    return {
        "xvector-dir": xvector_dirs(),
        "npz": npz_files(),
        "labelled": labelled_dirs(),
        "scores": scores(),
        "unfinished": unfinished(),
        "speakers": speakers(),
    }


def npz_files():
    """Return numpy's files of recordings."""
    sound = {"xvectors": MATRIX, "segments": [[0, 1.5], [0.75, 2.25]]}

    def stored(write=np.savez, **changes):
        def save(path):
            with path.open("wb") as file:
                write(file, **(sound | changes))

        return written(save)

    def with_text(path):
        path.write_bytes(stored())
        with ZipFile(path, "a") as file:
            file.writestr("utterances", b"u1 u2")

    return {
        "good-numbered": stored(),
        "good-named": stored(utterances=["u1", "u2"]),
        "good-compressed": stored(np.savez_compressed),
        "bad-pickled": stored(xvectors=np.array([{}, {}])),
        "bad-order": stored(segments=[[1, 0], [0, 1]]),
        "bad-names": stored(utterances=["u 1", "u2"]),
        "bad-late": stored(segments=[[0, 1], [0, 1e9]]),
        "bad-text": b"hello",
        "bad-found-member-that-is-no-array": written(with_text),
    }


def xvector_dirs():
    """Return folders of x-vectors."""
    xvectors = {f"u{n}": (VECTOR + n).astype("f4") for n in range(1, 5)}
    data = archive(**xvectors)
    scp = scp_of(data, xvectors)
    segments = b"u1 r1 0.0 1.5\nu2 r1 0.75 2.25\nu3 r2 0 1.5\nu4 r2 0.75 2\n"
    utt2spk = b"u1 r1\nu2 r1\nu3 r2\nu4 r2\n"
    spk2utt = b"r1 u1 u2\nr2 u3 u4\n"
    counts = b"r1 2\nr2 1\n"
    tables = (segments, utt2spk, spk2utt)
    nan = archive(**(xvectors | {"u2": VECTOR.astype("f4") * np.nan}))
    signalling = nan.replace(b"\0\0\xc0\x7f", b"\1\0\x80\x7f")
    return {
        "good-two-recordings": join(scp, data, *tables),
        "good-with-lists": join(scp, data, *tables, counts, b"r2\n"),
        "good-unused-vector": join(scp, data, segments[:28], utt2spk[:12], spk2utt[:9]),
        "bad-truncated": join(scp, data[:-5], *tables),
        "bad-found-signalling-nan": join(scp, signalling, *tables),
        "bad-segment-too-many": join(scp, data, segments, utt2spk[6:], b"r1 u2\n"),
        "bad-list-of-others": join(scp, data, *tables, counts, b"r3\n"),
    }


def speakers():
    """Return folders of speakers in a latent space."""
    data = archive(**{"r-1": VECTOR.astype("f4"), "r-2": -VECTOR.astype("f4")})
    scp = scp_of(data, ["r-1", "r-2"])
    space = f'{{"model": "{"0" * 64}", "extractor": null, "psi": [2, 1.5, 0]}}'
    counts = b"r-1 12.250\nr-2 0.5\n"
    nan = archive(**{"r-1": VECTOR * np.nan, "r-2": VECTOR})
    return {
        "good-speakers": join(space.encode(), counts, scp, data),
        "good-extractor": join(
            space.replace("null", '"small"').encode(), counts, scp, data
        ),
        "bad-no-space": join(b"{}", counts, scp, data),
        "bad-no-json": join(b"[" * 5000, counts, scp, data),
        "bad-infinite": join(
            space.replace("1.5", "Infinity").encode(), counts, scp, data
        ),
        "bad-dimension": join(space.replace(", 0", "").encode(), counts, scp, data),
        "bad-no-windows": join(space.encode(), b"r-1 0\n", scp, data),
        "bad-missing": join(space.encode(), counts + b"r-3 1\n", scp, data),
        "bad-nan": join(space.encode(), counts, scp_of(nan, ["r-1", "r-2"]), nan),
    }


def labelled_dirs():
    """Return folders of x-vectors of speakers."""
    xvectors = {f"u{n}": (VECTOR * n).astype("f4") for n in range(1, 4)}
    data = archive(**xvectors)
    scp = scp_of(data, xvectors)
    speakers = b"u1 s1\nu2 s1\nu3 s2\n"
    segments = b"u1 r1 0 1\nu2 r1 1 2\nu3 r2 0 1\n"
    return {
        "good-speakers": join(scp, data, speakers),
        "good-with-segments": join(scp, data, speakers, segments),
        "good-one-without-speaker": join(scp, data, speakers[6:]),
        "bad-recordings": join(scp, data, b"u1 r1\nu2 r1\nu3 r2\n", segments),
        "bad-truncated": join(scp, data[:-5], speakers),
        "bad-nobody": join(scp, data, b"u9 s1\n"),
    }


def scores():
    """Return archives of score matrices, and whose rows they are."""
    data = archive(r1=MATRIX, r2=MATRIX[:1, :1])
    return {
        "good-with-spk2utt": join(data, b"r1 u1 u2\nr2 u3\n"),
        "good-alone": archive(r1=MATRIX),
        "bad-other-rows": join(data, b"r1 u1 u2 u3\nr2 u3\n"),
        "bad-no-matrix": join(data, b"r1 u1 u2\nr2 u3\nr3 u4\n"),
        "bad-truncated": join(data[:-3], b"r1 u1 u2\nr2 u3\n"),
        "bad-not-square": archive(r1=MATRIX[:1]),
    }


def unfinished():
    """Return what interrupted runs leave."""
    data = archive(r1=MATRIX)
    sure = b"a 0.500\nb 0.981\nc 1.000\nd 0.000\ne 0.250\n"
    return {
        "good-labels": sure + b"a 1 \nb 2 \nc 1 \nd 1 \ne 2 \n",
        "good-posteriors": sure + b"r1 1:0.3 2:0.7\na 1 \nb 2 \nr2 1:0.\n",
        "good-torn-off": sure + b"a 1 \nb 2 \nc 1 \nd",
        "good-resumed-twice": join(b"", sure + b"a 1 \n", b"b 2 \n"),
        "good-with-scores": join(b"", sure + b"a 1 \nb 2 \n", b"", b"", data),
        "good-torn-off-scores": join(sure + b"a 1 \nb 2 \n", b"", b"", data, data[:-3]),
        "bad-without-confidence": b"a 1 \nb 2 \n",
        "bad-torn-off": sure + b"a 1 \nb 2",
        "bad-not-utf8": sure + b"a 1 \nb\xff 2 \n",
        "bad-found-power-of-two": sure + "a 1 \nb \u00b2 \n".encode(),
        "bad-found-label-zero": sure + b"a 1 \nb 0 \n",
        "bad-found-long-label": sure + b"a 1 \nb " + b"9" * 30 + b" \n",
        "bad-found-longer-label": sure + b"a 1 \nb " + b"9" * 5000 + b" \n",
    }
