"""What callers in Python may get wrong: it is refused, and not computed with."""

from dataclasses import astuple

import numpy as np
import pytest

import ssahc

GOOD = np.arange(12.0).reshape(4, 3)
TIMES = np.array([[0, 1], [1, 2], [2, 3], [3, 4.0]])


def test_whole_seconds_are_seconds():
    segments, vectors = np.array([[0, 3], [2, 6], [5, 9]]), np.eye(3)
    utterances, options = ("a", "b", "c"), ssahc.make_options(num_speakers=3)
    recording = ssahc.Recording("r", utterances, segments, vectors.astype(int))
    turns = ssahc.diarize_recording(recording, options=options).turns
    assert [turn[:2] for turn in map(astuple, turns)] == [
        (0, 2.5),
        (2.5, 5.5),
        (5.5, 9),
    ]
    reference = [ssahc.Turn(0, 2.5, "a"), ssahc.Turn(2.5, 9, "b")]
    scorer = ssahc.LabelScorer(segments, reference, ssahc.ScoringOptions(0))
    assert scorer.score([0, 1, 1]).der == 0


def test_invalid_labels_are_refused():
    scorer = ssahc.LabelScorer(TIMES[:3], [ssahc.Turn(0, 3, "a")])
    for labels in ([0, 1], [0, 1, -1], [0, 1, 0.5], [[0], [1], [1]]):
        with pytest.raises(ssahc.DataError, match="expected 3 labels, whole numbers"):
            scorer.score(labels)


def test_invalid_times_are_not_scored():
    sound = [ssahc.Turn(0, 5, "a")]
    for turns, uem, message in (
        ([ssahc.Turn(5, 3, "a")], None, "is the end a duration"),
        ([ssahc.Turn(2.5, np.nan, "b")], None, "is the end a duration"),
        ([], [(5, 0)], "start < end in a UEM"),
        ([], [(0, np.nan)], "start < end in a UEM"),
    ):
        for reference, hypothesis in ((sound + turns, sound), (sound, sound + turns)):
            with pytest.raises(ssahc.DataError, match=message):
                ssahc.score_recording(reference, hypothesis, uem=uem)


def broken_plda(**parts):
    sound = {"mean": np.zeros(3), "transform": np.eye(3), "psi": np.ones(3)}
    return ssahc.Plda(**(sound | parts))


def test_unusable_models_are_refused():
    for parts, message in (
        ({"mean": np.full(3, np.nan)}, "model's mean: holds NaN"),
        ({"mean": np.zeros((3, 1))}, "model's mean: expected a vector, found 3 x 1"),
        ({"mean": np.array(0.0)}, "model's mean: expected a vector, found a single"),
        (
            {"transform": np.eye(5, 3)},
            "model's transform: expected a matrix of no more",
        ),
        ({"mean": GOOD[0], "transform": np.eye(2, 5)}, "for 5 dimensions, the mean"),
        ({"transform": np.zeros((3, 3))}, "model's transform: is all zero"),
        ({"plda": broken_plda(psi=np.full(3, np.nan))}, "model's plda: holds NaN"),
        ({"plda": broken_plda(psi=-np.ones(3))}, "model's plda: psi is negative"),
        ({"plda": broken_plda(psi=np.ones(1))}, "model's plda: parts disagree"),
        ({"plda": broken_plda(transform=np.eye(3, 6))}, "model's plda: parts disagree"),
        ({"mean": GOOD[0], "transform": np.eye(4)}, "for 4 dimensions, the mean for 3"),
        ({"metric": metric(projection=np.full((2, 3), np.inf))}, "metric: holds NaN"),
        ({"metric": metric(whitening=np.ones(3))}, "metric: expected matrices"),
    ):
        model = ssahc.Model(**parts)
        for use in (
            lambda model: ssahc.diarize(GOOD, TIMES, model=model),
            lambda model: ssahc.embed(GOOD, model),
            lambda model: ssahc.train_metric(GOOD, list("aabb"), model=model),
        ):
            with pytest.raises(ssahc.DataError, match=message):
                use(model)


EYE = np.eye(3)


def metric(whitening=EYE, projection=EYE):
    return ssahc.EmbeddingNet(whitening, (), projection)


def test_unknown_clusterings_are_refused():
    affinity = ssahc.diarize(GOOD, TIMES).affinity
    windows = ssahc.Windows(affinity, TIMES)
    with pytest.raises(
        ssahc.UsageError, match="unknown clustering 'kmean'; choose one of ahc"
    ):
        ssahc.cluster_windows(windows, ssahc.Stop(2), "kmean")
    with pytest.raises(ssahc.DataError, match="4 windows, but segments of 3"):
        ssahc.Windows(affinity, TIMES[:3])


def test_turns_that_an_rttm_cannot_hold_are_refused(tmp_path):
    for recording, turn, message in (
        ("my call", ssahc.Turn(0, 1, "a"), "names without white space"),
        ("call", ssahc.Turn(0, 1, "John Smith"), "white space, found 'John Smith'"),
        ("call", ssahc.Turn(0, 1, ""), "white space, found ''"),
        ("call", ssahc.Turn(-1, 1, "a"), "0 <= start <= end"),
        ("call", ssahc.Turn(2, 1, "a"), "0 <= start <= end"),
        ("call", ssahc.Turn(0, np.nan, "a"), "0 <= start <= end"),
    ):
        with pytest.raises(ssahc.DataError, match=message):
            ssahc.write_rttm(tmp_path / "rttm", {"a": [], recording: [turn]})
        assert list(tmp_path.iterdir()) == []
