"""Files of verification trials and their scores."""

from math import nan

import numpy as np
import pytest

from ssahc.core.errors import FormatError
from ssahc.io.trials import read_trial_scores, read_trials, write_trial_scores

WITH_TARGETS = "expected 'enrolled test target|nontarget', found"


def test_faults_of_trials_name_the_line(tmp_path):
    path = tmp_path / "trials"
    twice = "a x target\n\nb x target\na x nontarget\n"
    for text, need_targets, message in (
        ("a x target\nb y\n", True, f":2: {WITH_TARGETS}"),
        ("a x target more\n", True, f":1: {WITH_TARGETS}"),
        ("a y target\na x\n", False, f":2: {WITH_TARGETS}"),
        ("a x\na y target\n", False, ":2: expected 'enrolled test', found"),
        ("a\n", True, ":1: expected 'enrolled test"),
        ("\na x Target\n", True, ":2: expected target or nontarget in the third"),
        (twice, True, ":4: the trial of 'a' and 'x' is a target in one line and a"),
        ("\n", True, ": lists no trial"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError) as error:
            read_trials(path, need_targets=need_targets)
        assert f"{path}{message}" in str(error.value)


def test_faults_of_scores_name_the_line(tmp_path):
    path = tmp_path / "scores"
    (tmp_path / "trials").write_text("a x target\nb x nontarget\n")
    trials = read_trials(tmp_path / "trials")
    for text, message in (
        ("a x\n", ":1: expected 'enrolled test score', found 'a x'"),
        ("b x 1\na x nan\n", ":2: expected a number for the score, found 'nan'"),
        ("a x 1\nb x 1\na x 1\n\na x 2\n", ":5: another score of 'a' and 'x'"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError) as error:
            read_trial_scores(path, trials)
        assert f"{path}{message}" in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "a x target\nb x nontarget\n",
        "a x tgt\nb x imp\n",
        "a x 1\nb x 0\n",
        "1 a x\n0 b x\n",
        "modelid\tsegmentid\tside\ttargettype\na\tx\ta\ttarget\nb\tx\ta\tnontarget\n",
    ],
)
def test_trials_are_read_in_the_forms_in_use(text, tmp_path):
    (tmp_path / "trials").write_text(text)
    trials = read_trials(tmp_path / "trials")
    assert [trials.names(row) for row in range(2)] == [("a", "x"), ("b", "x")]
    assert trials.is_target.tolist() == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        "a x 2\nb x -1.5\n",
        "a x 2 target\nb x -1.5 nontarget\n",
        "a x a 2\nb x a -1.5\n",
        "modelid segmentid side LLR\na x a 2\nb x a -1.5\n",
    ],
)
def test_scores_are_read_in_the_forms_in_use(text, tmp_path):
    (tmp_path / "trials").write_text("modelid segmentid side\na x a\nb x a\n")
    (tmp_path / "scores").write_text(text)
    trials = read_trials(tmp_path / "trials", need_targets=False)
    assert read_trial_scores(tmp_path / "scores", trials).tolist() == [2, -1.5]


def test_trials_of_unclear_form_are_refused(tmp_path):
    header = "modelid segmentid side targettype\n"
    for text, message in (
        ("1 x 0\n", ":1: the first or the third field may be the label"),
        ("modelid segmentid side\na x a\n", ":1: expected a column 'targettype'"),
        (f"{header}a x a target\nb x b target\n", ":3: 'x' is on side 'b' here"),
        (f"{header}a x a yes\n", ":2: expected target or nontarget in column 'target"),
        ("10001,x,a,target\n", f":1: {WITH_TARGETS}"),
    ):
        (tmp_path / "trials").write_text(text)
        with pytest.raises(FormatError) as error:
            read_trials(tmp_path / "trials")
        assert message in str(error.value)


def test_scores_survive_a_file_in_any_order(tmp_path, rng):
    lines = [f"s{a} u{b} nontarget" for a in range(40) for b in range(50)]
    rng.shuffle(lines)
    (tmp_path / "trials").write_text("\n".join(lines))
    trials = read_trials(tmp_path / "trials")
    assert [" ".join(trials.names(row)) for row in range(3)] == [
        line.removesuffix(" nontarget") for line in lines[:3]
    ]
    assert not trials.is_target.any()
    scores = rng.standard_normal(len(trials))
    scores[[0, 7, 1999]] = nan
    write_trial_scores(tmp_path / "scores", trials, scores)
    text = (tmp_path / "scores").read_text().splitlines()
    assert len(text) == 1997
    (tmp_path / "scores").write_text("\n".join(reversed(text)))
    np.testing.assert_allclose(
        read_trial_scores(tmp_path / "scores", trials), scores, rtol=1e-6
    )
