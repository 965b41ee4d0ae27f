"""Variational inference of who speaks, in the space where a PLDA is diagonal.

The model is that of Diez, Burget, Landini & Cernocky, "Analysis of speaker diarization
based on Bayesian HMM with eigenvoice priors", IEEE/ACM TASLP 28 (2020), on x-vectors
(Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx)", 2022): speaker k
has a mean y_k ~ N(0, diag(psi)), a window of k is N(y_k, I), and windows follow each
other in a hidden Markov model with a state for each speaker. Two things differ. What a
window counts for is a weight of its own in place of one constant F_A, and the
probability of staying depends on the time between windows, not on their index.
"""

from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from ssahc.types import FloatArray, IntArray

# Iterations stop when the evidence rises by less than this, in nats.
_TOLERANCE = 0.1
# No speaker's probability falls below this, so that none is impossible for ever.
_LEAST_PRIOR = 1e-8
# Variances of shifts that are tried, in units of the noise that the model says.
_SHIFTS = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
# Below this variance there is no noise to measure.
_LEAST_NOISE = 1e-12
# Up to so many states, blocks of windows advance side by side.
_FEW_STATES = 16


@dataclass(frozen=True, eq=False)
class Observations:
    """The windows of one recording, in order of time.

    Parameters
    ----------
    latent : (N, D) array
        X-vectors in the space where the PLDA is diagonal.
    psi : (D,) array
        Variance between speakers along each dimension; within them it is 1.
    weights : (N,) array
        For how many independent observations each window counts.
    stay : (N - 1,) array
        Probability that the speaker stays from each window to the next.
    fb : float
        F_B of VBx: weight of the prior of the speakers' means.
    """

    latent: FloatArray
    psi: FloatArray
    weights: FloatArray
    stay: FloatArray
    fb: float = 1.0

    def rescaled(self, noise: float) -> "Observations":
        """Return the windows as they count if their noise has another variance."""
        return replace(self, weights=self.weights / noise)


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is inferred of the K speakers of one recording.

    Attributes
    ----------
    responsibilities : (N, K) array
        Probability that each window is of each speaker.
    priors : (K,) array
        Probability of each speaker where anybody may speak.
    evidence : float
        Lower bound (ELBO) of the log-probability of the windows, in nats, up to a
        constant of the observations.
    """

    responsibilities: FloatArray
    priors: FloatArray
    evidence: float

    @property
    def labels(self) -> IntArray:
        """The most likely speaker of every window."""
        return self.responsibilities.argmax(axis=1)


def infer(
    observations: Observations,
    responsibilities: FloatArray,
    iterations: int,
    priors: FloatArray | None = None,
) -> Posterior:
    """Improve a guess of who speaks until it no longer gets better.

    Parameters
    ----------
    observations : Observations
    responsibilities : (N, K) array
        The guess.
    iterations : int
        Most iterations, at least 1.
    priors : (K,) array, optional
        Even if not given.

    Returns
    -------
    Posterior
    """
    _, count = responsibilities.shape
    if priors is None:
        priors = np.full(count, 1 / count)
    psi, weights, fb = observations.psi, observations.weights, observations.fb
    weighted = observations.latent * weights[:, None]
    best = -np.inf
    for _ in range(iterations):
        # Eqs. 16, 17 and 23 to 25 of Landini et al.
        means, precisions = _speakers(observations, responsibilities)
        spread = psi / precisions
        log_likelihoods = weighted @ means.T
        log_likelihoods -= 0.5 * np.outer(weights, (means**2 + spread).sum(axis=1))
        priors = np.maximum(priors, _LEAST_PRIOR)
        responsibilities, log_likelihood, entries = forward_backward(
            log_likelihoods, observations.stay, priors / priors.sum()
        )
        scaled = means**2 / np.where(psi > 0, psi, 1.0)
        prior_terms = 1 - np.log(precisions) - 1 / precisions - scaled
        evidence = log_likelihood + 0.5 * fb * float(prior_terms.sum())
        priors = entries / entries.sum()
        if evidence - best < _TOLERANCE:
            break
        best = evidence
    return Posterior(responsibilities, priors, evidence)


def _speakers(
    observations: Observations, responsibilities: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return means (K, D) and precisions (K, D, of y / sqrt(psi)) of q(y_k)."""
    psi, fb = observations.psi, observations.fb
    weighted = responsibilities * observations.weights[:, None]
    counts = weighted.sum(axis=0)
    precisions = 1 + counts[:, None] * psi / fb
    means = (weighted.T @ observations.latent) * psi / fb / precisions
    return means, precisions


