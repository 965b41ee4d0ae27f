"""How the noise of a recording differs from what the PLDA model says.

The VB-HMM assumes that windows of one speaker have covariance I and are independent but
for the time they share. `noise_variance` measures the variance; `lasting_noise` looks
for noise that is common to all windows of a speaker in a block of time.
"""

import numpy as np

from ssahc.core.types import IntArray
from ssahc.resegmentation.merge_path import Candidate, MergePath
from ssahc.resegmentation.observations import Observations
from ssahc.resegmentation.vbhmm import Posterior, gather, infer_speakers

# Variances r of the shifts that are tried, in units of the variance of the model.
_SHIFTS = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
# Below this variance there is no noise to measure.
_LEAST_NOISE = 1e-12


def noise_variance(observations: Observations, posterior: Posterior) -> float:
    """Return the variance of windows around their speakers' means; 1 in the model.

    Speakers should have an independent window each, by weight; of those with less, it
    is rather the prior of the means that is measured.
    """
    latent, weights = observations.latent, observations.weights
    counts, sums = gather(observations, posterior.responsibilities)
    means, penalties, _ = infer_speakers(
        counts, sums, observations.psi, observations.fb
    )
    # In place: there may be hours of windows, and a thousand speakers.
    distances = -2 * latent @ means.T
    distances += (latent**2).sum(axis=1)[:, None]
    distances += penalties
    distances *= posterior.responsibilities
    expected = distances.sum(axis=1)
    variance = float(weights @ expected / weights.sum() / latent.shape[1])
    return variance if variance > _LEAST_NOISE else 1.0


def lasting_noise(
    observations: Observations, labels: IntArray, blocks: IntArray
) -> tuple[float, float]:
    """Return the gain in evidence from noise that lasts, and its variance inflation.

    Such noise shifts all windows of a speaker within a block of time, so that they say
    less about the speaker than independent windows. The shift is drawn from N(0, r I)
    for each speaker and block. Speakers, shifts and noise are integrated out; r is
    chosen to maximise the evidence. Labels (N,) are speakers 0..K-1, blocks (N,) are
    0..B-1.

    The gain is in nats, relative to r = 0, and not negative. The inflation, at least 1,
    is the variance of the mean of a speaker's windows in a block, relative to
    independent windows.
    """
    psi, weights = observations.psi, observations.weights
    pairs = labels * (blocks.max() + 1) + blocks
    order = np.argsort(pairs, kind="stable")
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    member = np.eye(labels.max() + 1)[labels[order[first]]]
    counts = np.add.reduceat(weights[order], first)
    means = np.add.reduceat(observations.weighted[order], first)
    means /= counts[:, None]
    # One row for each r. Given the speaker, the mean over a block has this variance;
    # precision and weighted sum of the means of each speaker follow.
    variances = _SHIFTS[:, None] + 1 / counts
    precisions = (1 / variances) @ member
    sums = np.stack([(member.T / each) @ means for each in variances])
    scales = 1 + precisions[..., None] * psi
    evidence = (sums**2 * psi / scales - np.log(scales)).sum(axis=(1, 2))
    evidence -= ((means**2).sum(axis=1) / variances).sum(axis=1)
    evidence -= len(psi) * np.log(variances).sum(axis=1)
    best = int(evidence.argmax())
    inflation = 1 + _SHIFTS[best] * (counts @ counts) / counts.sum()
    return 0.5 * float(evidence[best] - evidence[0]), float(inflation)


def add_lasting_noise(
    path: MergePath, observations: Observations, blocks: IntArray
) -> MergePath:
    """Add the gain from noise that lasts in blocks (N,) to the evidence."""
    likeliest = max(path, key=lambda candidate: candidate.evidence)
    # More speakers than these would explain lasting noise by speakers of their own, so
    # they are given the gain of these.
    limit = lasting_noise(observations, likeliest.labels, blocks)

    def explain(candidate: Candidate) -> Candidate:
        gain, inflation = limit
        if candidate.num_speakers < likeliest.num_speakers:
            gain, inflation = lasting_noise(observations, candidate.labels, blocks)
        return Candidate(candidate.labels, candidate.evidence + gain, inflation)

    return tuple(map(explain, path))
