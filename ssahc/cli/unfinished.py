"""Results of a run that is under way, kept where no interruption can take them.

While ``ssahc diarize`` runs, ``OUT_DIR/.unfinished`` holds its options and, recording
by recording as they are done, labels and scores. ``--resume`` reads back from there
what was done. At the end the files of OUT_DIR are made from it and moved to their
place, and the folder is removed.

Every process that goes on with a run writes files of its own (``labels.0``, after an
interruption ``labels.1``, ...). A recording counts as done when all of its utterances
have a label and, where scores are wanted, its matrix is whole.
"""

import fcntl
import logging
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ssahc.cli.batch import CONFIG
from ssahc.config import build, flatten, read_config, write_config
from ssahc.errors import FormatError, UsageError
from ssahc.io.ark import ArchiveWriter, Array, index_table, read_entries, write_entry
from ssahc.io.files import made_folder, move_files, refuse_folders
from ssahc.io.scp import ScpEntry
from ssahc.io.text import format_labels
from ssahc.types import IntArray

_FOLDER, _LOCK = ".unfinished", "lock"
SCORES = ("scores.ark", "scores.scp")

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run is to do.

    Attributes
    ----------
    options : dataclass instance
        What goes to config.toml.
    utterances : mapping
        Recording to its utterances.
    inputs : collection of Path
        The files that the results depend on.
    with_scores : bool
        Whether matrices are wanted as well as labels.
    """

    options: Any
    utterances: Mapping[str, Sequence[str]]
    inputs: Collection[Path]
    with_scores: bool


class Unfinished:
    """The results so far, and where the next ones are kept.

    Parameters
    ----------
    folder : Path
        Where they are; files of OUT_DIR are made here, too.
    labels : dict
        Recording to the 0-based labels of its utterances: what was done before.
    scores : dict
        Recording to the place of its matrix.
    """

    def __init__(
        self, folder: Path, labels: dict[str, IntArray], scores: dict[str, ScpEntry]
    ) -> None:
        self.folder = folder
        self.labels = labels
        self._scores = scores

    def __enter__(self) -> Self:
        number = 0
        while (self.folder / f"labels.{number}").exists():
            number += 1
        labels = self.folder / f"labels.{number}"
        self._labels_file = labels.open("w", encoding="utf-8")
        self._scores_file = (self.folder / f"scores.{number}").open("wb")
        return self

    def __exit__(self, *error: Any) -> None:
        self._labels_file.close()
        self._scores_file.close()

    def add(
        self,
        recording: str,
        utterances: Sequence[str],
        labels: IntArray,
        scores: Array | None,
    ) -> None:
        """Keep what was found for a recording; `scores` is None if not wanted."""
        labelled = zip(utterances, labels.tolist(), strict=True)
        try:
            if scores is not None:
                path = Path(self._scores_file.name)
                offset = write_entry(self._scores_file, recording, scores)
                self._scores_file.flush()
                self._scores[recording] = ScpEntry(recording, path, offset, path, 0)
            self._labels_file.write(format_labels(labelled))
            self._labels_file.flush()
        except OSError as error:
            raise UsageError(
                f"{self.folder}: cannot be written ({error.strerror})"
            ) from error
        self.labels[recording] = labels

    def write_scores(self, recordings: Iterable[str]) -> None:
        """Write the matrices, in this order, as an archive and its scp."""
        archive, scp = (self.folder / name for name in SCORES)
        with ArchiveWriter(archive, scp) as writer:
            for recording in recordings:
                ((_, matrix),) = read_entries([self._scores[recording]], "matrix")
                if isinstance(matrix, FormatError):
                    raise matrix
                writer.write(recording, matrix)


@contextmanager
def open_unfinished(
    out_dir: Path,
    plan: Plan,
    names: Sequence[str],
    *,
    resume: bool,
    stale: Collection[str] = (),
) -> Iterator[Unfinished]:
    """Keep results in a folder while a run is under way; finish it on leaving.

    Parameters
    ----------
    out_dir : Path
        Made if missing, and taken away again if nothing could be kept.
    plan : Plan
    names : sequence of str
        Files that may be moved from `Unfinished.folder` to `out_dir` at the end,
        besides config.toml.
    resume : bool
        Start from what an interrupted or finished run with the same plan has left.
    stale : collection of str
        Those of `names` that an earlier run has left: removed if not made anew.

    Raises
    ------
    UsageError
        If the folder cannot be written to, another run is writing there, or what an
        earlier one has left has no place in this plan.
    """
    with made_folder(out_dir):
        refuse_folders(out_dir, (*names, CONFIG))
        folder = out_dir / _FOLDER
        folder.mkdir(exist_ok=True)
        with _locked(folder / _LOCK, out_dir):
            try:
                earlier = _find_earlier(out_dir, plan, resume=resume)
                labels, scores = _read_back(earlier, plan)
                if not (folder / CONFIG).exists():
                    write_config(folder / CONFIG, plan.options)
                with Unfinished(folder, labels, scores) as unfinished:
                    if labels:
                        _logger.info("%d recordings were done before", len(labels))
                    try:
                        yield unfinished
                    except BaseException:
                        _keep(unfinished, out_dir, plan)
                        raise
                # Options last: until they are gone, the folder can be resumed.
                move_files(folder, out_dir, names, stale=stale)
                (folder / CONFIG).replace(out_dir / CONFIG)
            finally:
                if not (folder / CONFIG).exists():
                    shutil.rmtree(folder, ignore_errors=True)


def _keep(unfinished: Unfinished, out_dir: Path, plan: Plan) -> None:
    """Leave the results for a later run; if there are none, leave nothing."""
    if not unfinished.labels:
        (unfinished.folder / CONFIG).unlink()
        return
    _logger.warning(
        "%d of %d recordings are done and kept in %s; the same command with --resume "
        "goes on from there",
        len(unfinished.labels),
        len(plan.utterances),
        out_dir,
    )


@contextmanager
def _locked(path: Path, out_dir: Path) -> Iterator[None]:
    """Hold a lock that the system takes back if the process dies."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The other run may have ended, and removed the file, just now.
            is_ours = os.fstat(file.fileno()).st_nlink > 0
        except BlockingIOError:
            is_ours = False
        if not is_ours:
            raise UsageError(
                f"{out_dir}: another run is writing there; wait for it, or choose "
                "another output folder"
            )
        yield


