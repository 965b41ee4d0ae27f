"""The Python entrance: arrays in, the command line's answer out."""

import subprocess
import sys
from dataclasses import is_dataclass, replace
from typing import get_args, get_type_hints
from xml.dom import minidom

import numpy as np
import pytest
from click.testing import CliRunner
from kaldi_tables import read_labels, read_table

import ssahc
from ssahc.backend.plda import project_plda
from ssahc.cli import cli
from ssahc.clustering.ahc import agglomerative_cluster
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.pipeline.options import System

CASES = [
    *({"system": system} for system in get_args(System)),
    {"periods": 2, "lambda_": 0.2, "gamma": 0.3},
    {"triplets": "sampled", "seed": 3, "fusion": "znorm"},
    {"num_speakers": 3, "fusion": "maxabs", "fusion_weight": 0.3},
    {"loss": "triplet", "sampling": "all", "margin": "adaptive-floored"},
    {"system": "cosine", "min_speakers": 2, "max_speakers": 3},
    {"system": "spectral", "min_speakers": 2, "max_speakers": 3},
]


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


@pytest.mark.parametrize("values", CASES, ids=str)
def test_same_as_the_command_line(folder, tmp_path, values):
    values = {"device": "cpu"} | values
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


def test_options_may_be_keywords(recording, tmp_path):
    arrays = recording.xvectors, recording.segments
    options = ssahc.make_options("paper-ssa1", num_speakers=3)
    given = ssahc.diarize(*arrays, options=options)
    named = ssahc.diarize(*arrays, preset="paper-ssa1", num_speakers=3)
    assert given.num_speakers == named.num_speakers == 3
    np.testing.assert_array_equal(given.affinity.dense(), named.affinity.dense())
    for values, message in (
        ({"num_speaker": 3}, "did you mean 'num_speakers'"),
        ({"options": options, "gamma": 1.0}, "not both"),
    ):
        with pytest.raises(ssahc.UsageError, match=message):
            ssahc.diarize(*arrays, **values)
    ssahc.write_rttm(tmp_path / "one", named)
    ssahc.write_rttm(tmp_path / "two", {"recording": named.turns})
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text() != ""
    with pytest.raises(ssahc.UsageError, match="need the id of their recording"):
        ssahc.write_rttm(tmp_path / "three", named.turns)


def list_types(options_class):
    """Names and types of the fields of options, nested ones included."""
    for name, kind in get_type_hints(options_class).items():
        if is_dataclass(kind):
            yield from list_types(kind)
        elif name in options_class.__dataclass_fields__:
            yield name, kind


def test_keywords_have_the_names_and_types_of_the_options():
    keywords = get_type_hints(ssahc.DiarizeKeywords)
    assert keywords == dict(list_types(ssahc.DiarizeOptions))


def test_arrays_in_milliseconds_are_noticed(caplog):
    ssahc.diarize(np.eye(3), np.array([[0, 1500]] * 3))
    assert "in milliseconds or samples?" in caplog.text


def test_inputs_are_not_modified(recording, model):
    vectors, segments = recording.xvectors.copy(), recording.segments.copy()
    vectors.setflags(write=False)
    segments.setflags(write=False)
    first = ssahc.diarize(vectors, segments, model=model)
    second = ssahc.diarize(vectors, segments, model=model)
    np.testing.assert_array_equal(first.affinity.dense(), second.affinity.dense())
    np.testing.assert_array_equal(vectors, recording.xvectors)


