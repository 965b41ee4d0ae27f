"""Wrong usage, and what a run leaves in its output folder."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssahc.io.files import atomic_write
from ssahc.io.xvectors import write_xvector_dir


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-speakers", 2, "--threshold", 0], "not both"),
        (["--num-speakers", 2, "--max-speakers", 3], "bounds"),
        (["--num-speakers", 0], "must be 1 or more"),
        (["--min-speakers", 3, "--max-speakers", 2], "--max-speakers must be"),
        (["--max-speakers", 0], "--max-speakers must be 1 or more"),
        (["--threshold", "nan"], "--threshold must be a number"),
        (["--target-energy", 2], "between 0 and 1"),
        (["--fusion-weight", -1], "between 0 and 1"),
        (["--pca-dim", 0], "must be 1 or more"),
        (["--rttm-channel", "a b"], "one word"),
        (["--rttm-channel", os.fsdecode(b"\xff")], "must be UTF-8"),
        (["--device", "tpu"], "'tpu' is not one of"),
        (["--model-dir", "/nowhere"], "no such folder"),
        (["--model-dir", ""], "the path is empty"),
        (["--gamma", "nan"], "--gamma must be between"),
        (["--eta", 2], "between 0 and 1"),
        (["--config", "/nowhere.toml"], "no such file"),
    ],
)
def test_wrong_usage(folder, diarize, options, message):
    status, errors, _ = diarize(*options)
    assert status == 2
    assert message in errors
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    "option",
    [["--threshold", 0.0], ["--max-speakers", 4], ["--min-speakers", 2]],
)
def test_counts_stand_alone(folder, diarize, option):
    counts = folder / "x" / "reco2num_spk"
    status, errors, _ = diarize("--reco2num-spk", counts, *option)
    assert status == 2
    assert f"leave out {option[0]}" in errors


def test_a_plda_alone_is_not_enough(folder, diarize):
    plda = folder / "model" / "plda"
    status, errors, _ = diarize("--plda", plda, model=False)
    assert status == 2
    assert "give --mean and --transform as well" in errors


def test_a_run_leaves_one_runs_files(folder, diarize):
    assert diarize("--write-scores")[0] == 0
    assert (folder / "out" / "scores.ark").exists()
    assert diarize()[0] == 0
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"rttm", "labels", "config.toml"}


def test_files_of_others_stay(folder, diarize):
    (folder / "out").mkdir()
    (folder / "out" / "scores.scp").write_text("Kaldi's\n")
    assert diarize()[0] == 0
    assert (folder / "out" / "scores.scp").read_text() == "Kaldi's\n"


def test_scores_may_be_clustered_where_they_lie(folder, diarize, ssahc_here):
    assert diarize("--write-scores")[0] == 0
    out = folder / "out"
    labels = (out / "labels").read_bytes()
    result = ssahc_here("cluster", out / "scores.scp", folder / "x" / "spk2utt", out)
    assert result.returncode == 0
    assert (out / "labels").read_bytes() == labels
    assert (out / "scores.ark").exists()
    # It would be that of other labels.
    assert not (out / "rttm").exists()
    # Now the folder is not known to be diarize's: nothing is removed.
    assert diarize()[0] == 0
    assert (out / "scores.ark").exists()


def test_a_clustering_leaves_one_runs_files(folder, diarize, ssahc_here):
    x, out = folder / "x", folder / "out"
    assert diarize("--write-scores", out="scored")[0] == 0
    arguments = ("cluster", folder / "scored" / "scores.scp", x / "spk2utt", out)

    def names():
        return {path.name for path in out.iterdir()}

    assert ssahc_here(*arguments, "--segments", x / "segments").returncode == 0
    assert names() == {"rttm", "labels", "config.toml"}
    assert ssahc_here(*arguments).returncode == 0
    assert names() == {"labels", "config.toml"}
    # Without segments it did not write this one.
    (out / "rttm").write_text("mine")
    assert ssahc_here(*arguments).returncode == 0
    assert (out / "rttm").read_text() == "mine"


def test_scores_that_would_be_lost_are_refused_only_if_they_are_written(
    folder, diarize
):
    (folder / "out").mkdir()
    (folder / "out" / "scores.ark").write_text("Kaldi's")
    status, errors, _ = diarize("--write-scores")
    assert status == 2
    assert "holds scores.ark that ssahc diarize did not write, or not to" in errors
    assert (folder / "out" / "scores.ark").read_text() == "Kaldi's"
    assert diarize()[0] == 0
    assert (folder / "out" / "scores.ark").read_text() == "Kaldi's"


def test_a_reference_beside_the_x_vectors_stays(folder, diarize):
    (folder / "x" / "rttm").write_text("my reference")
    status, errors, _ = diarize(out="x")
    assert status == 2
    assert errors.count("\n") == 1
    assert (folder / "x" / "rttm").read_text() == "my reference"
    (folder / "x" / "rttm").unlink()
    assert diarize(out="x")[0] == diarize(out="x")[0] == 0


def test_a_run_that_was_stopped_while_its_files_were_moved_is_resumed(folder, diarize):
    assert diarize()[0] == 0
    out = folder / "out"
    (out / ".unfinished").mkdir()
    (out / "config.toml").rename(out / ".unfinished" / "config.toml")
    status, errors, _ = diarize()
    assert status == 2
    assert "holds a run that was interrupted; go on with --resume" in errors
    assert diarize("--resume")[0] == 0
    assert {path.name for path in out.iterdir()} == {"rttm", "labels", "config.toml"}


def test_nothing_is_written_if_something_cannot_be(folder, diarize):
    (folder / "out" / "rttm").mkdir(parents=True)
    status, errors, _ = diarize()
    assert status == 2
    assert f"{folder / 'out' / 'rttm'}: is a folder" in errors
    assert [path.name for path in (folder / "out").iterdir()] == ["rttm"]


def test_a_failed_run_keeps_the_last_one(folder, diarize):
    assert diarize()[0] == 0
    before = (folder / "out" / "rttm").read_bytes()
    (folder / "x" / "xvector.ark").unlink()
    assert diarize()[0] == 2
    assert (folder / "out" / "rttm").read_bytes() == before
    assert len(list((folder / "out").iterdir())) == 3


def test_interruption_is_told_apart(folder):
    code = (
        "import sys, ssahc.cli.diarize as verb\n"
        "def interrupted(*_, **__): raise KeyboardInterrupt\n"
        "verb.read_recordings = interrupted\n"
        f"sys.argv = ['ssahc', 'diarize', {str(folder / 'x')!r},"
        f" {str(folder / 'out')!r}, '--system', 'cosine']\n"
        "import ssahc.__main__"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 130
    assert result.stderr.strip() == "ssahc: error: interrupted"
    assert not (folder / "out").exists()


def test_plda_systems_need_a_plda(folder, diarize):
    (folder / "model" / "plda").unlink()
    status, errors, _ = diarize()
    assert status == 2
    assert "--system plda needs a PLDA" in errors
    assert diarize("--system", "cosine")[0] == 0


@pytest.mark.parametrize("out", ["x/segments", "x/segments/out"])
def test_output_folder_that_cannot_be(diarize, out):
    status, errors, _ = diarize(out=out)
    assert status == 2
    assert "cannot write there" in errors
    assert "choose another output folder" in errors


@pytest.mark.parametrize(
    ("system", "model"),
    [
        ("cosine", True),
        ("plda", True),
        ("ssahc", True),
        ("ssahc+plda", True),
        ("cosine", False),
        ("ssahc", False),
    ],
)
def test_few_or_equal_windows_work(corpus, folder, ssahc_here, system, model):
    source = corpus["a"].conversations[0].recording
    parts = []
    for count in (1, 2, 3, 30):
        rows = np.zeros(count, int) if count == 30 else np.arange(count)
        name = f"n{count}"
        utterances = tuple(f"{name}-{i}" for i in range(count))
        segments = np.stack([np.arange(count), np.arange(count) + 1.5], axis=1)
        parts.append(type(source)(name, utterances, segments, source.xvectors[rows]))
    write_xvector_dir(folder / "few", parts)
    options = ["--model-dir", folder / "model"] if model else []
    arguments = ("diarize", folder / "few", folder / "out", "--system", system)
    result = ssahc_here(*arguments, *options)
    assert result.returncode == 0
    assert "Traceback" not in result.stderr
    labels = dict(
        line.split() for line in (folder / "out" / "labels").read_text().splitlines()
    )
    # Equal windows are one speaker, whatever the system.
    assert {labels[f"n30-{i}"] for i in range(30)} == {"1"}
    result = ssahc_here(*arguments, *options, "--num-speakers", 3)
    assert result.returncode == 0
    assert "recording 'n2': 3 speakers wanted, but 2 windows there" in result.stderr
    labels = dict(
        line.split() for line in (folder / "out" / "labels").read_text().splitlines()
    )
    assert [labels[f"n2-{i}"] for i in range(2)] == ["1", "2"]


def test_a_list_picks_recordings(folder, ssahc_here):
    x = folder / "x"
    common = ("--system", "plda", "--model-dir", folder / "model")
    assert ssahc_here("diarize", x, folder / "all", *common).returncode == 0
    lines = (x / "spk2utt").read_text().splitlines(keepends=True)
    merged = b""
    for number, piece in enumerate((lines[:1], lines[1:])):
        (folder / "piece").write_text("".join(piece))
        part = folder / f"part{number}"
        options = ("--recordings", folder / "piece", *common)
        assert ssahc_here("diarize", x, part, *options).returncode == 0
        merged += (part / "rttm").read_bytes()
    assert merged == (folder / "all" / "rttm").read_bytes()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nobody\n", "has no recording 'nobody'; among its 3 recordings are a000"),
        ("a000\na000 x\n", "list:2: key 'a000': already in line 1"),
        ("", "list: lists no recording"),
    ],
)
def test_a_list_must_name_recordings(folder, diarize, text, message):
    (folder / "list").write_text(text)
    status, errors, _ = diarize("--recordings", folder / "list")
    assert status == 2
    assert message in errors


def test_a_recording_whose_segments_have_no_length_is_named(folder, diarize):
    path = folder / "x" / "segments"
    lines = [line.split() for line in path.read_text().splitlines()]
    for line in lines:
        if line[1] == "a001":
            line[3] = line[2]
    path.write_text("".join(" ".join(line) + "\n" for line in lines))
    status, errors, done = diarize()
    assert (status, done) == (0, ["a000", "a002"])
    assert errors == (
        "ssahc: without a turn, since all segments have no length: a001\n"
    )


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    replace = Path.replace

    def note(path, target):
        events.append("named")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", lambda handle: events.append("on the disk"))
    monkeypatch.setattr(Path, "replace", note)
    with atomic_write(tmp_path / "x") as file:
        file.write("whole")
        assert events == []
    assert events == ["on the disk", "named"]
    assert (tmp_path / "x").read_text() == "whole"
