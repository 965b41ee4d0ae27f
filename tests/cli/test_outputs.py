"""Wrong usage, and the files that a run leaves in its output folder."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from kaldi_tables import read_labels

import ssahc
from ssahc.cli.diarize_remarks import warn_of_unsure
from ssahc.core.types import Recording
from ssahc.io.files import atomic_write
from ssahc.io.xvector_writer import write_xvector_dir


def test_wrong_usage_writes_nothing(folder, diarize):
    for options, message in (
        (["--num-speakers", 2, "--max-speakers", 3], "bounds"),
        (["--min-speakers", 3, "--max-speakers", 2], "--max-speakers must be"),
        (["--threshold", "nan"], "--threshold must be a number"),
        (["--rttm-channel", "a b"], "one word"),
        (["--rttm-channel", os.fsdecode(b"\xff")], "is not UTF-8"),
        (["--device", "tpu"], "'tpu' is not one of"),
        (["--model-dir", "/nowhere"], "no such folder"),
        (["--model-dir", ""], "the path is empty"),
        (["--config", "/nowhere.toml"], "no such file"),
        (["--reco2num-spk", "x/reco2num_spk", "--threshold", 4], "out --threshold"),
    ):
        status, errors, _ = diarize(*options)
        assert status == 2
        assert message in errors
        assert not (folder / "out").exists()


def test_scores_of_an_earlier_run_are_removed_and_those_of_others_kept(folder, diarize):
    out = folder / "out"
    out.mkdir()
    (out / "scores.ark").write_text("Kaldi's")
    status, errors, _ = diarize("--write-scores")
    assert status == 2
    assert "holds scores.ark that no completed run of ssahc diarize wrote" in errors
    assert diarize()[0] == 0
    assert (out / "scores.ark").read_text() == "Kaldi's"
    (out / "scores.ark").unlink()
    for options, scores in (
        (["--write-scores"], {"scores.ark", "scores.scp"}),
        ([], set()),
    ):
        assert diarize(*options)[0] == 0
        names = {path.name for path in out.iterdir()}
        assert names == {"rttm", "labels", "confidence", "config.toml"} | scores


def test_how_likely_numbers_of_speakers_are(folder, diarize, ssahc_here):
    path = folder / "out" / "speaker_posterior"
    path.parent.mkdir()
    path.write_text("mine")
    status, errors, _ = diarize()
    assert status == 2
    assert "holds speaker_posterior that no completed run of ssahc diarize" in errors
    path.unlink()
    # Without evidence it is not known.
    assert diarize()[0] == 0
    assert not path.exists()
    evidence = ("--resegmentation", "vb")
    assert diarize(*evidence)[0] == 0
    lines = [line.split() for line in path.read_text().splitlines()]
    table = (folder / "x" / "spk2utt").read_text().splitlines()
    assert [line[0] for line in lines] == [line.split()[0] for line in table]
    model = ssahc.read_model_dir(folder / "model")
    options = ssahc.make_options(system="plda", resegmentation="vb")
    for recording in ssahc.read_recordings(ssahc.open_xvector_dir(folder / "x")):
        found = ssahc.diarize_recording(recording, model, options).speaker_posterior
        expected = [f"{n}:{found[n]:.3f}" for n in found if found[n] >= 0.005]
        assert [recording.id, *expected] in lines
    # Files of an earlier run that this one does not write would not belong to it.
    assert diarize(*evidence, "--num-speakers", 2)[0] == 0
    assert not path.exists()
    assert diarize(*evidence, "--write-scores")[0] == 0
    assert path.exists()
    arguments = (folder / "out" / "scores.scp", folder / "x" / "spk2utt")
    assert ssahc_here("cluster", *arguments, folder / "out").returncode == 0
    assert not path.exists()


def test_uncertain_numbers_of_speakers_are_named(caplog):
    labels = np.array([0, 1])
    posteriors = {name: {1: 0.2, 2: 0.41, 3: 0.39} for name in "abc"}
    results = SimpleNamespace(labels=dict.fromkeys("abcd", labels))
    results.posteriors = posteriors
    warn_of_unsure(results, Path("out"))
    assert caplog.messages == []
    posteriors["c"] = {1: 0.31, 2: 0.39, 3: 0.3}
    warn_of_unsure(results, Path("out"))
    assert caplog.messages == [
        "the number of speakers is uncertain (under 40 %) in 1 of 4 recordings: c; "
        "see out/speaker_posterior, or give --num-speakers"
    ]


def test_scores_may_be_clustered_in_their_own_folder(folder, diarize, ssahc_here):
    assert diarize("--write-scores")[0] == 0
    out = folder / "out"
    labels = (out / "labels").read_bytes()
    result = ssahc_here("cluster", out / "scores.scp", folder / "x" / "spk2utt", out)
    assert result.returncode == 0
    assert (out / "labels").read_bytes() == labels
    assert (out / "scores.ark").exists()
    # It would not belong to the new labels.
    assert not (out / "rttm").exists()
    # The options are those of cluster now: scores may be of others.
    assert diarize()[0] == 0
    assert (out / "scores.ark").exists()


def test_an_rttm_of_an_earlier_clustering_is_removed(folder, diarize, ssahc_here):
    x, out = folder / "x", folder / "out"
    assert diarize("--write-scores", out="scored")[0] == 0
    arguments = ("cluster", folder / "scored" / "scores.scp", x / "spk2utt", out)

    def names():
        return {path.name for path in out.iterdir()}

    assert ssahc_here(*arguments, "--segments", x / "segments").returncode == 0
    assert names() == {"rttm", "labels", "config.toml"}
    assert ssahc_here(*arguments).returncode == 0
    assert names() == {"labels", "config.toml"}
    # The run without segments did not write this one.
    (out / "rttm").write_text("mine")
    assert ssahc_here(*arguments).returncode == 0
    assert (out / "rttm").read_text() == "mine"


def test_a_failed_run_keeps_the_earlier_results(folder, diarize):
    assert diarize()[0] == 0
    before = (folder / "out" / "rttm").read_bytes()
    (folder / "x" / "xvector.ark").unlink()
    assert diarize()[0] == 2
    assert (folder / "out" / "rttm").read_bytes() == before
    assert len(list((folder / "out").iterdir())) == 4


def test_a_plda_needs_a_mean_and_a_transform(folder, diarize):
    status, errors, _ = diarize("--plda", folder / "model" / "plda", model=False)
    assert status == 2
    assert "give --mean and --transform as well" in errors


@pytest.mark.parametrize("system", ["cosine", "plda", "ssahc", "ssahc+plda"])
def test_few_or_equal_windows_are_diarized(corpus, folder, ssahc_here, system):
    source = corpus["a"].conversations[0].recording
    parts = []
    for count in (1, 2, 3, 30):
        rows = np.zeros(count, int) if count == 30 else np.arange(count)
        utterances = tuple(f"n{count}-{i}" for i in range(count))
        segments = np.stack([np.arange(count), np.arange(count) + 1.5], axis=1)
        vectors = source.xvectors[rows]
        parts.append(Recording(f"n{count}", utterances, segments, vectors))
    write_xvector_dir(folder / "few", parts)
    arguments = ("diarize", folder / "few", folder / "out", "--system", system)
    if "plda" in system:
        arguments += ("--model-dir", folder / "model")
    assert ssahc_here(*arguments).returncode == 0
    labels = read_labels(folder / "out" / "labels")
    # Equal windows are one speaker, whatever the system.
    assert {labels[f"n30-{i}"] for i in range(30)} == {1}
    result = ssahc_here(*arguments, "--num-speakers", 3)
    assert result.returncode == 0
    assert "recording 'n2': 3 speakers wanted, but only 2" in result.stderr
    labels = read_labels(folder / "out" / "labels")
    assert [labels[f"n2-{i}"] for i in range(2)] == [1, 2]


def test_a_recording_without_turns_is_named(folder, diarize):
    path = folder / "x" / "segments"
    lines = [line.split() for line in path.read_text().splitlines()]
    for line in lines:
        if line[1] == "a001":
            line[3] = line[2]
    path.write_text("".join(" ".join(line) + "\n" for line in lines))
    status, errors, done = diarize()
    assert (status, done) == (0, ["a000", "a002"])
    warning, _ = errors.splitlines()
    assert warning == "ssahc: without a turn, since all segments have no length: a001"


def test_a_file_reaches_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    events = []
    replace = Path.replace

    def note(path, target):
        events.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", lambda handle: events.append("sync"))
    monkeypatch.setattr(Path, "replace", note)
    with atomic_write(tmp_path / "x") as file:
        file.write("whole")
        assert events == []
    assert events == ["sync", "rename"]
    assert (tmp_path / "x").read_text() == "whole"
