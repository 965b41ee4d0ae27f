"""The options ``--plda-scores`` and ``--reco2min-max`` of the command line."""

import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from kaldi_tables import read_labels, read_table

from ssahc.cli import cli
from ssahc.io.model import write_model_dir
from ssahc.io.xvector_writer import write_xvector_dir

# Options without effect of the PLDA of a model, so that only its scores matter.
WITHOUT_PLDA = ("--start", "model", "--resegmentation", "none")


@pytest.fixture(scope="module")
def data(corpus, tmp_path_factory):
    """An x-vector folder, a model, and the PLDA scores of its recordings."""
    path = tmp_path_factory.mktemp("scores")
    recordings = [item.recording for item in corpus["a"].conversations]
    write_xvector_dir(path / "x", recordings)
    write_model_dir(path / "model", corpus["b"].model)
    run(path / "x", path / "plda", "--model-dir", path / "model", "--system", "plda")
    run(path / "x", path / "fused", "--model-dir", path / "model", *WITHOUT_PLDA)
    return path


def run(xvectors, out, *options, status=0):
    arguments = ["diarize", xvectors, out, "--write-scores", "--device", "cpu"]
    result = CliRunner().invoke(cli, list(map(str, [*arguments, *options])))
    if result.exception and not isinstance(result.exception, SystemExit):
        assert status == 2, result.exception
        return str(result.exception)
    assert result.exit_code == status, result.output
    return result.stderr


def model_flags(data):
    model = data / "model"
    return ("--mean", model / "mean.vec", "--transform", model / "transform.mat")


def scores_of(folder):
    return dict(read_table(folder / "scores.scp", "matrix"))


def test_scores_from_files_are_clustered(data, tmp_path):
    for kind, suffix in (("", "scp"), ("scp:", "scp"), ("ark:", "ark")):
        scores = f"{kind}{data / 'plda' / 'scores'}.{suffix}"
        out = tmp_path / f"out{kind}"
        run(data / "x", out, "--plda-scores", scores, "--system", "plda")
        labels = (out / "labels").read_bytes()
        assert labels == (data / "plda" / "labels").read_bytes()


def test_scores_from_files_are_fused(data, tmp_path):
    scores = data / "plda" / "scores.scp"
    options = (*model_flags(data), *WITHOUT_PLDA)
    run(data / "x", tmp_path, "--plda-scores", scores, *options)
    ours, theirs = scores_of(tmp_path), scores_of(data / "fused")
    for recording, matrix in theirs.items():
        np.testing.assert_allclose(ours[recording], matrix, atol=1e-5)
    assert 'system = "ssahc+plda"' in (tmp_path / "config.toml").read_text()


def test_scores_take_precedence_over_the_plda_of_a_model_folder(data, tmp_path):
    scores = data / "fused" / "scores.scp"
    options = ("--model-dir", data / "model", "--system", "plda")
    run(data / "x", tmp_path, *options, "--plda-scores", scores)
    assert (tmp_path / "labels").read_bytes() == (
        data / "fused" / "labels"
    ).read_bytes()


def test_scores_in_another_order_of_windows_are_refused(data, tmp_path):
    """The order is that of a spk2utt beside the archive."""
    shutil.copy(data / "plda" / "scores.ark", tmp_path)
    table = (data / "x" / "spk2utt").read_text()
    (tmp_path / "spk2utt").write_text(table)
    options = ("--plda-scores", tmp_path / "scores.ark", "--system", "plda")
    assert "no spk2utt" not in run(data / "x", tmp_path / "good", *options)
    first, *others = table.splitlines()
    recording, one, two, *rest = first.split()
    swapped = " ".join([recording, two, one, *rest])
    (tmp_path / "spk2utt").write_text("\n".join([swapped, *others]) + "\n")
    errors = run(data / "x", tmp_path / "out", *options, status=1)
    assert f"recording {recording!r}" in errors
    assert "in another order" in errors
    labels = read_labels(tmp_path / "out" / "labels")
    assert not any(name.startswith(recording) for name in labels)
    assert labels


