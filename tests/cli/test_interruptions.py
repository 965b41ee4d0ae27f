"""Runs that are interrupted at any step, resumed and hindered, in any order."""

import contextlib
import errno
import io
import itertools
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kills import killed

from ssahc.cli import journal, main
from ssahc.io.model import write_model_dir
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

OPTIONS = {
    "scores": ("--write-scores", "--resegmentation", "vb"),
    "threshold": ("--threshold", "0.5"),
}
ALL, BROKEN = frozenset(["a000", "a001", "a002"]), "a001"
STATUS = {"interrupted": 130, "terminated": 143, "disk full": 2}


def stop(how, die):
    if how == "interrupted":
        raise KeyboardInterrupt
    if how == "terminated":
        signal.raise_signal(signal.SIGTERM)
    if how == "disk full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    die()


@contextlib.contextmanager
def stopped_at(step, how, die):
    """Stop a run before or after it keeps a result or moves a file.

    Yields the list of the recordings whose results it had to keep.
    """
    steps, worked = itertools.count(1), []
    add, replace = journal.Unfinished.add, Path.replace

    def take_step():
        if next(steps) == step:
            stop(how, die)

    def add_or_stop(unfinished, recording, *arguments):
        worked.append(recording)
        take_step()
        add(unfinished, recording, *arguments)
        take_step()

    def replace_or_stop(path, target):
        take_step()
        replace(path, target)
        take_step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.Unfinished, "add", add_or_stop)
        patch.setattr(Path, "replace", replace_or_stop)
        yield worked


def call(root, name, out, *, resume=False, step=None, how=""):
    """Diarize; return exit status, standard error, and the recordings worked on."""
    arguments = ["diarize", root / "x", out, "--system", "cosine"]
    # A model that is learned from the recordings would depend on which are sound.
    arguments += ["--model-dir", root / "model"]
    arguments += [*OPTIONS[name], *(["--resume"] if resume else [])]
    said, status, worked = io.StringIO(), "killed", []
    with contextlib.redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ssahc", *map(str, arguments)])
        with killed(out) as die, stopped_at(step, how, die) as worked:
            try:
                main()
            except SystemExit as stopped:
                status = stopped.code or 0
    assert "Traceback" not in said.getvalue()
    return status, said.getvalue(), worked


def write_archive(root, *, broken):
    """Write the archive anew, with or without an x-vector that is NaN."""
    whole = (root / "whole.ark").read_bytes()
    key = whole.index(f"{BROKEN}-".encode())
    # Behind the key: a mark, the type, a size of 5 bytes, and the first number.
    place = whole.index(b" ", key) + 1 + 2 + 3 + 5
    spoiled = whole[:place] + b"\0\0\xc0\x7f" + whole[place + 4 :]
    (root / "x" / "xvector.ark").write_bytes(spoiled if broken else whole)


