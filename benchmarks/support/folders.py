"""X-vector folders to time: a corpus, long recordings, many short ones."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchmarks.callhome import HALVES
from ssahc.core.types import Fault, Model, Recording
from ssahc.io.model import read_model_dir, write_model_dir
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.simulation.conversations import SimulateOptions, simulate_corpus

# Windows of a short recording, speakers of a simulated long one.
SHORT, SPEAKERS = 20, 8
# What stands in for CALLHOME.
OTHER = {"a": "b", "b": "a"}
CORPUS = SimulateOptions(recordings=250)


@dataclass(frozen=True)
class Part:
    """An x-vector folder and the model to diarize it with."""

    xvectors: Path
    model: Path

    def lengths(self) -> list[int]:
        """Return the number of windows of every recording."""
        return [len(u) for u in open_xvector_dir(self.xvectors).utterances.values()]


def read_part(part: Part) -> list[Recording]:
    recordings = []
    for recording in read_recordings(open_xvector_dir(part.xvectors)):
        if isinstance(recording, Fault):
            raise SystemExit(f"{recording.recording}: {recording.reason}")
        recordings.append(recording)
    return recordings


def write_part(
    folder: Path, recordings: list[Recording], speakers: Iterable[int], model: Path
) -> Part:
    write_xvector_dir(folder, recordings)
    with (folder / "reco2num_spk").open("w") as file:
        for recording, count in zip(recordings, speakers, strict=True):
            file.write(f"{recording.id} {count}\n")
    return Part(folder, model)


def make_corpus(data: Path | None, folder: Path) -> list[Part]:
    """Return the folders of two halves of 250 recordings each."""
    if data is not None:
        shaped, models = data / "callhome_shaped", data / "callhome_model"
        return [Part(shaped / half, models / other) for half, other in HALVES.items()]
    halves, parts = simulate_corpus(CORPUS), []
    for name, half in halves.items():
        model = folder / "model" / name
        write_model_dir(model, halves[OTHER[name]].model)
        recordings = [item.recording for item in half.conversations]
        turns = [item.turns for item in half.conversations]
        speakers = [len({turn.speaker for turn in group}) for group in turns]
        parts.append(write_part(folder / name, recordings, speakers, model))
    return parts


def read_halves(data: Path | None) -> list[tuple[list[Recording], Model]]:
    """Return the recordings and the model of two halves; simulated without a file."""
    if data is not None:
        return [
            (read_part(part), read_model_dir(part.model))
            for part in make_corpus(data, data)
        ]
    halves = simulate_corpus(CORPUS)
    return [
        ([item.recording for item in half.conversations], halves[OTHER[name]].model)
        for name, half in halves.items()
    ]


@dataclass(frozen=True, eq=False)
class Pool:
    """Windows to make recordings of.

    Attributes
    ----------
    recording : Recording
    speakers : (N,) int array
        How many have spoken up to each window.
    model : Path
    """

    recording: Recording
    speakers: np.ndarray
    model: Path

    def cut(self, name: str, begin: int, count: int) -> Recording:
        """Return some of the windows as a recording."""
        rows = slice(begin, begin + count)
        utterances = tuple(f"{name}-{number:06d}" for number in range(count))
        whole = self.recording
        return Recording(name, utterances, whole.segments[rows], whole.xvectors[rows])

    def make_long(self, folder: Path, size: int) -> Part:
        """Write one recording of the first windows."""
        speakers = [int(self.speakers[size - 1])]
        return write_part(folder, [self.cut("r", 0, size)], speakers, self.model)

    def make_short(self, folder: Path, count: int) -> Part:
        """Write recordings of few windows each; windows come again if need be."""
        places = len(self.recording) // SHORT
        recordings = [
            self.cut(f"r{number:06d}", SHORT * (number % places), SHORT)
            for number in range(count)
        ]
        return write_part(folder, recordings, [2] * count, self.model)


def simulate_pool(folder: Path, size: int) -> Pool:
    """Simulate a recording of so many windows or more."""
    duration = float(max(120, size))
    options = SimulateOptions(1, duration, SPEAKERS, SPEAKERS)
    halves = simulate_corpus(options)
    write_model_dir(folder / "model", halves["b"].model)
    recording = halves["a"].conversations[0].recording
    return Pool(recording, np.full(len(recording), SPEAKERS), folder / "model")


def join_pool(part: Part) -> Pool:
    """Join recordings in time, ten seconds apart."""
    recordings = read_part(part)
    ends = accumulate(float(one.segments.max()) + 10 for one in recordings)
    segments = [
        one.segments + start
        for one, start in zip(recordings, [0.0, *ends], strict=False)
    ]
    lines = (part.xvectors / "reco2num_spk").read_text().splitlines()
    count_of = {name: int(count) for name, count in map(str.split, lines)}
    spoken = accumulate(count_of[one.id] for one in recordings)
    speakers = np.repeat(list(spoken), [len(one) for one in recordings])
    names = tuple(name for one in recordings for name in one.utterances)
    xvectors = np.concatenate([one.xvectors for one in recordings])
    joined = Recording("joined", names, np.concatenate(segments), xvectors)
    return Pool(joined, speakers, part.model)