def test_recordings_without_scores_or_bounds_are_named(data, tmp_path):
    # Paths are relative to the scp.
    some = data / "plda" / "some.scp"
    lines = (data / "plda" / "scores.scp").read_text().splitlines(keepends=True)
    some.write_text(lines[0])
    (tmp_path / "bounds").write_text("a000 1 2\na002 1 2\n")
    for options, message in (
        (("plda", "--plda-scores", some), "has no score matrix for this recording"),
        (("cosine", "--reco2min-max", tmp_path / "bounds"), "does not list this"),
    ):
        out = tmp_path / options[0]
        errors = run(data / "x", out, "--system", *options, status=1)
        assert message in errors
        assert "'a001'" in errors


def test_unused_scores_are_warned_of(data, tmp_path, caplog):
    (tmp_path / "none.scp").write_text("")
    options = ("--plda-scores", tmp_path / "none.scp", "--system", "cosine")
    run(data / "x", tmp_path / "out", *options)
    assert "does not use --plda-scores" in caplog.text


def count_speakers(out):
    counts = {}
    for utterance, label in read_labels(out / "labels").items():
        recording = utterance.split("-")[0]
        counts[recording] = max(counts.get(recording, 0), label)
    return counts


def test_bounds_of_recordings_hold(data, tmp_path):
    bounds = {"a000": (1, 1), "a001": (5, 6), "a002": (2, 9)}
    table = tmp_path / "bounds"
    table.write_text("".join(f"{k} {a} {b}\n" for k, (a, b) in bounds.items()))
    for system in ("cosine", "spectral"):
        options = ("--system", system, "--reco2min-max", table)
        run(data / "x", tmp_path / system, *options)
        for recording, found in count_speakers(tmp_path / system).items():
            fewest, most = bounds[recording]
            assert fewest <= found <= most


def test_cluster_takes_bounds(data, tmp_path):
    table = tmp_path / "bounds"
    table.write_text("a000 1 1\na001 5 6\na002 4 4\n")
    arguments = ("cluster", data / "plda" / "scores.scp", data / "x" / "spk2utt")
    arguments += (tmp_path / "out", "--reco2min-max", table)
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    found = count_speakers(tmp_path / "out")
    assert found["a000"] == 1
    assert 5 <= found["a001"] <= 6
    assert found["a002"] == 4


def test_malformed_bounds_are_refused(data, tmp_path):
    options = ("--reco2min-max", tmp_path / "bounds")
    for text, message in (
        ("a000 2 1\n", "1 <= min <= max, found '2 1'"),
        ("a000 0 1\n", "found '0 1'"),
        ("a000 2\n", "expected 'recording min max'"),
        ("a000 two 3\n", "found 'two 3'"),
        ("a000 1 2\na000 1 2\n", "already in line 1"),
    ):
        (tmp_path / "bounds").write_text(text)
        assert message in run(data / "x", tmp_path / "out", *options, status=2)


def test_conflicting_sources_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bounds").write_text("a000 1 2\n")
    (tmp_path / "counts").write_text("a000 2\n")
    bounds = ("--reco2min-max", "bounds")
    scores = ("--plda-scores", data / "plda" / "scores.scp", *model_flags(data))
    for options, surplus in (
        ((*bounds, "--num-speakers", 2), "--num-speakers"),
        ((*bounds, "--min-speakers", 2), "--min-speakers"),
        ((*bounds, "--max-speakers", 5), "--max-speakers"),
        ((*bounds, "--reco2num-spk", "counts"), "--reco2min-max"),
        ((*scores, "--plda", data / "model" / "plda"), "--plda"),
    ):
        message = run(data / "x", tmp_path / "out", *options, status=2)
        assert f"leave out {surplus}" in message