@pytest.mark.parametrize("columns", [0, 1], ids=["d x D", "d x (D+1)"])
def test_lda_equals_projecting_by_hand(recording, model, rng, tmp_path, columns):
    count, dim = 12, recording.xvectors.shape[1]
    lda = np.hstack([model.transform[:count], rng.standard_normal((count, columns))])
    centered = recording.xvectors - model.mean
    projected = centered @ lda[:, :dim].T + lda[:, dim:].sum(axis=1)
    plda = project_plda(model.plda, np.eye(count, dim))
    ssahc.write_model_dir(tmp_path, ssahc.Model(model.mean, lda, plda))
    with_lda = ssahc.read_model_dir(tmp_path)
    by_hand = ssahc.Model(np.zeros(count), np.eye(count), plda)
    times = recording.segments
    for system in ("plda", "ssahc", "ssahc+plda"):
        one = ssahc.diarize(recording.xvectors, times, model=with_lda, system=system)
        two = ssahc.diarize(projected, times, model=by_hand, system=system)
        assert one.labels.tolist() == two.labels.tolist()
        np.testing.assert_allclose(
            one.affinity.dense(), two.affinity.dense(), rtol=1e-3, atol=1e-3
        )
    # W1 is the LDA, and it is learned.
    learned = ssahc.diarize(
        recording.xvectors, times, model=with_lda, system="ssahc", start="model"
    )
    assert learned.learning


def test_reprs_fit_a_screen(recording, model):
    result = ssahc.diarize_recording(recording, model, ssahc.make_options())
    parts = (recording, model, result, result.affinity, result.history, result.learning)
    for part in (*parts, result.resegmentation):
        assert len(repr(part)) < 500
        assert "\n" not in repr(part)
    count, dim = recording.xvectors.shape
    assert f"xvectors=<{count} x {dim} array>" in repr(recording)
    assert f"transform=<{dim} x {dim} array>" in repr(model)
    assert "metric=None" in repr(model)
    number, posterior = result.num_speakers, result.speaker_posterior
    sure = f"{100 * posterior[number]:.0f} %"
    assert f" {number} speakers ({sure} sure), " in repr(result)
    assert f" {number} speakers ({sure}; " in result._repr_html_()
    known = replace(result, speaker_posterior={number: 1.0})
    assert f" {number} speakers, " in repr(known)
    assert f" {number} speakers, " in known._repr_html_()


def test_a_notebook_shows_turns_and_shares(recording, model):
    options = ssahc.make_options(num_speakers=2)
    odd = replace(recording, id="<b>\x01")
    result = ssahc.diarize_recording(odd, model, options)
    page = minidom.parseString(f"<div>{result._repr_html_()}</div>")
    text = "".join(node.firstChild.data for node in page.getElementsByTagName("b"))
    assert text == r"<b>\x01"
    assert len(page.getElementsByTagName("rect")) == len(result.turns)
    rows = page.getElementsByTagName("tr")
    shares = [row.getElementsByTagName("td")[1].firstChild.data for row in rows]
    assert sum(float(share.removesuffix(" %")) for share in shares) == pytest.approx(
        100, abs=0.1
    )


def test_scores_replace_a_plda(recording, model):
    options = ssahc.make_options(system="plda")
    plda = ssahc.diarize_recording(recording, model, options)
    arrays, scores = (recording.xvectors, recording.segments), plda.affinity.dense()
    given = ssahc.diarize(*arrays, plda_scores=scores, options=options)
    assert given.labels.tolist() == plda.labels.tolist()
    fused = ssahc.diarize(*arrays, plda_scores=scores)
    assert fused.learning, "with scores, the default is fusion"


def test_scores_along_arbitrary_directions_are_reported(recording, model, caplog):
    # Kaldi's PCA keeps two dimensions at least, and two windows vary in one.
    for count, energy, reported in ((1, 0.1, 0), (2, 0.1, 1), (2, 1.0, 0), (3, 0.1, 0)):
        few = ssahc.Recording(
            recording.id,
            recording.utterances[:count],
            recording.segments[:count],
            recording.xvectors[:count],
        )
        options = ssahc.make_options(system="plda", target_energy=energy)
        caplog.clear()
        ssahc.diarize_recording(few, model, options)
        assert caplog.text.count("2 windows vary in fewer") == reported


