"""Resegmentation of recordings: numbers of speakers, bounds, hard cases."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ssahc
from ssahc.clustering.ahc import average_linkage
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import UsageError
from ssahc.core.types import Model
from ssahc.resegmentation.merge_path import Candidate
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.options import ResegmentationOptions
from ssahc.resegmentation.resegment import Resegmentation, resegment
from ssahc.simulation.conversations import simulate_corpus
from ssahc.simulation.options import SimulateOptions


@pytest.fixture(scope="module")
def halves():
    """A corpus with as many dimensions as real x-vectors."""
    return simulate_corpus(SimulateOptions(recordings=3, duration=90, seed=1))


def search(latent, segments, stop, psi=2.0, **options):
    """Resegment vectors, with their dot products as affinity."""
    affinity = (latent @ latent.T).astype(np.float32)
    return resegment(
        latent,
        np.broadcast_to(psi, latent.shape[1]),
        segments,
        average_linkage(affinity),
        stop,
        ResegmentationOptions(**options),
    )


def slide(count):
    starts = 0.75 * np.arange(count)
    return np.column_stack([starts, starts + 1.5])


def test_resegmentation_beats_clustering_and_finds_the_number(halves):
    kinds = {"none": [], "vb": []}
    wrong = []
    for conversation in halves["a"].conversations:
        recording, turns = conversation.recording, conversation.turns
        for kind, scores in kinds.items():
            options = ssahc.make_options(resegmentation=kind)
            found = ssahc.diarize_recording(recording, halves["b"].model, options)
            scorer = ssahc.LabelScorer(recording.segments, turns)
            scores.append(scorer.score(found.labels))
            assert (found.resegmentation is None) == (kind == "none")
        wrong.append(abs(found.num_speakers - len({turn.speaker for turn in turns})))
    clustered, refined = (sum(s, ssahc.Score()).der for s in kinds.values())
    assert refined < clustered
    assert sum(wrong) <= 1


@given(
    seed=st.integers(0, 1000),
    count=st.integers(1, 40),
    bounds=st.tuples(st.integers(1, 30), st.integers(0, 10)),
    threshold=st.sampled_from([-np.inf, -100.0, -6.0, 0.0, 100.0, np.inf]),
)
@settings(max_examples=20, deadline=None)
def test_a_known_number_and_bounds_are_kept(seed, count, bounds, threshold):
    latent = 3 * np.random.default_rng(seed).standard_normal((count, 3))
    fewest, most = bounds[0], sum(bounds)
    known = Stop(fewest)
    labels = search(latent / 3, slide(count), known).cut(known)
    assert set(labels.tolist()) == set(range(min(fewest, count)))
    stop = Stop(None, threshold, fewest, most)
    found = search(latent, slide(count), stop)
    labels = found.cut(stop)
    assert min(fewest, count) <= labels.max() + 1 <= most
    assert labels.max() + 1 == found.num_clusters(stop)


def test_equal_windows_are_one_speaker_and_windows_at_one_time_two(halves, rng):
    recording = halves["a"].conversations[0].recording
    equal = np.tile(recording.xvectors[:1], (len(recording), 1))
    same = replace(recording, xvectors=equal)
    found = ssahc.diarize_recording(same, halves["b"].model)
    assert found.num_speakers == 1
    latent = 4 * np.repeat(rng.standard_normal((2, 20)), 6, axis=0)
    latent += rng.standard_normal((12, 20))
    segments = np.tile([[0.0, 1.5]], (12, 1))
    labels = search(latent, segments, Stop(2)).cut(Stop(2))
    assert labels.tolist() == [0] * 6 + [1] * 6


def test_only_defaults_are_resegmented(halves, caplog):
    recording, model = halves["a"].conversations[0].recording, halves["b"].model

    def diarize(model, **options):
        return ssahc.diarize_recording(recording, model, ssahc.make_options(**options))

    whitening = Model(model.mean, model.transform)
    assert diarize(whitening).resegmentation is not None
    assert diarize(Model()).resegmentation is not None
    with pytest.raises(UsageError, match="makes none; leave one of them out"):
        diarize(model, system="spectral", resegmentation="vb")
    # Neither are baselines and presets of the paper.
    for options in (
        {"system": "cosine"},
        {"system": "plda"},
        {"system": "spectral"},
        {"preset": "paper-ssa1"},
        {"preset": "paper-ssa2-lambda0.2"},
    ):
        assert diarize(model, **options).resegmentation is None
    steered = diarize(model, first_pass_max_utterances=40)
    assert steered.resegmentation is None
    assert "not resegmented, since max-spk-fraction or two passes" in caplog.text
    usual = diarize(model, first_pass_max_utterances=40, resegmentation="none")
    np.testing.assert_array_equal(steered.labels, usual.labels)
    assert usual.num_speakers > 1


@pytest.mark.parametrize(
    ("speakers", "stop"),
    [(16, "known"), (50, "known"), (30, "bounded"), (40, "free")],
)
def test_many_speakers_are_all_found(rng, speakers, stop):
    labels = np.arange(speakers).repeat(8)
    latent = 3 * rng.standard_normal((speakers, 60))[labels]
    latent += rng.standard_normal(latent.shape)
    stops = {"known": Stop(speakers), "free": Stop(threshold=0.0)}
    stop = stops.get(stop, Stop(threshold=0.0, min_speakers=speakers - 5))
    found = search(latent, slide(len(labels)), stop, psi=9.0).cut(stop)
    np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize("lasting", [0.0, 0.5])
@pytest.mark.parametrize("stop", [Stop(3), Stop(threshold=-1.0)])
def test_lasting_noise_is_not_a_speaker(rng, lasting, stop):
    labels = np.tile(np.arange(3).repeat(5), 14)
    segments = slide(len(labels)) * 2
    blocks = (segments[:, 0] // 20).astype(int)
    latent = np.sqrt(1 - lasting) * rng.standard_normal((len(labels), 40))
    shifts = rng.standard_normal((blocks.max() + 1, 3, 40))
    latent += np.sqrt(lasting) * shifts[blocks, labels]
    latent += 0.7 * rng.standard_normal((3, 40))[labels]
    found = search(latent, segments, stop, psi=0.5)
    assert (found.cut(stop) == labels).mean() > 0.97
    (three,) = (one for one in found.path if one.num_speakers == 3)
    assert (three.inflation > 1.3) == (lasting > 0)


def test_speakers_may_differ_where_the_plda_has_no_variance(rng):
    labels = np.arange(60) // 10 % 2
    psi = np.repeat([4.0, 0.0], 20)
    latent = rng.standard_normal((60, 40))
    latent[:, 20:] += 2 * rng.standard_normal((2, 20))[labels]
    stop = Stop(threshold=-1.0)
    found = search(latent, slide(60), stop, psi=psi)
    assert found.cut(stop).tolist() == labels.tolist()


def test_a_threshold_is_evidence_per_speaker():
    counts, evidence = np.array([5, 3, 2, 1]), np.array([106.0, 105.0, 90.0, 0.0])
    path = tuple(
        Candidate(np.arange(8) % count, value)
        for count, value in zip(counts, evidence, strict=True)
    )
    found = Resegmentation(path, 1.0, None, np.arange(8), None, None, 15)
    for threshold in (-500.0, -50.0, -5.0, -1.0, 0.0, 1.0, 500.0):
        expected = counts[np.argmax(evidence + threshold * counts)]
        assert found.num_clusters(Stop(threshold=threshold)) == expected
    assert found.num_clusters(Stop(threshold=0.0, max_speakers=4)) == 3
    assert found.num_clusters(Stop(threshold=-np.inf, min_speakers=2)) == 2
    assert found.num_clusters(Stop(threshold=np.inf)) == 5
    assert found.num_clusters(Stop(threshold=0.0, min_speakers=7)) == 7
    assert found.num_clusters(Stop(4)) == 4


# Three speakers on a line, the one in the middle nearer to the first.
THREE = np.arange(3).repeat(5)
FIRST_TWO, LAST_TWO = (0, 0, 1), (0, 1, 1)


def cut_at_two(rng, *, clusters, path):
    """Cut three speakers at two.

    Clusters and the candidate on the path merge two of them, each in its way.
    """
    in_time = rng.permutation(15)
    latent = np.array([[-4.0], [-0.4], [4.0]])[THREE]
    observations = Observations(latent, np.array([16.0]), np.ones(15), np.full(14, 0.5))

    rows = np.empty(15, int)
    rows[in_time] = np.array(clusters)[THREE]
    alike = np.where(rows[:, None] == rows, 1.0, -1.0).astype(np.float32)
    answers = [
        Candidate(THREE, 3.0),
        Candidate(np.array(path)[np.arange(15) if len(path) == 15 else THREE], 53.0),
        Candidate(np.zeros(15, int), 0.0),
    ]
    history = average_linkage(alike)
    found = Resegmentation(
        tuple(answers), 1.0, observations, in_time, history, None, 15
    )
    return found.cut(Stop(2))[in_time].tolist()


def in_order(pairs):
    return np.array(pairs)[THREE].tolist()


def test_the_candidate_with_more_evidence_is_taken(rng):
    assert cut_at_two(rng, clusters=LAST_TWO, path=FIRST_TWO) == in_order(FIRST_TWO)
    assert cut_at_two(rng, clusters=FIRST_TWO, path=LAST_TWO) == in_order(FIRST_TWO)
    # Labels that would lose a speaker are not refined.
    lost = [0] * 2 + [1] + [0] * 12
    assert cut_at_two(rng, clusters=LAST_TWO, path=lost) == in_order(LAST_TWO)


def test_clusters_replace_candidates_with_less_evidence(monkeypatch):
    labels = np.array(FIRST_TWO)[THREE]
    latent = np.array([[-4.0], [-0.4], [4.0]])[THREE] * [[1.0, 1.0]]
    affinity = np.where(labels[:, None] == labels, 1.0, -1.0).astype(np.float32)
    astray = (
        Candidate(np.array(LAST_TWO)[THREE], 1.0),
        Candidate(np.zeros(15, int), 0.0),
    )
    monkeypatch.setattr(
        "ssahc.resegmentation.resegment.merge_to_one", lambda *_: astray
    )
    found = resegment(
        latent,
        np.full(2, 16.0),
        slide(15),
        average_linkage(affinity),
        Stop(threshold=0.0),
    )
    best = found.path[0].labels
    np.testing.assert_array_equal(best == best[0], labels == labels[0])
    assert found.path[0].evidence > 10


def test_the_command_line_resegments_and_reports_it_if_verbose(ssahc_here, folder):
    arguments = ("diarize", folder / "x", folder / "out", "--model-dir")
    result = ssahc_here(*arguments, folder / "model", "-v")
    assert result.returncode == 0
    assert "resegmentation: noise" in result.stderr
