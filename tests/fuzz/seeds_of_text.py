"""The part of the corpus that is text, and the folders that hold text tables."""

import numpy as np
import tomli_w

from ssahc.cli import diarize
from ssahc.core.options import flatten


def make(archive, join, vector, matrix):
    """Return reader to inputs by name; the arguments are what `make_corpus` has."""
    return {
        "xvector-dir": xvector_dirs(archive, join, vector),
        "labelled": labelled_dirs(archive, join, vector),
        "scores": scores(archive, join, matrix),
        "unfinished": unfinished(archive, join, matrix),
        "tables": tables(),
        "rttm": rttms(),
        "uem": uems(),
        "references": references(join),
        "trials": trials(join),
        "config": configs(),
        "sweep": sweeps(),
    }


def scp_of(data, keys):
    """Return the scp of an archive."""
    places = ((key, data.index(key.encode() + b" \0B") + len(key) + 1) for key in keys)
    return "".join(f"{key} x.ark:{place}\n" for key, place in places).encode()


def xvector_dirs(archive, join, vector):
    """Return folders of x-vectors."""
    xvectors = {f"u{n}": (vector + n).astype("f4") for n in range(1, 5)}
    data = archive(**xvectors)
    scp = scp_of(data, xvectors)
    segments = b"u1 r1 0.0 1.5\nu2 r1 0.75 2.25\nu3 r2 0 1.5\nu4 r2 0.75 2\n"
    utt2spk = b"u1 r1\nu2 r1\nu3 r2\nu4 r2\n"
    spk2utt = b"r1 u1 u2\nr2 u3 u4\n"
    counts = b"r1 2\nr2 1\n"
    tables = (segments, utt2spk, spk2utt)
    nan = archive(**(xvectors | {"u2": vector.astype("f4") * np.nan}))
    signalling = nan.replace(b"\0\0\xc0\x7f", b"\1\0\x80\x7f")
    odd = archive(**(xvectors | {"u4": vector[:2].astype("f4")}))
    return {
        "good-two-recordings": join(scp, data, *tables),
        "good-with-lists": join(scp, data, *tables, counts, b"r2\n"),
        "good-unused-vector": join(scp, data, segments[:28], utt2spk[:12], spk2utt[:9]),
        "bad-no-tables": join(scp, data),
        "bad-truncated": join(scp, data[:-5], *tables),
        "bad-nan": join(scp, nan, *tables),
        "bad-found-signalling-nan": join(scp, signalling, *tables),
        "bad-odd-dimension": join(scp_of(odd, xvectors), odd, *tables),
        "bad-segment-missing": join(scp, data, segments[14:], utt2spk, spk2utt),
        "bad-segment-too-many": join(scp, data, segments, utt2spk[6:], b"r1 u2\n"),
        "bad-disagreement": join(scp, data, segments, utt2spk, b"r1 u1\nr2 u2 u3 u4\n"),
        "bad-listed-twice": join(scp, data, segments, utt2spk, b"r1 u1 u1 u2\n"),
        "bad-no-recording": join(scp, data, b"", b"", b""),
        "bad-list-of-others": join(scp, data, *tables, counts, b"r3\n"),
    }


def labelled_dirs(archive, join, vector):
    """Return folders of x-vectors of speakers."""
    xvectors = {f"u{n}": (vector * n).astype("f4") for n in range(1, 4)}
    data = archive(**xvectors)
    scp = scp_of(data, xvectors)
    speakers = b"u1 s1\nu2 s1\nu3 s2\n"
    segments = b"u1 r1 0 1\nu2 r1 1 2\nu3 r2 0 1\n"
    return {
        "good-speakers": join(scp, data, speakers),
        "good-with-segments": join(scp, data, speakers, segments),
        "good-one-without-speaker": join(scp, data, speakers[6:]),
        "bad-recordings": join(scp, data, b"u1 r1\nu2 r1\nu3 r2\n", segments),
        "bad-no-utt2spk": join(scp, data),
        "bad-truncated": join(scp, data[:-5], speakers),
        "bad-nothing": join(b"", b"", speakers),
        "bad-nobody": join(scp, data, b"u9 s1\n"),
    }


def scores(archive, join, matrix):
    """Return archives of score matrices, and whose rows they are."""
    data = archive(r1=matrix, r2=matrix[:1, :1])
    return {
        "good-with-spk2utt": join(data, b"r1 u1 u2\nr2 u3\n"),
        "good-alone": archive(r1=matrix),
        "bad-other-rows": join(data, b"r1 u1 u2 u3\nr2 u3\n"),
        "bad-no-matrix": join(data, b"r1 u1 u2\nr2 u3\nr3 u4\n"),
        "bad-truncated": join(data[:-3], b"r1 u1 u2\nr2 u3\n"),
        "bad-not-square": archive(r1=matrix[:1]),
    }


