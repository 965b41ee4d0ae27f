"""Journal of a run of ``ssahc diarize``: results that survive any interruption.

While the run is under way, ``OUT_DIR/.unfinished`` holds its options and, for every
recording as soon as it is done, labels, scores and how likely each number of speakers
is. ``--resume`` reads them back. At the end the files of OUT_DIR are made there and
moved into place, and the folder is removed.

Every process that continues a run writes new files (``labels.0``, after an interruption
``labels.1``, ...) in the formats of OUT_DIR, so that one reader serves unfinished and
finished runs. A recording is done if all of its utterances have a label and a
confidence and, where scores are wanted, its matrix is complete. Its lines of
``speaker_posterior`` and ``confidence`` stand before its labels, in the same file:
whatever is cut off, labels imply these lines.
"""

import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ssahc.cli.resume import (
    add_to,
    begin,
    check_same_run,
    free_number,
    is_interrupted,
    keep_done,
    work_folder,
)
from ssahc.cli.runner import CONFIG
from ssahc.core.errors import FormatError, UsageError, counted
from ssahc.core.types import Float32Array, IntArray
from ssahc.io.ark import ArchiveWriter, Array, index_table, read_entries, write_entry
from ssahc.io.files import atomic_write, open_regular, unreadable
from ssahc.io.folders import UNFINISHED, clear_unfinished
from ssahc.io.scp import ScpEntry
from ssahc.io.text import (
    format_confidence,
    format_labels,
    format_posterior,
    parse_confidence,
    parse_count,
    parse_posterior,
)

