"""Two references for AHC: a naive implementation, and labels from Kaldi."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from kaldi_tables import read_labels, read_table

from ssahc.clustering.ahc import AhcOptions
from ssahc.clustering.stopping import Stop
from ssahc.io.text import read_reco2num_spk, read_spk2utt


@dataclass(frozen=True)
class KaldiRun:
    """One of 52 small matrices with one set of options; costs become similarities."""

    recording: str
    affinity: np.ndarray
    stop: Stop
    options: AhcOptions
    labels: list[int]


@pytest.fixture(scope="session")
def kaldi_runs(golden):
    """Return a function from the name of a set of options to its runs."""
    folder = golden / "ahc_random"
    arguments = json.loads((folder / "runs.json").read_text())
    assert len(arguments) == 27
    utterances = read_spk2utt(folder / "reco2utt")
    matrices = list(read_table(folder / "scores.ark", "matrix"))
    assert len(matrices) == 52

    def read(name):
        options = dict(argument[2:].split("=", 1) for argument in arguments[name])
        sign = -1 if options.get("read-costs") == "true" else 1
        counts = {}
        if table := options.get("reco2num-spk-rspecifier"):
            counts = read_reco2num_spk(folder / table.removeprefix("ark,t:"))
        ahc = AhcOptions(
            float(options.get("max-spk-fraction", 1)),
            int(options.get("first-pass-max-utterances", 32767)),
        )
        labels = read_labels(folder / f"labels_{name}")
        for recording, matrix in matrices:
            if counts:
                stop = Stop(num_speakers=counts[recording])
            else:
                stop = Stop(threshold=sign * float(options["threshold"]))
            expected = [labels[utterance] - 1 for utterance in utterances[recording]]
            yield KaldiRun(recording, sign * matrix, stop, ahc, expected)

    return read


def _cluster_naively(affinity, stop, cost=None, largest=np.inf):
    """Cluster by definition: averages and costs of Eq. 2 anew before each merge.

    The affinity is symmetric; among equal pairs the smallest ids win.

    Returns
    -------
    labels : (N,) int array
    bests, merged : list of float
        Largest average before each merge, and average of the merged pair.
    """
    clusters = {i: [i] for i in range(len(affinity))}
    bests, merged = [], []

    def average(one, other):
        return affinity[np.ix_(one, other)].mean()

    while len(clusters) > (stop.num_speakers or stop.min_speakers):
        ids = sorted(clusters)
        pairs = [(i, j) for i in ids for j in ids if i < j]
        averages = [
            average(clusters[i], clusters[j])
            if len(clusters[i]) + len(clusters[j]) <= largest
            else -np.inf
            for i, j in pairs
        ]
        best = max(averages)
        if best == -np.inf:
            break
        forced = stop.max_speakers is not None and len(clusters) > stop.max_speakers
        if stop.threshold is not None and best < stop.threshold and not forced:
            break
        costs = [-value for value in averages]
        if cost is not None and len(clusters) <= cost.below:
            for index, (i, j) in enumerate(pairs):
                union = clusters[i] + clusters[j]
                others = [k for k in ids if k not in (i, j)]
                near = sorted(average(union, clusters[k]) for k in others)[::-1]
                costs[index] += cost.weight * sum(near[: cost.neighbors])
        i, j = pairs[int(np.argmin(costs))]
        clusters[len(affinity) + len(bests)] = clusters.pop(i) + clusters.pop(j)
        bests.append(best)
        merged.append(averages[int(np.argmin(costs))])
    labels = np.empty(len(affinity), int)
    for label, cluster in enumerate(sorted(clusters)):
        labels[clusters[cluster]] = label
    return labels, bests, merged


@pytest.fixture(scope="session")
def naive_ahc():
    return _cluster_naively
