"""Error rates on real embeddings without a model, beside peers on the same vectors.

DATA holds real (folders of real and semi-real embeddings), callhome_real and
callhome_shaped; --more names further x-vector folders with a ref.rttm. No option is
set. Error rates are pooled and scored like NIST's md-eval (-1 -c 0.25), with the number
of speakers known and estimated. Peers run on every recording in the same process, on
the vectors as the extractor left them and on vectors less the mean of the folder; of
folders with more than 100 recordings on every tenth, and the others are compared on
these as well. A peer that did not run on all recordings of a set has no figure there
(three of them take no more than 800 windows). At the end stands which drift the
other sets would have chosen for each.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

# On matrices as small as these, threads cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from joblib import Parallel, cpu_count, delayed

from benchmarks.support.clusterings import CLUSTERINGS, Peer
from benchmarks.support.halves import CALLHOME, Item, make_scorer, read_items
from benchmarks.support.real_tables import (
    Found,
    Outcome,
    Results,
    estimated_rate,
    known_rate,
    mean_error,
    share_right,
    show_certainty,
    show_drifts,
    show_measures,
    show_partitions,
)
from ssahc import (
    LabelScorer,
    SpeakerOptions,
    fit_unlabelled,
    make_options,
)
from ssahc.core.types import NO_MODEL, FloatArray, IntArray, Model
from ssahc.pipeline.diarize import prepare_recording

# Ours: by default, with a model of the folder or of the recording alone, and the stages
# of learning.
DEFAULT, ALONE = "default", "each recording alone"
OURS = {
    DEFAULT: make_options(),
    ALONE: make_options(),
    "start": make_options("paper-ssa1", system="ssahc", max_steps=0),
    "learned": make_options("paper-ssa1", system="ssahc"),
    "learned + inference": make_options(
        "paper-ssa1", system="ssahc", resegmentation="vb"
    ),
}
CENTRED = {name: f"{name}, centred" for name in CLUSTERINGS}
DRIFTS = 0.0, 0.03, 0.05, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15
# Peers take every tenth recording of larger folders.
LARGE, EVERY = 100, 10


def read_sets(data: Path | None, more: Iterable[Path]) -> dict[str, list[list[Item]]]:
    """Return the folders of each set."""
    folders = {path.name: [path] for path in more}
    if data is not None:
        real = sorted(path.parent for path in (data / "real").glob("*/ref.rttm"))
        ours = {path.name: [path] for path in real}
        ours["callhome_real"] = [data / "callhome_real"]
        ours["callhome_shaped"] = [data / "callhome_shaped" / half for half in CALLHOME]
        folders = ours | folders
    return {
        name: [read_items(path) for path in paths] for name, paths in folders.items()
    }


def run_folder(
    items: Sequence[Item], parallel: Parallel, peers: Sequence[str] = tuple(CLUSTERINGS)
) -> list[Found]:
    """Measure our systems and peers on a folder of recordings."""
    model = fit_unlabelled((item.recording for item in items), strict=False)
    every = EVERY if len(items) > LARGE else 1
    return list(
        parallel(
            delayed(work)(item, model, peers if place % every == 0 else None)
            for place, item in enumerate(items)
        )
    )


def work(item: Item, model: Model, peers: Sequence[str] | None) -> Found:
    """Measure systems, peers (None: not on this recording) and drifts."""
    scorer, outcomes = make_scorer(item), {}
    shared = prepare_recording(item.recording, model)
    alone = prepare_recording(item.recording, NO_MODEL)
    for name, options in OURS.items():
        diarize = alone if name == ALONE else shared
        known = replace(options, speakers=SpeakerOptions(item.count))
        found = diarize(options)
        outcome = _judge(found.labels, diarize(known).labels, item, scorer)
        probability = found.speaker_posterior.get(found.num_speakers)
        outcomes[name] = replace(outcome, probability=probability)
    for name in peers or ():
        peer = CLUSTERINGS[name]
        if peer.is_there and len(item.recording) <= peer.most_windows:
            for key, mean in ((name, None), (CENTRED[name], model.mean)):
                outcomes[key] = _judge(*_run_peer(peer, item, mean), item, scorer)
    options = (make_options(drift=drift) for drift in DRIFTS)
    drifts = tuple(scorer.score(shared(one).labels) for one in options)
    return Found(outcomes, drifts, peers is not None)


def _run_peer(
    peer: Peer, item: Item, mean: FloatArray | None
) -> tuple[IntArray, IntArray | None]:
    """Return a peer's labels, with the number estimated and known."""
    vectors = item.recording.xvectors.astype(np.float64)
    if mean is not None:
        vectors = vectors - mean
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(lengths, 1e-10)
    known = peer(vectors, item.count) if peer.takes_number else None
    return peer(vectors, None), known