class Runs(RuleBasedStateMachine):
    """One output folder, and everything that may happen to it."""

    root: ClassVar[Path]
    references: ClassVar[dict]

    def __init__(self):
        super().__init__()
        self.out = self.root / "out"
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        write_archive(self.root, broken=False)
        self.clock = (self.root / "x" / "segments").stat().st_mtime + 1e6
        self.broken = self.torn = False
        # Options of the finished and of the unfinished run in the folder, and whether
        # the archive has changed since.
        self.finished = self.begun = None
        self.changed_finished = self.changed_begun = False

    def teardown(self):
        """Whatever has happened, an unfinished run can be completed."""
        self.rewrite(broken=False)
        self.accept()
        if self.begun is not None:
            self.run(self.begun, True, None, "killed")

    # ---- what is known ---------------------------------------------------------------

    def kept(self):
        """Return the recordings that a run must not do again."""
        table = (self.root / "x" / "utt2spk").read_text()
        recordings = dict(line.split() for line in table.splitlines())
        sizes, found = Counter(recordings.values()), Counter()
        unfinished = self.out / ".unfinished"
        paths = [self.out / "labels"] if self.begun is None else []
        if self.begun is not None:
            paths += unfinished.glob("labels*")
            if self.finished == self.begun and not self.changed_finished:
                paths.append(self.out / "labels")
        lines = set()
        for path in paths:
            lines |= set(path.read_text().rpartition("\n")[0].splitlines())
        found.update(recordings.get(line.split(" ")[0]) for line in lines)
        return {name for name in sizes if found[name] == sizes[name]}

    # ---- what may happen -------------------------------------------------------------

    @rule(
        name=st.sampled_from(sorted(OPTIONS)),
        resume=st.booleans(),
        at=st.none() | st.integers(1, 30),
        how=st.sampled_from(["interrupted", "terminated", "disk full", "killed"]),
    )
    def run(self, name, resume, at, how):
        refusal = self.why_refused(name, resume)
        goes_on = resume and (self.begun or self.finished) is not None
        kept = self.kept() if goes_on and not refusal else set()
        before = files(self.out)
        status, said, worked = call(
            self.root, name, self.out, resume=resume, step=at, how=how
        )
        if refusal:
            assert status == 2
            assert refusal in said
            assert files(self.out) == before
            return
        if not self.torn:
            assert not kept & set(worked), "done recordings are not done again"
        assert len(worked) == len(set(worked))
        is_unfinished = (self.out / ".unfinished" / "config.toml").exists()
        if status in (0, 1):
            healthy = ALL - {BROKEN} if self.broken else ALL
            # What a torn file still holds is known only by what was done again.
            kept -= set(worked) if self.torn else set()
            done = frozenset(kept | healthy)
            assert status == (0 if len(done) == 3 else 1)
            assert files(self.out) == self.references[name, done]
            self.finished, self.begun, self.torn = name, None, False
            self.changed_finished = False
            return
        assert status == STATUS.get(how, how)
        if is_unfinished:
            self.begun, self.changed_begun = name, False
        elif (self.out / "config.toml").exists() and files(self.out) != before:
            # It was stopped after the very last file had been moved.
            self.finished, self.begun, self.changed_finished = name, None, False

    def why_refused(self, name, resume):
        earlier = self.begun or (self.finished if resume else None)
        if earlier is None:
            return None
        if self.begun is not None and not resume:
            return "holds an interrupted run; continue it with --resume"
        if name != earlier:
            return "give the same options to resume"
        changed = self.changed_finished if self.begun is None else self.changed_begun
        return "has changed since the run in" if changed else None

    @rule()
    def touch(self):
        """Change the archive's date."""
        self.clock += 10
        os.utime(self.root / "x" / "xvector.ark", (self.clock, self.clock))
        self.changed_finished = self.changed_begun = True

    @rule()
    def accept(self):
        """Declare the earlier results valid, as the error message suggests."""
        for folder in (self.out, self.out / ".unfinished"):
            if (folder / "config.toml").exists():
                os.utime(folder / "config.toml", (self.clock, self.clock))
        self.changed_finished = self.changed_begun = False

    @rule(broken=st.booleans())
    def rewrite(self, broken):
        """Write the archive again, with or without a broken x-vector."""
        self.broken = broken
        write_archive(self.root, broken=broken)
        self.touch()

    @rule(
        which=st.sampled_from(["labels", "scores"]),
        lost=st.integers(1, 300),
        zeros=st.booleans(),
    )
    def tear(self, which, lost, zeros):
        """Lose the end of a file in a power failure.

        It may end in zeros then; but scores reach the disk before their labels.
        """
        zeros = zeros and which == "labels"
        paths = sorted((self.out / ".unfinished").glob(f"{which}.[0-9]*"))
        if not paths:
            return
        text = paths[-1].read_bytes()
        paths[-1].write_bytes(text[:-lost] + bytes(min(lost, len(text)) * zeros))
        self.torn = True

    # ---- what always holds -----------------------------------------------------------

    @invariant()
    def only_files_of_ours_are_in_the_folder(self):
        names = {path.name for path in self.out.iterdir()}
        finals = {"labels", "confidence", "rttm", "config.toml", *journal.SCORES}
        assert names <= finals | {"speaker_posterior", ".unfinished"}
        if self.begun is None:
            assert ".unfinished" not in names or is_stale(self.out)

    @invariant()
    def files_of_two_runs_are_not_mixed(self):
        """But for a run that was killed while it moved its files."""
        finals = {
            name: text for name, text in files(self.out).items() if "/" not in name
        }
        if finals and self.begun is None:
            assert finals in self.references.values()


def is_stale(out):
    """Whether a run was killed before it started, so that nothing there is used."""
    return not (out / ".unfinished" / "config.toml").exists()


def files(folder):
    """Return the files in a folder that a later run may use."""
    names = [path for path in folder.iterdir() if path.is_file()]
    if not is_stale(folder):
        names += folder.glob(".unfinished/*.[0-9]*")
        names.append(folder / ".unfinished" / "config.toml")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


@pytest.fixture(scope="module", autouse=True)
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    options = SimulateOptions(recordings=3, duration=15, dim=8, seed=3)
    halves = simulate_corpus(options)
    conversations = halves["a"].conversations
    write_xvector_dir(root / "x", [item.recording for item in conversations])
    write_model_dir(root / "model", halves["b"].model)
    shutil.copy(root / "x" / "xvector.ark", root / "whole.ark")
    Runs.root, Runs.references = root, {}
    for name in OPTIONS:
        for broken, done in ((True, ALL - {BROKEN}), (False, ALL)):
            write_archive(root, broken=broken)
            out = root / "reference"
            status, _, _ = call(root, name, out)
            assert status == int(broken)
            assert (out / "speaker_posterior").exists() == (name == "scores")
            Runs.references[name, done] = files(out)
            shutil.rmtree(out)


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
