"""``ssahc train-metric`` as a user runs it, and other verbs with its network."""

import csv
import shutil
from itertools import combinations

import numpy as np
import pytest
from click.testing import CliRunner

import ssahc
from ssahc.backend.embedding_net import apply_embedding_net, weights_of
from ssahc.cli import cli
from ssahc.core.types import EmbeddingNet, LabelledXvectors
from ssahc.io.ark import read_archive
from ssahc.io.embedding_net import write_metric
from ssahc.io.labelled import read_labelled, write_labelled
from ssahc.io.trials import read_trial_scores, read_trials, write_trials

MODEL = {"mean.vec", "transform.mat", "plda"}
FILES = MODEL | {"metric.ark", "config.toml", "training.csv"}
OPTIONS = ("--lr", 1e-2, "--epochs", 3, "--speakers-per-batch", 8)


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory):
    """A corpus with model folders, and a network trained on it."""
    folder = tmp_path_factory.mktemp("corpus")
    sizes = ("--recordings", 2, "--duration", 60, "--dim", 16, "--seed", 4)
    training = ("--train-speakers", 30, "--train-sessions", 4)
    runner = CliRunner()
    for command in (
        ("simulate", folder, *sizes, *training),
        ("train-metric", folder / "train", folder / "out", *OPTIONS),
    ):
        result = runner.invoke(cli, [str(argument) for argument in command])
        assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def train(ssahc_here, corpus_dir, tmp_path):
    """Train a network; return exit status and lines on standard error."""

    def run(*options, source=None, out="out", common=OPTIONS):
        arguments = (source or corpus_dir / "train", tmp_path / out)
        result = ssahc_here("train-metric", *arguments, *common, *options)
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr.splitlines()

    return run


def contents(folder, names=FILES):
    assert {path.name for path in folder.iterdir()} == set(names)
    return {name: (folder / name).read_bytes() for name in names}


def weights(folder):
    return (folder / "metric.ark").read_bytes()


def table(folder):
    return [*csv.reader((folder / "training.csv").read_text().splitlines())]


# ---- what is written ---------------------------------------------------------------


