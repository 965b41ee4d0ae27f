"""Diarize streams of windows: error rates by latency, time, and memory.

DATA holds callhome_shaped and callhome_model. Every recording is played to
`ssahc.OnlineDiarizer`, window by window. "announced" is what was said within the
latency; "corrected" has the corrections made before the stream ended; "final" is the
answer at its end, that of the recording.

With --hours, a simulated stream of that length is played instead, and what the process
holds in memory is printed as it goes on.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.support.halves import Item, make_scorer, read_shaped
from benchmarks.support.tables import show
from ssahc import Announcement, OnlineDiarizer, Score
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

MIB = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--latencies", type=float, nargs="+", default=[0.5, 1, 2, 3.5, 5]
    )
    parser.add_argument("--every", type=int, default=1, help="take every n-th")
    parser.add_argument("--hours", type=float, help="of a simulated stream")


def main(arguments: argparse.Namespace) -> None:
    if arguments.hours is not None:
        play_for_hours(arguments.hours)
        return
    halves = read_shaped(arguments.data).values()
    items = [item for half in halves for item in half[:: arguments.every]]
    heading = ("latency, s", "announced", "corrected", "final", "corrections", "ms")
    rows = []
    for latency in arguments.latencies:
        rows.append(measure(items, latency))
        print(*rows[-1], sep="  ", flush=True)
    print(f"\n{len(items)} recordings; corrections and CPU ms a window\n")
    show(rows, heading)


def measure(items: list[Item], latency: float) -> tuple[str, ...]:
    """Return the row of a latency: DER in %, corrections and CPU time a window."""
    scores = [Score(), Score(), Score()]
    num_windows = num_corrections = 0
    seconds = 0.0
    for item in items:
        recording = item.recording
        order = np.lexsort(recording.segments.T[::-1])
        online = OnlineDiarizer(item.model, latency=latency)
        start = time.process_time()
        announced = []
        for row in order:
            announced += online.add(
                recording.xvectors[[row]], recording.segments[[row]]
            )
        announced += online.advance(recording.segments.max() + latency)
        seconds += time.process_time() - start
        ended = online.finish()
        scorer = make_scorer(item)
        last = [item for item in announced if item.is_correction]
        first = [item for item in announced if not item.is_correction]
        for place, labels in enumerate(
            (place_labels(first), place_labels(announced), ended.diarization.labels)
        ):
            in_place = np.empty(len(order), np.int64)
            in_place[order] = labels
            scores[place] += scorer.score(in_place)
        num_windows += len(order)
        num_corrections += len(last)
    ders = (f"{score.der:.2f}" for score in scores)
    return (
        f"{latency:g}",
        *ders,
        f"{num_corrections / num_windows:.2f}",
        f"{1000 * seconds / num_windows:.1f}",
    )


def place_labels(announced: list[Announcement]) -> NDArray[np.int64]:
    """Return the speakers of windows 0, 1, ..., as last announced."""
    speakers = {item.window: int(item.speaker) - 1 for item in announced}
    return np.array([speakers[window] for window in range(len(speakers))])


def play_for_hours(hours: float) -> None:
    """Play conversations of one group of speakers after each other."""
    corpus = simulate_corpus(
        SimulateOptions(recordings=1, duration=1800.0, max_speakers=4)
    )
    recording, model = corpus["a"].conversations[0].recording, corpus["b"].model
    rng = np.random.default_rng(0)
    spread = recording.xvectors.std(axis=0)
    length = recording.segments.max() + 5
    online = OnlineDiarizer(model)
    print("hours  MiB  CPU s", flush=True)
    for half_hour in range(round(2 * hours)):
        noise = 0.1 * spread * rng.normal(size=recording.xvectors.shape)
        online.add(recording.xvectors + noise, recording.segments + half_hour * length)
        print(
            f"{(half_hour + 1) / 2:g}  {resident():.0f}  {time.process_time():.0f}",
            flush=True,
        )
    ended = online.finish()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"end: {ended.diarization}; at most {peak:.0f} MiB, {time.process_time():.0f} s"
    )


def resident() -> float:
    """Return the memory that this process holds, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB
