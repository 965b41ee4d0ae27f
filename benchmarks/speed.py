"""Time and memory of whole ``ssahc diarize`` runs, beside peers and a lower bound.

Sections: "corpus" (500 recordings in two halves), "long" (one recording of 100 to
100,000 windows), "short" (100 to 10,000 recordings of 20 windows), "gpu" (learning on
a GPU against the CPU, if there is one).

DATA holds callhome_shaped and callhome_model; without it, all data is simulated. The
long recording is always simulated, with eight speakers, unless --joined concatenates
callhome_shaped's recordings, each with speakers of its own. Figures are of processes
from start to end, imports and files included, after one run of each method: the
median, and in brackets the smallest and the largest. Peers (support/peers.py) are those
that are installed. The limit is what no program could be faster than
(support/limits.py).
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.support.folders import (
    SHORT,
    Part,
    Pool,
    join_pool,
    make_corpus,
    read_halves,
    read_part,
    simulate_pool,
)
from benchmarks.support.gpu import compare, find_gpu
from benchmarks.support.limits import Machine
from benchmarks.support.methods import (
    DEFAULT,
    GIB,
    KNOWN,
    OURS,
    PLDA,
    Bench,
    make_command,
)
from benchmarks.support.peers import PEERS
from benchmarks.support.processes import run
from benchmarks.support.sweeps import SEEN, draw, show_ratio, show_sweeps
from benchmarks.support.tables import show

SECTIONS = "corpus", "long", "short", "gpu"
SIZES = 100, 300, 1000, 3000, 10_000, 30_000, 100_000
COUNTS = 100, 1000, 3000, 10_000
# Kaldi cannot be had from PyPI.
QUOTED = """\
Quoted, not measured here: real Kaldi's PLDA and AHC, which learn nothing, take 17 CPU s
on callhome_shaped (23 at target energy 0.3), and 143 CPU s and 4.8 GB for one recording
of 10,000 x-vectors. The authors' code takes 6.7 s for one recording of 132."""


def warm_up(bench: Bench, part: Part) -> None:
    """Run every method once; tell what the very first run costs.

    Raises
    ------
    CommandError
        If a method does not work at all.
    """
    default = make_command(DEFAULT, part, bench.folder)
    first = run(default, {"NUMBA_CACHE_DIR": str(bench.folder / "compiled")})
    for method in bench.methods:
        run(make_command(method, part, bench.folder))
    later = run(default)
    print(
        f"one recording of {max(part.lengths())} windows: the very first run, which "
        f"compiles, takes {first.cpu:.1f} CPU s, later ones {later.cpu:.2f}"
    )


def run_corpus(bench: Bench, parts: Sequence[Part]) -> None:
    """Measure methods on two halves, a process each."""
    results = bench.measure(bench.of("corpus"), parts)
    recordings = [one for part in parts for one in read_part(part)]
    seconds = sum(float(one.segments.max()) for one in recordings)
    rows = []
    for method, runs in results.items():
        shown = [runs.show(what, form, unit) for what, _, form, unit in SEEN]
        shown.append(f"{runs.median('wall') / seconds:.1e}")
        cpu = runs.median("cpu")
        shown += [
            show_ratio(cpu, results[peer].median("cpu"))
            for peer in PEERS
            if peer in results
        ]
        if method in (DEFAULT, KNOWN, PLDA):
            limit = bench.limit(parts, method)
            shown += [f"{limit:.2g}", show_ratio(cpu, limit)]
        rows.append((method, *shown))
    print(
        f"\nCorpus: {len(recordings)} recordings, {sum(map(len, recordings)):,} "
        f"windows, {seconds / 3600:.1f} hours, the sum of a process a half\n"
    )
    heading = ["", *(name for _, name, *_ in SEEN), "RTF"]
    heading += [f"/ {peer}" for peer in PEERS if peer in results]
    show(rows, [*heading, "limit CPU s", "/ limit"])
    print(QUOTED)


def run_long(bench: Bench, pool: Pool, picture: Path | None) -> None:
    """Measure methods on one recording of more and more windows."""
    most = min(bench.largest, len(pool.recording))
    parts = {
        size: pool.make_long(bench.folder / f"long-{size}", size)
        for size in SIZES
        if size <= most
    }
    sweeps = bench.sweep(bench.of("long"), parts)
    limits = {size: bench.limit([part]) for size, part in parts.items()}
    print("\nOne recording of N windows:")
    show_sweeps(sweeps, limits, DEFAULT, PEERS)
    if picture is not None:
        draw(picture, sweeps, PEERS)


