"""Fixtures that many tests share."""

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace

# As the command line does, and before numpy is loaded: on matrices as small as these,
# threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from fault_table import PAGE, Row
from kaldi_tables import read_table

from ssahc import api
from ssahc.cli import journal, main
from ssahc.core.types import Model, Recording
from ssahc.io.ark import ArchiveWriter
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

GOLDEN = Path(__file__).parent / "golden"
# The installed console script: `python -m` would prefer the sources in the working
# directory to the package that was installed from them.
SCRIPT = Path(sys.executable).with_name("ssahc")
# Signals that the command line handles in a way of its own.
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
MD_EVAL = Path("/usr/lib/sctk/bin/md-eval.pl")


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal():
    """What has no terminal, such as a job of CI, may ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_disks():
    """Of the thousands of files that tests write none need outlive a power failure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def golden() -> Path:
    """Outputs of real Kaldi on synthetic inputs."""
    return GOLDEN


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real and benchmark data that cannot be part of this project."""
    folder = os.environ.get("SSAHC_TEST_DATA")
    if folder is None:
        pytest.skip("SSAHC_TEST_DATA is not set: no real x-vectors to test on")
    return Path(folder).resolve(strict=True)


@pytest.fixture(scope="session")
def md_eval() -> Path:
    """NIST's scorer."""
    if not MD_EVAL.exists():
        pytest.skip(f"no {MD_EVAL}: install Debian's sctk to compare with md-eval")
    return MD_EVAL


@pytest.fixture(scope="session")
def corpus():
    """A small simulated corpus of two halves."""
    return simulate_corpus(SimulateOptions(recordings=3, duration=60, dim=24, seed=3))


@pytest.fixture(scope="session")
def cluster():
    """The scheduler of a Dask worker, which is a process of its own."""
    dask, distributed = map(pytest.importorskip, ("dask", "distributed"))
    options = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": ":0"}
    # Dask looks at what a worker does a hundred times a second.
    unwatched = {"distributed.worker.profile.enabled": False}
    with pytest.MonkeyPatch.context() as patch, dask.config.set(unwatched):
        # Workers take over the path, and with it what tests have them do.
        patch.syspath_prepend(Path(__file__).parent / "elsewhere")
        with distributed.LocalCluster(**options) as cluster:
            yield cluster.scheduler_address.replace("tcp://", "dask://")


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """Compile what is compiled once, so that no test is timed while it waits for it."""
    windows = np.random.default_rng(0).standard_normal((8, 4))
    times = np.column_stack([np.arange(8.0), np.arange(8.0) + 1])
    api.diarize(windows, times, model=Model(transform=np.eye(4)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def recording(corpus) -> Recording:
    return corpus["a"].conversations[0].recording


@pytest.fixture
def model(corpus) -> Model:
    return corpus["b"].model


@pytest.fixture(scope="session")
def ssahc(shell):
    """Run the command line as a user does: in a process of its own."""
    return partial(shell, SCRIPT)


@pytest.fixture(scope="session")
def shell():
    """Run a program as after ". .venv/bin/activate", on a machine without Kaldi."""

    def run(*command: object, cwd: Path | None = None):
        programs = f"{SCRIPT.parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": programs}
        environment.pop("KALDI_ROOT", None)
        return subprocess.run(
            [str(part) for part in command],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def wait_until():
    """Wait until a condition holds, for 10 seconds at most."""

    def wait(condition):
        for _ in range(100):
            if condition():
                return
            time.sleep(0.1)
        raise AssertionError("waited for 10 seconds")

    return wait


@pytest.fixture(autouse=True)
def _fresh_logger():
    """Take back what the command line, run in this process, does to the logger."""
    yield
    logger = logging.getLogger("ssahc")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()


@pytest.fixture
def ssahc_here(monkeypatch, capsys):
    """Run the command line in this process: same errors and exit status, but sooner."""

    def run(*arguments: object, cwd: Path | None = None):
        capsys.readouterr()
        handlers = {number: signal.getsignal(number) for number in STOPS}
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["ssahc", *map(str, arguments)])
            # The command line sets it, for its own process.
            patch.setenv("MPLBACKEND", "agg")
            if cwd is not None:
                patch.chdir(cwd)
            try:
                with pytest.raises(SystemExit) as stop:
                    main()
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, stop.value.code or 0, out, err)

    return run


@pytest.fixture
def check(ssahc_here):
    """Run ``ssahc check``; return status, stdout, lines of stderr."""

    def run(*arguments: object):
        result = ssahc_here("check", *arguments)
        return result.returncode, result.stdout, result.stderr.splitlines()

    return run


@pytest.fixture
def folder(corpus, tmp_path):
    """An x-vector folder, a model folder, counts; to be broken by the tests."""
    conversations = corpus["a"].conversations
    write_xvector_dir(tmp_path / "x", [item.recording for item in conversations])
    write_model_dir(tmp_path / "model", corpus["b"].model)
    counts = "".join(f"{item.recording.id} 2\n" for item in conversations)
    (tmp_path / "x" / "reco2num_spk").write_text(counts)
    return tmp_path


@pytest.fixture
def diarize(ssahc_here, folder):
    """Run on the broken folder; return exit status, error lines, recordings done."""

    def run(*options, out="out", model=True):
        arguments = ["diarize", folder / "x", folder / out, "--system", "plda"]
        if model:
            arguments += ["--model-dir", folder / "model"]
        result = ssahc_here(*arguments, *options)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        rttm = folder / out / "rttm"
        text = rttm.read_text() if rttm.is_file() else ""
        done = sorted({line.split()[1] for line in text.splitlines()})
        return result.returncode, result.stderr, done

    return run


