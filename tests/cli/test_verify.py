"""``ssahc verify`` as a user runs it."""

import json
from itertools import combinations
from math import nan

import numpy as np
import pytest

from ssahc.backend.training import fit_model
from ssahc.backend.trials import embed, score_trials
from ssahc.core.types import LabelledXvectors, Model
from ssahc.io.labelled import read_labelled, write_labelled
from ssahc.io.model import write_model_dir
from ssahc.io.trials import read_trial_scores, read_trials
from ssahc.scoring.detection import VerificationOptions, verify
from ssahc.simulation.conversations import SimulateOptions, simulate_training

NIST = VerificationOptions()
SMALL = SimulateOptions(dim=16, train_speakers=30, train_sessions=5, seed=5)


@pytest.fixture(scope="module")
def labelled():
    return simulate_training(SMALL)


@pytest.fixture(scope="module")
def fitted(labelled):
    return fit_model(labelled.xvectors, labelled.speakers)


@pytest.fixture
def here(labelled, fitted, tmp_path):
    """A folder of x-vectors, a model, and all pairs of two utterances as trials."""
    write_labelled(tmp_path / "train", labelled)
    write_model_dir(tmp_path / "model", fitted)
    pairs = combinations(zip(labelled.utterances, labelled.speakers, strict=True), 2)
    lines = [
        f"{first} {second} {'target' if voice == other else 'nontarget'}\n"
        for (first, voice), (second, other) in pairs
    ]
    (tmp_path / "trials").write_text("".join(lines))
    return tmp_path


@pytest.fixture
def run(ssahc_here, here):
    """Verify; return exit status, what was printed as JSON, lines on standard error."""

    def run(*options, source="train", trials="trials"):
        arguments = (here / source, here / trials, "--format", "json", *options)
        result = ssahc_here("verify", *arguments)
        assert "Traceback" not in result.stderr
        values = json.loads(result.stdout) if result.stdout else None
        return result.returncode, values, result.stderr.splitlines()

    return run


def oracle(here, model, plda=None, options=NIST):
    """Figures of all pairs of the folder's utterances, by the functions on arrays."""
    found = read_labelled(here / "train")[0]
    vectors = embed(found.xvectors, model)
    pairs = np.array(list(combinations(range(len(vectors)), 2)))
    scores = score_trials(vectors, np.ones(len(vectors)), vectors, pairs, plda)
    speakers = np.array(found.speakers)
    is_target = speakers[pairs[:, 0]] == speakers[pairs[:, 1]]
    return verify(scores[is_target], scores[~is_target], options)


# ---- figures -----------------------------------------------------------------------


@pytest.mark.parametrize("costs", [(0.01, 1, 1), (0.2, 3, 2)])
def test_a_model_with_a_plda_scores_by_plda(run, here, fitted, costs):
    names = ("p_target", "c_miss", "c_fa")
    flags = ("--p-target", costs[0], "--c-miss", costs[1], "--c-fa", costs[2])
    given = () if VerificationOptions(*costs) == NIST else flags
    status, values, errors = run("--model-dir", here / "model", *given)
    assert (status, errors) == (0, [])
    expected = oracle(here, fitted, fitted.plda, VerificationOptions(*costs))
    assert values["scoring"] == "plda"
    assert tuple(values[name] for name in names) == costs
    assert values["num_target"] == expected.num_target == 30 * 10
    assert values["num_nontarget"] == expected.num_nontarget
    # The model was stored in float32.
    for name in ("eer", "eer_threshold", "min_dcf", "min_dcf_threshold"):
        assert values[name] == pytest.approx(getattr(expected, name), abs=0.005)
    assert 0.01 < values["eer"] < 0.3
    assert values["eer_percent"] == pytest.approx(100 * values["eer"])


def test_cosine_uses_the_given_parts_of_a_model(run, here, fitted):
    mean = ("--mean", here / "model/mean.vec")
    both = (*mean, "--transform", here / "model/transform.mat")
    for options, model in (
        ((), Model()),
        (mean, Model(fitted.mean)),
        (both, Model(fitted.mean, fitted.transform)),
        (("--model-dir", here / "model", "--scoring", "cosine"), fitted),
    ):
        values = run(*options)[1]
        assert values["scoring"] == "cosine"
        assert values["eer"] == pytest.approx(oracle(here, model).eer, abs=0.002)


