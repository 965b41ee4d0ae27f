"""The seeds that are text."""

import tomli_w

from ssahc.cli.diarize_config import DiarizeConfig
from ssahc.core.options import flatten


def make_seeds(join):
    """Return reader to inputs by name; `join` makes an input of several files."""
    return {
        "linked": linked(),
        "window-lines": window_lines(),
        "tables": tables(),
        "rttm": rttms(),
        "uem": uems(),
        "references": references(join),
        "trials": trials(join),
        "config": configs(),
        "sweep": sweeps(),
    }


def tables():
    """Return text tables."""
    return {
        "good-segments": b"u1 r1 0.00 1.50\nu2 r1 0.75 2.25\n",
        "good-spk2utt": b"r1 u1 u2\nr2 u3\n",
        "good-utt2spk": b"u1 r1\nu2 r1\n",
        "good-counts": b"r1 2\nr2 10\n",
        "good-bounds": b"r1 1 2\nr2 3 3\n",
        "good-labels": b"u1 1 \nu2 2 \n",
        "good-posteriors": b"r1 1:0.020 2:0.810 3:0.170\nr2 10:1.000\n",
        "good-attributes": b"r1 conversational telephone speech\n",
        "good-unicode": "é 1\n東京 2\n".encode(),
        "good-empty": b"",
        "bad-duplicate": b"u1 r1\nu1 r2\n",
        "bad-not-utf8": b"\xff\xfeu\x001\x00",
        "bad-found-zero-bytes": "u1 r1\n".encode("utf-16-le"),
        "bad-found-underscore": b"u1 r1 0 1_0\nu1 r1 0 1\n",
        "bad-found-wide-space": "\u3000\nu1 r1\nu1 r1\n".encode(),
    }


def window_lines():
    """Return lines of streams."""
    window = b'{"start": 0.5, "end": 2.0, "xvector": [1.0, -2.5e-1]}\n'
    return {
        "good-lines": window + b'\n{"recording": "a", "time": 3}\n{"end": true}\n',
        "bad-lines": window[:-9] + b'\n[1]\n{"time": "x"}\n{"recording": 1}\n',
        "bad-xvector": b'{"start": 0, "end": 1, "xvector": [null]}\n',
    }


def linked():
    """Return tables of linked speakers."""
    return {
        "good-linked": b"r1 1 S1 12.50\nr1 2 S2 -\nr2 1 S1 12.50\n",
        "good-names": "r1 1 Zoë -3\n".encode(),
        "good-empty": b"",
        "bad-twice": b"r1 1 S1 -\nr1 1 S2 -\n",
        "bad-one-name": b"r1 1 S1 -\nr1 2 S1 -\n",
        "bad-score": b"r1 1 S1 nan\n",
        "bad-fields": b"r1 1 S1\n",
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
        "good-label-first": b"1 s1 u1\n0 s1 u2\n",
        "good-header": join(
            b"modelid segmentid side targettype\ns1 u1 a target\n",
            b"modelid segmentid side LLR\ns1 u1 a 2.5\n",
        ),
        "good-repeated": join(lines + lines, given + given),
        "bad-contradiction": lines + b"s1 u1 nontarget\n",
        "bad-found-far-scores": join(lines, b"s1 u1 1e308\ns1 u1 -1e308\n"),
    }


def configs():
    """Return config files."""
    whole = tomli_w.dumps(flatten(DiarizeConfig())).encode()
    return {
        "good-empty": b"",
        "good-all-defaults": whole,
        "good-comments": b"# by hand\nseed = 7 # lucky\nthreshold = -1\n",
        "good-model": b'model_dir = "exp/model"\nnum_speakers = 2\n',
        "bad-unknown": b"thresold = 0.5\n",
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
