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
from functools import cached_property

import numpy as np

from ssahc.core.types import FloatArray, IntArray
from ssahc.runtime.jit import compiled

# Iterations stop when the evidence rises by less than this, in nats.
_TOLERANCE = 0.1
# No speaker's probability falls below this, so that none is impossible for ever.
_LEAST_PRIOR = 1e-8
# Variances of shifts that are tried, in units of the noise that the model says.
_SHIFTS = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
# Below this variance there is no noise to measure.
_LEAST_NOISE = 1e-12
# Likelihoods below exp of this are none.
_NOTHING = -50.0
# Factors are multiplied up to this before their logarithm is taken.
_MUCH = 1e100


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

    @cached_property
    def weighted(self) -> FloatArray:
        """The x-vectors (N, D), times their weights."""
        return self.latent * self.weights[:, None]

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

    @cached_property
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
    best = -np.inf
    for _ in range(iterations):
        # Eqs. 16, 17 and 23 to 25 of Landini et al.
        means, penalties, prior_terms = _infer_speakers(
            *_gather(observations, responsibilities),
            *(observations.psi, observations.fb),
        )
        priors = np.maximum(priors, _LEAST_PRIOR)
        responsibilities, log_likelihood, entries = forward_backward(
            observations.weighted @ means.T,
            *(observations.weights, penalties),
            *(observations.stay, priors / priors.sum()),
        )
        evidence = log_likelihood + prior_terms
        priors = entries / entries.sum()
        if evidence - best < _TOLERANCE:
            break
        best = evidence
    return Posterior(responsibilities, priors, evidence)


def _gather(
    observations: Observations, responsibilities: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the weights (K,) and weighted sums (K, D) of the speakers' windows."""
    counts = observations.weights @ responsibilities
    return counts, responsibilities.T @ observations.weighted


@compiled
def _infer_speakers(
    counts: FloatArray, sums: FloatArray, psi: FloatArray, fb: float
) -> tuple[FloatArray, FloatArray, float]:
    """Infer the K speakers from the weights and weighted sums of their windows.

    Parameters
    ----------
    counts : (K,) array
    sums : (K, D) array
    psi : (D,) array
    fb : float

    Returns
    -------
    means : (K, D) array
        Of q(y_k).
    penalties : (K,) array
        Expected squared length of y_k.
    prior_terms : float
        What the prior of the speakers adds to the evidence.
    """
    means, penalties = np.empty_like(sums), np.zeros(len(counts))
    prior_terms = 0.0
    for k in range(len(counts)):
        # Logarithms are slow: one is taken of many factors.
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
            if product > _MUCH:
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
    """Infer the states of the hidden Markov model.

    From one window to the next the state stays with probability ``stay``, or else is
    drawn from the priors (which may draw the same one).

    Parameters
    ----------
    log_likelihoods : (N, K) array
        Of every window in every state, but for half of its weight times the state's
        penalty, which is taken off here; overwritten.
    weights : (N,) array
    penalties : (K,) array
    stay : (N - 1,) array
        Below 1.
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
    count, states = log_likelihoods.shape
    # Probabilities of states given what was before; those after replace them.
    answer = np.empty((count, states))
    state, inverse_priors = priors.copy(), 1 / priors
    log_likelihood = 0.0
    for t in range(count):
        highest = -np.inf
        for k in range(states):
            log_likelihoods[t, k] -= 0.5 * weights[t] * penalties[k]
            highest = max(highest, log_likelihoods[t, k])
        total = 0.0
        for k in range(states):
            below = log_likelihoods[t, k] - highest
            likelihood = np.exp(below) if below > _NOTHING else 0.0
            log_likelihoods[t, k] = likelihood
            answer[t, k] = state[k]
            state[k] *= likelihood
            total += state[k]
        log_likelihood += np.log(total) + highest
        if t < count - 1:
            for k in range(states):
                state[k] = stay[t] / total * state[k] + (1 - stay[t]) * priors[k]
    entries = np.zeros(states)
    # Backwards in time the chain is the same one: probabilities of states given what
    # comes after.
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


def noise_variance(observations: Observations, posterior: Posterior) -> float:
    """Return the variance of windows around their speakers' means; 1 is the model's.

    Parameters
    ----------
    observations : Observations
    posterior : Posterior
        Of these observations.
    """
    latent, weights = observations.latent, observations.weights
    means, penalties, _ = _infer_speakers(
        *_gather(observations, posterior.responsibilities),
        *(observations.psi, observations.fb),
    )
    distances = (latent**2).sum(axis=1)[:, None] - 2 * latent @ means.T + penalties
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
    psi, weights = observations.psi, observations.weights
    pairs = labels * (blocks.max() + 1) + blocks
    order = np.argsort(pairs, kind="stable")
    first = np.flatnonzero(np.diff(pairs[order], prepend=-1))
    member = np.eye(labels.max() + 1)[labels[order[first]]]
    counts = np.add.reduceat(weights[order], first)
    means = np.add.reduceat(observations.weighted[order], first)
    means /= counts[:, None]
    # A row for every r: a mean has this variance around its speaker's, whose precision
    # and weighted sum of means follow.
    variances = _SHIFTS[:, None] + 1 / counts
    precisions = (1 / variances) @ member
    sums = (member.T / variances[:, None, :]) @ means
    scales = 1 + precisions[..., None] * psi
    evidence = (sums**2 * psi / scales - np.log(scales)).sum(axis=(1, 2))
    evidence -= ((means**2).sum(axis=1) / variances).sum(axis=1)
    evidence -= len(psi) * np.log(variances).sum(axis=1)
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
    return _merge_gains(
        *_gather(observations, posterior.responsibilities),
        *(observations.psi, observations.fb),
    )


@compiled
def _merge_gains(
    counts: FloatArray, sums: FloatArray, psi: FloatArray, fb: float
) -> FloatArray:
    """Return what `merge_gains` does, from weights (K,) and weighted sums (K, D)."""
    speakers = len(counts)
    gains = np.full((speakers, speakers), -np.inf)
    for low in range(speakers):
        # First each speaker alone, on the diagonal.
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
                if product > _MUCH:
                    fit -= fb * np.log(product)
                    product = 1.0
            evidence = 0.5 * (fit - fb * np.log(product))
            if high < low:
                gains[high, low] = evidence - gains[low, low] - gains[high, high]
            else:
                gains[low, low] = evidence
    np.fill_diagonal(gains, -np.inf)
    return gains
