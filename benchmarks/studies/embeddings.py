"""Figures of x-vector folders with a ref.rttm that a simulation should have as well.

Of windows in which one speaker alone is heard: the squared distance of those of one
speaker over that of those of two in a recording, by the time between them, of the
x-vectors as they are and as diarization without a model sees them (whitened, scaled to
one length); in how many directions windows of a speaker differ, and speakers; the size
of the common mean; zeros. Of the turns: the largest share of the speech (of all
recordings), the Dirichlet concentration of such shares, and how often a speaker follows
himself.
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import nan
from pathlib import Path

import numpy as np

from benchmarks.support.halves import Item, read_items
from benchmarks.support.tables import show
from ssahc import Turn, fit_unlabelled
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.core.types import FloatArray, IntArray

# Seconds between the centres of two windows; those that overlap are left out.
LAGS = (1.4, 2.1, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, np.inf)
# Least part of a window in which its speaker is heard, and most of any other one.
_PURE, _FOREIGN = 0.9, 0.02
# Dimensions with less than this share of the largest variance are dead.
_DEAD = 1e-10
# Windows shorter than this share of the median are noisier, and not compared.
_SHORT = 0.95
# Least pairs of windows of a lag in a recording, and most windows of one.
_LEAST_PAIRS, _MOST = 5, 1500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+")


def main(arguments: argparse.Namespace) -> None:
    sets = {"/".join(path.parts[-2:]): read_items(path) for path in arguments.folders}
    lags = [f"{low:g}-{high:g} s" for low, high in pairwise(LAGS)]
    for title, change in (("as extracted", list), ("whitened", whiten)):
        print(f"{title}\n")
        drifts = {name: measure_drift(change(items)) for name, items in sets.items()}
        rows = [
            (name, *("" if np.isnan(ratio) else f"{ratio:.2f}" for ratio in drift))
            for name, drift in drifts.items()
        ]
        show(rows, ("set", *lags))
        print()
    spaces = {name: measure_space(items) for name, items in sets.items()}
    rows = [
        (
            name,
            str(space.dim),
            str(space.dead),
            f"{space.zeros:.2f}",
            f"{space.length:.3g}",
            f"{space.mean:.2f}",
            f"{space.within:.0f} / {space.between:.0f}",
        )
        for name, space in spaces.items()
    ]
    heading = ("set", "dim", "dead", "zeros", "length", "mean", "directions")
    show(rows, heading)
    print()
    rows = [(name, *show_turns(items)) for name, items in sets.items()]
    show(rows, ("set", "recordings", "speakers", "largest", "concentration", "goes on"))


def whiten(items: Sequence[Item]) -> list[Item]:
    """Return recordings whitened by the unlabelled model of all, and of one length."""
    model = fit_unlabelled((item.recording for item in items), strict=False)
    changed = []
    for item in items:
        centred = center(item.recording.xvectors, model.mean)
        xvectors = whiten_and_normalize(centred, model)
        changed.append(
            replace(item, recording=replace(item.recording, xvectors=xvectors))
        )
    return changed


def find_speakers(item: Item) -> IntArray:
    """Return the speaker (N,) who is heard alone in a window, -1 if there is none."""
    segments = item.recording.segments
    names = sorted({turn.speaker for turn in item.turns})
    seconds = np.zeros((len(segments), len(names)))
    for turn in item.turns:
        starts = np.maximum(segments[:, 0], turn.start)
        heard = np.minimum(segments[:, 1], turn.end) - starts
        seconds[:, names.index(turn.speaker)] += np.maximum(heard, 0)
    shares = seconds / np.diff(segments, axis=1)
    most = shares.argmax(axis=1)
    others = shares.sum(axis=1) - shares.max(axis=1)
    return np.where((shares.max(axis=1) >= _PURE) & (others <= _FOREIGN), most, -1)


def measure_drift(items: Iterable[Item]) -> list[float]:
    """Return squared distances of one speaker over those of two, by lag.

    Both are means over pairs of windows of a recording, and averaged over recordings
    of two speakers and more.
    """
    ratios = []
    for item in items:
        speakers = find_speakers(item)
        lengths = np.diff(item.recording.segments)[:, 0]
        full = lengths >= _SHORT * np.median(lengths)
        rows = np.flatnonzero(full & (speakers >= 0))[:_MOST]
        if len(set(speakers[rows])) < 2:
            continue
        vectors = item.recording.xvectors[rows].astype(np.float64)
        vectors -= vectors.mean(axis=0)
        energy = (vectors**2).sum(axis=1)
        distances = energy[:, None] + energy - 2 * vectors @ vectors.T
        centers = item.recording.segments[rows].mean(axis=1)
        gaps = centers - centers[:, None]
        same = speakers[rows] == speakers[rows][:, None]
        different = distances[~same].mean()
        ratios.append(
            [
                distances[pairs].mean() / different
                if pairs.sum() >= _LEAST_PAIRS
                else nan
                for low, high in pairwise(LAGS)
                for pairs in [same & (low <= gaps) & (gaps < high)]
            ]
        )
    table = np.array(ratios).reshape(-1, len(LAGS) - 1)
    near = np.nanmean(table[:, 0])
    # Recordings differ, and not all have pairs of every lag: their rises are averaged.
    rises = (table - table[:, :1]).T
    return [
        float(near + rise[np.isfinite(rise)].mean()) if np.isfinite(rise).any() else nan
        for rise in rises
    ]


@dataclass(frozen=True)
class Space:
    """Figures of the space of embeddings.

    Attributes
    ----------
    dim, dead : int
        Dimensions, and how many of them are constant.
    zeros : float
        Share of zeros in the other dimensions.
    length : float
        Mean length of an x-vector.
    mean : float
        Length of the common mean, over the square root of the total variance.
    within, between : float
        Effective number of directions, (sum of eigenvalues)^2 / sum of their squares,
        of the covariance of neighbouring windows and of speakers.
    """

    dim: int
    dead: int
    zeros: float
    length: float
    mean: float
    within: float
    between: float


def measure_space(items: Sequence[Item]) -> Space:
    """Measure the space of a set, to which every recording counts the same."""
    vectors = [item.recording.xvectors.astype(np.float64) for item in items]
    pooled = np.concatenate(vectors)
    mean = np.mean([part.mean(axis=0) for part in vectors], axis=0)
    variances = ((pooled - mean) ** 2).mean(axis=0)
    alive = variances > _DEAD * variances.max()
    within, between = zip(*map(_deviations, items), strict=True)
    return Space(
        dim=len(mean),
        dead=int((~alive).sum()),
        zeros=float((pooled[:, alive] == 0).mean()),
        length=float(np.linalg.norm(pooled, axis=1).mean()),
        mean=float(np.sqrt(mean @ mean / variances.sum())),
        within=_count_directions(within),
        between=_count_directions(between),
    )


def _deviations(item: Item) -> tuple[FloatArray, FloatArray]:
    """Return differences of neighbouring windows, and of speakers from their mean."""
    speakers = find_speakers(item)
    vectors = item.recording.xvectors.astype(np.float64)
    centers = item.recording.segments.mean(axis=1)
    after = np.searchsorted(centers, centers + LAGS[0])
    rows = np.flatnonzero(after < len(centers))
    after = after[rows]
    near = centers[after] - centers[rows] < LAGS[1]
    near &= (speakers[rows] >= 0) & (speakers[rows] == speakers[after])
    means = [
        vectors[speakers == speaker].mean(axis=0)
        for speaker in sorted(set(speakers) - {-1})
    ]
    table = np.array(means).reshape(-1, vectors.shape[1])
    return vectors[rows[near]] - vectors[after[near]], table - table.mean(axis=0)


def _count_directions(deviations: Sequence[FloatArray]) -> float:
    """Return the effective number of directions, without bias by few deviations.

    The squares of eigenvalues are estimated from two halves of the recordings.
    """
    first, second = (
        np.concatenate(deviations[start::2]) if deviations[start::2] else None
        for start in (0, 1)
    )
    if first is None or second is None or not len(first) or not len(second):
        return nan
    traces = (first**2).sum() * (second**2).sum()
    return float(traces / ((first @ second.T) ** 2).sum())


def show_turns(items: Sequence[Item]) -> tuple[str, ...]:
    """Return figures of the turns of a set as text."""
    counts = [item.count for item in items]
    shares = [measure_shares(item.turns) for item in items]
    largest = [share.max() for share in shares if len(share) > 1]
    squares = float(np.sum([(s**2).sum() for s in shares if len(s) > 1]))
    goes_on = [
        before.speaker == after.speaker
        for item in items
        if item.count > 1
        for before, after in pairwise(sorted(item.turns))
    ]
    return (
        str(len(items)),
        f"{np.mean(counts):.1f}",
        f"{np.mean(largest):.2f} ({np.max(largest):.2f})" if largest else "",
        f"{fit_concentration([c for c in counts if c > 1], squares):.1f}",
        f"{np.mean(goes_on):.2f}" if goes_on else "",
    )


def measure_shares(turns: Iterable[Turn]) -> FloatArray:
    """Return the speakers' shares of the time of turns (K,)."""
    seconds: dict[str, float] = {}
    for turn in turns:
        seconds[turn.speaker] = seconds.get(turn.speaker, 0) + turn.end - turn.start
    times = np.array(list(seconds.values()))
    return times / times.sum()


def fit_concentration(counts: Sequence[int], squares: float) -> float:
    """Return the Dirichlet concentration that expects such a sum of squared shares.

    For K shares the expected sum of squares is (a + 1) / (K a + 1).
    """
    grid = np.geomspace(0.05, 50, 200)
    expected = [sum((a + 1) / (count * a + 1) for count in counts) for a in grid]
    return float(grid[np.abs(np.array(expected) - squares).argmin()])
