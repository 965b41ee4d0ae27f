"""Giving the speakers of many recordings names that are the same in all of them."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from time import perf_counter

import numpy as np

from ssahc.core.errors import DataError, counted
from ssahc.core.types import LARGEST, FloatArray, IntArray
from ssahc.linking.candidates import (
    MARGIN,
    MOST_EXACT,
    MOST_IN_BLOCKS,
    find_candidates,
)
from ssahc.linking.linkage import link_voices
from ssahc.linking.neighbours import INSTALL, has_index
from ssahc.linking.options import LinkOptions
from ssahc.linking.voices import Voices, log_ratios

# Speakers of a corpus are called S1, S2, ...
PREFIX = "S"
# Voices that are compared with their clusters at once.
_AT_ONCE = 4096

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Links:
    """Who the speakers of recordings are.

    Attributes
    ----------
    labels : (M,) int array
        Person of every speaker, 0 and up. Those of `known` speakers stay as they were.
    ratios : (M,) array
        Log-likelihood ratio of each speaker to be the same person as the others of its
        label; NaN if there is no other.
    """

    labels: IntArray
    ratios: FloatArray


def link_centroids(
    latent: FloatArray,
    num_windows: FloatArray,
    recordings: Sequence[str],
    psi: FloatArray,
    options: LinkOptions = LinkOptions(),
    *,
    known: IntArray | None = None,
) -> Links:
    """Find out which speakers of recordings are one person.

    What the voices of a recording have in common, and what all have, is taken out
    before they are compared.

    Parameters
    ----------
    latent : (M, d) array
        Mean of each speaker in the latent space of a PLDA (`Centroid`).
    num_windows : (M,) array
        Number of independent windows of each mean.
    recordings : sequence of M str
        Where each speaker was heard; those of one recording are different people.
    psi : (d,) array
        Variance between people in the latent space.
    options : LinkOptions
    known : (M,) int array, optional
        Labels that speakers have from before, -1 for new ones. They are not changed:
        new speakers join them, or each other.

    Returns
    -------
    Links

    Raises
    ------
    DataError
        If shapes disagree, or a value is not finite or a number of windows not above 0.
    """
    latent, num_windows, psi = (
        np.asarray(values, np.float64) for values in (latent, num_windows, psi)
    )
    count = len(recordings)
    _check(latent, num_windows, psi, count)
    start = np.full(count, -1) if known is None else np.asarray(known, np.int64)
    num_known = int(start.max(initial=-1)) + 1
    is_new = start < 0
    _suggest_index(count, int(is_new.sum()))
    # What is joined: one cluster for each person who is known, and every new speaker.
    labels = start.copy()
    labels[is_new] = num_known + np.arange(is_new.sum())

    def measure() -> Voices:
        # As much memory as the means take, several times: it is not held.
        return _remove_shifts(
            Voices.measure(latent, num_windows, psi, options.session_variance),
            recordings,
            options.session_variance,
        )

    while True:
        total = int(labels.max(initial=-1)) + 1
        is_exact = total <= MOST_EXACT
        clusters = measure().merge(labels)
        pairs, ratios = find_candidates(
            clusters,
            np.arange(num_known, total),
            options.threshold,
            options.neighbours,
            most_exact=MOST_EXACT,
            most_in_blocks=MOST_IN_BLOCKS,
        )
        began = perf_counter()
        heard = _heard_in(recordings, labels, num_known)
        floor = -inf if is_exact else options.threshold - MARGIN
        found = link_voices(clusters, heard, pairs, ratios, options.threshold, floor)
        labels = found[labels]
        joined = int(total - found.max(initial=-1) - 1)
        _logger.debug(
            f"made {counted(joined, 'merge')} in {perf_counter() - began:.1f} s"
        )
        # The neighbours of a cluster may all be part of it by now: search again.
        if is_exact or not joined:
            break
    return Links(labels, _compare_with_rest(measure(), labels))


def name_speakers(links: Links) -> list[str]:
    """Return the names of the people who speakers are: "S1", "S2", ..."""
    return [f"{PREFIX}{label + 1}" for label in links.labels.tolist()]


def _check(
    latent: FloatArray, num_windows: FloatArray, psi: FloatArray, count: int
) -> None:
    """Raise a DataError for measurements that cannot be compared."""
    shapes = (latent.shape, num_windows.shape, psi.shape)
    if shapes != ((count, *psi.shape), (count,), psi.shape) or psi.ndim != 1:
        raise DataError(
            f"{counted(count, 'speaker')} need means (M, d), numbers of windows (M,) "
            f"and variances (d,), found {', '.join(map(str, shapes))}"
        )
    if not (np.abs(latent) < LARGEST).all() or not (0 <= psi).all():
        raise DataError("means must be finite, and variances 0 or more")
    if not ((num_windows > 0) & (num_windows < LARGEST)).all():
        raise DataError("numbers of windows must be finite and above 0")


def _remove_shifts(
    voices: Voices, recordings: Sequence[str], session_variance: float
) -> Voices:
    """Return voices without what all of them, and those of each recording, share.

    To a model of other rooms and lines all are alike. That is seen by their mean, which
    is further from that of the model than the mean of so many people would be. The
    speakers of one recording are different people, and of many recordings there will be
    more than of one (docs/results/linking.md).
    """
    if not recordings:
        return voices
    people = max(*Counter(recordings).values(), sqrt(len(recordings)))
    scaled = voices.positions() / np.sqrt(voices.variances())
    excess = float((scaled.mean(axis=0) ** 2).mean()) - 1 / people
    del scaled
    if excess > 0:
        every = np.zeros(len(voices), np.int64)
        variance, share = excess * (1 + session_variance), people / len(voices)
        voices = voices.without_shifts(every, variance, people_a_voice=share)
    rooms = np.unique(recordings, return_inverse=True)[1]
    return voices.without_shifts(rooms, session_variance)


def _suggest_index(count: int, num_new: int) -> None:
    """Log what would make the search faster, if it is missing."""
    if count * num_new > MOST_IN_BLOCKS**2 and not has_index():
        _logger.info(
            f"{counted(count, 'speaker')} are compared in blocks, in a time that grows "
            f"with the square of their number; for a faster search: {INSTALL}"
        )


def _heard_in(
    recordings: Sequence[str], parts: IntArray, num_known: int
) -> list[set[int]]:
    """Return the recordings of each part, by number.

    People who are known are different ones, as if all were heard in a recording -1.
    """
    numbers = np.unique(recordings, return_inverse=True)[1].tolist()
    heard: list[set[int]] = [set() for _ in range(int(parts.max(initial=-1)) + 1)]
    for number, part in zip(numbers, parts.tolist(), strict=True):
        heard[part].add(number)
    for one in heard[:num_known]:
        one.add(-1)
    return heard


def _compare_with_rest(voices: Voices, labels: IntArray) -> FloatArray:
    """Return the log ratio of each voice to the others of its cluster, NaN if alone."""
    ratios = np.full(len(labels), np.nan)
    sizes = np.bincount(labels) if len(labels) else labels
    rows = np.flatnonzero(sizes[labels] > 1)
    clusters = voices.merge(labels)
    # All at once would take a dozen copies of the measurements.
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        own = voices[part]
        ratios[part] = log_ratios(own, clusters[labels[part]].without(own))
    return ratios
