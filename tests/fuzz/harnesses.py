"""All readers of ssahc, each with the files that it reads.

An input is one string of bytes. For a reader of several files it is cut into them at
lines of ``=====``; files without a part are missing.
"""

import shutil

import fuzz_audio
import fuzz_folders
import fuzz_networks
import fuzz_objects
import fuzz_text
from checks import check_message

from ssahc.core.errors import SsahcError

CUT = b"\n=====\n"

# Name to function and files. A function reads the files of a folder, given the size of
# the input in bytes. It raises a `SsahcError` if it refuses them, and `checks.Unsound`
# if what it has read is not sound.
READERS = {
    "ark-vectors": (fuzz_objects.read_vectors, ("x.ark",)),
    "ark-matrices": (fuzz_objects.read_matrices, ("x.ark",)),
    "single": (fuzz_objects.read_singles, ("x",)),
    "scp": (fuzz_objects.read_scps, ("x.scp", "x.ark")),
    "plda": (fuzz_objects.read_pldas, ("plda",)),
    "metric": (fuzz_objects.read_metrics, ("metric.ark",)),
    "model": (
        fuzz_objects.read_models,
        ("mean.vec", "transform.mat", "plda", "metric.ark"),
    ),
    "checkpoint": (fuzz_objects.read_checkpoints, ("checkpoint.npz",)),
    "xvector-dir": (
        fuzz_folders.read_xvector_dirs,
        (
            "xvector.scp",
            "x.ark",
            "segments",
            "utt2spk",
            "spk2utt",
            "reco2num_spk",
            "recordings",
        ),
    ),
    "npz": (fuzz_folders.read_npz_files, ("r.npz",)),
    "labelled": (
        fuzz_folders.read_labelled_dirs,
        ("xvector.scp", "x.ark", "utt2spk", "segments"),
    ),
    "scores": (fuzz_folders.read_score_tables, ("scores.ark", "spk2utt")),
    "unfinished": (
        fuzz_folders.read_unfinished,
        ("labels", "labels.0", "labels.1", "scores.ark", "scores.0"),
    ),
    "speakers": (
        fuzz_folders.read_speaker_folders,
        ("speaker_space.json", "num_windows", "speakers_plda.scp", "x.ark"),
    ),
    "linked": (fuzz_text.read_linked_tables, ("linked",)),
    "window-lines": (fuzz_text.read_window_lines, ("lines",)),
    "tables": (fuzz_text.read_tables, ("table",)),
    "rttm": (fuzz_text.read_rttms, ("rttm",)),
    "uem": (fuzz_text.read_uems, ("uem",)),
    "references": (
        fuzz_text.read_reference_sets,
        ("ref.rttm", "hyp.rttm", "all.uem"),
    ),
    "trials": (fuzz_text.read_trial_lists, ("trials", "scores")),
    "config": (fuzz_text.read_configs, ("config.toml",)),
    "sweep": (fuzz_text.read_sweeps, ("tuning.csv",)),
    "audio": (fuzz_audio.read_audio_files, ("x",)),
    "audio-list": (
        fuzz_audio.read_audio_lists,
        ("wav.scp", "x.wav", "reco2file_and_channel"),
    ),
    "conf": (fuzz_audio.read_confs, ("x.conf",)),
    "speech": (fuzz_audio.read_speech_regions, ("x",)),
    "nnet3": (fuzz_networks.read_nnets, ("final.raw", "extract.config")),
}


def feed(name, data, folder):
    """Have a reader read an input from files in a folder that holds nothing else.

    Returns the error of a reader that refuses the input, or None.
    """
    read, files = READERS[name]
    parts = data.split(CUT, len(files) - 1) if len(files) > 1 else [data]
    for file, part in zip(files, parts):
        (folder / file).write_bytes(part)
    for file in files[len(parts) :]:
        (folder / file).unlink(missing_ok=True)
    try:
        read(folder, len(data))
    except SsahcError as error:
        check_message(error)
        return error
    finally:
        shutil.rmtree(folder / "again", ignore_errors=True)
    return None
