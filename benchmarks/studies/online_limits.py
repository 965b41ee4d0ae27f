"""What streams could reach: error rates where more is known than a stream can know.

DATA holds callhome_shaped and callhome_model. Every window is announced by a clustering
of all windows that have ended within the latency, of which more and more is known:

- nothing: the number of speakers is estimated, at several thresholds;
- number: how many people have spoken so far;
- names: also which of these people each cluster is;
- past: who spoke in every earlier window, so that there is nothing to cluster: the
  window is the person's, or a new one's, of whom the PLDA says so.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.halves import Item, make_scorer, read_shaped
from benchmarks.support.tables import show
from ssahc import Recording, Score, diarize_recording, make_options
from ssahc.backend.prepared import PreparedXvectors
from ssahc.core.types import FloatArray, IntArray
from ssahc.pipeline.online_clustering import match_names
from ssahc.resegmentation.observations import observation_weights, stay_probabilities

THRESHOLDS = (-1.0, 3.0, 8.0)
# Odds, in nats, against a new speaker that are tried, and seconds of a turn.
_AGAINST_NEW = (2.0, 5.0, 8.0)
_TURN_SECONDS = 3.0
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Stream:
    """The windows of a recording in order of time, and who speaks in them.

    `people` (N,) speak most in each window, `num_heard` (N,) are the windows that have
    ended when it is announced, and `order` (N,) sorts those of the recording.
    """

    item: Item
    order: IntArray
    segments: FloatArray
    xvectors: FloatArray
    people: IntArray
    num_heard: IntArray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument("--latency", type=float, default=2.0)
    parser.add_argument("--every", type=int, default=1, help="take every n-th")


def main(arguments: argparse.Namespace) -> None:
    halves = read_shaped(arguments.data).values()
    streams = [
        open_stream(item, arguments.latency)
        for half in halves
        for item in half[:: arguments.every]
    ]
    rows = [
        *((f"nothing, threshold {t:g}", announce_estimated(t)) for t in THRESHOLDS),
        ("number", announce_number),
        ("number and names", announce_named),
        *((f"past, {odds:g} nats", announce_by_past(odds)) for odds in _AGAINST_NEW),
    ]
    table = []
    for name, announce in rows:
        score = sum((score_stream(one, announce(one)) for one in streams), Score())
        table.append((name, f"{score.der:.2f}"))
        print(*table[-1], sep="  ", flush=True)
    print(f"\n{len(streams)} recordings\n")
    show(table, ("known", "announced"))


def open_stream(item: Item, latency: float) -> Stream:
    """Return the windows of a recording as they come."""
    recording = item.recording
    order = np.lexsort(recording.segments.T[::-1])
    segments = recording.segments[order]
    starts, ends = segments.T
    before = np.concatenate([starts[:1], ends[:-1]])
    due = np.maximum(np.maximum(starts, (starts + before) / 2) + latency, ends)
    return Stream(
        item,
        order,
        segments,
        recording.xvectors[order],
        find_people(item, segments),
        np.searchsorted(ends, due, "right"),
    )


def find_people(item: Item, segments: FloatArray) -> IntArray:
    """Return who speaks most in each window (N,)."""
    names = sorted({turn.speaker for turn in item.turns})
    seconds = np.zeros((len(segments), len(names)))
    for turn in item.turns:
        first = np.maximum(segments[:, 0], turn.start)
        last = np.minimum(segments[:, 1], turn.end)
        seconds[:, names.index(turn.speaker)] += np.maximum(last - first, 0)
    return seconds.argmax(axis=1)


def score_stream(stream: Stream, announced: IntArray) -> Score:
    """Score the names (N,) that windows were announced with."""
    labels = np.empty_like(announced)
    labels[stream.order] = np.unique(announced, return_inverse=True)[1]
    return make_scorer(stream.item).score(labels)


def cluster(stream: Stream, count: int, **options: float) -> IntArray:
    """Return labels of the first windows."""
    heard = Recording.from_arrays(
        stream.item.recording.id, stream.xvectors[:count], stream.segments[:count]
    )
    chosen = make_options(system="plda", resegmentation="vb", **options)
    return diarize_recording(heard, stream.item.model, chosen).labels


def announce(
    stream: Stream, cluster_first: Callable[[int], IntArray], names: IntArray | None
) -> IntArray:
    """Announce each window by a clustering of those heard; name clusters by `names`.

    Those are the names of all windows, or else what was announced.
    """
    announced = np.full(len(stream.order), UNKNOWN)
    for window, count in enumerate(stream.num_heard.tolist()):
        labels = cluster_first(count)
        known = (announced if names is None else names)[:count]
        new = max(announced.max(), stream.people.max()) + 1
        announced[window] = match_names(labels, known).get(int(labels[window]), new)
    return announced


def announce_estimated(threshold: float) -> Callable[[Stream], IntArray]:
    """Return what announces windows with the number of speakers estimated."""
    return lambda stream: announce(
        stream, lambda count: cluster(stream, count, threshold=threshold), None
    )


def announce_number(stream: Stream, names: IntArray | None = None) -> IntArray:
    """Announce windows, knowing how many people have spoken."""

    def cluster_first(count: int) -> IntArray:
        number = len(set(stream.people[:count].tolist()))
        return cluster(stream, count, num_speakers=number)

    return announce(stream, cluster_first, names)


def announce_named(stream: Stream) -> IntArray:
    """Announce windows, knowing also which of them each cluster is."""
    return announce_number(stream, stream.people)


def announce_by_past(against_new: float) -> Callable[[Stream], IntArray]:
    """Return what announces windows when all of the past is known."""

    def announce_all(stream: Stream) -> IntArray:
        prepared = PreparedXvectors(stream.xvectors, stream.item.model)
        latent, psi = prepared.latent, prepared.psi
        weights = observation_weights(stream.segments)
        stay = stay_probabilities(stream.segments, _TURN_SECONDS)
        counts = np.zeros(stream.people.max() + 1)
        sums = np.zeros((len(counts), len(psi)))
        announced = np.empty_like(stream.people)
        for window, count in enumerate(stream.num_heard.tolist()):
            spoken = np.flatnonzero(counts)
            # The last column is somebody new.
            heard = slice(window, count)
            scores = weights[heard, None] * score_people(
                latent[heard], psi, np.append(counts[spoken], 0), sums[spoken]
            )
            prior = np.append(np.zeros(len(spoken)), -against_new)
            prior -= np.logaddexp.reduce(prior)
            ahead = np.zeros(len(prior))
            for place in range(len(scores) - 1, 0, -1):
                moves = log_moves(prior, stay[window + place - 1])
                ahead = np.logaddexp.reduce(moves + scores[place] + ahead, axis=1)
            before = prior
            if window:
                moves = log_moves(prior, stay[window - 1])
                before = moves[np.searchsorted(spoken, stream.people[window - 1])]
            best = int((before + scores[0] + ahead).argmax())
            person = int(stream.people[window])
            if best < len(spoken):
                announced[window] = spoken[best]
            else:
                new = len(counts) + window
                announced[window] = person if counts[person] == 0 else new
            counts[person] += weights[window]
            sums[person] += weights[window] * latent[window]
        return announced

    return announce_all


def score_people(
    latent: FloatArray, psi: FloatArray, counts: FloatArray, sums: FloatArray
) -> FloatArray:
    """Return the log-density (N, K) of windows, given those of each person so far.

    `sums` (K - 1, D) are weighted sums of x-vectors; the last of the people has none.
    """
    variances = psi / (1 + counts[:, None] * psi)
    means = variances * np.vstack([sums, np.zeros(len(psi))])
    total = 1 + variances
    squares = (latent[:, None] - means) ** 2 / total + np.log(total)
    return np.asarray(-squares.sum(axis=2) / 2)


def log_moves(prior: FloatArray, stay: float) -> FloatArray:
    """Return log-probabilities (K, K) of the next speaker, given the one before."""
    return np.log(stay * np.eye(len(prior)) + (1 - stay) * np.exp(prior))