# ---- faults ------------------------------------------------------------------------


class Broken:
    """An x-vector folder and a model folder, and how to break them.

    What goes wrong in one place only goes wrong in the middle one of its recordings.
    """

    recording = "a001"

    def __init__(self, folder: Path) -> None:
        self.folder, self.x, self.model = folder, folder / "x", folder / "model"
        # Of recordings that a fault gives other names.
        self.names = {}

    @cached_property
    def utterance(self) -> str:
        """The first of the recording."""
        lines = (self.x / "spk2utt").read_text().splitlines()
        return next(line.split()[1] for line in lines if line.startswith("a001"))

    @cached_property
    def offset(self) -> int:
        """Where its x-vector is in the archive."""
        lines = (self.x / "xvector.scp").read_text().splitlines()
        line = next(line for line in lines if line.startswith(self.utterance))
        return int(line.rpartition(":")[2])

    def edit(self, name, old, new, count=1):
        path = self.folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    def line(self, name, text):
        """Put a text in place of the utterance's line of a table of the x-vectors."""
        lines = (self.x / name).read_text().splitlines()
        starts = [line.startswith(f"{self.utterance} ") for line in lines]
        lines[starts.index(True)] = text.format(key=self.utterance, offset=self.offset)
        (self.x / name).write_text("".join(f"{line}\n" for line in lines))

    def drop(self, name, part):
        path = self.folder / name
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines if part not in line]
        assert len(kept) < len(lines)
        path.write_text("".join(kept))

    def append(self, name, data):
        with (self.folder / name).open("ab") as file:
            file.write(data if isinstance(data, bytes) else data.encode())

    def rewrite(self, change, *, only=None):
        """Write all vectors anew, those of keys that start alike through `change`."""
        vectors = dict(read_table(self.x / "xvector.scp", "vector"))
        with ArchiveWriter(self.x / "xvector.ark", self.x / "xvector.scp") as archive:
            for key, vector in vectors.items():
                hurt = only is None or key.startswith(only)
                archive.write(key, np.asarray(change(vector) if hurt else vector))

    def vector(self, change):
        self.rewrite(change, only=self.utterance)

    def single(self, data):
        """Have the utterance's line of the scp name a file of its own."""
        (self.x / "single").write_bytes(data)
        self.line("xvector.scp", "{key} single")


@pytest.fixture
def broken(folder):
    return Broken(folder)


@pytest.fixture(scope="session")
def faults_page():
    """The tables of docs/reference/faults.md: section, then fault, to its row."""
    return PAGE


# What faults.md calls it: exit status, and which of three recordings are done.
SURVIVORS = {
    "everything": (0, ["a000", "a001", "a002"]),
    "everything (a warning)": (0, ["a000", "a001", "a002"]),
    "all other recordings": (1, ["a000", "a002"]),
    "the recordings before": (1, ["a000", "a001"]),
    "nothing is written": (2, []),
}


@pytest.fixture
def as_the_page_says(broken, folder, ssahc_here, monkeypatch):
    """Break the folders, diarize and check; compare with a row of faults.md."""

    def run(row: Row, hurt, *, checked=True):
        monkeypatch.chdir(folder)
        options = hurt(broken)
        options = options if isinstance(options, list) else []
        model = ["--model-dir", broken.model] if broken.model.exists() else []
        before = sorted(folder.rglob("*"))
        system = ["--system", "plda" if model else "cosine"]
        result = ssahc_here("diarize", broken.x, "out", *system, *model, *options)
        status, done = SURVIVORS[row.survives]
        assert row.is_said_in(result.stderr), result.stderr
        assert "Traceback" not in result.stderr
        assert (result.returncode, result.stdout) == (status, "")
        rttm = folder / "out" / "rttm"
        assert rttm.exists() == (folder / "out").exists() == bool(done)
        turns = read_rttm(rttm).turns if done else {}
        assert sorted(broken.names.get(name, name) for name in turns) == done
        outside = {path for path in folder.rglob("*") if "out" not in path.parts}
        assert sorted(outside) == before
        found = ssahc_here("check", broken.x, *model)
        if status and checked:
            assert found.returncode == 2
            assert row.is_said_in(found.stderr), found.stderr
        else:
            assert found.returncode == 0

    return run


@pytest.fixture
def here(folder, ssahc_here, monkeypatch):
    """A folder of inputs, its output folder, and a way to diarize it."""
    options = ("--system", "plda", "--write-scores", "--max-speakers", 4)

    def run(*more, out="out", options=options):
        model = ("--model-dir", folder / "model")
        return ssahc_here(
            "diarize", folder / "x", folder / out, *model, *options, *more
        )

    @contextmanager
    def after(count, act):
        """Do something as soon as so many recordings are done."""
        add = journal.Unfinished.add

        def add_and_act(self, *arguments):
            add(self, *arguments)
            if len(self.labels) == count:
                act()

        with monkeypatch.context() as patch:
            patch.setattr(journal.Unfinished, "add", add_and_act)
            yield

    return SimpleNamespace(
        folder=folder, out=folder / "out", run=run, after=after, patch=monkeypatch
    )
