"""Linking speakers across recordings, against slow and plain computations."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from ssahc.core.errors import DataError
from ssahc.linking import candidates, link
from ssahc.linking.candidates import find_candidates, score_pairs
from ssahc.linking.link import link_centroids
from ssahc.linking.options import LinkOptions
from ssahc.linking.voices import Voices, log_ratios

PSI = np.array([4.0, 2.0, 1.0, 0.5])
OPTIONS = LinkOptions()


def draw(seed, people=6, recordings=8, heard=3, psi=PSI):
    """Draw means, numbers of windows, recordings and people of speakers."""
    rng = np.random.default_rng(seed)
    session = OPTIONS.session_variance
    voices = rng.standard_normal((people, len(psi))) * np.sqrt(psi)
    who = np.concatenate(
        [rng.choice(people, heard, replace=False) for _ in range(recordings)]
    )
    counts = rng.uniform(0.5, 30, len(who))
    noise = rng.standard_normal((len(who), len(psi)))
    latent = voices[who] + noise * np.sqrt(session * psi + 1 / counts[:, None])
    where = [f"r{number}" for number in range(recordings) for _ in range(heard)]
    return latent, counts, where, who


def measure(latent, counts, psi=PSI):
    return Voices.measure(latent, counts, psi, OPTIONS.session_variance)


# ---- scores ------------------------------------------------------------------------


def test_ratios_are_those_of_gaussian_densities():
    latent, counts, *_ = draw(0)
    voices = measure(latent, counts)
    pairs = np.array([(0, 1), (3, 20), (5, 23)])
    found = score_pairs(voices, pairs)
    positions, variances = voices.positions(), voices.variances()
    for (i, j), ratio in zip(pairs, found):
        expected = 0.0
        for k, psi in enumerate(PSI):
            a, b = variances[i, k], variances[j, k]
            pair = [positions[i, k], positions[j, k]]
            same = multivariate_normal([0, 0], [[a, psi], [psi, b]])
            other = multivariate_normal([0, 0], [[a, 0], [0, b]])
            expected += same.logpdf(pair) - other.logpdf(pair)
        assert ratio == pytest.approx(expected)
    np.testing.assert_allclose(
        log_ratios(voices[pairs[:, 0]], voices[pairs[:, 1]]), found
    )


def test_measurements_of_one_person_add_up():
    """The posterior of a voice given two means, by the rules of Gaussians."""
    latent, counts, *_ = draw(1)
    voices = measure(latent[:2], counts[:2])
    both = voices.merge(np.array([0, 0]))
    noise = 0.5 * PSI + 1 / counts[:2, None]
    np.testing.assert_allclose(both.precisions[0], (1 / noise).sum(axis=0))
    np.testing.assert_allclose(both.sums[0], (latent[:2] / noise).sum(axis=0))
    alone = both.without(voices[np.array([1])])
    np.testing.assert_allclose(alone.sums[0], voices.sums[0])


def test_shifts_that_voices_share_are_estimated_and_taken_out():
    """The posterior mean of a Gaussian shift, by linear regression on all voices."""
    latent, counts, *_ = draw(3)
    voices = measure(latent[:5], counts[:5])
    groups = np.array([0, 1, 2, 0, 0])
    found = voices.without_shifts(groups, 0.5)
    expected = latent[:5].copy()
    for rows in (np.array([0, 3, 4]), np.array([1]), np.array([2])):
        for dim, psi in enumerate(PSI):
            noise = np.diag(psi + 0.5 * psi + 1 / counts[rows])
            both = noise + 0.5 * psi
            expected[rows, dim] -= (
                0.5 * psi * np.linalg.solve(both, latent[rows, dim]).sum()
            )
    np.testing.assert_allclose(found.sums / found.precisions, expected)


def test_positions_have_the_length_that_the_model_expects():
    latent, counts, *_ = draw(2)
    voices = measure(latent, counts)
    energies = (voices.positions() ** 2 / voices.variances()).mean(axis=1)
    np.testing.assert_allclose(energies, 1)


# ---- linkage -----------------------------------------------------------------------


def take_shifts_out(latent, counts, where):
    """Posterior means of what all, and what those of a recording have in common."""
    variances = 1.5 * PSI + 1 / counts[:, None]
    lengths = np.sqrt((latent**2 / variances).mean(axis=1, keepdims=True))
    mean = (latent / lengths / np.sqrt(variances)).mean(axis=0)
    most = max(where.count(name) for name in where)
    people = max(most, np.sqrt(len(where)))
    prior = 1.5 * PSI * max((mean**2).mean() - 1 / people, 0)
    shift = np.empty(len(PSI))
    for dim in range(len(PSI)):
        # So many people say less than as many as there are voices.
        noise = np.diag(variances[:, dim] * len(where) / people)
        shift[dim] = (
            prior[dim] * np.linalg.solve(noise + prior[dim], latent[:, dim]).sum()
        )
    left = latent - shift
    for name in set(where):
        rows = [row for row, other in enumerate(where) if other == name]
        for dim, psi in enumerate(PSI):
            both = np.diag(variances[rows, dim]) + 0.5 * psi
            left[rows, dim] -= 0.5 * psi * np.linalg.solve(both, left[rows, dim]).sum()
    return left


def naive(latent, counts, where, threshold):
    """Join the best pair that is allowed, again and again, and compare all anew."""
    voices = measure(take_shifts_out(latent, counts, where), counts)
    clusters = [[row] for row in range(len(latent))]
    while True:
        labels = np.zeros(len(latent), int)
        for label, members in enumerate(clusters):
            labels[members] = label
        allowed = [
            (i, j)
            for i, j in combinations(range(len(clusters)), 2)
            if not {where[row] for row in clusters[i]}
            & {where[row] for row in clusters[j]}
        ]
        if not allowed:
            return labels
        ratios = score_pairs(voices.merge(labels), np.array(allowed))
        if ratios.max() <= threshold:
            return labels
        i, j = allowed[ratios.argmax()]
        clusters[i] += clusters.pop(j)


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label)) for label in set(labels)}


def test_what_all_voices_share_does_not_make_them_one():
    psi = np.full(100, 0.5)
    latent, counts, where, who = draw(5, people=12, recordings=10, psi=psi)
    shifted = latent + np.random.default_rng(6).standard_normal(100)
    for means in (latent, shifted):
        links = link_centroids(means, counts, where, psi)
        assert partition(links.labels) == partition(who)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [-2.0, 0.0, 2.0])
def test_equals_a_naive_loop(seed, threshold):
    latent, counts, where, _ = draw(seed)
    links = link_centroids(latent, counts, where, PSI, LinkOptions(threshold))
    assert partition(links.labels) == partition(naive(latent, counts, where, threshold))
    # In order of first appearance.
    firsts = [np.flatnonzero(links.labels == label)[0] for label in set(links.labels)]
    assert sorted(set(links.labels)) == list(range(len(firsts)))
    assert firsts == sorted(firsts)


def test_people_are_found_again():
    psi = np.linspace(6, 1, 40)
    latent, counts, where, who = draw(3, people=8, recordings=20, psi=psi)
    links = link_centroids(latent, counts, where, psi)
    assert partition(links.labels) == partition(who)
    assert (links.ratios > OPTIONS.threshold).all()


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=2),
            st.floats(1e-3, 1e6),
        ),
        min_size=1,
        max_size=12,
    ),
    st.floats(-50, 50),
)
@example([(0, [0.0, 2.27e-161], 1.0)], 0.0)
def test_speakers_of_one_recording_are_never_joined(speakers, threshold):
    where = [f"r{number}" for number, _, _ in speakers]
    latent = np.array([mean for _, mean, _ in speakers])
    counts = np.array([number for _, _, number in speakers])
    options = LinkOptions(threshold)
    links = link_centroids(latent, counts, where, np.array([3.0, 0.5]), options)
    pairs = list(zip(where, links.labels.tolist()))
    assert len(set(pairs)) == len(pairs)
    alone = np.bincount(links.labels)[links.labels] == 1
    np.testing.assert_array_equal(np.isnan(links.ratios), alone)


def test_known_people_keep_their_labels_and_new_speakers_join_them():
    psi = np.linspace(6, 1, 60)
    latent, counts, where, who = draw(2, people=8, recordings=20, psi=psi)
    old = 36
    first = link_centroids(latent[:old], counts[:old], where[:old], psi)
    known = np.full(len(latent), -1)
    known[:old] = first.labels
    # Two names of one person, as after a mistake, are not made one.
    known[0] = first.labels.max() + 1
    second = link_centroids(latent, counts, where, psi, known=known)
    np.testing.assert_array_equal(second.labels[:old], known[:old])
    known[0] = first.labels[0]
    third = link_centroids(latent, counts, where, psi, known=known)
    assert partition(third.labels) == partition(who)


# ---- the search for candidates -----------------------------------------------------


def test_the_search_finds_the_pairs_of_a_naive_loop():
    """Of clusters and of single speakers, old and new, near the threshold or above."""
    psi = np.linspace(6, 1, 20)
    latent, counts, _, _ = draw(5, people=40, recordings=120, heard=4, psi=psi)
    # The first ten are clusters of several.
    labels = np.append(np.repeat(np.arange(10), 5), np.arange(10, 440))
    voices = measure(latent, counts, psi).merge(labels)
    fresh = np.arange(100, 440)
    exact, ratios = find_candidates(voices, fresh, 0.0, 440)
    pairs, found = find_candidates(voices, fresh, 0.0, 440, most_exact=0)
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == len(pairs)
    assert ((pairs >= 100).any(axis=1)).all()
    np.testing.assert_allclose(found, score_pairs(voices, pairs))
    wanted = {tuple(pair) for pair in exact[ratios > 0].tolist()}
    assert wanted <= {tuple(sorted(pair)) for pair in pairs.tolist()}
    # Hardly any that is not near the threshold.
    assert (found > -10).mean() > 0.99


def test_the_search_keeps_the_best_of_each_speaker():
    psi = np.linspace(6, 1, 20)
    latent, counts, _, _ = draw(6, people=2, recordings=100, heard=2, psi=psi)
    voices = measure(latent, counts, psi)
    every = np.arange(200)
    pairs, _ = find_candidates(voices, every, 0.0, 3, most_exact=0)
    assert np.bincount(pairs.ravel(), minlength=200).min() >= 3
    assert len(pairs) <= 3 * 200


def test_the_search_finds_nothing_where_nobody_is_new():
    latent, counts, *_ = draw(8)
    nobody = np.empty(0, np.int64)
    pairs, found = find_candidates(
        measure(latent, counts), nobody, 0.0, 5, most_exact=0
    )
    assert (pairs.shape, found.shape) == ((0, 2), (0,))


def test_linking_with_few_neighbours_finds_the_same_people(monkeypatch):
    """Also if those of a speaker are all joined before the others are compared."""
    monkeypatch.setattr(link, "MOST_EXACT", 0)
    psi = np.linspace(6, 1, 80)
    latent, counts, where, who = draw(7, people=20, recordings=100, psi=psi)
    links = link_centroids(latent, counts, where, psi, LinkOptions(neighbours=3))
    assert partition(links.labels) == partition(who)


# ---- the index of neighbours -------------------------------------------------------


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss", reason="the extra neighbours is not installed")


def test_the_index_finds_most_pairs_of_the_search(faiss):
    psi = np.linspace(6, 1, 40)
    latent, counts, *_ = draw(9, people=100, recordings=250, heard=4, psi=psi)
    labels = np.append(np.repeat(np.arange(20), 2), np.arange(20, 980))
    voices = measure(latent, counts, psi).merge(labels)
    fresh = np.arange(100, 980)
    given = (voices, fresh, 5.0, 15)
    exact, ratios = find_candidates(*given, most_exact=0)
    pairs, found = find_candidates(*given, most_exact=0, most_in_blocks=0)
    np.testing.assert_allclose(found, score_pairs(voices, pairs))
    assert ((pairs >= 100).any(axis=1)).all()
    sorted_pairs = [tuple(sorted(pair)) for pair in pairs.tolist()]
    assert len(set(sorted_pairs)) == len(pairs)
    wanted = {tuple(sorted(pair)) for pair in exact[ratios > 5].tolist()}
    assert len(wanted & set(sorted_pairs)) > 0.95 * len(wanted)
    # None that cannot become part of a cluster.
    assert found.min() > 0


def test_the_index_takes_fewer_voices_than_neighbours_are_wanted(faiss):
    latent, counts, *_ = draw(10, people=2, recordings=2, heard=2)
    voices, every = measure(latent, counts), np.arange(4)
    pairs, _ = find_candidates(voices, every, -1e9, 50, most_exact=0, most_in_blocks=0)
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == set(
        combinations(range(4), 2)
    )


def test_linking_by_the_index_finds_the_same_people_every_time(faiss, monkeypatch):
    monkeypatch.setattr(link, "MOST_EXACT", 0)
    monkeypatch.setattr(link, "MOST_IN_BLOCKS", 0)
    psi = np.linspace(6, 1, 80)
    latent, counts, where, who = draw(11, people=50, recordings=150, psi=psi)
    first, second = (
        link_centroids(latent, counts, where, psi, LinkOptions(neighbours=5))
        for _ in range(2)
    )
    assert partition(first.labels) == partition(who)
    np.testing.assert_array_equal(first.ratios, second.ratios)


def test_without_the_index_blocks_are_searched_and_that_is_said(monkeypatch, caplog):
    for module in (link, candidates):
        monkeypatch.setattr(module, "has_index", lambda: False)
    monkeypatch.setattr(link, "MOST_EXACT", 0)
    monkeypatch.setattr(link, "MOST_IN_BLOCKS", 1)
    psi = np.linspace(6, 1, 40)
    latent, counts, where, who = draw(3, people=8, recordings=20, psi=psi)
    with caplog.at_level("DEBUG", "ssahc"):
        links = link_centroids(latent, counts, where, psi)
    assert partition(links.labels) == partition(who)
    lines = [record.message for record in caplog.records]
    (advice,) = (line for line in lines if "pip install 'ssahc[neighbours]'" in line)
    assert advice.startswith("60 speakers are compared in blocks")
    assert lines[1].startswith("compared 60 speakers or clusters in blocks: ")
    assert lines[2].startswith("made 52 merges in ")


# ---- bad input ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent": np.zeros((2, 3))}, "speakers need means"),
        ({"num_windows": [1.0]}, "speakers need means"),
        ({"num_windows": [1.0, 0.0]}, "above 0"),
        ({"num_windows": [1.0, np.nan]}, "above 0"),
        ({"latent": [[0, 0, 0, np.nan], [0] * 4]}, "must be finite"),
        ({"psi": [1, 1, 1, -1]}, "0 or more"),
    ],
)
def test_bad_measurements_are_refused(change, message):
    given = {"latent": np.ones((2, 4)), "num_windows": [1.0, 2.0], "psi": PSI}
    with pytest.raises(DataError, match=message):
        link_centroids(recordings=["a", "b"], **(given | change))
