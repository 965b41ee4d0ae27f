"""Readers of folders: x-vectors, scores, and the results of an interrupted run."""

from unittest.mock import patch

import numpy as np
from checks import as_written, check_array, check_finite, check_key, require, same

from ssahc.cli.inputs import Source, open_source
from ssahc.cli.journal import Plan, read_back
from ssahc.core.errors import DataError, FormatError, SsahcError
from ssahc.core.types import Fault, Recording
from ssahc.io.ark import read_entries
from ssahc.io.check import find_problems
from ssahc.io.labelled import read_labelled, read_xvectors, write_labelled
from ssahc.io.npz import read_npz
from ssahc.io.scores import open_scores, read_scores
from ssahc.io.speakers import read_speakers, write_latent
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings


def read_xvector_dirs(folder, size):
    """Read an x-vector folder; `ssahc check` must find whatever is refused."""
    report = find_problems(folder)
    require(report.seconds >= 0, f"{report.seconds} s")
    try:
        opened = open_xvector_dir(folder)
        items = list(read_recordings(opened))
    except SsahcError:
        require(report.problems, "check finds nothing wrong")
        raise
    faults = [item for item in items if isinstance(item, Fault)]
    recordings = [item for item in items if isinstance(item, Recording)]
    names = [item.recording for item in faults] + [item.id for item in recordings]
    expected = opened.utterances.keys() | opened.unlisted.keys()
    require(sorted(names) == sorted(expected), f"{names} of {expected}")
    # Only check compares dimensions between recordings, and reads numbers of speakers.
    reported = [
        problem
        for problem in report.problems
        if problem.path.name != "reco2num_spk" and "that of" not in str(problem)
    ]
    require(bool(reported) == bool(faults), f"check finds {reported}, not {faults}")
    for recording in recordings:
        check_array(recording.xvectors, 2, size)
        check_finite(recording.segments)
        check_key(recording.id)
        utterances = tuple(opened.utterances[recording.id])
        require(recording.utterances == utterances, "another order")
    if recordings:
        write_xvector_dir(folder / "again", recordings)
        again = list(read_recordings(open_xvector_dir(folder / "again")))
        for one, other in zip(recordings, again, strict=True):
            is_same = same(as_written(one.xvectors), other.xvectors)
            require(one.id == other.id and is_same, one.id)
            require(np.allclose(one.segments, other.segments, 1e-12, 6e-4), one.id)
    if (folder / "recordings").exists():
        list(read_recordings(open_source(Source(folder, folder / "recordings"))))
    if faults:
        raise DataError(faults[0].reason)


def read_npz_files(folder, size):
    """Read a recording from numpy's file; as a folder it is the same."""
    # Checksums would keep fuzzing from what is inside.
    with patch("zipfile.ZipExtFile._update_crc"):
        recording = read_npz(folder / "r.npz")
    check_finite(recording.xvectors)
    for key in recording.utterances:
        check_key(key)
    write_xvector_dir(folder / "again", [recording])
    (again,) = read_recordings(open_xvector_dir(folder / "again"))
    require(again.utterances == recording.utterances, "utterances")
    require(same(again.segments, recording.segments), "segments")
    require(same(again.xvectors, as_written(recording.xvectors)), "x-vectors")


def read_labelled_dirs(folder, size):
    """Read x-vectors of speakers."""
    found = read_xvectors(folder)
    check_array(found.xvectors, 2, size)
    check_finite(found.xvectors)
    require(len(found.utterances) == len(found.xvectors) > 0, "utterances")
    labelled, faults = read_labelled(folder)
    check_finite(labelled.xvectors)
    for key in (*labelled.utterances, *labelled.speakers):
        check_key(key)
    write_labelled(folder / "again", labelled)
    again, _ = read_labelled(folder / "again")
    require(again.utterances == labelled.utterances, "utterances differ")
    require(again.speakers == labelled.speakers, "speakers differ")
    require(same(again.xvectors, as_written(labelled.xvectors)), "x-vectors differ")
    if faults:
        raise faults[0]


def read_score_tables(folder, size):
    """Locate score matrices, and read each."""
    table = open_scores(folder / "scores.ark")
    rows = {} if table.rows is None else table.rows
    faults = [] if table.fault is None else [table.fault]
    for recording in {**table.entries, **rows}:
        check_key(recording)
        utterances = rows.get(recording, ["u1", "u2"])
        try:
            matrix = read_scores(table, recording, utterances)
        except SsahcError as error:
            faults.append(error)
            continue
        check_array(matrix, 2, size)
        require(matrix.shape == (len(utterances),) * 2, f"shape {matrix.shape}")
    if faults:
        raise faults[0]


# What the interrupted run was to do.
_UTTERANCES = {"r1": ("a", "b"), "r2": ("c", "d", "e")}


def read_unfinished(folder, size):
    """Read back the results of an interrupted run; there must be one recording."""

    def read(with_scores):
        plan = Plan(None, _UTTERANCES, (), with_scores, _UTTERANCES.__contains__)
        done, confidence, posteriors, scores = read_back([folder], plan)
        require(posteriors.keys() <= done.keys(), "a posterior without labels")
        for recording, labels in done.items():
            require(labels.dtype == np.int64, f"labels of {labels.dtype}")
            require(labels.shape == (len(_UTTERANCES[recording]),), "labels")
            require((labels >= 0).all(), f"labels {labels}")
            sure = confidence[recording]
            require(sure.shape == labels.shape, "confidence")
            require(((sure >= 0) & (sure <= 1)).all(), f"confidence {sure}")
            require(not with_scores or recording in scores, "no scores")
        for entry in scores.values():
            ((_, matrix),) = read_entries([entry], "matrix")
            require(not isinstance(matrix, FormatError), f"{matrix}")
            check_array(matrix, 2, size)
        return done.keys()

    labelled = read(with_scores=False)
    require(read(with_scores=True) <= labelled, "done with scores alone")
    if not labelled:
        raise DataError("nothing is done")


def read_speaker_folders(folder, size):
    """Read the speakers of a run; what can be used is written and read again."""
    stored = read_speakers(folder)
    check_array(stored.latent, 2, size)
    check_finite(stored.latent)
    check_finite(stored.space.psi)
    require((stored.space.psi >= 0).all(), "variances")
    require((stored.num_windows > 0).all(), "numbers of windows")
    require(not stored.rows.keys() & stored.faults.keys(), "both read and refused")
    for key in stored.rows:
        check_key(key)
    rows = zip(stored.rows, stored.latent, stored.num_windows.tolist(), strict=True)
    (folder / "again").mkdir()
    write_latent(folder / "again", rows, stored.space)
    if (stored.num_windows >= 1e-3).all():
        again = read_speakers(folder / "again")
        require(list(again.rows) == list(stored.rows), "speakers")
        require(same(again.latent, as_written(stored.latent)), "means")
        require(same(again.space.psi, stored.space.psi), "variances")
    if stored.faults:
        raise DataError(next(iter(stored.faults.values())))