def unfinished(archive, join, matrix):
    """Return what interrupted runs leave."""
    data = archive(r1=matrix)
    return {
        "good-labels": b"a 1 \nb 2 \nc 1 \nd 1 \ne 2 \n",
        "good-torn-off": b"a 1 \nb 2 \nc 1 \nd",
        "good-resumed-twice": join(b"", b"a 1 \n", b"b 2 \n"),
        "good-with-scores": join(b"", b"a 1 \nb 2 \n", b"", b"", data),
        "good-torn-off-scores": join(b"a 1 \nb 2 \n", b"", b"", data, data[:-3]),
        "bad-nothing": b"",
        "bad-others": b"x 1 \ny 2 \n",
        "bad-torn-off": b"a 1 \nb 2",
        "bad-not-utf8": b"a 1 \nb\xff 2 \n",
        "bad-found-power-of-two": "a 1 \nb \u00b2 \n".encode(),
        "bad-found-label-zero": b"a 1 \nb 0 \n",
        "bad-found-long-label": b"a 1 \nb " + b"9" * 30 + b" \n",
        "bad-found-longer-label": b"a 1 \nb " + b"9" * 5000 + b" \n",
    }


def tables():
    """Return text tables."""
    return {
        "good-segments": b"u1 r1 0.00 1.50\nu2 r1 0.75 2.25\n",
        "good-segments-crlf": b"u1 r1 0.00 1.50\r\nu2 r1 7.5e-1 2.25\r\n",
        "good-segments-tabs": b"u1\tr1\t0\t1.5\n\nu2\tr1\t0\t0\n",
        "good-spk2utt": b"r1 u1 u2\nr2 u3\n",
        "good-utt2spk": b"u1 r1\nu2 r1\n",
        "good-counts": b"r1 2\nr2 10\n",
        "good-bounds": b"r1 1 2\nr2 3 3\n",
        "good-labels": b"u1 1 \nu2 2 \n",
        "good-attributes": b"r1 conversational telephone speech\n",
        "good-unicode": "é 1\n東京 2\n".encode(),
        "good-empty": b"",
        "bad-duplicate": b"u1 r1\nu1 r2\n",
        "bad-not-utf8": b"\xff\xfeu\x001\x00",
        "bad-byte-order-mark": b"\xef\xbb\xbfu1 r1\n",
        "bad-found-zero-bytes": "u1 r1\n".encode("utf-16-le"),
        "bad-found-underscore": b"u1 r1 0 1_0\nu1 r1 0 1\n",
        "bad-found-wide-space": "\u3000\nu1 r1\nu1 r1\n".encode(),
    }


_TURN = b"SPEAKER r1 1 0.00 1.50 <NA> <NA> A <NA> <NA>\n"


def rttms():
    """Return RTTM files."""
    info = b";; made by hand\nSPKR-INFO r1 1 <NA> <NA> <NA> unknown A <NA> <NA>\n"
    return {
        "good-turns": _TURN + _TURN.replace(b"0.00", b"1.25").replace(b" A ", b" B "),
        "good-nine-fields": _TURN.replace(b" <NA>\n", b"\n"),
        "good-comments": info + _TURN,
        "good-lower-case": _TURN.lower(),
        "good-empty": b"",
        "bad-fields": _TURN.replace(b"A", b"A B"),
        "bad-negative": _TURN.replace(b"1.50", b"-1.5"),
        "bad-nan": _TURN.replace(b"1.50", b"nan"),
        "bad-channels": _TURN + _TURN.replace(b" 1 ", b" 2 "),
        "bad-no-turn": info,
        "bad-found-endless": _TURN.replace(b"0.00 1.50", b"1e308 1e308"),
        "bad-found-underscore": _TURN.replace(b"1.50", b"1_5"),
        "bad-found-arabic-digits": _TURN.replace(b"1.50", "٣".encode()),
    }


def uems():
    """Return UEM files."""
    return {
        "good-spans": b";; UEM\nr1 1 10 20\nr1 1 0.0 10.0\nr2 1 0 5\n",
        "good-empty": b"",
        "bad-overlap": b"r1 1 0 10\nr1 1 9 20\n",
        "bad-within": b"r1 1 0 10\nr1 1 20 30\nr1 1 2 3\n",
        "bad-around": b"r1 1 2 3\nr1 1 0 10\n",
        "bad-twice": b"r1 1 0 10\nr1 1 0 10\n",
        "bad-order": b"r1 1 10 0\n",
        "bad-negative": b"r1 1 -1 5\n",
        "bad-fields": b"r1 0 10\n",
        "bad-infinite": b"r1 1 0 inf\n",
    }


