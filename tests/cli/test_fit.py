"""``ssahc fit`` as a user runs it: folders in, a model folder out."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import ssahc
from ssahc.backend.training import TrainingOptions, fit_model
from ssahc.cli import cli
from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import NO_MODEL, LabelledXvectors, Model, Plda
from ssahc.io.ark import read_single
from ssahc.io.labelled import read_labelled, read_xvectors, write_labelled
from ssahc.io.plda import read_plda
from ssahc.io.rttm import read_rttm
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.scoring.der import Score
from ssahc.simulation.conversations import (
    SimulateOptions,
    simulate_corpus,
    simulate_training,
)

FILES = ("mean.vec", "plda", "transform.mat")
SMALL = SimulateOptions(
    recordings=8, duration=60, dim=16, train_speakers=40, train_sessions=5, seed=5
)


@pytest.fixture(scope="module")
def labelled():
    return simulate_training(SMALL)


@pytest.fixture
def train(labelled, tmp_path):
    write_labelled(tmp_path / "train", labelled)
    return tmp_path / "train"


@pytest.fixture
def fit(ssahc_here, train, tmp_path):
    """Train on the folder; return exit status, lines on standard error, the model."""

    def run(*options, source=train):
        result = ssahc_here("fit", source, tmp_path / "model", *options)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        model = None
        if (tmp_path / "model").exists():
            assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [*FILES]
            model = ssahc.read_model_dir(tmp_path / "model")
        return result.returncode, result.stderr.splitlines(), model

    return run


def assert_close(model, expected):
    """Compare models of which one has been through files of seven digits."""
    np.testing.assert_allclose(model.mean, expected.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.transform, expected.transform, atol=1e-5)
    np.testing.assert_allclose(model.plda.psi, expected.plda.psi, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        model.plda.transform, expected.plda.transform, rtol=1e-5, atol=1e-5
    )


def rewrite(folder, change):
    """Write the folder's x-vectors again after a change to some of them."""
    old = read_labelled(folder)[0]
    xvectors = list(old.xvectors)
    change(xvectors)
    write_labelled(folder, LabelledXvectors(old.utterances, old.speakers, xvectors))


# ---- what is written ---------------------------------------------------------------


def test_a_folder_gives_the_model_of_its_arrays(fit, labelled):
    status, errors, model = fit()
    assert status == 0
    assert errors == ["ssahc: trained on 200 x-vectors of 40 speakers"]
    xvectors = labelled.xvectors.astype(np.float32).astype(np.float64)
    assert_close(model, fit_model(xvectors, labelled.speakers))


def test_kaldis_x_vectors_give_kaldis_model(fit, golden, tmp_path):
    folder = tmp_path / "kaldi"
    folder.mkdir()
    source = golden / "plda_train"
    shutil.copy(source / "unbalanced.ark", folder)
    shutil.copy(source / "unbalanced.scp", folder / "xvector.scp")
    shutil.copy(source / "unbalanced.utt2spk", folder / "utt2spk")
    status, _, model = fit(source=folder)
    assert status == 0
    mean = read_single(source / "unbalanced.mean.vec", "vector")
    np.testing.assert_allclose(model.mean, mean, rtol=1e-6, atol=1e-6)
    theirs = read_plda(source / "unbalanced.whitened.plda")
    np.testing.assert_allclose(model.plda.psi, theirs.psi, rtol=1e-6)


def test_every_file_format_holds_the_same_model(fit, tmp_path):
    expected = fit("--no-unsupervised")[2]
    for form, is_binary in (
        ("kaldi", [False, True, True]),
        ("text", [False, False, False]),
        ("binary", [True, True, True]),
    ):
        assert_close(fit("--file-format", form)[2], expected)
        files = [(tmp_path / "model" / name).read_bytes() for name in FILES]
        assert [data.startswith(b"\0B") for data in files] == is_binary


def test_options_and_config_reach_the_training(fit, labelled, tmp_path, train):
    half = simulate_corpus(SMALL)["a"]
    write_xvector_dir(tmp_path / "a", [item.recording for item in half.conversations])
    # Kaldi's ivector-mean and est-pca need no more than the scp.
    for name in ("segments", "utt2spk", "spk2utt"):
        (tmp_path / "a" / name).unlink()
    config = tmp_path / "config.toml"
    config.write_text("num_em_iters = 4\nsmoothing = 0.5\nwithin_covar_scale = 0.6\n")
    sources = ("--whiten-from", tmp_path / "a", "--adapt-to", tmp_path / "a")
    status, _, model = fit("--config", config, "--smoothing", 0.1, *sources)
    assert status == 0
    source = read_xvectors(tmp_path / "a").xvectors
    expected = fit_model(
        read_labelled(train)[0].xvectors,
        labelled.speakers,
        whiten_from=source,
        adapt_to=source,
        options=TrainingOptions(4, 0.1, 0.6),
    )
    assert_close(model, expected)