SCORES = ("scores.ark", "scores.scp")
POSTERIOR, CONFIDENCE = "speaker_posterior", "confidence"

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a run is to do.

    `options` are written to config.toml; `utterances` maps recordings to theirs;
    results depend on the files `inputs`. `is_sound` says whether the tables allow a
    recording to be done: one that lists utterances of another must not take over their
    labels. Options in `addable` may be switched on for a finished run.
    """

    options: Any
    utterances: Mapping[str, Sequence[str]]
    inputs: Collection[Path]
    with_scores: bool
    is_sound: Callable[[str], bool]
    addable: Collection[str] = ()


class Unfinished:
    """The results so far; a context manager within which results are added.

    `labels` maps recordings to the 0-based labels of their utterances, `confidence` to
    how likely these are right, `posteriors` to the probabilities of numbers of
    speakers, where the number was estimated by them.
    """

    def __init__(
        self,
        folder: Path,
        labels: dict[str, IntArray],
        confidence: dict[str, Float32Array],
        posteriors: dict[str, Mapping[int, float]],
        scores: dict[str, ScpEntry],
    ) -> None:
        self.folder = folder
        self.labels = labels
        self.confidence = confidence
        self.posteriors = posteriors
        self._scores = scores

    def __enter__(self) -> Self:
        labels, scores = self._paths(free_number(self._paths))
        self._labels_file = open(labels, "x", encoding="utf-8")
        # Not "xb": kaldi_io insists on a file whose mode attribute is "wb".
        self._scores_file = open(scores, "wb")
        return self

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"labels.{number}", self.folder / f"scores.{number}"

    def __exit__(self, *error: Any) -> None:
        # Results have been flushed; what could not be was reported by `add`.
        for file in (self._labels_file, self._scores_file):
            with suppress(OSError):
                file.close()

    def add(
        self,
        recording: str,
        utterances: Sequence[str],
        labels: IntArray,
        scores: Array | None,
        posterior: Mapping[int, float],
        confidence: Float32Array,
    ) -> None:
        """Keep the results of a recording; UsageError if the disk is full."""
        labelled = zip(utterances, labels.tolist(), strict=True)
        rated = zip(utterances, confidence.tolist(), strict=True)
        with add_to(self._labels_file, self.folder):
            if scores is not None:
                path = Path(self._scores_file.name)
                offset = write_entry(self._scores_file, recording, scores)
                self._scores_file.flush()
                # After a power failure, too, labels must imply a complete matrix.
                os.fsync(self._scores_file.fileno())
                self._scores[recording] = ScpEntry(recording, path, offset, path, 0)
            if posterior:
                self._labels_file.write(format_posterior(recording, posterior))
                self.posteriors[recording] = posterior
            self._labels_file.write(format_confidence(rated))
            self._labels_file.write(format_labels(labelled))
        self.labels[recording] = labels
        self.confidence[recording] = confidence

    def write_confidence(self, utterances: Mapping[str, Sequence[str]]) -> None:
        """Write the confidence of all utterances of these recordings."""
        with atomic_write(self.folder / CONFIDENCE) as file:
            for name, group in utterances.items():
                values = self.confidence[name].tolist()
                file.write(format_confidence(zip(group, values, strict=True)))

    def write_posteriors(self, recordings: Iterable[str]) -> None:
        """Write the posteriors there are, in this order; no file if there is none."""
        if self.posteriors:
            with atomic_write(self.folder / POSTERIOR) as file:
                for name in recordings:
                    if name in self.posteriors:
                        file.write(format_posterior(name, self.posteriors[name]))

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
    stale: Callable[[], Collection[str]] = tuple,
) -> Iterator[Unfinished]:
    """Keep the results of a run while it is under way; move its files at the end.

    `names` are moved from `Unfinished.folder` to `out_dir`, besides config.toml. With
    `resume`, start from the results of an interrupted or finished run; a UsageError is
    raised if its options or inputs were others. `stale` is that of `work_folder`.
    """
    with work_folder(out_dir, names, stale=stale) as folder:
        earlier = _find_earlier(out_dir, plan, resume=resume)
        done = read_back(earlier, plan)
        if not (folder / CONFIG).exists():
            begin(folder, plan.options, plan.inputs)
        with Unfinished(folder, *done) as unfinished:
            if unfinished.labels:
                count = counted(len(unfinished.labels), "recording")
                _logger.info("already done: %s", count)
            try:
                yield unfinished
            except BaseException:
                total = len(plan.utterances)
                keep_done(folder, out_dir, len(unfinished.labels), total)
                raise


# ---- results of an earlier run -----------------------------------------------------


def _find_earlier(out_dir: Path, plan: Plan, *, resume: bool) -> list[Path]:
    """Return the folders of results to start from."""
    folder = out_dir / UNFINISHED
    if is_interrupted(out_dir, resume=resume):
        check_same_run(folder, plan.options, plan.inputs)
        try:
            # The interrupted run may itself have continued a finished one.
            _check_finished(out_dir, plan)
        except (FormatError, UsageError):
            return [folder]
        return [out_dir, folder]
    # Without options, nothing else there can be used.
    clear_unfinished(folder)
    if resume and (out_dir / CONFIG).exists():
        _check_finished(out_dir, plan)
        return [out_dir]
    return []


def _check_finished(out_dir: Path, plan: Plan) -> None:
    check_same_run(out_dir, plan.options, plan.inputs, addable=plan.addable)


def read_back(
    earlier: Iterable[Path], plan: Plan
) -> tuple[
    dict[str, IntArray],
    dict[str, Float32Array],
    dict[str, Mapping[int, float]],
    dict[str, ScpEntry],
]:
    """Read the labels, confidence and posteriors of recordings that are done.

    Returns the places of all matrices, too.
    """
    label_of: dict[str, int] = {}
    rate_of: dict[str, float] = {}
    posteriors: dict[str, Mapping[int, float]] = {}
    scores: dict[str, ScpEntry] = {}
    for folder in earlier:
        finished = (folder / POSTERIOR, folder / CONFIDENCE, folder / "labels")
        for path in (*finished, *sorted(folder.glob("labels.[0-9]*"))):
            for name, text in _whole_lines(path):
                if number := parse_count(text):
                    label_of[name] = number - 1
                    continue
                with suppress(ValueError):
                    rate_of[name] = parse_confidence(text.split(" "))
                with suppress(ValueError):
                    posteriors[name] = parse_posterior(text.split(" "))
        for path in (folder / SCORES[0], *sorted(folder.glob("scores.[0-9]*"))):
            if plan.with_scores and path.exists():
                scores |= _whole_matrices(path)
    labels = {
        recording: np.array([label_of[utterance] for utterance in utterances])
        for recording, utterances in plan.utterances.items()
        if utterances
        and label_of.keys() >= set(utterances)
        and rate_of.keys() >= set(utterances)
        and (recording in scores or not plan.with_scores)
        and plan.is_sound(recording)
    }
    confidence = {
        name: np.array([rate_of[one] for one in plan.utterances[name]], np.float32)
        for name in labels
    }
    posteriors = {name: one for name, one in posteriors.items() if name in labels}
    return labels, confidence, posteriors, scores


def _whole_matrices(path: Path) -> dict[str, ScpEntry]:
    """Return the places of the matrices that can be read."""
    try:
        entries, _ = index_table(path, "matrix")
    except FormatError:
        # Not even the first can be read.
        return {}
    return {
        recording: entries[recording]
        for recording, matrix in read_entries(entries.values(), "matrix")
        if not isinstance(matrix, FormatError)
    }


def _whole_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the first field of each line and the rest, but for one that was cut off."""
    if not path.exists():
        return
    try:
        with open_regular(path) as file:
            whole, _, _ = file.read().decode("utf-8", "replace").rpartition("\n")
    except OSError as error:
        raise unreadable(path, error) from error
    for line in whole.split("\n"):
        name, _, text = line.rstrip(" ").partition(" ")
        yield name, text
