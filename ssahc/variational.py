"""Variational inference of who speaks, in the space where a PLDA is diagonal.

The model is that of Diez, Burget, Landini & Cernocky, "Analysis of speaker diarization
based on Bayesian HMM with eigenvoice priors", IEEE/ACM TASLP 28 (2020), on x-vectors
(Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx)", 2022): speaker k
has a mean y_k ~ N(0, diag(psi)), a window of k is N(y_k, I), and windows follow each
other in a hidden Markov model with a state for each speaker. Two things differ. What a
window counts for is a weight of its own in place of one constant F_A, and the
probability of staying depends on the time between windows, not on their index.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import compress, count
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from ssahc.together import Job, in_batches
from ssahc.types import FloatArray, IntArray

# Iterations stop when the evidence rises by less than this, in nats.
_TOLERANCE = 0.1
# No speaker's probability falls below this, so that none is impossible for ever.
_LEAST_PRIOR = 1e-8
# Variances of shifts that are tried, in units of the noise that the model says.
_SHIFTS = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
# Below this variance there is no noise to measure.
_LEAST_NOISE = 1e-12
# From so many windows on, and up to so many states of all chains, blocks of windows
# advance side by side.
_LONG, _FEW = 128, 16
# Responsibilities of the recordings that are inferred side by side.
_SIDE_BY_SIDE = 1 << 17


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

    @cached_property
    def labels(self) -> IntArray:
        """The most likely speaker of every window."""
        return self.responsibilities.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Infer(Job[Posterior]):
    """The improvement of a guess of who speaks, until it no longer gets better.

    Parameters
    ----------
    observations : Observations
    guess : (N, K) array
        Responsibilities.
    iterations : int
        Most iterations, at least 1.
    priors : (K,) array, optional
        Even if not given.
    """

    observations: Observations
    guess: FloatArray
    iterations: int
    priors: FloatArray | None = None

    @classmethod
    def do_all(cls, jobs: Sequence["Infer"]) -> list[Posterior]:
        """Infer who speaks in several recordings."""
        return in_batches(
            jobs, lambda job: job.guess.shape, _infer_side_by_side, most=_SIDE_BY_SIDE
        )


def _infer_side_by_side(jobs: Sequence[Infer]) -> list[Posterior]:
    batch = _Batch.of([job.observations for job in jobs], [job.guess for job in jobs])
    priors = _fill_up([_priors_of(job) for job in jobs])
    responsibilities = _fill_up([job.guess for job in jobs])
    best = np.full(len(jobs), -np.inf)
    going = np.arange(len(jobs))
    found: dict[int, Posterior] = {}
    for iteration in count(1):
        responsibilities, priors, evidence = batch.improve(responsibilities, priors)
        goes_on = evidence - best[going] >= _TOLERANCE
        goes_on &= [iteration < jobs[index].iterations for index in going.tolist()]
        best[going] = evidence
        for place in np.flatnonzero(~goes_on):
            index = int(going[place])
            windows, speakers = jobs[index].guess.shape
            found[index] = Posterior(
                responsibilities[place, :windows, :speakers].copy(),
                priors[place, :speakers].copy(),
                float(evidence[place]),
            )
        if not goes_on.any():
            return [found[index] for index in range(len(jobs))]
        if not goes_on.all():
            batch, going = batch.select(goes_on), going[goes_on]
            responsibilities, priors = responsibilities[goes_on], priors[goes_on]
    raise AssertionError("iterations end")


def _priors_of(job: Infer) -> FloatArray:
    if job.priors is not None:
        return job.priors
    speakers = job.guess.shape[1]
    return np.full(speakers, 1 / speakers)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Observations of B recordings, filled up to N windows and K speakers.

    Windows that fill up weigh nothing and the speaker stays through them; speakers that
    fill up are impossible.

    Attributes
    ----------
    latent : tuple of B (n, D) arrays
    psi : (B, 1, D) array
    fb : (B, 1, 1) array
    weights : (B, N) array
    stay : (B, N) array
        From the window before; 1 for the first.
    absent : (B, K) bool array
        The speakers that fill up.
    """

    latent: tuple[FloatArray, ...]
    psi: FloatArray
    fb: FloatArray
    weights: FloatArray
    stay: FloatArray
    absent: NDArray[np.bool_]

    @classmethod
    def of(
        cls, observations: Sequence[Observations], guesses: Sequence[FloatArray]
    ) -> "_Batch":
        speakers = np.array([guess.shape[1] for guess in guesses])
        return cls(
            tuple(one.latent for one in observations),
            np.stack([one.psi[None] for one in observations]),
            np.array([[[one.fb]] for one in observations]),
            _fill_up([one.weights for one in observations]),
            1 - _fill_up([np.append(0.0, 1 - one.stay) for one in observations]),
            np.arange(speakers.max()) >= speakers[:, None],
        )

    def select(self, kept: NDArray[np.bool_]) -> "_Batch":
        """Return the batch of some of the recordings."""
        return _Batch(
            tuple(compress(self.latent, kept)),
            *(self.psi[kept], self.fb[kept], self.weights[kept], self.stay[kept]),
            self.absent[kept],
        )

    def improve(
        self, responsibilities: FloatArray, priors: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return responsibilities (B, N, K), priors (B, K) and evidence (B,) anew."""
        # Eqs. 16, 17 and 23 to 25 of Landini et al.
        weighted = responsibilities * self.weights[:, :, None]
        ratio = self.psi / self.fb
        precisions = 1 + weighted.sum(axis=1)[:, :, None] * ratio
        means = np.empty_like(precisions)
        for latent, member, mean in zip(self.latent, weighted, means, strict=True):
            np.matmul(member[: len(latent)].T, latent, out=mean)
        means *= ratio / precisions
        squares = means**2
        spread = (squares + self.psi / precisions).sum(axis=2)
        log_likelihoods = np.zeros_like(weighted)
        for latent, mean, row in zip(self.latent, means, log_likelihoods, strict=True):
            np.matmul(latent, mean.T, out=row[: len(latent)])
        log_likelihoods -= 0.5 * spread[:, None]
        log_likelihoods *= self.weights[:, :, None]
        if self.absent.any():
            np.copyto(log_likelihoods, -np.inf, where=self.absent[:, None])
        priors = np.where(self.absent, 0.0, np.maximum(priors, _LEAST_PRIOR))
        priors /= priors.sum(axis=1, keepdims=True)
        responsibilities, log_likelihood, entries = forward_backward(
            log_likelihoods, self.stay, priors
        )
        prior_terms = 1 - np.log(precisions) - 1 / precisions
        prior_terms -= squares / np.where(self.psi > 0, self.psi, 1.0)
        prior_terms *= 0.5 * self.fb
        evidence = log_likelihood + prior_terms.sum(axis=(1, 2))
        return responsibilities, entries / entries.sum(axis=1, keepdims=True), evidence


def _fill_up(arrays: Sequence[FloatArray]) -> FloatArray:
    """Return arrays as one, with zeros where they are short."""
    shape = np.max([array.shape for array in arrays], axis=0)
    filled = np.zeros((len(arrays), *shape))
    for array, place in zip(arrays, filled, strict=True):
        place[tuple(map(slice, array.shape))] = array
    return filled


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
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Infer the states of the hidden Markov models of B recordings.

    From one window to the next the state stays with probability ``stay``, or else is
    drawn from the priors (which may draw the same one).

    Parameters
    ----------
    log_likelihoods : (B, N, K) array
        Of every window in every state; minus infinity for states of no prior.
    stay : (B, N) array
        From the window before; 1 for the first: the state is drawn before it.
    priors : (B, K) array
        Of sum 1.

    Returns
    -------
    responsibilities : (B, N, K) array
        Probability of every state at every window.
    log_likelihood : (B,) array
        Of all windows.
    entries : (B, K) array
        Expected number of times that each state was drawn.
    """
    in_time = np.ascontiguousarray(log_likelihoods.swapaxes(0, 1))
    highest = in_time.max(axis=2, keepdims=True)
    likelihoods = np.exp(in_time - highest)
    # The chain is reversible: backwards in time it is the same chain, so that what
    # later windows say is a filter on the reversed order, and both run side by side.
    forth = stay.T[:, :, None]
    back = np.concatenate([forth[:1], forth[:0:-1]])
    filtered = _filter(
        np.concatenate([likelihoods, likelihoods[::-1]], axis=1),
        np.concatenate([forth, back], axis=1),
        np.concatenate([priors, priors]),
    )
    batch = len(priors)
    until, since = filtered[:, :batch], filtered[::-1, batch:]
    drawn = (1 - forth[1:]) * priors
    predicted = np.concatenate([priors[None], forth[1:] * until[:-1] + drawn])
    later = np.concatenate([forth[1:] * since[1:] + drawn, priors[None]])
    scales = (likelihoods * predicted).sum(axis=2, keepdims=True)
    # What has no prior has no probability; it must only not be divided by.
    absent = priors == 0
    later *= until
    later /= priors + absent
    later /= later.sum(axis=2, keepdims=True)
    predicted += absent
    entries = later[0] + (later[1:] * drawn / predicted[1:]).sum(axis=0)
    log_likelihood = (np.log(scales) + highest).sum(axis=(0, 2))
    return later.swapaxes(0, 1), log_likelihood, entries


def _filter(
    likelihoods: FloatArray, stay: FloatArray, priors: FloatArray
) -> FloatArray:
    """Return the states (N, C, K) of C chains, given all windows so far.

    Parameters
    ----------
    likelihoods : (N, C, K) array
    stay : (N, C, 1) array
    priors : (C, K) array
    """
    held = stay * likelihoods
    entered = (1 - stay) * priors * likelihoods
    if len(held) >= _LONG and priors.size <= _FEW:
        return _filter_in_blocks(held, entered, priors)
    state = priors
    # A product with ones sums many short rows faster than their sum does.
    total, ones = np.empty((len(priors), 1)), np.ones((priors.shape[1], 1))
    for hold, enter in zip(held, entered, strict=True):
        hold *= state
        hold += enter
        hold /= np.matmul(hold, ones, out=total)
        state = hold
    return held


def _filter_in_blocks(
    held: FloatArray, entered: FloatArray, priors: FloatArray
) -> FloatArray:
    """Return the states (N, C, K) of few chains of few states.

    Blocks of windows advance side by side from every state they may begin in; then they
    are gone through one by one, when it is known in which. That is few steps of K times
    the arithmetic.
    """
    count, chains, states = held.shape
    length = isqrt(count)
    blocks = -(-count // length)

    def by_step(values: FloatArray, padding: float) -> FloatArray:
        """Return (length, blocks, C, 1, K); windows that fill up change nothing."""
        filled = np.full((blocks * length, chains, states), padding)
        filled[:count] = values
        steps = filled.reshape(blocks, length, chains, 1, states).swapaxes(0, 1)
        return np.ascontiguousarray(steps)

    begin = np.eye(states)
    reached = np.empty((length, blocks, chains, states, states))
    state, total = begin, begin.sum(axis=-1, keepdims=True)
    for hold, enter, after in zip(
        by_step(held, 1.0), by_step(entered, 0.0), reached, strict=True
    ):
        np.multiply(state, hold, out=after)
        after += enter * total
        total = after.sum(axis=-1, keepdims=True)
        highest = total.max(axis=-2, keepdims=True)
        after /= highest
        state, total = after, total / highest
    begins = np.empty((blocks, chains, 1, states))
    before = priors[:, None]
    for block, through in zip(begins, reached[-1], strict=True):
        block[:] = before
        before = before @ through
        before /= before.sum(axis=-1, keepdims=True)
    filtered = (begins @ reached).swapaxes(0, 1).reshape(-1, chains, states)[:count]
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
    psi, fb = observations.psi / observations.fb, observations.fb
    weighted = posterior.responsibilities * observations.weights[:, None]
    counts, sums = weighted.sum(axis=0), weighted.T @ observations.latent

    def evidence(counts: FloatArray, sums: FloatArray) -> FloatArray:
        precisions = 1 + counts[:, None] * psi
        fit = (sums**2 / precisions) @ psi
        return 0.5 * (fit - fb * np.log(precisions).sum(axis=1))

    alone = evidence(counts, sums)
    low, high = np.triu_indices(len(counts), 1)
    together = evidence(counts[low] + counts[high], sums[low] + sums[high])
    gains = np.full((len(counts), len(counts)), -np.inf)
    gains[low, high] = together - alone[low] - alone[high]
    return gains
