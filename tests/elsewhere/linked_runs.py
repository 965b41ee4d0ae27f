"""Two runs of ``ssahc diarize`` whose speakers are to be linked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import ssahc
from ssahc.core.types import FloatArray, Model, Recording
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.xvector_writer import write_xvector_dir

# The voices in each recording of a run.
VOICES = {"mon": ["AB", "BC"], "tue": ["CA", "D"]}
DIM = 24


def make_model() -> Model:
    """Return a model with a PLDA in whose space voices differ much."""
    psi = np.linspace(8, 2, DIM)
    plda = ssahc.Plda(np.zeros(DIM), np.eye(DIM) * np.sqrt(1 + psi.mean()), psi)
    return Model(mean=np.zeros(DIM), transform=np.eye(DIM), plda=plda)


@dataclass
class LinkedRuns:
    """Runs of two recordings each, with four voices, in the working directory.

    `ssahc` runs the command line.
    """

    folder: Path
    ssahc: Callable[..., Any]
    model: Model = field(default_factory=make_model)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        scale = np.sqrt(self.model.plda.psi)
        self.voices = {name: rng.standard_normal(DIM) * scale for name in "ABCD"}
        write_model_dir("model", self.model)
        for run, recordings in VOICES.items():
            write_xvector_dir(
                f"x_{run}",
                [
                    Recording.from_arrays(f"{run}{number}", *self._speak(rng, names))
                    for number, names in enumerate(recordings)
                ],
            )
            counts = [f"{run}{n} {len(names)}\n" for n, names in enumerate(recordings)]
            (self.folder / f"x_{run}" / "reco2num_spk").write_text("".join(counts))
            self.diarize(run)

    def _speak(
        self, rng: np.random.Generator, names: str
    ) -> tuple[FloatArray, FloatArray]:
        """Return x-vectors and times of a minute of each voice, one after the other."""
        psi = self.model.plda.psi
        rows = np.repeat([self.voices[name] for name in names], 40, axis=0)
        rows = rows + rng.standard_normal(rows.shape) * np.sqrt(0.1 * psi + 0.3)
        # They expect the length of whitened x-vectors.
        rows /= np.sqrt(1 + psi.mean())
        starts = np.arange(len(rows)) * 1.5
        return rows, np.column_stack([starts, starts + 1.5])

    def diarize(self, run: str, *options: object, out: str | None = None) -> None:
        """Diarize a run, and write its speakers."""
        given = ("--model-dir", "model", "--write-speakers", "--system", "plda")
        given += ("--reco2num-spk", f"x_{run}/reco2num_spk", *options)
        result = self.ssahc("diarize", f"x_{run}", out or run, *given)
        assert result.returncode == 0, result.stderr

    def link(self, *arguments: object) -> tuple[int, str]:
        """Return the exit status, and what is said."""
        result = self.ssahc("link", *arguments)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        return result.returncode, result.stderr

    def enroll(self, **voices: str) -> None:
        """Write the folder people, with the x-vectors of voices by name."""
        rng = np.random.default_rng(1)
        own = [
            Recording.from_arrays(f"{name}+1", *self._speak(rng, voice))
            for name, voice in voices.items()
        ]
        write_xvector_dir("people", own)
        lines = [f"{u} {one.id[:-2]}\n" for one in own for u in one.utterances]
        (self.folder / "people" / "utt2spk").write_text("".join(lines))


def people(path: Path | str) -> dict[str, list[str]]:
    """Return the names of each recording's speakers in order of time."""
    return {
        recording: list(dict.fromkeys(turn.speaker for turn in turns))
        for recording, turns in read_rttm(path).turns.items()
    }