def test_a_folder_gives_the_network_of_its_arrays(train, corpus_dir, tmp_path):
    status, errors = train()
    assert status == 0
    contents(tmp_path / "out")
    labelled = read_labelled(corpus_dir / "train")[0]
    options = ssahc.MetricOptions(lr=1e-2, epochs=3, speakers_per_batch=8)
    expected = ssahc.train_metric(labelled.xvectors, labelled.speakers, options=options)
    header, *rows = table(tmp_path / "out")
    assert header == ["epoch", "loss", "eer", "min_dcf"]
    assert len(rows) == len(expected.epochs) == 4
    for row, epoch in zip(rows, expected.epochs):
        values = epoch.number, epoch.loss, epoch.eer, epoch.min_dcf
        assert row == ["" if value is None else str(value) for value in values]
        rates = f"held out: EER {100 * epoch.eer:.2f} %, minDCF {epoch.min_dcf:.3f}"
        loss = "" if epoch.loss is None else f"loss {epoch.loss:.4f}, "
        assert f"ssahc: epoch {epoch.number}: {loss}{rates}" in errors
    assert f"epoch {expected.best.number} is kept" in errors[-1]
    model = ssahc.read_model_dir(tmp_path / "out")
    np.testing.assert_allclose(model.mean, expected.model.mean, rtol=1e-6)
    np.testing.assert_allclose(model.plda.psi, expected.model.plda.psi)
    for ours, theirs in zip(
        weights_of(model.metric), weights_of(expected.model.metric), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_the_written_config_repeats_the_run(train, corpus_dir, tmp_path):
    config = corpus_dir / "out" / "config.toml"
    assert train("--config", config, common=())[0] == 0
    assert contents(tmp_path / "out") == contents(corpus_dir / "out")
    assert train("--config", config, "--seed", 7, common=())[0] == 0
    assert weights(tmp_path / "out") != weights(corpus_dir / "out")


def test_utt2spk_may_be_another_file(train, corpus_dir, tmp_path):
    lines = (corpus_dir / "train" / "utt2spk").read_text().splitlines(keepends=True)
    shutil.copytree(corpus_dir / "train", tmp_path / "x")
    (tmp_path / "x" / "utt2spk").write_text("".join(lines[20:]))
    (tmp_path / "table").write_text("".join(lines[20:]))
    status, errors = train("--utt2spk", tmp_path / "table")
    assert status == 0
    assert "xvector.scp: left out 20 utterances not in table" in errors[0]
    assert train(source=tmp_path / "x", out="same")[0] == 0
    assert weights(tmp_path / "out") == weights(tmp_path / "same")
    assert weights(tmp_path / "out") != weights(corpus_dir / "out")


def test_a_given_model_is_copied_and_started_from(train, corpus_dir, tmp_path):
    given = corpus_dir / "model" / "b"
    assert train("--model-dir", given)[0] == 0
    for name in MODEL:
        assert (tmp_path / "out" / name).read_bytes() == (given / name).read_bytes()
    assert weights(tmp_path / "out") != weights(corpus_dir / "out")
    # The network of the given model is not used.
    assert train("--model-dir", tmp_path / "out", out="again")[0] == 0
    assert weights(tmp_path / "again") == weights(tmp_path / "out")


def test_files_of_an_earlier_model_are_removed(train, corpus_dir, tmp_path):
    given = tmp_path / "model"
    given.mkdir()
    for name in ("mean.vec", "transform.mat"):
        shutil.copy(corpus_dir / "model" / "b" / name, given)
    shutil.copytree(corpus_dir / "out", tmp_path / "out")
    status, errors = train("--model-dir", given)
    assert status == 2
    assert "no PLDA to start from; use --start whitening" in errors[-1]
    assert contents(tmp_path / "out") == contents(corpus_dir / "out")
    assert train("--model-dir", given, "--start", "whitening")[0] == 0
    contents(tmp_path / "out", FILES - {"plda"})


def test_a_warning_says_if_no_epoch_is_better_than_the_initial_network(train):
    status, errors = train("--lr", 1e18, "--epochs", 1)
    assert status == 0
    assert "epoch 0 is kept" in errors[-2]
    assert "try another --loss or a smaller --lr" in errors[-1]


def test_without_held_out_speakers_there_are_no_error_rates(train, tmp_path):
    status, errors = train("--validation-share", 0)
    assert status == 0
    assert errors[0] == "ssahc: epoch 0: before training"
    assert "epoch 3 is kept" in errors[-1]
    rows = table(tmp_path / "out")[1:]
    assert rows[0] == ["0", "", "", ""]
    assert [row[2:] for row in rows] == [["", ""]] * 4


# ---- other verbs -------------------------------------------------------------------


@pytest.fixture
def scores(ssahc_here, corpus_dir, tmp_path):
    """Diarize half a; return the score matrices."""

    def run(*options, model=corpus_dir / "out"):
        out = tmp_path / "diarized"
        common = ("--write-scores", "--system", "ssahc", "--no-guard")
        arguments = (corpus_dir / "a", out, "--model-dir", model)
        result = ssahc_here("diarize", *arguments, *common, *options)
        assert result.returncode == 0, result.stderr
        return dict(read_archive(out / "scores.ark", "matrix"))

    return run


@pytest.fixture
def without(corpus_dir, tmp_path):
    """The model folder without its network."""
    folder = tmp_path / "without"
    shutil.copytree(corpus_dir / "out", folder)
    (folder / "metric.ark").unlink()
    return folder


def cosines(rows):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit @ unit.T


def test_only_learning_systems_start_from_the_network(scores, corpus_dir, without):
    model = ssahc.read_model_dir(corpus_dir / "out")
    two = ("--num-speakers", 2)
    learned = {start: scores("--start", start, *two) for start in ("whitened", "model")}
    alone = scores("--start", "model", "--max-steps", 0, *two)
    plain = scores(*two, model=without)
    file = ("--metric", corpus_dir / "out" / "metric.ark")
    beside = scores(*file, *two, model=without)
    plda, plda_without = (
        scores("--system", "plda", **where) for where in ({}, {"model": without})
    )
    for item in ssahc.read_recordings(ssahc.open_xvector_dir(corpus_dir / "a")):
        output = apply_embedding_net(item.xvectors - model.mean, model.metric)
        np.testing.assert_allclose(alone[item.id], cosines(output), atol=1e-5)
        for start in learned.values():
            assert np.abs(start[item.id] - alone[item.id]).max() > 1e-3
        assert np.abs(learned["whitened"][item.id] - plain[item.id]).max() > 1e-3
        np.testing.assert_array_equal(beside[item.id], learned["whitened"][item.id])
        np.testing.assert_array_equal(plda[item.id], plda_without[item.id])


def test_verify_scores_by_the_network(ssahc_here, corpus_dir, without, tmp_path):
    labelled = read_labelled(corpus_dir / "train")[0]
    pairs = np.array(list(combinations(range(40), 2)))
    names, speakers = labelled.utterances, labelled.speakers
    trials = tmp_path / "trials"
    write_trials(
        trials, ((names[i], names[j], speakers[i] == speakers[j]) for i, j in pairs)
    )

    def run(*options, model=corpus_dir / "out"):
        written = ("--write-scores", tmp_path / "scores", "--model-dir", model)
        result = ssahc_here("verify", corpus_dir / "train", trials, *written, *options)
        assert result.returncode == 0
        return read_trial_scores(tmp_path / "scores", read_trials(trials))

    model = ssahc.read_model_dir(corpus_dir / "out")
    output = apply_embedding_net(labelled.xvectors - model.mean, model.metric)
    expected = cosines(output)[tuple(pairs.T)]
    np.testing.assert_allclose(run(), expected, atol=1e-5)
    by_plda = run("--scoring", "plda")
    np.testing.assert_array_equal(run(model=without), by_plda)


def test_fit_does_not_write_beside_a_network(ssahc_here, corpus_dir):
    before = contents(corpus_dir / "out")
    result = ssahc_here("fit", corpus_dir / "train", corpus_dir / "out")
    assert result.returncode == 2
    assert "metric.ark" in result.stderr
    assert contents(corpus_dir / "out") == before


def test_check_reads_the_network(check, corpus_dir, tmp_path):
    assert check(corpus_dir / "a", "--model-dir", corpus_dir / "out")[0] == 0
    shutil.copytree(corpus_dir / "out", tmp_path / "out")
    net = EmbeddingNet(np.eye(5), (), np.eye(5))
    write_metric(tmp_path / "out" / "metric.ark", net)
    status, _, errors = check(corpus_dir / "a", "--model-dir", tmp_path / "out")
    assert status == 2
    assert "metric.ark: is for 5 dimensions, but " in errors[0]


# ---- broken vectors, wrong usage ---------------------------------------------------


def test_broken_vectors_are_named_and_the_others_are_used(train, corpus_dir, tmp_path):
    old = read_labelled(corpus_dir / "train")[0]
    xvectors = list(old.xvectors)
    xvectors[0], xvectors[1] = np.full(16, np.nan), np.ones(7)
    source = tmp_path / "x"
    write_labelled(source, LabelledXvectors(old.utterances, old.speakers, xvectors))
    status, errors = train(source=source)
    assert status == 1
    assert sum("ssahc: error: " in line for line in errors) == 2
    assert any("'t0000-000'" in line and "holds NaN" in line for line in errors)
    assert any("'t0000-001' has 7 dimensions" in line for line in errors)
    contents(tmp_path / "out")
    rest = LabelledXvectors(old.utterances[2:], old.speakers[2:], old.xvectors[2:])
    write_labelled(tmp_path / "rest", rest)
    assert train(source=tmp_path / "rest", out="same")[0] == 0
    assert weights(tmp_path / "out") == weights(tmp_path / "same")


def test_nothing_is_written_on_errors(train, corpus_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for options, source, message in (
        (["--loss", "arcface"], None, "'arcface' is not one of"),
        (["--sampling", "hard"], None, "sampling hard applies to ssa, triplet and"),
        (["--embedding-dim", 17], None, "--start plda gives 16 dimensions"),
        (["--utt2spk", "/nowhere"], None, "/nowhere: no such file"),
        (["--model-dir", "/nowhere"], None, "/nowhere: no such folder"),
        (["--device", "cuda"], None, "no CUDA device is available"),
        ([], corpus_dir / "a", "utt2spk: names the recording of every segment"),
        ([], tmp_path / "none", "none: no such folder"),
    ):
        status, errors = train(*options, source=source)
        assert status == 2
        assert message in errors[-1]
        assert errors[-1].startswith("ssahc: error: ")
        assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    assert train(out="file")[0] == 2
    (tmp_path / "out" / "metric.ark").mkdir(parents=True)
    status, errors = train()
    assert status == 2
    assert "metric.ark: is a folder" in errors[-1]
