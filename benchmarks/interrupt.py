"""Kill runs at random moments, resume them, and compare with uninterrupted runs.

FOLDER gets a simulated corpus and an uninterrupted run with and without learning. Then
runs are started, killed (SIGKILL) at moments spread over the remaining work, and
resumed until they finish; every file must equal that of the uninterrupted run. New
runs follow until there have been N kills. A third of the runs use several processes
(--nj), the others one; half of the kills hit all processes, as a batch system's do, the
others the main process alone.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SSAHC = Path(sys.executable).with_name("ssahc")
SYSTEMS = {"plda": ("--write-scores",), "ssahc": ("--device", "cpu")}
STAGES = ("starting", "reading", "diarizing", "finishing")


@dataclass(frozen=True)
class Alone:
    """An uninterrupted run: its files, and how long it took to what stage."""

    files: dict[str, bytes]
    starting: float
    total: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--recordings", type=int, default=20)
    parser.add_argument("--duration", type=float, default=150)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)


def main(arguments: argparse.Namespace) -> None:
    folder, moments = arguments.folder, random.Random(arguments.seed)
    corpus = folder / "corpus"
    size = ("--recordings", arguments.recordings, "--duration", arguments.duration)
    start("simulate", corpus, *size, "--train-speakers", 0).wait()
    alone: dict[tuple[str, int], Alone] = {}
    counts: Counter[str] = Counter()
    began = time.monotonic()
    while counts["kills"] < arguments.kills:
        system, nj = moments.choice(list(SYSTEMS)), moments.choice((1, 1, arguments.nj))
        out = folder / "killed"
        shutil.rmtree(out, ignore_errors=True)
        if (system, nj) not in alone:
            alone[system, nj] = run_alone(folder, system, nj)
        whole, kept, patience = alone[system, nj], 0, 1.0
        while counts["kills"] < arguments.kills:
            with_group = moments.random() < 0.5
            run = diarize(folder, system, out, nj)
            try:
                run.wait(patience * draw(moments, whole, kept / arguments.recordings))
                break
            except subprocess.TimeoutExpired:
                kill(run, with_group=with_group)
            counts["kills"] += 1
            counts["orphans"] += count_orphans(run.pid)
            done, twice = look(corpus, out)
            if (out / "config.toml").exists():
                done = arguments.recordings
            stage = stage_of(out, done, arguments.recordings)
            # On a busy machine a run may need longer than it did alone.
            patience = 1.0 if done > kept else 1.2 * patience
            kept = done
            counts[stage] += 1
            counts["twice"] += twice
            print(
                f"kill {counts['kills']}: --system {system} --nj {nj}, "
                f"{'all' if with_group else 'the main process'}, {stage}, "
                f"{done} of {arguments.recordings} recordings are kept",
                flush=True,
            )
        if run.poll() != 0:
            run = diarize(folder, system, out, nj)
        counts["failed"] += run.wait() != 0
        counts["different"] += contents(out) != whole.files
        counts["runs"] += 1
    stages = ", ".join(f"{counts[stage]} while {stage}" for stage in STAGES)
    print(
        f"{counts['kills']} kills of {counts['runs']} runs in "
        f"{time.monotonic() - began:.0f} s: {stages}\n"
        f"runs that failed: {counts['failed']}; with other files than an uninterrupted "
        f"run: {counts['different']}; recordings done twice: {counts['twice']}; "
        f"processes left behind: {counts['orphans']}"
    )
    wrong = ("failed", "different", "twice", "orphans")
    sys.exit(any(counts[name] for name in wrong))


def draw(moments: random.Random, whole: Alone, done: float) -> float:
    """Return when to kill: now and then before the first result, mostly later."""
    if moments.random() < 0.25:
        return moments.uniform(0.1, whole.starting)
    left = (1 - done) * (whole.total - whole.starting)
    return whole.starting + moments.uniform(0.0, 1.1 * left)


def start(*command: object) -> subprocess.Popen[bytes]:
    """Start ssahc in a group of its own."""
    return subprocess.Popen(
        [SSAHC, *map(str, command)], stderr=subprocess.DEVNULL, start_new_session=True
    )


def diarize(folder: Path, system: str, out: Path, nj: int) -> subprocess.Popen[bytes]:
    model = ("--model-dir", folder / "corpus" / "model" / "b")
    method = ("--system", system, *SYSTEMS[system], "--nj", nj)
    return start("diarize", folder / "corpus" / "a", out, *model, *method, "--resume")


def run_alone(folder: Path, system: str, nj: int) -> Alone:
    """Diarize without interruption; the first time some loops may be compiled."""
    out = folder / f"{system}-{nj}"
    began, starting = time.monotonic(), 0.0
    run = diarize(folder, system, out, nj)
    while run.poll() is None:
        kept = [path.stat().st_size for path in out.glob(".unfinished/labels.*")]
        if not starting and any(kept):
            starting = time.monotonic() - began
        time.sleep(0.01)
    total = time.monotonic() - began
    if run.returncode:
        sys.exit(f"an uninterrupted run failed: ssahc diarize ... --system {system}")
    print(
        f"--system {system} --nj {nj}: {total:.1f} s, "
        f"the first result after {starting:.1f} s"
    )
    return Alone(contents(out), starting, total)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kill(run: subprocess.Popen[bytes], *, with_group: bool) -> None:
    if with_group:
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.wait()


def count_orphans(group: int) -> int:
    """Return 1 if processes of a group are there 10 seconds after it was killed."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return 0
        time.sleep(0.05)
    os.killpg(group, signal.SIGKILL)
    return 1


def look(corpus: Path, out: Path) -> tuple[int, int]:
    """Return how many recordings are kept, and how many of them twice."""
    table = (corpus / "a" / "utt2spk").read_text()
    recording_of = dict(line.split() for line in table.splitlines())
    sizes = Counter(recording_of.values())
    times: Counter[str] = Counter()
    for path in out.glob(".unfinished/labels.*"):
        found = Counter(recording_of.get(name) for name in first_fields(path))
        times.update(name for name, size in sizes.items() if found[name] == size)
    return len(times), sum(count > 1 for count in times.values())


def first_fields(path: Path) -> Iterator[str]:
    """Yield the first field of each line but for one that was torn off."""
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            yield line.split()[0]


def stage_of(out: Path, done: int, wanted: int) -> str:
    """Return what a run was at when it was killed."""
    unfinished = out / ".unfinished"
    if done == wanted:
        return "finishing"
    if done:
        return "diarizing"
    return "reading" if (unfinished / "config.toml").exists() else "starting"