def run_short(bench: Bench, pool: Pool) -> None:
    """Measure methods on more and more short recordings."""
    parts = {
        count: pool.make_short(bench.folder / f"short-{count}", count)
        for count in COUNTS
        if count <= bench.largest
    }
    sweeps = bench.sweep(bench.of("short"), parts)
    limits = {count: bench.limit([part]) for count, part in parts.items()}
    print(f"\nRecordings of {SHORT} windows, by their number:")
    show_sweeps(sweeps, limits, DEFAULT, PEERS)


def run_gpu(data: Path | None, repeat: int) -> bool:
    """Compare learning on a GPU and on the CPU; return whether labels agree."""
    name = find_gpu()
    if name is None:
        print("\nGPU: there is none")
        return True
    print(f"\nGPU: {name}")
    different = [
        recording
        for recordings, model in read_halves(data)
        for recording in compare(recordings, model, repeat=repeat)
    ]
    if different:
        print(f"labels differ in {', '.join(different)}")
    return not different


# ---- the whole ---------------------------------------------------------------------


def find_methods(wanted: Iterable[str]) -> list[str]:
    """Return the methods that can be run; name those that cannot."""
    methods = []
    for method in wanted:
        if method in PEERS and not PEERS[method].is_there:
            print(f"{method} is left out: pip install {PEERS[method].distribution}")
        else:
            methods.append(method)
    return methods


def describe(methods: Iterable[str], machine: Machine) -> None:
    """Print what the figures depend on."""
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is None:
        threads = "not set: one thread in ssahc, as many as cores in the peers' BLAS"
    print(f"{os.cpu_count()} cores; OMP_NUM_THREADS {threads}")
    packages = ["numpy", "numba"]
    packages += [PEERS[method].distribution for method in methods if method in PEERS]
    print(", ".join(f"{name} {version(name)}" for name in dict.fromkeys(packages)))
    print(
        f"a CPU second reads {machine.bytes_read / 1e9:.2g} GB and multiplies matrices "
        f"(float32) at {machine.flops / 1e9:.3g} Gflop/s"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument(
        "--sections", nargs="+", choices=SECTIONS, metavar="SECTION", default=SECTIONS
    )
    methods = (*OURS, *PEERS)
    parser.add_argument(
        "--methods", nargs="+", choices=methods, metavar="METHOD", default=methods
    )
    parser.add_argument("--largest", type=int, default=SIZES[-1], metavar="N")
    parser.add_argument("--repeat", type=int, default=3, help="most runs of a method")
    parser.add_argument(
        "--joined",
        action="store_true",
        help="join callhome_shaped into the long recording",
    )
    parser.add_argument("--memory", type=float, default=4.0, metavar="GIB")
    parser.add_argument("--patience", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--picture", type=Path, metavar="FILE")


def main(arguments: argparse.Namespace) -> None:
    if arguments.joined and arguments.data is None:
        sys.exit("--joined needs DATA")
    if arguments.picture is not None:
        from ssahc.report.figure import check_picture

        check_picture(arguments.picture, ())

    start = time.monotonic()
    sections, agree = arguments.sections, True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = []
        if "corpus" in sections or arguments.joined:
            parts = make_corpus(arguments.data, folder)
        if {"corpus", "long", "short"} & {*sections}:
            pool = (
                join_pool(parts[0])
                if arguments.joined
                else simulate_pool(folder / "pool", arguments.largest)
            )
            small = pool.make_long(folder / "small", SIZES[0])
            methods = find_methods(arguments.methods)
            machine = Machine.measured(folder)
            describe(methods, machine)
            options = (arguments.largest, arguments.memory * GIB, arguments.patience)
            bench = Bench(folder, methods, machine, arguments.repeat, *options)
            warm_up(bench, small)
        if "corpus" in sections:
            run_corpus(bench, parts)
        if "long" in sections:
            run_long(bench, pool, arguments.picture)
        if "short" in sections:
            run_short(bench, pool)
        if "gpu" in sections:
            agree = run_gpu(arguments.data, arguments.repeat)
    print(f"{time.monotonic() - start:.0f} s")
    sys.exit(not agree)