def test_figures_are_printed_as_a_table(ssahc_here, run, here):
    (here / "scores").write_text("a x 2.5\na y 0.5\nb x 1\nb y 3\n")
    (here / "few").write_text("a x target\nb x nontarget\nb y target\na y nontarget\n")
    result = ssahc_here("verify", here / "scores", here / "few", "--p-target", "0.5")
    assert result.stdout.splitlines()[1:] == [
        "scoring     trials  targets  nontargets     %  threshold  minDCF  threshold",
        "ready-made       4        2           2  0.00     2.5000  0.0000     2.5000",
        "",
        "Trials with a score at or above the threshold are accepted.",
        "minDCF: p-target 0.5, c-miss 1, c-fa 1; 1 is the cost without scores.",
    ]
    assert (result.returncode, result.stderr) == (0, "")
    # Small scores have thresholds with digits, too.
    (here / "small").write_text("a x 2.51e-7\na y 5e-8\nb x 1e-7\nb y 3e-7\n")
    result = ssahc_here("verify", here / "small", here / "few", "--p-target", "0.5")
    row = "ready-made       4        2           2  0.00   2.51e-07  0.0000   2.51e-07"
    assert result.stdout.splitlines()[2] == row
    # JSON has no infinite threshold.
    (here / "few").write_text("a x target\nb y nontarget\n")
    values = run(source="scores", trials="few")[1]
    assert (values["min_dcf"], values["min_dcf_threshold"]) == (1, None)


# ---- enrolment ---------------------------------------------------------------------


@pytest.fixture
def speakers(here, labelled):
    """Speakers enrolled by 1 to 4 utterances, and tested by their fifth."""
    lines, trials, own = [], [], {}
    for utterance, speaker in zip(labelled.utterances, labelled.speakers):
        own.setdefault(speaker, []).append(utterance)
    for number, name in enumerate(own):
        lines.append(" ".join((name, *own[name][: 1 + number % 4])))
        for other in own:
            kind = "target" if name == other else "nontarget"
            trials.append(f"{name} {own[other][4]} {kind}")
    (here / "spk2utt").write_text("\n".join(lines) + "\n")
    (here / "speaker_trials").write_text("\n".join(trials) + "\n")
    return list(own), own


def test_speakers_are_the_means_of_their_utterances(run, here, speakers, fitted):
    names, own = speakers
    model = ("--model-dir", here / "model", "--enroll-spk2utt", here / "spk2utt")
    options = (*model, "--write-scores", here / "scores")
    status, values, errors = run(*options, trials="speaker_trials")
    assert (status, errors) == (0, ["ssahc: scored 900 of 900 trials"])
    found = read_labelled(here / "train")[0]
    vector = dict(zip(found.utterances, found.xvectors, strict=True))
    counts = [1 + number % 4 for number in range(len(names))]
    means = [
        np.mean([vector[utterance] for utterance in own[name][:count]], axis=0)
        for name, count in zip(names, counts)
    ]
    scores = score_trials(
        embed(np.array(means), fitted),
        counts,
        embed(np.array([vector[own[name][4]] for name in names]), fitted),
        np.indices((30, 30)).reshape(2, -1).T,
        fitted.plda,
    )
    written = read_trial_scores(here / "scores", read_trials(here / "speaker_trials"))
    np.testing.assert_allclose(written, scores, atol=0.02)
    assert values["num_target"] == 30
    # More utterances give fewer errors.
    assert values["eer"] < run("--model-dir", here / "model")[1]["eer"]


def test_enrolled_utterances_may_be_in_another_folder(run, here, speakers, labelled):
    fifth = np.arange(150) % 5 == 4
    for name, kept in (("enrol", ~fifth), ("test", fifth)):
        utterances, voices = (
            tuple(np.array(column)[kept].tolist())
            for column in (labelled.utterances, labelled.speakers)
        )
        part = LabelledXvectors(utterances, voices, labelled.xvectors[kept])
        write_labelled(here / name, part)
    options = ("--enroll-spk2utt", here / "spk2utt")
    together = run(*options, trials="speaker_trials")
    options += ("--enroll-dir", here / "enrol")
    apart = run(*options, source="test", trials="speaker_trials")
    # Without a model, the centre is that of all x-vectors.
    assert apart[:2] == (0, pytest.approx(together[1]))


def test_trials_of_speakers_without_x_vectors_are_left_out(run, here, speakers):
    names, _ = speakers
    table = (here / "spk2utt").read_text().splitlines()
    table[0] = f"{names[0]} nobody"
    table[1] += " somebody"
    (here / "spk2utt").write_text("\n".join(table[:-1]) + "\n")
    status, values, errors = run(
        "--enroll-spk2utt", here / "spk2utt", trials="speaker_trials"
    )
    assert status == 1
    left_out = "left out of the speakers' means: 2 utterances without an x-vector"
    assert f"{here}/spk2utt: {left_out}" in errors[0]
    for error, name in zip(errors[1:], (names[0], names[-1]), strict=True):
        assert f"{name!r}: has no x-vector; 30 trials are left out" in error
    assert values["num_target"] == 28


# ---- scores ------------------------------------------------------------------------


