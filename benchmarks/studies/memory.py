"""Peak memory of whole runs compared with ``--max-memory``.

FOLDER gets simulated recordings of 100 to 30,000 windows, which are diarized in many
ways under every limit. Recordings too large for a limit must be refused by name, and
no process may exceed the limit by more than a tenth.
"""

import argparse
import re
import shlex
import shutil
import sys
from contextlib import suppress
from math import nan
from pathlib import Path

from benchmarks.support.folders import Part, simulate_pool, write_part
from benchmarks.support.processes import CommandError, run
from benchmarks.support.tables import show
from ssahc.pipeline.options import DiarizeOptions

SSAHC = Path(sys.executable).with_name("ssahc")
SIZES = (100, 1000, 2000, 10_000, 30_000)
WAYS = {
    "defaults": (),
    "cosine": ("--system", "cosine"),
    "plda": ("--system", "plda"),
    "spectral": ("--system", "spectral", "--max-speakers", "8"),
    "scores written": ("--write-scores",),
    "sampled triplets": ("--triplets", "sampled"),
    "discriminative": ("--lambda", "0.1"),
    "two passes": ("--first-pass-max-utterances", "2000"),
    "loss triplet": ("--loss", "triplet"),
    "two processes": ("--nj", "2"),
}
TOLERANCE = 1.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limits", nargs="+", default=["256M", "512M", "1G"])
    parser.add_argument(
        "--ways", nargs="+", choices=WAYS, metavar="WAY", default=list(WAYS)
    )
    parser.add_argument("--longest", type=int, default=SIZES[-1])


def main(arguments: argparse.Namespace) -> None:
    part = make_part(arguments.folder, arguments.longest)
    rows, worst = [], 0.0
    for way in arguments.ways:
        for limit in arguments.limits:
            peak, done, said = diarize(part, arguments.folder / "out", way, limit)
            share = peak / DiarizeOptions(max_memory=limit).max_bytes()
            worst = max(worst, share)
            rows.append((way, limit, f"{peak / 2**20:.0f}", f"{share:.2f}", done, said))
            print(*rows[-1], sep="\t", file=sys.stderr, flush=True)
    heading = ("", "limit", "peak MiB", "of limit", "longest done", "refused")
    show(rows, heading, text=2)
    print(f"\nhighest peak: {worst:.2f} of the limit")
    sys.exit(1 if worst > TOLERANCE else 0)


def make_part(folder: Path, longest: int) -> Part:
    sizes = [size for size in SIZES if size <= longest]
    pool = simulate_pool(folder, sizes[-1])
    recordings = [pool.cut(f"r{size:06d}", 0, size) for size in sizes]
    return write_part(folder / "x", recordings, [8] * len(sizes), pool.model)


def diarize(part: Part, out: Path, way: str, limit: str) -> tuple[float, str, str]:
    """Return peak memory, the longest recording that was done, and what was refused."""
    shutil.rmtree(out, ignore_errors=True)
    log = out.parent / "log"
    command = (
        *(SSAHC, "diarize", part.xvectors, out, "--model-dir", part.model),
        *("--max-memory", limit, *WAYS[way]),
    )
    # Exit status 1 says that some recordings were refused.
    script = f'"$@" 2> {shlex.quote(str(log))}; test $? -le 1'
    usage = None
    with suppress(CommandError):
        usage = run(("sh", "-c", script, "sh", *map(str, command)))
    text = log.read_text()
    said = text.strip().splitlines()[-1:]
    if usage is None and "are taken by Python and libraries" not in text:
        raise SystemExit(f"{way}, {limit}: {text}")
    if usage is None:
        return nan, "none", said[0][:60]
    done = {int(line.split()[1][1:]) for line in (out / "rttm").open()}
    refused = re.findall(r"error: recording 'r0*(\d+)': (.{0,48})", text)
    if len(done) + len(refused) < len(part.lengths()):
        raise SystemExit(f"recordings were lost without a word: {text}")
    said = "; ".join(f"{size}: {reason}" for size, reason in refused[:1])
    return usage.peak, str(max(done)), said
