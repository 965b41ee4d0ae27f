"""All readers of ssahc, each with the files that it is fed.

An input is one string of bytes. Where a reader reads several files it is cut into them
at lines of ``=====``; files that are left over are missing.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fuzz_folders
import fuzz_objects
import fuzz_text
from checks import check_message

from ssahc.core.errors import SsahcError

CUT = b"\n=====\n"


@dataclass(frozen=True)
class Harness:
    """A reader, or readers of one file.

    Attributes
    ----------
    read : callable
        Reads the files of a folder, given the number of bytes of the input. Raises a
        `SsahcError` if it refuses them, `checks.Unsound` if what it gives is not sound.
    files : tuple of str
        Into which the input is cut.
    words : tuple of bytes
        What such files hold, for libFuzzer to put in.
    """

    read: Callable[[Path, int], None]
    files: tuple[str, ...]
    words: tuple[bytes, ...] = ()


_OBJECT = (
    *(b"\0BFV \4", b"\0BDV \4", b"\0BFM \4", b"\0BDM \4"),
    *(b" [ 1 2 ]\n", b" [\n 1 2 ]\n", b"nan", b"inf", b"\0\0\xc0\x7f"),
    *(b"\0BCM ", b"\0BCM2 ", b"\0BCM3 ", b"\xff\xff\xff\x7f", b"\0\0\0\x80"),
    *(b"\4\0\0\0\0", b"\4\1\0\0\0", b"\4\2\0\0\0"),
)
_CUT = (CUT,)
_TEXT = (b"\xef\xbb\xbf", b"\r\n", b"\xe3\x80\x80", b"1e308", b"-1", b"1_0", b"nan")
_TABLE = (
    *(*_TEXT, b"u1 r1 0.00 1.50\n", b"r1 u1 u2\n", b"u1 r1\n"),
    *(b"r1 2\n", b"r1 1 3\n"),
)
_SCP = (b"a x.ark:2\n", b"|", b"[0:1]", b".gz", b":0")
_DIR = (*_OBJECT, *_TABLE, *_CUT, b"u1 x.ark:3\n", b"u2 x.ark:24\n")

# The readers of Kaldi's objects come first.
HARNESSES = {
    "ark-vectors": Harness(fuzz_objects.read_vectors, ("x.ark",), _OBJECT),
    "ark-matrices": Harness(fuzz_objects.read_matrices, ("x.ark",), _OBJECT),
    "single": Harness(fuzz_objects.read_singles, ("x",), _OBJECT),
    "scp": Harness(
        fuzz_objects.read_scps, ("x.scp", "x.ark"), (*_OBJECT, *_SCP, *_TEXT, *_CUT)
    ),
    "plda": Harness(
        fuzz_objects.read_pldas,
        ("plda",),
        (*_OBJECT, b"<Plda> ", b"</Plda> ", b"DV \4", b"DM \4", b"FV \4", b"FM \4"),
    ),
    "metric": Harness(
        fuzz_objects.read_metrics,
        ("metric.ark",),
        (*_OBJECT, b"whitening ", b"hidden1.inner ", b"hidden1.outer ", b"projection "),
    ),
    "model": Harness(
        fuzz_objects.read_models,
        ("mean.vec", "transform.mat", "plda", "metric.ark"),
        (*_OBJECT, *_CUT, b"<Plda> ", b"</Plda> ", b"whitening ", b"projection "),
    ),
    "checkpoint": Harness(
        fuzz_objects.read_checkpoints,
        ("checkpoint.npz",),
        (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"\x93NUMPY", b"record.npy", b"layer0.npy"),
    ),
    "xvector-dir": Harness(
        fuzz_folders.read_xvector_dirs,
        (
            *("xvector.scp", "x.ark", "segments", "utt2spk", "spk2utt"),
            *("reco2num_spk", "recordings"),
        ),
        _DIR,
    ),
    "labelled": Harness(
        fuzz_folders.read_labelled_dirs,
        ("xvector.scp", "x.ark", "utt2spk", "segments"),
        _DIR,
    ),
    "scores": Harness(fuzz_folders.read_score_tables, ("scores.ark", "spk2utt"), _DIR),
    "unfinished": Harness(
        fuzz_folders.read_unfinished,
        ("labels", "labels.0", "labels.1", "scores.ark", "scores.0"),
        (*_OBJECT, *_CUT, b"a 1 \n", b"b 2 \n", b"r1 ", b"\xc2\xb2"),
    ),
    "tables": Harness(fuzz_text.read_tables, ("table",), _TABLE),
    "rttm": Harness(
        fuzz_text.read_rttms,
        ("rttm",),
        (*_TEXT, b"SPEAKER r1 1 0.0 1.5 <NA> <NA> A <NA> <NA>\n", b"SPEAKER", b";;"),
    ),
    "uem": Harness(fuzz_text.read_uems, ("uem",), (*_TEXT, b"r1 1 0.0 10.0\n", b";;")),
    "references": Harness(
        fuzz_text.read_reference_sets,
        ("ref.rttm", "hyp.rttm", "all.uem"),
        (
            *(*_TEXT, *_CUT, b"SPEAKER r1 1 0.0 1.5 <NA> <NA> A <NA> <NA>\n"),
            *(b"r1 1 0.0 10.0\n", b"SPEAKER"),
        ),
    ),
    "trials": Harness(
        fuzz_text.read_trial_lists,
        ("trials", "scores"),
        (*_TEXT, *_CUT, b" target\n", b" nontarget\n", b"s1 u1 0.5\n"),
    ),
    "config": Harness(
        fuzz_text.read_configs,
        ("config.toml",),
        (
            *(b"system = ", b"threshold = ", b"model_dir = ", b"num_speakers = "),
            *(b"seed = ", b'"ssahc"', b"true", b"nan", b"inf", b"[[", b'"\\u0000"'),
            *(b"0x7fffffffffffffff", b"1e999", b"loss = ", b"recordings = "),
        ),
    ),
    "sweep": Harness(
        fuzz_text.read_sweeps,
        ("tuning.csv",),
        (
            *(b"threshold,der,scored,missed,false_alarm,confusion\n", b"gamma,"),
            *(b"0.0,1.0,10.0,0.0,0.0,0.1\n", b"1e308", b"nan", b"1_0", b"\xe3\x80\x80"),
        ),
    ),
}


def feed(harness, data, folder):
    """Have a reader read an input.

    Parameters
    ----------
    harness : Harness
    data : bytes
    folder : Path
        Holds nothing else; what is there is replaced.

    Returns
    -------
    SsahcError or None
        Why the reader refuses it.
    """
    names = harness.files
    parts = data.split(CUT, len(names) - 1) if len(names) > 1 else [data]
    for name, part in zip(names, parts):
        (folder / name).write_bytes(part)
    for name in names[len(parts) :]:
        (folder / name).unlink(missing_ok=True)
    try:
        harness.read(folder, len(data))
    except SsahcError as error:
        check_message(error)
        return error
    finally:
        shutil.rmtree(folder / "again", ignore_errors=True)
    return None