# ---- what an earlier run has left --------------------------------------------------


def _find_earlier(out_dir: Path, plan: Plan, *, resume: bool) -> list[Path]:
    """Return the folders of results to start from."""
    folder = out_dir / _FOLDER
    if (folder / CONFIG).exists():
        if not resume:
            raise UsageError(
                f"{out_dir}: holds a run that was interrupted; go on with --resume, or "
                f"remove {folder} to start anew"
            )
        _check(folder, plan)
        try:
            # The interrupted run may itself have gone on from a finished one.
            _check(out_dir, plan)
        except (FormatError, UsageError):
            return [folder]
        return [out_dir, folder]
    # Without options nothing can be made of what else lies there.
    for path in folder.iterdir():
        if path.name != _LOCK:
            path.unlink()
    if resume and (out_dir / CONFIG).exists():
        _check(out_dir, plan)
        return [out_dir]
    return []


def _check(earlier: Path, plan: Plan) -> None:
    """Raise an error if these results are not those of the plan."""
    _check_options(earlier, plan.options)
    _check_inputs(earlier, plan.inputs)


def _check_options(earlier: Path, options: Any) -> None:
    stored = flatten(build(type(options), read_config(earlier / CONFIG, type(options))))
    wanted = flatten(options)
    for name in sorted(stored.keys() | wanted.keys()):
        there, here = stored.get(name, "not given"), wanted.get(name, "not given")
        if there != here:
            raise UsageError(
                f"{earlier / CONFIG}: {name} is {there} there and {here} now, so these "
                "results cannot be resumed; give the same options, or another folder"
            )


def _check_inputs(earlier: Path, inputs: Iterable[Path]) -> None:
    began = (earlier / CONFIG).stat().st_mtime_ns
    for path in inputs:
        if path.exists() and path.stat().st_mtime_ns > began:
            raise UsageError(
                f"{path}: has changed since the run in {earlier} began; start anew in "
                "another folder, or, if what was done is right all the same: touch "
                f"{earlier / CONFIG}"
            )


def _read_back(
    earlier: Iterable[Path], plan: Plan
) -> tuple[dict[str, IntArray], dict[str, ScpEntry]]:
    """Return the labels and the places of matrices of what is done."""
    label_of: dict[str, int] = {}
    scores: dict[str, ScpEntry] = {}
    for folder in earlier:
        for path in (folder / "labels", *sorted(folder.glob("labels.[0-9]*"))):
            label_of.update(_whole_lines(path))
        for path in (folder / SCORES[0], *sorted(folder.glob("scores.[0-9]*"))):
            if plan.with_scores and path.exists():
                scores |= _whole_matrices(path)
    labels = {
        recording: np.array([label_of[utterance] for utterance in utterances])
        for recording, utterances in plan.utterances.items()
        if utterances
        and label_of.keys() >= set(utterances)
        and (recording in scores or not plan.with_scores)
    }
    return labels, scores


def _whole_matrices(path: Path) -> dict[str, ScpEntry]:
    """Return the places of the matrices before the one that was torn off."""
    try:
        return index_table(path, "matrix")[0]
    except FormatError:
        # Not even the first one was begun well; it is made again.
        return {}


def _whole_lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield utterances and 0-based labels, but for a line that was torn off."""
    if not path.exists():
        return
    whole, _, _ = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")
    for line in whole.split("\n"):
        utterance, _, label = line.strip().partition(" ")
        if label.isdigit():
            yield utterance, int(label) - 1
