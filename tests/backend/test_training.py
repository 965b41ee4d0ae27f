"""Training of models: equal to Kaldi's programs and to a plain implementation."""

import numpy as np
import pytest
from kaldi_tables import read_table

import ssahc
from ssahc.backend.plda_training import adapt_plda, covariances, smooth_plda, train_plda
from ssahc.backend.training import TrainingOptions, estimate_whitening, fit_model
from ssahc.core.errors import DataError, UsageError
from ssahc.io.ark import read_single
from ssahc.io.plda import read_plda
from ssahc.io.text import read_utt2spk

NAMES = ["balanced", "unbalanced"]


@pytest.fixture(scope="module")
def kaldi(golden):
    """Kaldi's inputs and a reader of its outputs."""
    folder = golden / "plda_train"

    def read(name):
        vectors = dict(read_table(folder / f"{name}.ark", "vector"))
        speaker_of = read_utt2spk(folder / f"{name}.utt2spk")
        rows = np.stack(list(vectors.values())).astype(np.float64)
        return rows, [speaker_of[key] for key in vectors]

    return folder, read


def assert_same_model(ours, theirs, tolerance):
    """Compare what does not depend on the signs of eigenvectors."""
    np.testing.assert_allclose(ours.mean, theirs.mean, atol=tolerance)
    largest = theirs.psi.max()
    np.testing.assert_allclose(ours.psi, theirs.psi, rtol=0, atol=tolerance * largest)
    for one, other in zip(covariances(ours), covariances(theirs)):
        np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max())