def references(join):
    """Return references, hypotheses and UEM files."""
    spans = b"r1 1 0 10\n"
    return {
        "good-reference": _TURN,
        "good-with-hypothesis": join(_TURN, _TURN.replace(b" A ", b" 1 ")),
        "good-with-uem": join(_TURN, _TURN, spans),
        "good-more-in-one": join(_TURN, _TURN.replace(b"r1", b"r2"), spans),
        "bad-no-turn": b"",
        "bad-other-channel": join(_TURN, _TURN.replace(b" 1 ", b" 2 ")),
        "bad-uem-of-others": join(_TURN, _TURN, spans.replace(b"r1", b"r2")),
        "bad-uem-channel": join(_TURN, _TURN, spans.replace(b" 1 ", b" 2 ")),
    }


def trials(join):
    """Return trials and their scores."""
    lines = b"s1 u1 target\ns1 u2 nontarget\ns2 u1 nontarget\n"
    given = b"s1 u1 2.5\ns1 u2 -1.5e0\ns9 u9 0\n"
    return {
        "good-trials": lines,
        "good-with-scores": join(lines, given),
        "good-without-targets": b"s1 u1\ns1 u2\n",
        "good-repeated": join(lines + lines, given + given),
        "bad-empty": b"",
        "bad-third-field": b"s1 u1 yes\n",
        "bad-fields": b"s1 u1 target x\n",
        "bad-contradiction": lines + b"s1 u1 nontarget\n",
        "bad-score": join(lines, b"s1 u1 high\n"),
        "bad-score-nan": join(lines, b"s1 u1 nan\n"),
        "bad-two-scores": join(lines, given + b"s1 u1 2.6\n"),
        "bad-found-far-scores": join(lines, b"s1 u1 1e308\ns1 u1 -1e308\n"),
    }


def configs():
    """Return config files."""
    whole = tomli_w.dumps(flatten(diarize.DiarizeConfig())).encode()
    return {
        "good-empty": b"",
        "good-all-defaults": whole,
        "good-comments": b"# by hand\nseed = 7 # lucky\nthreshold = -1\n",
        "good-model": b'model_dir = "exp/model"\nnum_speakers = 2\n',
        "bad-unknown": b"thresold = 0.5\n",
        "bad-type": b'threshold = "low"\n',
        "bad-choice": b'system = "xyz"\n',
        "bad-no-toml": b"threshold: 0.5\n",
        "bad-table": b"[seed]\nx = 1\n",
        "bad-duplicate": b"seed = 1\nseed = 2\n",
        "bad-not-utf8": b'model_dir = "\xff"\n',
        "bad-contradiction": b"num_speakers = 2\nmin_speakers = 3\n",
        "bad-found-nested": b"seed = " + b"[" * 5000,
        "bad-found-long-number": b"seed = " + b"9" * 5000,
        "bad-found-large-number": b"threshold = " + b"9" * 400,
        "bad-found-zero-byte": b'model_dir = "a\\u0000b"\n',
        "bad-found-nan": b"threshold = nan\n",
        "bad-found-long-time": b"seed = 00:00:00.9999999999\n",
    }


def sweeps():
    """Return tables of ssahc tune."""
    head = b"threshold,der,scored,missed,false_alarm,confusion\n"
    rows = b"0.0,10.0,10.0,0.0,0.0,1.0\n0.5,20.0,10.0,1.0,0.0,1.0\n"
    two = head.replace(b"threshold", b"gamma,threshold")
    return {
        "good-one-option": head + rows,
        "good-two-options": two + b"0.1," + rows[:26] + b"0.2," + rows[:26],
        "bad-empty": b"",
        "bad-no-row": head,
        "bad-other-table": b"recording,start,end\nr1,0,1\n",
        "bad-row-missing": two + b"0.1," + rows[:26] + b"0.2," + rows[26:],
        "bad-row-twice": head + rows + rows,
        "bad-fields": head + b"0.0,10.0\n",
        "bad-nan": head + rows.replace(b"1.0\n", b"nan\n"),
        "bad-negative": head + rows.replace(b"1.0\n", b"-1\n"),
        "bad-nothing-scored": head + rows.replace(b"10.0,0.0,", b"0,0,"),
        "bad-found-endless": head + b"0,1,1e-300,1e300,0,0\n",
        "bad-found-underscore": head + rows.replace(b"10.0", b"1_0"),
        "bad-found-name-of-two-words": head.replace(b"threshold", b"t hold") + rows,
        "bad-found-no-name": head.replace(b"threshold", b"") + rows,
        "bad-found-same-names": two.replace(b"gamma", b"threshold") + b"0," + rows[:26],
    }
