"""Diarize streams of audio: error rates by latency, and how late speakers are said.

FOLDER holds a wav.scp and ref.rttm. Every recording is played to
`ssahc.OnlineExtractor` in blocks of 0.1 s, and its windows to `ssahc.OnlineDiarizer`.
"announced", "corrected" and "final" are those of the benchmark `online`. "after" is the
time from the moment of speech to the announcement, median and 95 %: in the time of the
stream, so that computing takes none.

With --play, `ssahc stream` is given the recordings, one after the other, as by a
microphone, for so many seconds, and "after" is measured with a clock. What it is more
than in the time of the stream is what computing, pipes and this machine take.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.online import place_labels
from benchmarks.support.halves import Item, make_scorer
from benchmarks.support.tables import show
from ssahc import (
    Announcement,
    Extractor,
    OnlineDiarizer,
    OnlineExtractor,
    Recording,
    Score,
    Turn,
    read_rttm,
    score_recording,
)
from ssahc.io.audio import read_audio
from ssahc.io.audio_list import list_audio

BLOCK = 0.1
HEADING = ("latency, s", "announced", "corrected", "final", "after, s", "95 %, s")


@dataclass(frozen=True)
class Piece:
    """Windows (N, 2) and x-vectors (N, D) that have come when so much audio has."""

    seconds: float
    xvectors: NDArray[np.float32]
    segments: NDArray[np.float64]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--extractors", nargs="+", default=["small", "campplus"])
    parser.add_argument("--latencies", type=float, nargs="+", default=[1, 2, 3.5, 5])
    parser.add_argument("--play", type=float, help="seconds, in real time")


def main(arguments: argparse.Namespace) -> None:
    audio = {
        item.id: read_audio(item.path)
        for item in list_audio(arguments.folder / "wav.scp")
    }
    turns = read_rttm(arguments.folder / "ref.rttm").turns
    for name in arguments.extractors:
        extractor = Extractor.load(name)
        if arguments.play is not None:
            samples = np.concatenate([samples for samples, _ in audio.values()])
            rate = next(iter(audio.values()))[1]
            samples = samples[: round(arguments.play * rate)]
            for latency in arguments.latencies:
                play(name, extractor, samples, rate, latency)
            continue
        start = time.process_time()
        streams = {key: list(extract(extractor, *item)) for key, item in audio.items()}
        spent = time.process_time() - start
        length = sum(len(samples) / rate for samples, rate in audio.values())
        rows = []
        for latency in arguments.latencies:
            rows.append(measure(extractor, streams, turns, latency))
            print(name, *rows[-1], sep="  ", flush=True)
        print(
            f"\n{name}: {len(audio)} recordings, {length:.0f} s; extraction takes "
            f"{1000 * spent / length:.1f} ms CPU a second\n"
        )
        show(rows, HEADING)


def extract(
    extractor: Extractor, samples: NDArray[np.float32], rate: int
) -> Iterator[Piece]:
    """Yield windows as they come."""
    online = OnlineExtractor(extractor, sample_rate=rate)
    size = round(BLOCK * rate)
    for first in range(0, len(samples), size):
        xvectors, segments = online.add(samples[first : first + size])
        yield Piece(online.seconds, xvectors, segments)
    xvectors, segments = online.finish()
    yield Piece(online.seconds, xvectors, segments)


def announce(
    online: OnlineDiarizer, pieces: list[Piece]
) -> list[tuple[float, Announcement]]:
    """Return what is announced before the stream ends, and when."""
    found = []
    for piece in pieces:
        said = online.add(piece.xvectors, piece.segments)
        said += online.advance(piece.seconds)
        found += [(piece.seconds, item) for item in said]
    return found


def measure(
    extractor: Extractor,
    streams: dict[str, list[Piece]],
    turns: dict[str, list[Turn]],
    latency: float,
) -> tuple[str, ...]:
    """Return the row of a latency: DER in %, and seconds from speech to name."""
    scores = [Score(), Score(), Score()]
    delays: list[float] = []
    for key, pieces in streams.items():
        segments = np.concatenate([piece.segments for piece in pieces])
        if len(segments) == 0:
            lost = score_recording(turns[key], [])
            scores = [score + lost for score in scores]
            continue
        xvectors = np.concatenate([piece.xvectors for piece in pieces])
        recording = Recording.from_arrays(key, xvectors, segments)
        online = OnlineDiarizer(extractor.model, latency=latency)
        timed = announce(online, pieces)
        delays += [when - begins(segments)[item.window] for when, item in first(timed)]
        # What is not due when the audio ends is said then.
        said = [item for _, item in timed] + online.advance(1e6)
        ended = online.finish()
        scorer = make_scorer(Item(recording, turns[key], extractor.model))
        for place, labels in enumerate(
            (
                place_labels([item for item in said if not item.is_correction]),
                place_labels(said),
                ended.diarization.labels,
            )
        ):
            scores[place] += scorer.score(labels)
    return (
        f"{latency:g}",
        *(f"{score.der:.1f}" for score in scores),
        *(f"{value:.2f}" for value in np.quantile(delays, [0.5, 0.95])),
    )


def first(timed: list[tuple[float, Announcement]]) -> list[tuple[float, Announcement]]:
    """Return announcements that are no corrections."""
    return [(when, item) for when, item in timed if not item.is_correction]


def begins(segments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where each window begins to count: the middle of the overlap."""
    before = np.concatenate([[0.0], segments[:-1, 1]])
    return np.maximum(segments[:, 0], (segments[:, 0] + before) / 2)


def play(
    name: str,
    extractor: Extractor,
    samples: NDArray[np.float32],
    rate: int,
    latency: float,
) -> None:
    """Print how long after speech `ssahc stream` prints, and the time of the stream."""
    pieces = list(extract(extractor, samples, rate))
    segments = np.concatenate([piece.segments for piece in pieces])
    online = OnlineDiarizer(extractor.model, latency=latency)
    expected = {item.window: when for when, item in first(announce(online, pieces))}
    command = [sys.executable, "-m", "ssahc", "stream", "--extractor", name]
    command += ["--sample-rate", str(rate), "--latency", str(latency)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("they are pipes")
        # The model is loaded by then.
        time.sleep(10)
        data = samples.astype("<i2")
        size = round(BLOCK * rate)
        lines: list[tuple[float, dict[str, Any]]] = []
        listener = Thread(target=listen, args=(process.stdout, lines))
        listener.start()
        start = time.monotonic()
        for number, place in enumerate(range(0, len(data), size), start=1):
            time.sleep(max(start + number * BLOCK - time.monotonic(), 0))
            process.stdin.write(data[place : place + size].tobytes())
            process.stdin.flush()
        process.stdin.close()
        listener.join()
    spoken = begins(segments)
    rows = [
        (when - start - spoken[line["window"]], when - start - expected[line["window"]])
        for when, line in lines
        if not line["correction"] and line["window"] in expected
    ]
    after, more = np.quantile(np.array(rows), [0.5, 0.95], axis=0).T
    took = [f"{1000 * value:.0f} ms" for value in more]
    print(
        f"{name}, {len(samples) / rate:.0f} s, latency {latency:g} s: said "
        f"{after[0]:.2f} s after speech (95 % {after[1]:.2f}), of which computing "
        f"takes {took[0]} (95 % {took[1]}); {len(rows)} windows",
        flush=True,
    )


def listen(stream: IO[bytes], lines: list[tuple[float, dict[str, Any]]]) -> None:
    """Keep what is printed, and when."""
    for line in stream:
        lines.append((time.monotonic(), json.loads(line)))
