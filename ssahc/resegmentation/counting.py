"""How many speakers there are, and how sure that is.

The evidence takes windows of a speaker for independent, so that any lasting difference
between two parts of a recording, however small, becomes a speaker once there are enough
windows. But the mean of many windows of one speaker drifts: with what is said, how, and
where. `score_numbers` therefore asks which clusters are parts of one speaker:

- The mean of the windows of a part is N(y, d B) plus their noise, where y is its
  speaker, d the drift, and B has the shape of the PLDA's between-speaker variances, but
  mean 1. Speakers of one recording have something in common, such as channel and room:
  y is N(s, b B) and s is N(0, r B). All of it is integrated out; b, which no recording
  tells, over a few values.
- Speakers with very few windows are unlikely: laughter, or two voices at once, look
  like another speaker as well.

The noise of real windows is not independent from dimension to dimension, so that the
evidence is far too sure; it is divided by a share of the dimensions that tell speakers
apart.
"""

import numpy as np

from ssahc.clustering.stopping import Stop
from ssahc.core.types import FloatArray
from ssahc.resegmentation.merge_path import (
    LEAST_DRIFT,
    Candidate,
    MergePath,
    count_speakers,
)
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.vbhmm import damp, gains_of_merging, gather

# Between-speaker variances b that are tried, where that of a window within a speaker is
# 1, and r, that of what the speakers of a recording have in common (docs/results).
_SPEAKER_VARIANCES = np.array([0.1, 0.2, 0.4, 0.8])
_RECORDING_VARIANCE = 0.2
# A model that few recordings have without labels, whose mean is mostly one voice, has a
# psi above 1 (`fit_unlabelled`): so many times the square of the excess is added to r.
_UNSURE_MEAN = 4.0
# Speakers with fewer windows (by weight), or less of the recording if it is short, are
# unlikely: the less they speak, the more.
_FEW_WINDOWS, _FEW_OF_ALL = 3.0, 0.1
# What the evidence is divided by, for each dimension in which speakers differ much, as
# calibrated on semi-real recordings (docs/results).
_ALIKE = 0.2


def count_steady_speakers(
    path: MergePath, stop: Stop, observations: Observations, drift: float
) -> int:
    """Return the number of speakers at a stop: a known one, or the likeliest."""
    if drift == 0:
        return count_speakers(path, stop)
    scores = score_numbers(path, stop, observations, drift)
    return max(scores, key=lambda number: (scores[number], -number))


def number_posterior(scores: dict[int, float]) -> dict[int, float]:
    """Return the probabilities of numbers of speakers with these `score_numbers`."""
    highest = max(scores.values())
    odds = {number: np.exp(score - highest) for number, score in scores.items()}
    total = sum(odds.values())
    return {number: float(odds[number] / total) for number in sorted(odds)}


def score_numbers(
    path: MergePath, stop: Stop, observations: Observations, drift: float
) -> dict[int, float]:
    """Return the log-probability of each number of speakers, up to a constant.

    Up to the number that the evidence prefers (`count_speakers`), clusters of that
    candidate are joined one by one into so many speakers, if there is drift: the
    variance by which a part of a speaker deviates, where that of one window is 1. Other
    numbers are those of the path. Bounds leave out numbers, and change no others. If
    the number is known, the threshold infinite, or no number of the path within the
    bounds, there is only one.
    """
    only = {count_speakers(path, stop): 0.0}
    if stop.threshold is None or not np.isfinite(stop.threshold):
        return only
    candidates = {candidate.num_speakers: candidate for candidate in path}
    psi = observations.psi
    alike = max(1.0, _ALIKE * float((psi / (1 + psi)).sum()))
    scores = {
        number: (candidate.evidence + stop.threshold * number) / alike
        for number, candidate in candidates.items()
    }
    if drift > 0:
        count = count_speakers(path, Stop(threshold=stop.threshold))
        parts = _join_parts(candidates[count], observations, drift, alike)
        for number, score in parts.items():
            scores[number] = scores[count] + score - parts[count]
    most = len(path[0].labels) if stop.max_speakers is None else stop.max_speakers
    within = {k: scores[k] for k in scores if stop.min_speakers <= k <= most}
    return within or only


def _join_parts(
    candidate: Candidate, observations: Observations, drift: float, alike: float
) -> dict[int, float]:
    """Return the log-probabilities of K, ..., 2 and 1 speakers, whose parts these are.

    Each is up to the same constant.
    """
    windows, sums = gather(observations, candidate.responsibilities)
    few = min(_FEW_WINDOWS, _FEW_OF_ALL * windows.sum())
    mean = observations.psi.mean()
    shape = observations.psi / mean if mean > 0 else np.ones_like(observations.psi)
    steady = damp(windows, sums, min(drift, LEAST_DRIFT))
    parts = damp(windows[:, None], sums, drift * shape)
    common = _RECORDING_VARIANCE
    if np.ptp(observations.psi) == 0:
        common += _UNSURE_MEAN * max(0.0, mean - 1) ** 2
    scores = {}
    while True:
        prior = np.minimum(0.0, np.log(windows / few)).sum()
        density = _log_density(*parts, shape, common * shape)
        scores[len(windows)] = density / alike + float(prior)
        if len(windows) == 1:
            return scores
        gains = gains_of_merging(*steady, observations.psi, observations.fb)
        low, high = np.unravel_index(gains.argmax(), gains.shape)
        for rows in (windows, *steady, *parts):
            rows[low] += rows[high]
        windows = np.delete(windows, high)
        steady, parts = _without(steady, high), _without(parts, high)


def _without(
    parts: tuple[FloatArray, FloatArray], row: np.intp
) -> tuple[FloatArray, FloatArray]:
    counts, sums = parts
    return np.delete(counts, row, axis=0), np.delete(sums, row, axis=0)


def _log_density(
    counts: FloatArray, sums: FloatArray, shape: FloatArray, common: FloatArray
) -> float:
    """Return the log-density of speakers' parts, up to a constant of the parts.

    Total weights and weighted sums (K, D) are those of the parts of each speaker;
    `shape` (D,) is that of the variances between speakers, `common` (D,) the variances
    of what they have in common.
    """
    # With x the means of parts and n their weights, the product of N(x; y, 1 / n) over
    # the parts of a speaker is N(mean; y, 1 / sum n), but for these factors.
    means = sums / counts
    density = 0.5 * (sums * means - np.log(counts)).sum()
    variances = _SPEAKER_VARIANCES[:, None, None] * shape + 1 / counts
    density -= 0.5 * (np.log(variances) + means**2 / variances).sum(axis=(1, 2))
    # The same for speakers around what they have in common.
    total, sums = (1 / variances).sum(axis=1), (means / variances).sum(axis=1)
    gain = common * sums**2 / (1 + common * total) - np.log1p(common * total)
    density += 0.5 * gain.sum(axis=1)
    highest = density.max()
    return float(highest + np.log(np.exp(density - highest).mean()))