def forward_backward(
    log_likelihoods: FloatArray, stay: FloatArray, priors: FloatArray
) -> tuple[FloatArray, float, FloatArray]:
    """Infer the states of the hidden Markov model.

    From one window to the next the state stays with probability ``stay``, or else is
    drawn from the priors (which may draw the same one).

    Parameters
    ----------
    log_likelihoods : (N, K) array
        Of every window in every state.
    stay : (N - 1,) array
    priors : (K,) array
        Positive, of sum 1.

    Returns
    -------
    responsibilities : (N, K) array
        Probability of every state at every window.
    log_likelihood : float
        Of all windows.
    entries : (K,) array
        Expected number of times that each state was drawn.
    """
    highest = log_likelihoods.max(axis=1, keepdims=True)
    likelihoods = np.exp(log_likelihoods - highest)
    # The chain is reversible: backwards in time it is the same chain, so that what
    # later windows say is a filter on the reversed order, and both run side by side.
    # The state is drawn before the first window, and stays.
    filtered = _filter(
        np.stack([likelihoods, likelihoods[::-1]], axis=1),
        np.stack([np.append(1.0, stay), np.append(1.0, stay[::-1])], axis=1),
        priors,
    )
    until, since = filtered[:, 0], filtered[::-1, 1]
    drawn = np.outer(1 - stay, priors)
    predicted = np.vstack([priors, stay[:, None] * until[:-1] + drawn])
    later = np.vstack([stay[:, None] * since[1:] + drawn, priors])
    responsibilities = until * later / priors
    responsibilities /= responsibilities.sum(axis=1, keepdims=True)
    first = responsibilities[0]
    entries = first + (responsibilities[1:] * drawn / predicted[1:]).sum(axis=0)
    scales = (likelihoods * predicted).sum(axis=1)
    log_likelihood = float(np.log(scales).sum() + highest.sum())
    return responsibilities, log_likelihood, entries


