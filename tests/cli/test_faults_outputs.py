"""Faults of output files: each row of docs/reference/faults.md is brought about."""

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from fault_table import PAGE

from ssahc.core.errors import UsageError
from ssahc.core.types import LabelledXvectors, Recording
from ssahc.io.ark import ArchiveWriter
from ssahc.io.files import atomic_write, check_output
from ssahc.io.labelled import write_labelled
from ssahc.io.trials import write_trials
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.simulation.conversations import SimulateOptions, simulate_training

ROWS = PAGE["Output files"]


@pytest.fixture(scope="module")
def labelled():
    options = SimulateOptions(train_speakers=4, train_sessions=2, dim=4)
    return simulate_training(options)


@pytest.fixture
def files(tmp_path, monkeypatch, labelled):
    """A working folder: x-vectors of known speakers, trials, and references."""
    monkeypatch.chdir(tmp_path)
    write_labelled(tmp_path / "x", labelled)
    names, speakers = labelled.utterances, labelled.speakers
    rows = ((names[0], n, speakers[0] == s) for n, s in zip(names, speakers))
    write_trials(tmp_path / "trials", list(rows)[1:])
    turn = "SPEAKER r1 0 0 10 <NA> <NA> A <NA> <NA>\n"
    (tmp_path / "out").mkdir()
    for name in ("ref.html", "out/rttm"):
        (tmp_path / name).write_text(turn)
    return tmp_path


def verify(name):
    return ("verify", "x", "trials", "--write-scores", name)


def report(name, ref="ref.html"):
    return ("report", "out", "--ref", ref, "--output", name)


