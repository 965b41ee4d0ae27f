"""Accuracy, time and memory of every system on the CALLHOME benchmark data.

Runs ``ssahc diarize`` as a user does, once per half with the other half's model, and
scores both halves together with NIST's md-eval. Kaldi's figures on the same files
stand beside ours.

DATA holds callhome_real, callhome_shaped and callhome_model.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MD_EVAL = "/usr/lib/sctk/bin/md-eval.pl"
HALVES = {"callhome1": "callhome2", "callhome2": "callhome1"}
SYSTEMS = {
    "cosine": ["--system", "cosine"],
    "plda, target energy 0.1": ["--system", "plda"],
    "plda, target energy 0.3": ["--system", "plda", "--target-energy", "0.3"],
    "ssahc, paper-ssa1": ["--system", "ssahc", "--preset", "paper-ssa1"],
    "ssahc, paper-ssa1, sampled": [
        *("--system", "ssahc", "--preset", "paper-ssa1", "--triplets", "sampled")
    ],
    "ssahc+plda, paper-ssa1, te 0.1": [
        "--system",
        "ssahc+plda",
        "--preset",
        "paper-ssa1",
    ],
    "ssahc+plda, paper-ssa1, te 0.3": [
        *("--system", "ssahc+plda", "--preset", "paper-ssa1"),
        *("--target-energy", "0.3"),
    ],
}
# Real Kaldi on callhome_shaped with known numbers of speakers, DER %.
KALDI = {"plda, target energy 0.1": 5.43, "plda, target energy 0.3": 3.85}


def diarize(xvectors: Path, model: Path, out: Path, options: list[str], known: bool):
    counts = ["--reco2num-spk", str(xvectors / "reco2num_spk")] if known else []
    command = [sys.executable, "-m", "ssahc", "diarize", "-q", str(xvectors), str(out)]
    command += ["--model-dir", str(model), *options, *counts]
    subprocess.run(command, check=True)
    return (out / "rttm").read_text()


def der(reference: str, hypothesis: str, folder: Path) -> str:
    (folder / "ref").write_text(reference)
    (folder / "hyp").write_text(hypothesis)
    command = ["perl", MD_EVAL, "-1", "-c", "0.25"]
    command += ["-r", str(folder / "ref"), "-s", str(folder / "hyp")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    match = re.search(r"OVERALL SPEAKER DIARIZATION ERROR = ([\d.]+)", output)
    if match is None:
        raise SystemExit(f"md-eval printed no error rate:\n{output}")
    return match[1]


def only(recording: str, rttm: str) -> str:
    lines = rttm.splitlines(keepends=True)
    return "".join(line for line in lines if line.split()[1] == recording)


def real(data: Path, folder: Path) -> None:
    print("callhome_real, known N, DER %")
    print(f"{'system':32} {'iaaa':>6} {'iafq':>6}")
    xvectors, model = data / "callhome_real", data / "callhome_model" / "callhome2"
    reference = (xvectors / "ref.rttm").read_text()
    for name, options in SYSTEMS.items():
        rttm = diarize(xvectors, model, folder / "out", options, known=True)
        rates = [
            der(only(call, reference), only(call, rttm), folder)
            for call in ("iaaa", "iafq")
        ]
        print(f"{name:32} {rates[0]:>6} {rates[1]:>6}", flush=True)


def shaped(data: Path, folder: Path, known: bool) -> None:
    print(f"\ncallhome_shaped, {'known' if known else 'estimated'} N, both halves")
    heading = f"{'system':32} {'DER %':>6} {'Kaldi':>6} {'wall s':>7} {'CPU s':>6}"
    print(f"{heading} {'peak MiB':>9}")
    source = data / "callhome_shaped"
    reference = "".join((source / half / "ref.rttm").read_text() for half in HALVES)
    for name, options in SYSTEMS.items():
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        rttm = "".join(
            diarize(
                source / half,
                data / "callhome_model" / other,
                folder / "out",
                options,
                known,
            )
            for half, other in HALVES.items()
        )
        wall = time.monotonic() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        kaldi = f"{KALDI[name]:.2f}" if known and name in KALDI else "-"
        rate = der(reference, rttm, folder)
        # ru_maxrss is the largest child so far, an upper bound for this one.
        peak = after.ru_maxrss / 1024
        print(
            f"{name:32} {rate:>6} {kaldi:>6} {wall:7.1f} {cpu:6.1f} {peak:9.0f}",
            flush=True,
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path)
    parser.add_argument(
        "--unknown", action="store_true", help="let ssahc estimate the speakers"
    )


def main(arguments: argparse.Namespace) -> None:
    print(f"{os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        real(arguments.data, Path(name))
        shaped(arguments.data, Path(name), known=not arguments.unknown)