# ---- what is left out or rejected ------------------------------------------------


def test_unmatched_utterances_are_counted_and_left_out(fit, train):
    utt2spk = (train / "utt2spk").read_text().splitlines(keepends=True)
    (train / "utt2spk").write_text("".join(utt2spk[3:]) + "zz-0 zz\nzz-1 zz\n")
    status, errors, model = fit()
    assert status == 0
    assert "utt2spk: left out 2 utterances without an x-vector" in errors[0]
    assert "first of them 'zz-0'" in errors[0]
    assert "xvector.scp: left out 3 utterances not in utt2spk" in errors[1]
    assert errors[2] == "ssahc: trained on 197 x-vectors of 40 speakers"
    (train / "utt2spk").write_text("".join(utt2spk[3:]))
    np.testing.assert_array_equal(fit()[2].transform, model.transform)


def test_broken_vectors_are_named_and_the_others_are_used(fit, train):
    def spoil(xvectors):
        xvectors[0] = np.ones(7)
        xvectors[1] = np.full(16, np.nan)
        xvectors[2] = np.zeros(16)
        xvectors[3] = np.zeros(0)

    rewrite(train, spoil)
    archive = train / "xvector.ark"
    archive.write_bytes(archive.read_bytes()[:-10])
    status, errors, model = fit()
    assert status == 1
    assert all(line.startswith(f"ssahc: error: {archive}") for line in errors[:5])
    for message in (
        "key 't0000-003': the x-vector is empty",
        "key 't0039-004': truncated",
        "key 't0000-001': the x-vector holds NaN",
        "key 't0000-002': the x-vector is all zero",
        "'t0000-000' has 7 dimensions, that of 't0000-001' has 16",
    ):
        assert sum(message in line for line in errors[:5]) == 1, message
    assert errors[5:] == ["ssahc: trained on 195 x-vectors of 40 speakers"]
    # A folder that is given twice has each fault once.
    assert fit("--whiten-from", train)[:2] == (1, errors)
    utt2spk = (train / "utt2spk").read_text().splitlines(keepends=True)
    (train / "utt2spk").write_text("".join(utt2spk[4:-1]))
    status, _, expected = fit()
    assert status == 0
    np.testing.assert_array_equal(model.plda.transform, expected.plda.transform)


def test_folders_with_recordings_as_speakers_are_rejected(fit, train, tmp_path):
    half = simulate_corpus(SMALL)["a"].conversations
    write_xvector_dir(tmp_path / "a", [item.recording for item in half])
    status, errors, model = fit(source=tmp_path / "a")
    assert (status, model) == (2, None)
    assert "names the recording of every segment as its speaker" in errors[0]
    assert "ssahc fit --unsupervised" in errors[0]
    # With true speakers, segments are allowed.
    shutil.copy(tmp_path / "a" / "segments", train / "segments")
    assert fit()[0] == 0


def test_nothing_is_written_on_errors(fit, train, labelled):
    two = "t0000-000 a\nt0000-001 a\n"
    # Each spoils the folder more than those before.
    for spoil, options, message in (
        (None, ["--num-em-iters", -1], "num-em-iters must be between 0 and"),
        (None, ["--file-format", "xml"], "'xml' is not one of"),
        (None, ["--whiten-from", "/nowhere"], "/nowhere: no such folder"),
        (None, ["--unsupervised", "--smoothing", 0.1], "leave out --whiten-from"),
        (None, ["--unsupervised"], "segments: no such file"),
        (None, ["--within-covar-scale", 0.5], "--adapt-to"),
        (None, ["--between-covar-scale", 0.5], "--adapt-to"),
        (None, ["--config", "/nowhere.toml"], "no such file"),
        (lambda: (train / "utt2spk").write_text(two), [], "2 x-vectors of 16 dimen"),
        (lambda: (train / "xvector.ark").write_bytes(b""), [], "truncated"),
        (lambda: (train / "utt2spk").unlink(), [], "utt2spk: no such file"),
        (lambda: (train / "xvector.scp").unlink(), [], "xvector.scp: no such file"),
        (lambda: shutil.rmtree(train), [], "no such folder"),
    ):
        if spoil is not None:
            spoil()
        status, errors, model = fit(*options)
        assert (status, model) == (2, None)
        assert message in errors[-1]
        assert errors[-1].startswith("ssahc: error: ")
    changed = TrainingOptions(between_covar_scale=0.5)
    with pytest.raises(UsageError, match="--between-covar-scale"):
        fit_model(labelled.xvectors, labelled.speakers, options=changed)


