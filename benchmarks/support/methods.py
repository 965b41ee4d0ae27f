"""The methods that are timed, ssahc's and its peers', and how they are run."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.support.folders import Part
from benchmarks.support.limits import Machine, count_bytes, count_flops
from benchmarks.support.peers import PEERS
from benchmarks.support.processes import Command, Runs, measure, run
from benchmarks.support.sweeps import foresee
from ssahc.io.model import read_model_dir

DEFAULT, KNOWN, PLDA = "ssahc+plda", "ssahc+plda, known N", "plda"
PRESET = "ssahc+plda, paper-ssa1"
OURS = {
    DEFAULT: (),
    KNOWN: (),
    PLDA: ("--system", "plda"),
    PRESET: ("--preset", "paper-ssa1"),
}
METHODS = {
    "corpus": (*OURS, *PEERS),
    "long": (DEFAULT, KNOWN, PLDA, *PEERS),
    "short": (DEFAULT, PLDA),
}
GIB = 2**30
# CPU seconds that a process of ours may take.
MOST_OURS = 900.0


def make_command(method: str, part: Part, out: Path) -> Command:
    """Return the command that diarizes all recordings of a folder."""
    if method in PEERS:
        script = Path(__file__).with_name("peers.py")
        places = (part.xvectors, part.model, out / "peer")
        return [sys.executable, str(script), method, *map(str, places)]
    command = [sys.executable, "-m", "ssahc", "diarize", "-q", str(part.xvectors)]
    command += [str(out / "ssahc"), "--model-dir", str(part.model), *OURS[method]]
    if method == KNOWN:
        command += ["--reco2num-spk", str(part.xvectors / "reco2num_spk")]
    return command


@dataclass(frozen=True)
class Bench:
    """How sections measure.

    Attributes
    ----------
    folder : Path
        For what is written.
    methods : sequence of str
        That are asked for and installed.
    machine : Machine
    repeat : int
        Most runs of a method.
    largest : int
        Most windows of a recording, and most recordings.
    memory : float
        Bytes that a peer's matrix of all pairs of windows may take.
    patience : float
        Most CPU seconds of a peer's process.
    """

    folder: Path
    methods: Sequence[str]
    machine: Machine
    repeat: int
    largest: int
    memory: float
    patience: float

    def of(self, section: str) -> list[str]:
        """Return the methods of a section."""
        return [method for method in METHODS[section] if method in self.methods]

    def measure(self, methods: Iterable[str], parts: Sequence[Part]) -> dict[str, Runs]:
        """Run methods on all of some folders."""
        commands = {
            method: [
                partial(run, command, patience=self.most_seconds(method))
                for command in (
                    make_command(method, part, self.folder) for part in parts
                )
            ]
            for method in methods
        }
        return measure(commands, self.repeat)

    def most_seconds(self, method: str) -> float:
        """Return how many CPU seconds a process may take."""
        return self.patience if method in PEERS else MOST_OURS

    def limit(self, parts: Sequence[Part], method: str = DEFAULT) -> float:
        """Return the least CPU seconds that all of some folders take."""
        read = sum(count_bytes(part.xvectors) for part in parts)
        lengths = [length for part in parts for length in part.lengths()]
        dim = len(read_model_dir(parts[0].model).mean)
        flops = count_flops(lengths, dim, learns=method != PLDA)
        return self.machine.limit(read, flops)

    def sweep(
        self, methods: Iterable[str], parts: Mapping[int, Part]
    ) -> dict[str, dict[int, Runs]]:
        """Run methods on folders of growing sizes; say what is left out, and why."""
        sweeps: dict[str, dict[int, Runs]] = {method: {} for method in methods}
        left = [*sweeps]
        for size, part in parts.items():
            for method in [*left]:
                if reason := self.why_not(method, sweeps[method], size, part):
                    print(f"{method} is left out from {size:,} on: {reason}")
                    left.remove(method)
            results = self.measure(left, [part])
            # What has failed once is not tried on more.
            left = [*results]
            for method, runs in results.items():
                sweeps[method][size] = runs
            print(f"{time.strftime('%X')}  {size:,} done", file=sys.stderr, flush=True)
        return {method: sweep for method, sweep in sweeps.items() if sweep}

    def why_not(
        self, method: str, sweep: Mapping[int, Runs], size: int, part: Part
    ) -> str | None:
        """Return why a method is not run on a folder; None if it is."""
        matrix = 8.0 * max(part.lengths()) ** 2
        if method in PEERS and matrix > self.memory:
            return (
                f"its matrix of all pairs takes {matrix / GIB:.1f} GiB, --memory is "
                f"{self.memory / GIB:g}"
            )
        seconds = foresee(sweep, size)
        most = self.most_seconds(method)
        if seconds > most:
            return f"would take {seconds:.0f} CPU s or so, more than {most:g}"
        return None
