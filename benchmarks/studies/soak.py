"""Diarize 100,000 short recordings in processes that are killed and resumed.

FOLDER gets an x-vector folder that is generated while it is written. It is diarized by
processes that live for a random time, are killed (SIGKILL) and resumed until all is
done. Every utterance must have its label and every recording its turns; those of some
recordings must equal the Python API's. Memory must stay what it was after the first
results.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.support.tables import show
from ssahc import diarize_recording
from ssahc.core.types import Fault, Recording
from ssahc.io.ark import ArchiveWriter
from ssahc.io.model import read_model_dir, write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_spk2utt
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.pipeline.options import DiarizeOptions
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

SSAHC = Path(sys.executable).with_name("ssahc")
# Recordings that others are made from, by noise of their own.
ORIGINALS = SimulateOptions(
    recordings=200, duration=10.0, min_speakers=1, max_speakers=3, turn_seconds=2.0
)
NOISE = 0.1
MOMENT = 0.5
MIB = 2**20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=100_000)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--life", type=float, default=20.0, help="mean, in seconds")
    parser.add_argument("--checked", type=int, default=500)


def main(arguments: argparse.Namespace) -> None:
    start = time.monotonic()
    make_folder(arguments.folder, arguments.recordings)
    print(f"{arguments.recordings} recordings written in {since(start)}", flush=True)
    start = time.monotonic()
    lives = list(work(arguments.folder, arguments.nj, arguments.life))
    print(f"diarized in {since(start)}, killed {len(lives) - 1} times\n")
    heading = ("life", "seconds", "done", "MiB at first", "at last", "workers, most")
    show(map(Life.row, lives), heading)
    faults = list(find_faults(arguments.folder, arguments.checked))
    print("\n".join(faults) or "\nnothing is lost, and what was checked is right")
    sys.exit(1 if faults else 0)


def since(start: float) -> str:
    return f"{time.monotonic() - start:.0f} s"


# ---- the recordings ----------------------------------------------------------------


def make_folder(folder: Path, count: int) -> None:
    halves = simulate_corpus(ORIGINALS)
    originals = [item.recording for item in halves["a"].conversations]
    write_model_dir(folder / "model", halves["b"].model)
    path = folder / "x"
    path.mkdir(parents=True)
    with (
        ArchiveWriter(path / "xvector.ark", path / "xvector.scp") as archive,
        (path / "segments").open("w") as segments,
        (path / "utt2spk").open("w") as utt2spk,
        (path / "spk2utt").open("w") as spk2utt,
    ):
        for recording in islice(make_up(originals), count):
            spk2utt.write(f"{recording.id} {' '.join(recording.utterances)}\n")
            for utterance, (begin, end), vector in zip(
                recording.utterances,
                recording.segments.tolist(),
                recording.xvectors.astype(np.float32),
                strict=True,
            ):
                archive.write(utterance, vector)
                segments.write(f"{utterance} {recording.id} {begin:.3f} {end:.3f}\n")
                utt2spk.write(f"{utterance} {recording.id}\n")


def make_up(originals: list[Recording]) -> Iterator[Recording]:
    generator = np.random.default_rng(0)
    number = 0
    while True:
        one = originals[number % len(originals)]
        name = f"r{number:07d}"
        noise = NOISE * generator.normal(size=one.xvectors.shape)
        yield replace(
            one,
            id=name,
            utterances=tuple(f"{name}-{window:03d}" for window in range(len(one))),
            xvectors=one.xvectors + noise,
        )
        number += 1


# ---- the work ----------------------------------------------------------------------


@dataclass
class Life:
    """From the start of a process to its end.

    Attributes
    ----------
    number : int
    seconds : float
    done : int
        Windows that had a label at its end, all lives together.
    first, last : int
        Memory of the main process at its first results and at its end, in bytes.
    workers : int
        Most memory of a process that it started.
    """

    number: int
    seconds: float = 0.0
    done: int = 0
    first: int = 0
    last: int = 0
    workers: int = 0

    def row(self) -> tuple[str, ...]:
        """Return what is printed of it."""
        sizes = (f"{size / MIB:.0f}" for size in (self.first, self.last, self.workers))
        return str(self.number), f"{self.seconds:.0f}", str(self.done), *sizes


def work(folder: Path, nj: int, mean_life: float) -> Iterator[Life]:
    """Diarize in one life after the other, until a process ends by itself."""
    moments = random.Random(0)
    command = (
        *(SSAHC, "diarize", folder / "x", folder / "out", "--resume"),
        *("--model-dir", folder / "model", "--nj", str(nj)),
    )
    number = 0
    while True:
        number += 1
        life = Life(number)
        # Not before there is something to lose.
        until = moments.expovariate(1 / mean_life)
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        watch(run, life, folder / "out" / ".unfinished", until)
        yield life
        if run.returncode == 0:
            return
        if run.returncode != -signal.SIGKILL:
            raise SystemExit(f"ended with exit status {run.returncode}")


def watch(
    run: subprocess.Popen[bytes], life: Life, unfinished: Path, until: float
) -> None:
    """Follow a process until it ends, or for some seconds from its first results on."""
    start = time.monotonic()
    before, first = count_windows(unfinished), None
    while run.poll() is None:
        time.sleep(MOMENT)
        done = count_windows(unfinished)
        life.done = max(life.done, done)
        if done > before:
            memory = resident(run.pid)
            first = first or time.monotonic()
            life.first, life.last = life.first or memory, memory or life.last
            life.workers = max(life.workers, *map(resident, children(run.pid)), 0)
        if first and time.monotonic() - first > until:
            run.send_signal(signal.SIGKILL)
            run.wait()
    life.seconds = time.monotonic() - start


def count_windows(unfinished: Path) -> int:
    """Return about how many lines there are, by the files' sizes."""
    sizes = [path.stat().st_size for path in unfinished.glob("labels.*")]
    return sum(sizes) // len("r0000000-000 1 \n")


def children(pid: int) -> list[int]:
    try:
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def resident(pid: int) -> int:
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGESIZE")


# ---- the answer --------------------------------------------------------------------


def find_faults(folder: Path, checked: int) -> Iterator[str]:
    """Yield what is missing or wrong in what was written."""
    utterances = read_spk2utt(folder / "x" / "spk2utt")
    lines = (folder / "out" / "labels").read_text().splitlines()
    labels = [line.split()[0] for line in lines]
    turns = read_rttm(folder / "out" / "rttm").turns
    wanted = [name for group in utterances.values() for name in group]
    if labels != wanted:
        yield f"{len(labels)} labels for {len(wanted)} utterances, or in another order"
    if turns.keys() != utterances.keys():
        yield f"turns of {len(turns)} recordings, not of {len(utterances)}"
    left = {path.name for path in (folder / "out").iterdir()}
    if left != {"labels", "rttm", "speaker_posterior", "config.toml"}:
        yield f"files in the output folder: {', '.join(sorted(left))}"
    chosen = random.Random(0).sample(sorted(utterances), min(checked, len(utterances)))
    model = read_model_dir(folder / "model")
    for item in read_recordings(open_xvector_dir(folder / "x").select(chosen)):
        if isinstance(item, Fault):
            yield f"{item.recording}: {item.reason}"
            continue
        expected = diarize_recording(item, model, DiarizeOptions()).labels + 1
        found = [labels.get(utterance) for utterance in item.utterances]
        if found != expected.tolist():
            yield f"{item.id}: labels {found}, and {expected.tolist()} by the API"