def _judge(
    estimated: IntArray, known: IntArray | None, item: Item, scorer: LabelScorer
) -> Outcome:
    excess = int(estimated.max()) + 1 - item.count
    differs = known is not None and not np.array_equal(estimated, known)
    return Outcome(
        None if known is None else scorer.score(known),
        scorer.score(estimated),
        excess,
        excess == 0 and differs,
    )


# ---- tables ------------------------------------------------------------------------


def add_samples(results: Results) -> Results:
    """Add a set of the recordings that peers ran on, where these are not all."""
    rows: Results = {}
    for name, found in results.items():
        rows[name] = found
        sample = [one for one in found if one.has_peers]
        if len(sample) < len(found):
            rows[f"{name}, every {EVERY}th"] = sample
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", type=Path, nargs="?", help="default: only those of --more"
    )
    parser.add_argument(
        "--more",
        nargs="+",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="x-vector folders with a ref.rttm",
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=CLUSTERINGS,
        metavar="PEER",
        default=list(CLUSTERINGS),
    )
    parser.add_argument("--jobs", type=int, default=cpu_count())


def main(arguments: argparse.Namespace) -> None:
    start = time.monotonic()
    results: Results = {}
    with Parallel(n_jobs=arguments.jobs) as parallel:
        for name, folders in read_sets(arguments.data, arguments.more).items():
            print(f"{time.monotonic() - start:4.0f} s  {name}", file=sys.stderr)
            results[name] = [
                one
                for items in folders
                for one in run_folder(items, parallel, arguments.peers)
            ]
    report(results)
    print(f"{time.monotonic() - start:.0f} s with {arguments.jobs} jobs")


def report(results: Results) -> None:
    """Print all tables."""
    rows = add_samples(results)
    ran = {name for found in results.values() for one in found for name in one.outcomes}
    there = [name for name in CLUSTERINGS if name in ran]
    for name in CLUSTERINGS.keys() - ran:
        print(f"{name}: not run (asked for and installed?).")
    rates = partial(
        show_measures, first=(known_rate, ".1f"), second=(estimated_rate, ".1f")
    )
    counts = partial(
        show_measures, first=(mean_error, ".2f"), second=(share_right, ".0f")
    )
    with_default = [DEFAULT, *there]
    centred = [DEFAULT, *(CENTRED[name] for name in there)]
    print("\nDER in %, known / estimated number of speakers\n")
    rates(rows, with_default)
    print("\nPeers on vectors less the mean of the folder\n")
    rates(rows, centred)
    print("\nNumber of speakers: mean absolute error / % of recordings right\n")
    counts(rows, with_default)
    print("\nPeers on vectors less the mean of the folder\n")
    counts(rows, centred)
    print("\nOurs: DER in %, known / estimated number of speakers\n")
    rates(results, list(OURS))
    print("\nOurs: mean absolute error / % of recordings right\n")
    counts(results, list(OURS))
    print()
    show_partitions(results, DEFAULT)
    print("\nHow sure the default is of the number of speakers\n")
    show_certainty(results, DEFAULT)
    print("\nDER in %, estimated number of speakers, by drift\n")
    show_drifts(results, DRIFTS)