def test_written_scores_give_the_same_figures(run, here):
    scored = run("--model-dir", here / "model", "--write-scores", here / "scores")
    ready = run(source="scores")
    assert ready[0] == 0
    assert ready[1].pop("scoring") == "ready-made"
    assert scored[1].pop("scoring") == "plda"
    assert ready[1] == pytest.approx(scored[1], rel=1e-6)
    lines = (here / "scores").read_text().splitlines()
    trials = (here / "trials").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [x.split()[:2] for x in trials]
    # Seven digits, like Kaldi.
    assert all(line.split()[2] == f"{float(line.split()[2]):.7g}" for line in lines)


def test_trials_without_kinds_are_only_scored(run, here):
    text = (here / "trials").read_text()
    bare = text.replace(" nontarget", "").replace(" target", "")
    (here / "bare").write_text(bare)
    status, values, errors = run("--write-scores", here / "scores", trials="bare")
    assert (status, values) == (0, None)
    assert errors == ["ssahc: scored 11175 of 11175 trials"]
    assert run(source="scores")[1]["eer"] == pytest.approx(run()[1]["eer"], abs=1e-3)
    status, values, errors = run(trials="bare")
    assert (status, values) == (2, None)
    assert errors[0].startswith(
        f"ssahc: error: {here}/bare:1: expected 'enrolled test target|nontarget', "
    )


def test_scores_may_be_unordered_and_incomplete(run, here):
    (here / "few").write_text("a x target\nb x nontarget\nc x nontarget\n")
    (here / "scores").write_text("b x 1e0\nb z 7\nd x 8\n\na\tx  2\n")
    status, values, errors = run(source="scores", trials="few")
    assert (status, values["num_target"], values["num_nontarget"]) == (1, 1, 1)
    assert errors == [f"ssahc: error: {here}/scores: has no score of 'c' and 'x'"]


# ---- faults ------------------------------------------------------------------------


def test_missing_x_vectors_are_named_and_the_other_trials_scored(run, here, labelled):
    whole = run()[1]
    first = labelled.utterances[0]
    lines = [f"{first} gone{number} nontarget" for number in range(9)]
    lines += [f"lost {first} target", f"lost {first} target"]
    text = (here / "trials").read_text() + "\n".join(lines)
    (here / "more").write_text(text)
    status, values, errors = run(trials="more")
    assert (status, values) == (1, whole)
    assert f"{here}/more: 1 of 11186 lines repeat a trial" in errors[0]
    assert "'lost': has no x-vector; 2 trials are left out" in errors[1]
    assert "'gone0': has no x-vector; 1 trial is left out" in errors[2]
    assert len(errors) == 7
    assert errors[-1].endswith("and 5 more")


def test_trials_of_a_broken_x_vector_are_left_out(run, here, labelled):
    broken = labelled.xvectors.copy()
    broken[3] = nan
    changed = LabelledXvectors(labelled.utterances, labelled.speakers, broken)
    write_labelled(here / "train", changed)
    status, values, errors = run()
    assert status == 1
    assert "holds NaN" in errors[0]
    # It comes fourth: three trials test it, and in the others it is enrolled.
    assert errors[1].endswith("; 146 trials are left out")
    assert errors[2].endswith("; 3 trials are left out")
    assert values["num_target"] + values["num_nontarget"] == 11175 - 149


def test_wrong_usage_is_one_line(run, here):
    (here / "scores").write_text("a x 1\n")
    other = LabelledXvectors(("e",), ("s",), np.ones((1, 3)))
    write_labelled(here / "other", other)
    apart = ("--enroll-dir", here / "other")
    mean = ("--mean", here / "model/mean.vec")
    for options, source, message in (
        (("--scoring", "plda"), "train", "--scoring plda needs a PLDA"),
        (("--p-target", "1"), "train", "p-target must be 1e-30 or more"),
        (("--scoring", "cosine", *mean), "scores", "needs no --mean and --scoring"),
        ((), "nowhere", "no such file"),
        (("--plda-scores", "x"), "train", "No such option"),
        (("--write-scores", here / "no/where"), "train", "no such folder; create"),
        (("--plda", here / "model/plda"), "train", "centred and whitened"),
        (apart, "train", "test and enrolled x-vectors have 16 and 3 dimensions"),
        ((*apart, *mean), "train", "x-vectors have 3 dimensions, the model's mean"),
    ):
        status, values, errors = run(*options, source=source)
        assert (status, values) == (2, None)
        assert message in errors[-1]


def test_trials_that_cannot_be_evaluated_are_one_line(run, here):
    (here / "scores").write_text("a x 1\nb x 2\nb y 3\n")
    for text, message in (
        ("a x target\nb y target\n", "there are no nontarget trials"),
        ("a x nontarget\n", "there are no target trials"),
        ("p q target\nq p nontarget\n", "none of 2 trials could be scored"),
    ):
        (here / "few").write_text(text)
        status, values, errors = run(source="scores", trials="few")
        assert (status, values) == (2, None)
        assert message in errors[-1]
