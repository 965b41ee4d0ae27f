"""The Python entrance: arrays in, the command line's answer out."""

import re
import subprocess
import sys
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner

import ssahc
from ssahc.cli import cli
from ssahc.clustering.ahc import agglomerative_cluster
from ssahc.io.ark import read_table
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_labels
from ssahc.io.xvectors import write_xvector_dir
from ssahc.pipeline.options import System

OPTIONS = {
    "plain": {},
    "two periods, lambda": {"periods": 2, "lambda_": 0.2, "gamma": 0.3},
    "sampled, znorm": {"triplets": "sampled", "seed": 3, "fusion": "znorm"},
    "known": {"num_speakers": 3, "fusion": "maxabs", "fusion_weight": 0.3},
    "bounds": {"min_speakers": 2, "max_speakers": 3},
}


@pytest.fixture(scope="module")
def folder(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("api")
    recordings = [item.recording for item in corpus["a"].conversations[:2]]
    write_xvector_dir(path / "x", recordings)
    write_model_dir(path / "m", corpus["b"].model)
    return path


def flags(values):
    for name, value in values.items():
        yield f"--{name.removesuffix('_').replace('_', '-')}"
        yield str(value)


@pytest.mark.parametrize("system", get_args(System))
@pytest.mark.parametrize("name", OPTIONS)
def test_same_as_the_command_line(folder, tmp_path, system, name):
    values = {"system": system, "device": "cpu"} | OPTIONS[name]
    arguments = ["diarize", "-q", folder / "x", tmp_path, "--model-dir", folder / "m"]
    arguments += ["--write-scores", *flags(values)]
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    labels, rttm = read_labels(tmp_path / "labels"), read_rttm(tmp_path / "rttm")
    scores = dict(read_table(tmp_path / "scores.scp", "matrix"))

    model = ssahc.read_model_dir(str(folder / "m"))
    options = ssahc.make_options(**values)
    for item in ssahc.read_recordings(ssahc.open_xvector_dir(str(folder / "x"))):
        answer = ssahc.diarize(
            item.xvectors,
            item.segments,
            model=model,
            options=options,
            recording_id=item.id,
            utterances=item.utterances,
        )
        assert [labels[u] - 1 for u in item.utterances] == answer.labels.tolist()
        np.testing.assert_array_equal(scores[item.id], answer.affinity.dense())
        assert len(rttm.turns[item.id]) == len(answer.turns)
        for written, turn in zip(rttm.turns[item.id], answer.turns):
            assert written.speaker == turn.speaker
            assert written.start == pytest.approx(turn.start, abs=6e-4)
            assert written.end == pytest.approx(turn.end, abs=1.1e-3)


def test_arrays_of_any_kind_are_taken(recording):
    lists = ssahc.diarize(recording.xvectors.tolist(), recording.segments.tolist())
    single = ssahc.diarize(recording.xvectors.astype("f4"), recording.segments)
    assert lists.labels.tolist() == single.labels.tolist()
    assert len(lists.utterances) == len(set(lists.utterances)) == len(recording)
    assert lists.annotation.uri == "recording"
    assert len(lists.annotation.labels()) == lists.num_speakers
    assert lists.learning


def test_inputs_are_left_alone(recording, model):
    vectors, segments = recording.xvectors.copy(), recording.segments.copy()
    vectors.setflags(write=False)
    segments.setflags(write=False)
    first = ssahc.diarize(vectors, segments, model=model)
    second = ssahc.diarize(vectors, segments, model=model)
    np.testing.assert_array_equal(first.affinity.dense(), second.affinity.dense())
    np.testing.assert_array_equal(vectors, recording.xvectors)


def test_scores_take_the_place_of_a_plda(recording, model):
    plda = ssahc.diarize(
        recording.xvectors,
        recording.segments,
        model=model,
        options=ssahc.make_options(system="plda"),
    )
    given = ssahc.diarize(
        recording.xvectors,
        recording.segments,
        plda_scores=plda.affinity.dense(),
        options=ssahc.make_options(system="plda"),
    )
    assert given.labels.tolist() == plda.labels.tolist()
    fused = ssahc.diarize(
        recording.xvectors, recording.segments, plda_scores=plda.affinity.dense()
    )
    assert fused.learning, "with scores, the default is fusion"


def test_progress_tells_every_step(recording, model):
    told = []
    ssahc.diarize(
        recording.xvectors,
        recording.segments,
        model=model,
        options=ssahc.make_options(periods=3, init_threshold=0.5),
        progress=lambda *step: told.append(step),
    )
    steps = ["scoring", "learning", "clustering", "resegmenting"]
    for step in steps:
        mine = [(done, total) for name, done, total in told if name == step]
        assert mine[0][0] == 0
        assert mine[-1][0] == mine[-1][1]
        assert mine == sorted(mine)
    assert [name for name, done, _ in told if done == 0] == steps


GOOD = np.arange(12.0).reshape(4, 3)
TIMES = np.array([[0, 1], [1, 2], [2, 3], [3, 4.0]])


@pytest.mark.parametrize(
    ("xvectors", "segments", "scores", "message"),
    [
        (GOOD[:3], TIMES, None, "3 utterances need segments of shape"),
        (GOOD[0], TIMES, None, "one row a window"),
        (GOOD, TIMES[:, ::-1], None, "expected 0 <= start <= end"),
        (GOOD, TIMES - 1, None, "found start -1"),
        (GOOD, TIMES * np.nan, None, "found start nan"),
        (GOOD * np.nan, TIMES, None, "holds NaN"),
        (["a", "b"], TIMES, None, "must be an array of numbers"),
        (GOOD, TIMES, np.ones((3, 3)), "4 x 4, found 3 x 3"),
        (GOOD, TIMES, np.full((4, 4), np.nan), "scores hold NaN"),
        (GOOD, TIMES, np.full((4, 4), 1e60), r"or a value beyond 1e\+25"),
        (GOOD, TIMES, [["a"] * 4] * 4, "PLDA scores must be an array of numbers"),
        (GOOD + 1j, TIMES, None, "found complex numbers"),
        (np.ma.masked_greater(GOOD, 10), TIMES, None, "found masked values"),
        (GOOD, TIMES.astype("m8[s]"), None, r"found durations \(timedelta64\)"),
        (GOOD, TIMES.astype("M8[s]"), None, r"found dates \(datetime64\)"),
    ],
)
def test_senseless_arrays_are_refused(xvectors, segments, scores, message):
    with pytest.raises(ssahc.DataError, match=message):
        ssahc.diarize(xvectors, segments, plda_scores=scores)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ssahc.FusionOptions(fusion="zscore"), "fusion must be one of raw"),
        (lambda: ssahc.LearningOptions(triplets="all"), "triplets must be one of"),
        (lambda: ssahc.LearningOptions(triplet_form="x"), "triplet-form must be one"),
        (lambda: ssahc.LearningOptions(max_steps=2.5), "max-steps must be a whole"),
        (lambda: ssahc.DiarizeOptions(system="foo"), "system must be one of cosine"),
        (lambda: ssahc.DiarizeOptions(device="gpu"), "device must be one of auto"),
        (lambda: ssahc.DiarizeOptions(pca_dim=2.5), "pca-dim must be a whole number"),
        (
            lambda: ssahc.SpeakerOptions(num_speakers="2"),
            "num-speakers must be a whole",
        ),
        (lambda: ssahc.PldaOptions(length_norm="x"), "length-norm must be one of plda"),
        (lambda: ssahc.AhcOptions(first_pass_max_utterances=1.5), "must be a whole"),
        (lambda: ssahc.ScoringOptions(ignore_overlaps="no"), "must be true or false"),
        (lambda: ssahc.ScoringOptions(collar=True), "collar must be a number"),
        (lambda: ssahc.ScoringOptions(collar=None), "collar must be a number"),
        (lambda: ssahc.PldaOptions(target_energy="0.1"), "energy must be a number"),
        (lambda: ssahc.Stop(2.5), "num-speakers must be a whole number"),
        (lambda: ssahc.Stop(threshold="0"), "threshold must be a number"),
        (lambda: ssahc.DiarizeOptions(max_memory=4e9), "max-memory must be text"),
        (lambda: ssahc.DiarizeOptions(speakers=2), "must be of SpeakerOptions"),
    ],
)
def test_options_classes_refuse_what_is_none_of_their_choices(make, message):
    with pytest.raises(ssahc.UsageError, match=message):
        make()