def test_a_model_that_could_not_be_read_is_not_written(fit, labelled, tmp_path):
    fit()
    before = {name: (tmp_path / "model" / name).read_bytes() for name in FILES}
    # One direction alone is wider than the model expects.
    wider = labelled.xvectors * np.r_[10.0, np.ones(15)]
    write_labelled(tmp_path / "other", replace(labelled, xvectors=wider))
    adapt = ("--adapt-to", tmp_path / "other", "--within-covar-scale", 1e29)
    status, errors, _ = fit(*adapt)
    assert status == 2
    assert errors[-1] == (
        "ssahc: error: plda: psi is negative or the transform singular; train the PLDA "
        "again on more data, or without --within-covar-scale 1e+29"
    )
    for name, data in before.items():
        assert (tmp_path / "model" / name).read_bytes() == data


def test_models_that_cannot_be_read_are_not_written(tmp_path):
    sound = Model(np.zeros(2), np.eye(2), Plda(np.zeros(2), np.eye(2), np.ones(2)))
    singular = Plda(np.zeros(2), np.ones((2, 2)), np.ones(2))
    for part, value, message in (
        ("mean", None, "mean.vec: is missing"),
        ("mean", np.array([np.nan, 0.0]), "mean.vec: holds NaN"),
        ("transform", None, "transform.mat: is missing"),
        ("transform", np.full((2, 2), 1e31), "transform.mat: holds NaN"),
        ("transform", np.zeros((2, 2)), "transform.mat: is all zero"),
        ("plda", singular, "plda: psi is neg"),
    ):
        with pytest.raises(DataError, match=message):
            ssahc.write_model_dir(tmp_path / "model", replace(sound, **{part: value}))
        assert not (tmp_path / "model").exists()
    ssahc.write_model_dir(tmp_path / "model", sound)
    with pytest.raises(UsageError, match="plda: is of another model"):
        ssahc.write_model_dir(tmp_path / "model", replace(sound, plda=None))
    assert ssahc.read_model_dir(tmp_path / "model").plda is not None


# ---- diarizing with the models -----------------------------------------------------


@pytest.fixture(scope="module")
def corpus_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    arguments = ["simulate", folder, "--recordings", 8, "--dim", 64, "--seed", 1]
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == 0
    return folder


def error_rate(folder, model, system="plda"):
    """Diarize half b with known numbers of speakers."""
    reference = read_rttm(folder / "b" / "ref.rttm").turns
    total = Score()
    for recording in ssahc.read_recordings(ssahc.open_xvector_dir(folder / "b")):
        turns = reference[recording.id]
        options = ssahc.make_options(
            system=system,
            target_energy=0.3,
            num_speakers=len({turn.speaker for turn in turns}),
        )
        result = ssahc.diarize_recording(recording, model, options)
        total += ssahc.score_recording(turns, result.turns)
    return total.der


def test_fitted_models_diarize_like_the_given_one(ssahc_here, corpus_dir):
    # With the model the x-vectors were drawn from; no other is much better.
    given = error_rate(corpus_dir, ssahc.read_model_dir(corpus_dir / "model" / "a"))
    folder, whiten = corpus_dir / "fitted", ("--whiten-from", "a")
    for options in (whiten, (), (*whiten, "--adapt-to", "a")):
        result = ssahc_here("fit", "train", folder, *options, cwd=corpus_dir)
        assert result.returncode == 0
        assert error_rate(corpus_dir, ssahc.read_model_dir(folder)) < given + 1


def test_unsupervised_training_beats_no_model(ssahc_here, corpus_dir):
    folder = corpus_dir / "unsupervised"
    result = ssahc_here("fit", "a", folder, "--unsupervised", cwd=corpus_dir)
    assert result.returncode == 0
    learned = error_rate(corpus_dir, ssahc.read_model_dir(folder))
    nothing = error_rate(corpus_dir, NO_MODEL, "cosine")
    assert learned < 0.7 * nothing


def test_unsupervised_names_broken_recordings(ssahc_here, corpus_dir, tmp_path):
    shutil.copytree(corpus_dir / "a", tmp_path / "a")
    segments = (tmp_path / "a" / "segments").read_text()
    (tmp_path / "a" / "segments").write_text(segments.split("\n", 1)[1])
    result = ssahc_here("fit", tmp_path / "a", tmp_path / "model", "--unsupervised")
    assert result.returncode == 1
    assert "ssahc: error: recording 'a000': " in result.stderr
    assert "trained on 7 unlabelled recordings" in result.stderr