# ---- Kaldi's programs --------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("iterations", "file"),
    [(0, ".iter0"), (1, ".iter1"), (10, ""), (50, ".iter50")],
)
def test_em_equals_kaldi(kaldi, name, iterations, file):
    folder, read = kaldi
    theirs = read_plda(folder / f"{name}{file}.plda")
    assert_same_model(train_plda(*read(name), iterations), theirs, 1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_and_smoothing_equal_kaldi(kaldi, name):
    folder, read = kaldi
    plda = train_plda(*read(name))
    means = dict(read_table(folder / f"{name}.spkmean.txt.ark", "vector"))
    expected = np.mean(list(means.values()), axis=0)
    np.testing.assert_allclose(plda.mean, expected, atol=1e-6)
    theirs = read_plda(folder / f"{name}.smooth0.1.plda")
    # Kaldi's 0.1 is that of float32.
    assert_same_model(smooth_plda(plda, float(np.float32(0.1))), theirs, 1e-11)


@pytest.mark.parametrize(
    ("file", "scales"),
    [("adapted", (0.3, 0.7)), ("adapted_w0.75_b0.25", (0.75, 0.25))],
)
def test_adaptation_equals_kaldi(kaldi, file, scales):
    folder, read = kaldi
    within, between = map(float, np.float32(scales))
    ours = adapt_plda(
        train_plda(*read("balanced")),
        read("unbalanced")[0],
        within_scale=within,
        between_scale=between,
    )
    assert_same_model(ours, read_plda(folder / f"{file}.plda"), 1e-11)


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_recipe_equals_kaldi(kaldi, name):
    folder, read = kaldi
    ours = fit_model(*read(name))
    mean = read_single(folder / f"{name}.mean.vec", "vector")
    np.testing.assert_allclose(ours.mean, mean, rtol=1e-6, atol=1e-6)
    whitening = read_single(folder / f"{name}.transform.mat", "matrix").astype(float)
    signs = np.sign((ours.transform * whitening).sum(axis=1))
    np.testing.assert_allclose(ours.transform * signs[:, None], whitening, atol=1e-7)
    theirs = read_plda(folder / f"{name}.whitened.plda")
    np.testing.assert_allclose(ours.plda.mean * signs, theirs.mean, atol=1e-6)
    np.testing.assert_allclose(ours.plda.psi, theirs.psi, rtol=1e-6)
    # Kaldi rounds the whitened vectors to float32.
    for one, other in zip(covariances(ours.plda), covariances(theirs)):
        flipped = one * signs * signs[:, None]
        np.testing.assert_allclose(flipped, other, atol=1e-7 * np.abs(other).max())


# ---- a plain implementation --------------------------------------------------------


def plain_em(vectors, speakers, iterations):
    """EM as in textbooks: covariances inverted for every speaker in turn."""
    groups = [vectors[np.asarray(speakers) == name] for name in sorted(set(speakers))]
    mean = np.mean([group.mean(axis=0) for group in groups], axis=0)
    within = between = np.eye(len(mean))
    for _ in range(iterations):
        new_within, new_between = np.zeros_like(within), np.zeros_like(between)
        for group in groups:
            count, middle = len(group), group.mean(axis=0) - mean
            spread = np.linalg.inv(
                np.linalg.inv(between) + count * np.linalg.inv(within)
            )
            voice = spread @ (count * np.linalg.inv(within) @ middle)
            new_between += spread + np.outer(voice, voice)
            for row in group - mean:
                new_within += spread + np.outer(row - voice, row - voice)
        within, between = new_within / len(vectors), new_between / len(groups)
    return mean, within, between


def labelled(rng, dim=4, speakers=12, most=5):
    counts = rng.integers(1, most + 1, speakers)
    counts[0] = 3 * dim
    voices = 2 * rng.standard_normal((speakers, dim))
    names = np.repeat([f"s{index}" for index in range(speakers)], counts)
    noise = rng.standard_normal((counts.sum(), dim)) @ rng.standard_normal((dim, dim))
    return np.repeat(voices, counts, axis=0) + noise, names.tolist()


def test_em_equals_the_plain_implementation(rng):
    vectors, speakers = labelled(rng)
    mean, within, between = plain_em(vectors, speakers, 10)
    ours = train_plda(vectors, speakers, 10)
    np.testing.assert_allclose(ours.mean, mean)
    np.testing.assert_allclose(covariances(ours)[0], within, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(covariances(ours)[1], between, rtol=1e-9, atol=1e-12)


def exact_em(vectors, counts, iterations):
    """EM in long doubles, for vectors in the order of their speakers."""

    def solve(matrix, right):
        rows = np.hstack([matrix, right])
        for k in range(len(rows)):
            rows[k] /= rows[k, k]
            others = np.arange(len(rows)) != k
            rows[others] -= rows[others, k, None] * rows[k]
        return rows[:, len(rows) :]

    groups = np.split(vectors.astype(np.longdouble), np.cumsum(counts)[:-1])
    means = [group.mean(axis=0) for group in groups]
    mean = np.mean(means, axis=0)
    within = between = np.eye(len(mean), dtype=np.longdouble)
    for _ in range(iterations):
        new_within, new_between = np.zeros_like(within), np.zeros_like(within)
        for group, middle in zip(groups, means, strict=True):
            noise = within / len(group)
            gain = solve(between + noise, between).T
            voice = gain @ (middle - mean)
            new_between += gain @ noise + np.outer(voice, voice)
            rest = group - mean - voice
            new_within += len(group) * gain @ noise + rest.T @ rest
        within, between = new_within / len(vectors), new_between / len(groups)
    return within, between


@pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="long doubles are no longer than others"
)
def test_em_is_exact_where_speakers_hardly_vary_in_some_directions(rng):
    # Two vectors of each of six speakers vary in six of ten directions; in the others,
    # every iteration halves the variance within speakers.
    counts, speakers = np.full(6, 2), np.repeat(list("abcdef"), 2).tolist()
    voices = np.repeat(rng.standard_normal((6, 10)), 2, axis=0)
    vectors = voices + 0.3 * rng.standard_normal((12, 10))
    exact = exact_em(vectors, counts, 30)
    assert np.linalg.cond(exact[0].astype(float)) > 1e8
    ours = covariances(train_plda(vectors, speakers, 30))
    for one, other, bound in zip(ours, exact, (1e-12, 1e-6), strict=True):
        np.testing.assert_allclose(one, other, atol=bound * np.abs(other).max())


def test_training_vectors_are_centred_by_their_own_mean(rng):
    vectors, speakers = labelled(rng)
    half = 3 * rng.standard_normal((40, 4)) + 5
    here = fit_model(vectors, speakers, whiten_from=half)
    there = fit_model(vectors + 100, speakers, whiten_from=half)
    np.testing.assert_allclose(here.mean, half.mean(axis=0))
    np.testing.assert_allclose(here.transform, estimate_whitening(half))
    assert_same_model(here.plda, there.plda, 1e-9)


def test_adaptation_vectors_are_preprocessed_like_those_to_be_diarized(rng):
    vectors, speakers = labelled(rng)
    half = 3 * rng.standard_normal((40, 4)) + 5
    plain = fit_model(vectors, speakers)
    options = TrainingOptions(
        smoothing=0.2, within_covar_scale=0.5, between_covar_scale=0.1
    )
    adapted = fit_model(vectors, speakers, adapt_to=half, options=options)
    processed = (half - plain.mean) @ plain.transform.T
    processed *= 2 / np.linalg.norm(processed, axis=1, keepdims=True)
    expected = adapt_plda(
        smooth_plda(plain.plda, 0.2), processed, within_scale=0.5, between_scale=0.1
    )
    assert_same_model(adapted.plda, expected, 1e-9)
    assert not np.allclose(adapted.plda.psi, plain.plda.psi)


# ---- errors ------------------------------------------------------------------------


def test_unusable_vectors_are_refused():
    for vectors, message in (
        (np.eye(9), "9 x-vectors of 9 dimensions are too few"),
        (
            np.maximum(np.random.default_rng(0).standard_normal((9, 4)), [0, 9, -9, 9]),
            r"2 dimensions of 4 \(counted from 0: 1, 3\) never change in 9 x-vectors",
        ),
        (np.ones((9, 4)) * np.arange(9)[:, None] + 1, "1 direction"),
        (np.full((9, 2), np.nan), "row 0 of the x-vectors holds NaN"),
        (np.zeros((9, 2)), r"is all zero \(9 such of 9\)"),
        (np.zeros((9, 0)), r"no x-vectors: found shape \(9, 0\)"),
        (np.ones(9), "found 1 axes"),
    ):
        with pytest.raises(DataError, match=message):
            fit_model(vectors, list("aaabbbccc"))


def test_unusable_speakers_are_refused(rng):
    vectors = rng.standard_normal((9, 2))
    with pytest.raises(DataError, match="each of the 9 speakers has one x-vector"):
        train_plda(vectors, list("abcdefghi"))
    with pytest.raises(DataError, match="all 9 x-vectors are of one speaker"):
        train_plda(vectors, ["a"] * 9)
    with pytest.raises(DataError, match="9 x-vectors and 8 speakers"):
        train_plda(vectors, list("aabbccdd"))
    copies = np.repeat(vectors, 2, axis=0)
    with pytest.raises(DataError, match="of each speaker are all equal"):
        train_plda(copies, np.repeat(list("abcdefghi"), 2).tolist())
    with pytest.raises(DataError, match="named by str, found 7 for row 0"):
        fit_model(vectors, [7, *"aabbccdd"])


def test_unusable_adaptation_vectors_are_refused(rng):
    vectors, speakers = labelled(rng)
    for name in ("whiten_from", "adapt_to"):
        what = f"to {name.replace('_', ' ')} have 3 dimensions, those to train on 4"
        with pytest.raises(DataError, match=what):
            fit_model(vectors, speakers, **{name: rng.standard_normal((40, 3))})
    plda = train_plda(vectors, speakers)
    with pytest.raises(DataError, match="of 4 dimensions to adapt to"):
        adapt_plda(plda, np.ones((9, 3)))
    for count in (0, 1, 4):
        message = f"{count} x-vectors of 4 dimensions are too few for adapting a PLDA"
        with pytest.raises(DataError, match=message):
            adapt_plda(plda, vectors[:count])
    assert adapt_plda(plda, vectors[:5]).psi.shape == (4,)
    with pytest.raises(DataError, match="4 x-vectors of 4 dimensions are too few"):
        fit_model(vectors, speakers, adapt_to=vectors[:4])


def test_fit_model_takes_lists_and_its_model_is_written_and_read(rng, tmp_path):
    vectors, speakers = labelled(rng)
    options = ssahc.TrainingOptions(num_em_iters=2)
    model = ssahc.fit_model(vectors.tolist(), speakers, options=options)
    again = fit_model(vectors, np.array(speakers), options=options)
    assert_same_model(model.plda, again.plda, 0)
    ssahc.write_model_dir(str(tmp_path / "model"), model)
    assert_same_model(ssahc.read_model_dir(tmp_path / "model").plda, model.plda, 1e-5)
    # As ivector-copy-plda, which asserts it.
    with pytest.raises(UsageError, match="smoothing must be between 0 and 1"):
        TrainingOptions(smoothing=1.5)
    for wrong in (None, {"smoothing": 0.1}):
        with pytest.raises(UsageError, match="options come from TrainingOptions"):
            fit_model(vectors, speakers, options=wrong)
