"""Variational Bayes inference in a hidden Markov model of speakers (VB-HMM, VBx).

Landini, Profant, Diez & Burget, "Bayesian HMM clustering of x-vector sequences (VBx) in
speaker diarization", Computer Speech & Language 71 (2022). In the latent space of a
PLDA, speaker k has a mean y_k ~ N(0, diag(psi)) and emits windows N(y_k, I); each
speaker is a state of a hidden Markov model. Three things differ from VBx: each window
has a weight of its own in place of the constant F_A; the probability of staying depends
on the time between windows, not on their index; and where windows are known to be of
different speakers, states in which they share one are less likely (in mean-field
approximation).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssahc.core.types import FloatArray, IntArray
from ssahc.resegmentation.observations import Observations
from ssahc.runtime.jit import compiled

# Iterations stop when the evidence rises by less than this, in nats.
_TOLERANCE = 0.1
# Lower bound on priors, so that no speaker becomes impossible for good.
_LEAST_PRIOR = 1e-8
# Log-probabilities this far below others are neglected.
_NEGLIGIBLE = -50.0
# Factors are multiplied up to this before the logarithm of the product is taken.
_LARGE = 1e100


@dataclass(frozen=True, eq=False)
class Posterior:
    """Approximate posterior of the K speakers of one recording.

    `responsibilities` (N, K) are probabilities of speakers for windows (gamma of VBx),
    `priors` (K,) those of speakers drawn anew (pi). `evidence` is a lower bound (ELBO)
    on the log-probability of the windows, in nats, up to a constant of the
    observations.
    """

    responsibilities: FloatArray
    priors: FloatArray
    evidence: float

    @cached_property
    def labels(self) -> IntArray:
        """The most likely speaker of every window."""
        return self.responsibilities.argmax(axis=1)


def infer(
    observations: Observations,
    responsibilities: FloatArray,
    iterations: int,
    priors: FloatArray | None = None,
    *,
    tolerance: float = _TOLERANCE,
) -> Posterior:
    """Iterate VBx from responsibilities (N, K) until the evidence converges.

    There are 1 to `iterations` iterations; they stop when the evidence rises by less
    than `tolerance`. Priors (K,) are uniform by default.
    """
    _, count = responsibilities.shape
    if priors is None:
        priors = np.full(count, 1 / count)
    best = -np.inf
    conflicts = observations.conflicts(responsibilities)
    # In hours with many speakers, arrays (N, K) are what fills memory: each is let go
    # as soon as it has been used.
    for _ in range(iterations):
        counts, sums = gather(observations, responsibilities)
        means, penalties, prior_terms = infer_speakers(  # Eqs. 16, 17
            counts, sums, observations.psi, observations.fb
        )
        priors = np.maximum(priors, _LEAST_PRIOR)
        earlier = None if conflicts is None else responsibilities
        del responsibilities
        log_likelihoods = observations.weighted @ means.T  # Eq. 23
        if conflicts is not None:
            log_likelihoods -= conflicts
            conflicts = None
        responsibilities, log_likelihood, entries = forward_backward(
            log_likelihoods,
            observations.weights,
            penalties,
            observations.stay,
            priors / priors.sum(),
        )
        del log_likelihoods
        evidence = log_likelihood + prior_terms  # Eq. 25
        conflicts = observations.conflicts(responsibilities)
        if earlier is not None and conflicts is not None:
            # Each pair counts once, by what both windows are now. Pairs are symmetric:
            # it does not matter which side has the earlier responsibilities.
            evidence += _inner(earlier, conflicts)
            evidence -= 0.5 * _inner(responsibilities, conflicts)
        del earlier
        priors = entries / entries.sum()  # Eq. 24
        if evidence - best < tolerance:
            break
        best = evidence
    return Posterior(responsibilities, priors, evidence)


def _inner(first: FloatArray, second: FloatArray) -> float:
    """Return the sum of products of two arrays (N, K), without an array of them."""
    return float(np.einsum("nk,nk->", first, second))


def gather(
    observations: Observations, responsibilities: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the total weights (K,) and weighted sums (K, D) of speakers' windows."""
    counts = observations.weights @ responsibilities
    return counts, responsibilities.T @ observations.weighted


@compiled
def infer_speakers(
    counts: FloatArray, sums: FloatArray, psi: FloatArray, fb: float
) -> tuple[FloatArray, FloatArray, float]:
    """Return the posterior q(y_k) of the K speakers, given the sums of `gather`.

    These are means (K, D), expected squared lengths of y_k (K,), and the term of the
    speakers' prior in the evidence.
    """
    means, penalties = np.empty_like(sums), np.zeros(len(counts))
    prior_terms = 0.0
    for k in range(len(counts)):
        # Logarithms are slow: take that of a product of many factors.
        product = 1.0
        for d in range(len(psi)):
            precision = 1 + counts[k] * psi[d] / fb
            mean = sums[k, d] * psi[d] / fb / precision
            means[k, d] = mean
            penalties[k] += mean**2 + psi[d] / precision
            prior_terms += 1 - 1 / precision
            if psi[d] > 0:
                prior_terms -= mean**2 / psi[d]
            product *= precision
            if product > _LARGE:
                prior_terms -= np.log(product)
                product = 1.0
        prior_terms -= np.log(product)
    return means, penalties, 0.5 * fb * prior_terms