def test_kaldis_further_options_steer_the_clustering(recording, model):
    free = ssahc.make_options(num_speakers=2)
    for values in ({"max_spk_fraction": 0.5}, {"first_pass_max_utterances": 30}):
        options = ssahc.make_options(num_speakers=2, **values)
        result = ssahc.diarize_recording(recording, model, options)
        expected = agglomerative_cluster(
            result.affinity.dense(), ssahc.Stop(num_speakers=2), options.ahc
        )
        np.testing.assert_array_equal(result.labels, expected)
        assert result.history is None
    assert ssahc.diarize_recording(recording, model, free).history is not None


def test_answers_are_shown_in_one_line(recording):
    result = ssahc.diarize(recording.xvectors, recording.segments)
    assert re.fullmatch(
        r"Diarization\('recording': \d+ windows, \d+ speakers, \d+ turns\)",
        repr(result),
    )
    shown = repr(result.history)
    assert re.fullmatch(r"MergeHistory\(\d+ leaves, \d+ merges\)", shown)


def test_what_options_are_not_is_said():
    with pytest.raises(ssahc.UsageError, match="a model comes from"):
        ssahc.diarize(GOOD, TIMES, model="corpus/model/b")
    with pytest.raises(ssahc.UsageError, match="come from make_options"):
        ssahc.diarize(GOOD, TIMES, options="paper-ssa1")
    with pytest.raises(ssahc.DataError, match="name each differently"):
        ssahc.diarize(GOOD, TIMES, utterances=["a"] * 4)


def test_everything_can_be_imported_at_once():
    names = {}
    exec("from ssahc import *", names)
    assert names["diarize"] is ssahc.diarize


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gama": 0.4}, "did you mean 'gamma'"),
        ({"gamma": "much"}, "expected a value of type float"),
        ({"num_speakers": 2, "threshold": 0.1}, "not both"),
        ({"system": "spectral", "threshold": 0.1}, "does not use --threshold"),
        ({"preset": "paper-ssa9"}, "unknown preset"),
    ],
)
def test_wrong_options_are_refused(values, message):
    with pytest.raises(ssahc.UsageError, match=message):
        ssahc.make_options(**values)


def test_options_take_numpy_numbers_and_presets():
    options = ssahc.make_options("paper-ssa2-lambda0.2", num_speakers=np.int64(4))
    assert options.learning.gamma == 0.5
    assert options.learning.lambda_ == 0.2
    assert options.speakers.num_speakers == 4


def test_names_are_there_and_load_nothing_heavy():
    code = (
        "import ssahc, sys\n"
        "assert set(dir(ssahc)) >= {'diarize', 'Model', '__version__'}\n"
        "for name in dir(ssahc): getattr(ssahc, name)\n"
        "assert not hasattr(ssahc, 'no_such_name')\n"
        "assert not {'torch', 'scipy', 'sklearn', 'pyannote'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
