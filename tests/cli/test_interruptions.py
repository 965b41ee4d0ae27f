"""Runs that are interrupted anywhere, resumed and hindered, in any order."""

import contextlib
import errno
import io
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
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ssahc.cli import inputs, journal, main
from ssahc.io.xvectors import write_xvector_dir
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

OPTIONS = {"scores": ("--write-scores",), "threshold": ("--threshold", "0.5")}
ALL, BROKEN = frozenset(["a000", "a001", "a002"]), "a001"
STATUS = {"interrupted": 130, "terminated": 143, "disk full": 2}


class Killed(BaseException):
    """The process is gone: nothing that it would have done after this is done."""


def stop(how):
    """Return what befalls a run at a step."""
    if how == "interrupted":
        raise KeyboardInterrupt
    if how == "terminated":
        signal.raise_signal(signal.SIGTERM)
    if how == "disk full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise Killed


class Steps:
    """Counts what a run does to files, and stops it at one step."""

    def __init__(self, at, how, on_kill):
        self.left, self.how, self.on_kill = at, how, on_kill
        self.worked = []

    def take(self):
        if self.left is None:
            return
        self.left -= 1
        if self.left == 0:
            if self.how == "killed":
                self.on_kill()
            stop(self.how)

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        add, replace = journal.Unfinished.add, Path.replace
        diarize = inputs.diarize_steps

        def add_or_stop(folder, *arguments):
            self.take()
            add(folder, *arguments)
            self.take()

        def replace_or_stop(path, target):
            self.take()
            replace(path, target)
            self.take()

        def work(recording, *arguments, **options):
            self.worked.append(recording.id)
            return diarize(recording, *arguments, **options)

        self.patch.setattr(journal.Unfinished, "add", add_or_stop)
        self.patch.setattr(Path, "replace", replace_or_stop)
        self.patch.setattr(inputs, "diarize_steps", work)
        return self

    def __exit__(self, *_):
        self.patch.undo()


def call(root, name, out, *, resume=False, steps):
    """Run the command line; return its exit status and what it says."""
    arguments = ["diarize", root / "x", out, "--system", "cosine"]
    arguments += [*OPTIONS[name], *(["--resume"] if resume else [])]
    said, status = io.StringIO(), None
    with contextlib.redirect_stderr(said), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ssahc", *map(str, arguments)])
        with steps:
            try:
                main()
            except SystemExit as stopped:
                status = stopped.code or 0
            except Killed:
                status = "killed"
    assert "Traceback" not in said.getvalue()
    return status, said.getvalue()


def write_archive(root, *, broken):
    """Write the archive anew, with or without an x-vector that is NaN."""
    whole = (root / "whole.ark").read_bytes()
    key = whole.index(f"{BROKEN}-".encode())
    # Behind the key: a mark, the type, a size of 5 bytes, and the first number.
    place = whole.index(b" ", key) + 1 + 2 + 3 + 5
    spoiled = whole[:place] + b"\0\0\xc0\x7f" + whole[place + 4 :]
    (root / "x" / "xvector.ark").write_bytes(spoiled if broken else whole)