@compiled
def forward_backward(
    log_likelihoods: FloatArray,
    weights: FloatArray,
    penalties: FloatArray,
    stay: FloatArray,
    priors: FloatArray,
) -> tuple[FloatArray, float, FloatArray]:
    """Infer the states of the hidden Markov model by the forward-backward algorithm.

    From one window to the next, the state stays with probability `stay` (N - 1,), below
    1; otherwise it is drawn from the priors (K,), possibly the same one.
    Log-likelihoods (N, K) are those of windows before half of their weight (N,) times
    the penalty of the state (K,) is subtracted, which is done here; they are
    overwritten.

    Returns the probability of each state at each window (N, K), the log-likelihood of
    all windows, and the expected number of times that each state is drawn (K,).
    """
    count, states = log_likelihoods.shape
    # Probabilities of states given earlier windows, then given all windows.
    answer = np.empty((count, states))
    state, inverse_priors = priors.copy(), 1 / priors
    log_likelihood = 0.0
    # A state of low likelihood at a window may still be the most likely one there, if
    # it is rare that speakers change: leaving it and coming back costs this much.
    # In loops, which compile sooner than min and max of arrays.
    lowest, longest = priors[0], 0.0
    for k in range(states):
        lowest = min(lowest, priors[k])
    for t in range(count - 1):
        longest = max(longest, stay[t])
    negligible = _NEGLIGIBLE + 2 * (np.log(lowest) + np.log1p(-longest))
    for t in range(count):
        highest = -np.inf
        for k in range(states):
            log_likelihoods[t, k] -= 0.5 * weights[t] * penalties[k]
            highest = max(highest, log_likelihoods[t, k])
        total = 0.0
        for k in range(states):
            below = log_likelihoods[t, k] - highest
            likelihood = np.exp(below) if below > negligible else 0.0
            log_likelihoods[t, k] = likelihood
            answer[t, k] = state[k]
            state[k] *= likelihood
            total += state[k]
        log_likelihood += np.log(total) + highest
        if t < count - 1:
            for k in range(states):
                state[k] = stay[t] / total * state[k] + (1 - stay[t]) * priors[k]
    entries = np.zeros(states)
    # The chain is reversible: `later` has the probabilities given later windows.
    later = priors.copy()
    for t in range(count - 1, -1, -1):
        total, after = 0.0, 0.0
        for k in range(states):
            later[k] *= log_likelihoods[t, k]
            after += later[k]
            total += answer[t, k] * later[k] * inverse_priors[k]
        back = stay[t - 1] if t > 0 else 0.0
        for k in range(states):
            odds = later[k] / total
            entries[k] += (1 - back) * odds
            answer[t, k] *= odds * inverse_priors[k]
            later[k] = back / after * later[k] + (1 - back) * priors[k]
    return answer, log_likelihood, entries


def damp(
    counts: FloatArray, sums: FloatArray, drift: float | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return total weights and weighted sums (K, D) of windows whose mean drifts.

    With drift, the variance of that mean where that of one window is 1, n windows are
    worth n / (1 + n drift), however many. The weights are (K,), or (K, D) if the drift
    is (D,).
    """
    share = 1 / (1 + drift * counts)
    return counts * share, sums * share.reshape(len(sums), -1)


def merge_gains(
    observations: Observations, posterior: Posterior, drift: float = 0.0
) -> FloatArray:
    """Return the gain in evidence from merging each pair of speakers (K, K).

    This is the PLDA log-likelihood ratio of all their windows, whose means may drift
    (`damp`), less the conflicts between them; transitions between speakers are ignored.
    On and below the diagonal it is
    minus infinity.
    """
    responsibilities = posterior.responsibilities
    counts, sums = damp(*gather(observations, responsibilities), drift)
    gains = gains_of_merging(counts, sums, observations.psi, observations.fb)
    conflicts = observations.conflicts(responsibilities)
    return gains if conflicts is None else gains - responsibilities.T @ conflicts


@compiled
def gains_of_merging(
    counts: FloatArray, sums: FloatArray, psi: FloatArray, fb: float
) -> FloatArray:
    """Return `merge_gains` of total weights (K,) and weighted sums (K, D)."""
    speakers = len(counts)
    gains = np.full((speakers, speakers), -np.inf)
    for low in range(speakers):
        # The diagonal, computed first, holds the evidence of each speaker alone.
        for high in range(low, -1, -1):
            n, fit, product = counts[low], 0.0, 1.0
            if high < low:
                n += counts[high]
            for d in range(len(psi)):
                total = sums[low, d]
                if high < low:
                    total += sums[high, d]
                precision = 1 + n * psi[d] / fb
                fit += total**2 * psi[d] / fb / precision
                product *= precision
                if product > _LARGE:
                    fit -= fb * np.log(product)
                    product = 1.0
            evidence = 0.5 * (fit - fb * np.log(product))
            if high < low:
                gains[high, low] = evidence - gains[low, low] - gains[high, high]
            else:
                gains[low, low] = evidence
    for low in range(speakers):
        gains[low, low] = -np.inf
    return gains