def _filter(
    likelihoods: FloatArray, stay: FloatArray, priors: FloatArray
) -> FloatArray:
    """Return the states (N, 2, K) of two chains, given all windows so far.

    Blocks of windows advance side by side from every state they may begin in; then they
    are gone through one by one, when it is known in which. That is few steps of K times
    the arithmetic; many states go in a single block.
    """
    count, _, states = likelihoods.shape
    length = isqrt(count) if states <= _FEW_STATES else count
    blocks = -(-count // length)

    def by_step(values: FloatArray, padding: float) -> FloatArray:
        """Return (length, blocks, 2, 1, K); windows that fill up change nothing."""
        filled = np.full((blocks * length, 2, states), padding)
        filled[:count] = values
        steps = filled.reshape(blocks, length, 2, 1, states).swapaxes(0, 1)
        return np.ascontiguousarray(steps)

    stay = stay[:, :, None]
    held = by_step(stay * likelihoods, 1.0)
    entered = by_step((1 - stay) * priors * likelihoods, 0.0)
    begin = np.eye(states) if blocks > 1 else priors[None]
    reached = np.empty((length, blocks, 2, *begin.shape))
    state, total = begin, begin.sum(axis=-1, keepdims=True)
    for hold, enter, after in zip(held, entered, reached, strict=True):
        np.multiply(state, hold, out=after)
        after += enter * total
        total = after.sum(axis=-1, keepdims=True)
        highest = total.max(axis=-2, keepdims=True)
        after /= highest
        state, total = after, total / highest
    if blocks > 1:
        begins = np.empty((blocks, 2, 1, states))
        before = np.tile(priors, (2, 1, 1))
        for block, through in zip(begins, reached[-1], strict=True):
            block[:] = before
            before = before @ through
            before /= before.sum(axis=-1, keepdims=True)
        reached = begins @ reached
    filtered = reached.swapaxes(0, 1).reshape(-1, 2, states)[:count]
    return np.asarray(filtered / filtered.sum(axis=-1, keepdims=True))


def noise_variance(observations: Observations, posterior: Posterior) -> float:
    """Return the variance of windows around their speakers' means; 1 is the model's.

    Parameters
    ----------
    observations : Observations
    posterior : Posterior
        Of these observations.
    """
    latent, weights = observations.latent, observations.weights
    means, precisions = _speakers(observations, posterior.responsibilities)
    distances = (latent**2).sum(axis=1)[:, None] - 2 * latent @ means.T
    distances += (means**2 + observations.psi / precisions).sum(axis=1)
    expected = (posterior.responsibilities * distances).sum(axis=1)
    variance = float(weights @ expected / weights.sum() / latent.shape[1])
    return variance if variance > _LEAST_NOISE else 1.0


def lasting_noise(
    observations: Observations, labels: IntArray, blocks: IntArray
) -> tuple[float, float]:
    """Return how much better noise that lasts explains what speakers sound like.

    Such noise moves all windows of a while together, so that they tell less of a
    speaker than as many independent ones. Here a speaker's windows in one block have a
    shift in common, drawn from N(0, r I). Speakers, shifts and noise are integrated
    out; r is the one that explains the windows best.

    Parameters
    ----------
    observations : Observations
    labels : (N,) int array
        Speakers 0..K-1 of the windows.
    blocks : (N,) int array
        In which block of time each window is, 0..B-1.

    Returns
    -------
    gain : float
        In nats, over no noise that lasts; 0 or more.
    inflation : float
        By how much the variance of the mean of a speaker's windows in a block is above
        that of independent windows; 1 or more.
    """
    latent, psi, weights = observations.latent, observations.psi, observations.weights
    pairs = labels * (blocks.max() + 1) + blocks
    order = np.argsort(pairs, kind="stable")
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    member = np.eye(labels.max() + 1)[labels[order[first]]]
    counts = np.add.reduceat(weights[order], first)
    means = np.add.reduceat((latent * weights[:, None])[order], first)
    means /= counts[:, None]
    # A row for every r: a mean has this variance around its speaker's, whose precision
    # and weighted sum of means follow.
    variances = _SHIFTS[:, None] + 1 / counts
    precisions = (1 / variances) @ member
    sums = (member.T / variances[:, None, :]) @ means
    scales = 1 + precisions[..., None] * psi
    evidence = (sums**2 * psi / scales - np.log(scales)).sum(axis=(1, 2))
    evidence -= ((means**2).sum(axis=1) / variances).sum(axis=1)
    evidence -= latent.shape[1] * np.log(variances).sum(axis=1)
    best = int(evidence.argmax())
    inflation = 1 + _SHIFTS[best] * (counts @ counts) / counts.sum()
    return 0.5 * float(evidence[best] - evidence[0]), float(inflation)


def merge_gains(observations: Observations, posterior: Posterior) -> FloatArray:
    """Return by how much the evidence rises if two speakers are one.

    That is the PLDA's log-likelihood ratio of all their windows together; what their
    turns say is left out.

    Parameters
    ----------
    observations : Observations
    posterior : Posterior
        Of these observations.

    Returns
    -------
    (K, K) array
        Minus infinity on and below the diagonal.
    """
    psi, fb = observations.psi, observations.fb
    weighted = posterior.responsibilities * observations.weights[:, None]
    counts, sums = weighted.sum(axis=0), weighted.T @ observations.latent

    def evidence(counts: FloatArray, sums: FloatArray) -> FloatArray:
        precisions = 1 + counts[..., None] * psi / fb
        fit = sums**2 * psi / fb / precisions
        return np.asarray(0.5 * (fit - fb * np.log(precisions)).sum(axis=-1))

    alone = evidence(counts, sums)
    gains = np.full((len(counts), len(counts)), -np.inf)
    for k in range(len(counts) - 1):
        together = evidence(counts[k] + counts[k + 1 :], sums[k] + sums[k + 1 :])
        gains[k, k + 1 :] = together - alone[k] - alone[k + 1 :]
    return gains