def test_a_plda_of_vectors_of_another_length_gives_the_same_labels(recording, model):
    plda, root = model.plda, np.sqrt(len(model.plda.mean))
    for system in ("plda", "ssahc+plda"):
        options = ssahc.make_options(system=system)
        expected = ssahc.diarize_recording(recording, model, options)
        for scale in (1 / root, 0.5, 30 * root):
            scaled = ssahc.Plda(scale * plda.mean, plda.transform / scale, plda.psi)
            other = ssahc.Model(model.mean, model.transform, scaled)
            result = ssahc.diarize_recording(recording, other, options)
            np.testing.assert_array_equal(result.labels, expected.labels)


def test_progress_reports_every_step(recording, model):
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


def test_invalid_arrays_are_refused():
    masked, huge = np.ma.masked_greater(GOOD, 10), np.full((4, 4), 1e60)
    for xvectors, segments, scores, message in (
        (GOOD[:3], TIMES, None, "3 utterances need segments of shape"),
        (GOOD[0], TIMES, None, "one row a window"),
        (GOOD, TIMES[:, ::-1], None, "expected 0 <= start <= end"),
        (GOOD, TIMES * np.nan, None, "found start nan"),
        (GOOD * np.nan, TIMES, None, "holds NaN"),
        (["a", "b"], TIMES, None, "must be an array of numbers"),
        (GOOD, TIMES, np.ones((3, 3)), "4 x 4, found 3 x 3"),
        (GOOD, TIMES, np.full((4, 4), np.nan), "scores hold NaN"),
        (GOOD, TIMES, huge, r"or a value beyond 1e\+25"),
        (GOOD, TIMES, [["a"] * 4] * 4, "PLDA scores must be an array of numbers"),
        (GOOD + 1j, TIMES, None, "found complex numbers"),
        (masked, TIMES, None, "found masked values"),
        (GOOD, TIMES.astype("m8[s]"), None, r"found durations \(timedelta64\)"),
        (GOOD, TIMES.astype("M8[s]"), None, r"found dates \(datetime64\)"),
    ):
        with pytest.raises(ssahc.DataError, match=message):
            ssahc.diarize(xvectors, segments, plda_scores=scores)


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


def test_arguments_of_a_wrong_kind_are_refused():
    with pytest.raises(ssahc.UsageError, match="a model comes from"):
        ssahc.diarize(GOOD, TIMES, model="corpus/model/b")
    with pytest.raises(ssahc.UsageError, match="come from make_options"):
        ssahc.diarize(GOOD, TIMES, options="paper-ssa1")
    with pytest.raises(ssahc.DataError, match="name each differently"):
        ssahc.diarize(GOOD, TIMES, utterances=["a"] * 4)


def test_wrong_options_are_refused():
    for values, message in (
        ({"gama": 0.4}, "did you mean 'gamma'"),
        ({"gamma": "much"}, "expected a value of type float"),
        ({"num_speakers": 2, "threshold": 0.1}, "not both"),
        ({"system": "spectral", "threshold": 0.1}, "does not use --threshold"),
        ({"preset": "paper-ssa9"}, "unknown preset"),
        ({"system": "foo"}, "expected one of cosine, plda"),
        ({"max_memory": 4e9}, "expected a value of type str"),
    ):
        with pytest.raises(ssahc.UsageError, match=message):
            ssahc.make_options(**values)
    with pytest.raises(ssahc.UsageError, match="num-speakers must be a whole number"):
        ssahc.Stop(2.5)
    with pytest.raises(ssahc.UsageError, match="must be of SpeakerOptions"):
        ssahc.DiarizeOptions(speakers=2)


def test_importing_every_name_loads_no_heavy_library():
    code = (
        "import ssahc, sys\n"
        "from ssahc import *\n"
        "assert set(dir(ssahc)) >= {'diarize', 'Model', '__version__'}\n"
        "for name in dir(ssahc): getattr(ssahc, name)\n"
        "assert not hasattr(ssahc, 'no_such_name')\n"
        "heavy = {'torch', 'scipy', 'sklearn', 'pyannote', 'numba'}\n"
        "assert not heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