def put_device(files):
    """Make a device like /dev/null."""
    try:
        os.mknod(files / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root may make a device")


def link(name, target):
    return lambda files: (files / name).symlink_to(target)


def put(name, text="mine"):
    """Put a file where there may be no folder yet."""

    def hurt(files):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(text)

    return hurt


def instead(name, text):
    """Put a file into the output folder in place of the RTTM there."""
    return lambda files: (
        (files / "out" / "rttm").rename(files / "out" / name).write_text(text)
    )


def put_others(files, name):
    """Put a folder of x-vectors with other keys."""
    vectors = LabelledXvectors(("speaker-1",), ("speaker",), np.ones((1, 4)))
    write_labelled(files / name, vectors)


def put_scores(files):
    """Put x-vectors into "windows", and a run's scores of them into "out"."""
    segments = np.array([[0, 1], [1, 2], [2, 3]])
    recording = Recording("r1", ("a", "b", "c"), segments, np.eye(3))
    write_xvector_dir(files / "windows", [recording])
    shutil.copy(files / "windows" / "spk2utt", files / "out")
    with ArchiveWriter(
        files / "out" / "scores.ark", files / "out" / "scores.scp"
    ) as writer:
        writer.write("r1", np.eye(3))
    put("out/config.toml", 'rttm_channel = "0"\nwrite_scores = true\n')(files)


def nothing(files):
    pass


DIARIZE = ("diarize", "x", "out")
SIMULATE = (
    *("simulate", "out", "--recordings", 2, "--duration", 20, "--dim", 4),
    *("--train-speakers", 6, "--train-sessions", 2),
)
DEMO = ("demo", "out")
TUNE = ("tune", "x", "ref.html", "out")
METRIC = ("train-metric", "x", "out")
CLUSTER = ("cluster", "scores", "reco2utt", "out")

FAULTS = {
    "a device in place of a file to write": (verify("null"), put_device),
    "a link to a device in place of a file to write": (
        verify("null"),
        link("null", "/dev/null"),
    ),
    "a named pipe in place of a file to write": (
        verify("pipe"),
        lambda files: os.mkfifo(files / "pipe"),
    ),
    "a folder in place of a file to write": (verify("x"), nothing),
    "a link to nowhere in place of a file to write": (
        verify("scores"),
        link("scores", "nowhere"),
    ),
    "no folder for a file to write": (verify("no/scores"), nothing),
    "trials in place of their scores": (verify("trials"), nothing),
    "an scp in place of scores": (verify("x/xvector.scp"), nothing),
    "an archive in place of scores": (verify("x/xvector.ark"), nothing),
    "a link to what is read in place of scores": (
        verify("scores"),
        link("scores", "trials"),
    ),
    "a reference in place of a page": (report("ref.html"), nothing),
    "a pipe in place of a page": (
        report("page.html"),
        lambda files: os.mkfifo(files / "page.html"),
    ),
    "a reference in place of a picture": (
        ("plot", "timeline", "ref.png", "out/rttm", "r1", "ref.png"),
        lambda files: (files / "ref.html").rename(files / "ref.png"),
    ),
    "scores that are read in the folder of a diarization": (
        ("diarize", "windows", "out", "--plda-scores", "out/scores.scp"),
        put_scores,
    ),
    "an RTTM of others in the folder of a diarization": (DIARIZE, nothing),
    "an RTTM of others in the folder of a clustering": (
        (*CLUSTER, "--segments", "x/segments"),
        nothing,
    ),
    "labels of others in the folder of a clustering": (CLUSTER, put("out/labels")),
    "options of others in the folder of a diarization": (
        DIARIZE,
        # Of ssahc, but written by hand.
        instead("config.toml", 'system = "cosine"'),
    ),
    "options of a tuning in the folder of a clustering": (
        CLUSTER,
        lambda files: (
            put("out/config.toml", 'rttm_channel = "0"')(files),
            put("out/tuning.csv")(files),
        ),
    ),
    "options of others in the folder of a tuning": (TUNE, put("out/config.toml")),
    "a link in place of a simulated folder": (SIMULATE, link("out/a", "../x")),
    "x-vectors of others in place of simulated ones": (
        SIMULATE,
        lambda files: put_others(files, "out/train"),
    ),
    "a model of others in place of a simulated one": (
        SIMULATE,
        put("out/model/b/plda"),
    ),
    "a link in place of a folder of the demo": (DEMO, link("out/plda-known", "../x")),
    "an RTTM of others in a folder of the demo": (DEMO, put("out/plda-known/rttm")),
    "a diarization in a folder of the demo": (DEMO, put("out/plda-known/config.toml")),
    "a table of others in the folder of a tuning": (
        TUNE,
        put("out/tuning.csv", "mine,yours\n"),
    ),
    "folds of others in the folder of a tuning": (TUNE, put("out/folds.csv")),
    "a PLDA of others in the folder of a metric": (METRIC, put("out/plda")),
    "a table of others in the folder of a metric": (
        METRIC,
        put("out/training.csv", "my training data\n"),
    ),
    "a model that is read in the folder of a metric": (
        ("train-metric", "x", "out", "--model-dir", "out"),
        lambda files: (
            put("out/training.csv", "epoch,loss,eer,min_dcf\n")(files),
            put("out/mean.vec")(files),
        ),
    ),
}


def tree(folder):
    """Return every path, its inode and content; no pipe is opened."""
    return {
        path: (path.lstat().st_ino, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("fault", ROWS)
def test_an_output_fault_is_as_documented(ssahc_here, files, fault):
    arguments, hurt = FAULTS[fault]
    row = ROWS[fault]
    hurt(files)
    before = tree(files)
    result = ssahc_here(*arguments)
    assert row.is_said_in(result.stderr), result.stderr
    assert len(result.stderr.splitlines()) == 1
    if row.survives == "everything":
        assert result.returncode == 0
        assert set(tree(files)) == set(before)
    else:
        assert row.survives == "nothing is written"
        assert (result.returncode, result.stdout) == (2, "")
        assert tree(files) == before


def test_a_picture_does_not_replace_its_input(ssahc_here, files):
    (files / "in.png").write_text("mine")
    for arguments in (
        ("timeline", "out/rttm", "in.png", "r1"),
        ("speakers", "out/rttm", "out/rttm", "in.png"),
        ("thresholds", "in.png"),
        ("sweep", "in.png"),
        ("affinity", "x", "r1", "out/rttm", "--plda", "in.png"),
    ):
        result = ssahc_here("plot", *arguments, "in.png")
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1
        assert "in.png: is read, and would be lost" in result.stderr
        assert (files / "in.png").read_text() == "mine"


def test_no_scores_are_written_without_nontarget_trials(ssahc_here, files):
    lines = (files / "trials").read_text().splitlines(keepends=True)
    (files / "same").write_text("".join(x for x in lines if " target" in x))
    (files / "scores").write_text("mine")
    result = ssahc_here("verify", "x", "same", "--write-scores", "scores")
    assert result.returncode == 2
    assert "there are no nontarget trials" in result.stderr
    assert (files / "scores").read_text() == "mine"


def test_written_scores_replace_earlier_ones_but_not_the_input(ssahc_here, files):
    assert ssahc_here(*verify("scores")).returncode == 0
    before = (files / "scores").read_bytes()
    result = ssahc_here("verify", "scores", "trials", "--write-scores", "scores")
    assert result.returncode == 2
    assert "scores: is read, and would be lost" in result.stderr
    assert (files / "scores").read_bytes() == before
    assert ssahc_here(*verify("scores")).returncode == 0


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/stderr", "/dev/fd/1"])
def test_files_opened_by_a_shell_are_not_replaced(name):
    # The name is a link, maybe to a regular file.
    with pytest.raises(UsageError, match="is a device; give the name of a file"):
        check_output(Path(name), [])


def test_a_link_is_replaced_and_its_target_kept(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with atomic_write(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "target").read_text() == "old"
    assert (tmp_path / "link").read_text() == "new"
    assert not (tmp_path / "link").is_symlink()


def test_simulate_replaces_what_it_wrote(ssahc_here, files):
    for options in ((), ("--seed", 1), ("--train-speakers", 0)):
        assert ssahc_here("simulate", "corpus", *SIMULATE[2:], *options).returncode == 0
    # What a run leaves that was killed before it wrote the scp.
    shutil.rmtree(files / "corpus" / "model")
    for path in (files / "corpus" / "b").iterdir():
        path.unlink() if path.name != "xvector.ark" else None
    (files / "corpus" / "b" / ".xvector.scp.abc").touch()
    assert ssahc_here("simulate", "corpus", *SIMULATE[2:]).returncode == 0


def test_simulate_keeps_training_vectors_it_does_not_write(ssahc_here, files):
    put_others(files, "corpus/train")
    before = tree(files / "corpus")
    none = ("--train-speakers", 0)
    assert ssahc_here("simulate", "corpus", *SIMULATE[2:], *none).returncode == 0
    assert before.items() <= tree(files / "corpus").items()