class Runs(RuleBasedStateMachine):
    """One output folder, and all that may happen to it."""

    root: ClassVar[Path]
    references: ClassVar[dict]

    def __init__(self):
        super().__init__()
        self.out = self.root / "out"
        shutil.rmtree(self.out, ignore_errors=True)
        shutil.rmtree(self.root / "snapshot", ignore_errors=True)
        self.out.mkdir()
        write_archive(self.root, broken=False)
        self.clock = (self.root / "x" / "segments").stat().st_mtime + 1e6
        self.broken = self.torn = False
        # Of what lies in the folder, and of what is not finished: the options, and
        # whether the archive has changed since.
        self.finished = self.begun = None
        self.changed_finished = self.changed_begun = False

    def teardown(self):
        """Whatever has happened: a run that goes on ends well."""
        self.mend()
        self.accept()
        if self.begun is not None:
            self.run(self.begun, True, None, "killed")

    # ---- what is known ---------------------------------------------------------------

    def kept(self):
        """Return the recordings that a run need not do again."""
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
        at=st.none() | st.integers(1, 24),
        how=st.sampled_from(["interrupted", "terminated", "disk full", "killed"]),
    )
    def run(self, name, resume, at, how):
        refusal = self.why_refused(name, resume)
        goes_on = resume and (self.begun or self.finished) is not None
        kept = self.kept() if goes_on and not refusal else set()
        before = files(self.out)
        snapshot = self.root / "snapshot"
        steps = Steps(at, how, lambda: shutil.copytree(self.out, snapshot))
        status, said = call(self.root, name, self.out, resume=resume, steps=steps)
        if status == "killed":
            shutil.rmtree(self.out)
            snapshot.rename(self.out)
        if refusal:
            assert status == 2
            assert refusal in said
            assert files(self.out) == before
            return
        if not self.torn:
            assert not kept & set(steps.worked), "what was done is not done again"
        assert len(steps.worked) == len(set(steps.worked))
        is_unfinished = (self.out / ".unfinished" / "config.toml").exists()
        if status in (0, 1):
            healthy = ALL - {BROKEN} if self.broken else ALL
            # Of a torn file, nothing is known but what was worked on.
            kept -= set(steps.worked) if self.torn else set()
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
            # It was stopped when the very last file had found its place.
            self.finished, self.begun, self.changed_finished = name, None, False

    def why_refused(self, name, resume):
        earlier = self.begun or (self.finished if resume else None)
        if earlier is None:
            return None
        if self.begun is not None and not resume:
            return "holds a run that was interrupted; go on with --resume"
        if name != earlier:
            return "so these results cannot be resumed"
        changed = self.changed_finished if self.begun is None else self.changed_begun
        return "has changed since the run in" if changed else None

    @rule()
    def touch(self):
        """Have the archive change."""
        self.clock += 10
        os.utime(self.root / "x" / "xvector.ark", (self.clock, self.clock))
        self.changed_finished = self.changed_begun = True

    @rule()
    def accept(self):
        """Say that what was done is right all the same."""
        for folder in (self.out, self.out / ".unfinished"):
            if (folder / "config.toml").exists():
                os.utime(folder / "config.toml", (self.clock, self.clock))
        self.changed_finished = self.changed_begun = False

    @precondition(lambda self: not self.broken)
    @rule()
    def breaks(self):
        self.broken = True
        write_archive(self.root, broken=True)
        self.touch()

    @precondition(lambda self: self.broken)
    @rule()
    def mend(self):
        if self.broken:
            self.broken = False
            write_archive(self.root, broken=False)
            self.touch()

    @precondition(lambda self: self.begun is not None)
    @rule(
        which=st.sampled_from(["labels", "scores"]),
        lost=st.integers(1, 300),
        zeros=st.booleans(),
    )
    def tear(self, which, lost, zeros):
        """Lose the end of a file, as when the power fails.

        A file may then end in zeros; scores are on the disk before their labels are.
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
    def nothing_else_lies_there(self):
        names = {path.name for path in self.out.iterdir()}
        finals = {"labels", "rttm", "scores.ark", "scores.scp", "config.toml"}
        assert names <= finals | {".unfinished"}
        if self.begun is None:
            assert ".unfinished" not in names or is_stale(self.out)

    @invariant()
    def what_is_finished_belongs_together(self):
        """Only while files find their places are there those of two runs."""
        finals = {
            name: text for name, text in files(self.out).items() if "/" not in name
        }
        if finals and self.begun is None:
            assert finals in self.references.values()


def is_stale(out):
    """Whether there is nothing but what a killed run has left that had not begun."""
    return not (out / ".unfinished" / "config.toml").exists()


def files(folder):
    """Return what is in a folder, without what no run will ever look at."""
    names = [path for path in folder.iterdir() if path.is_file()]
    if not is_stale(folder):
        names += folder.glob(".unfinished/*.[0-9]*")
        names.append(folder / ".unfinished" / "config.toml")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in names}


@pytest.fixture(scope="module", autouse=True)
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    options = SimulateOptions(recordings=3, duration=15, dim=8, seed=3)
    conversations = simulate_corpus(options)["a"].conversations
    write_xvector_dir(root / "x", [item.recording for item in conversations])
    shutil.copy(root / "x" / "xvector.ark", root / "whole.ark")
    Runs.root, Runs.references = root, {}
    for name in OPTIONS:
        for broken, done in ((True, ALL - {BROKEN}), (False, ALL)):
            write_archive(root, broken=broken)
            out = root / "reference"
            status, _ = call(root, name, out, steps=Steps(None, "", None))
            assert status == int(broken)
            Runs.references[name, done] = files(out)
            shutil.rmtree(out)


TestRuns = Runs.TestCase
TestRuns.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
