"""What Kaldi's agglomerative-cluster made of 52 small score matrices."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from ssahc.clustering.ahc import AhcOptions
from ssahc.clustering.stopping import Stop
from ssahc.io.ark import read_table
from ssahc.io.text import read_labels, read_reco2num_spk, read_spk2utt


@dataclass(frozen=True)
class KaldiRun:
    """One matrix with one set of options; costs are turned into similarities."""

    recording: str
    affinity: np.ndarray
    stop: Stop
    options: AhcOptions
    labels: list[int]


@pytest.fixture(scope="session")
def kaldi_runs(golden):
    """Return a function from the name of a set of options to its runs."""
    folder = golden / "ahc_random"
    arguments = json.loads((folder / "runs.json").read_text())
    assert len(arguments) == 27
    utterances = read_spk2utt(folder / "reco2utt")
    matrices = list(read_table(folder / "scores.ark", "matrix"))
    assert len(matrices) == 52

    def read(name):
        options = dict(argument[2:].split("=", 1) for argument in arguments[name])
        sign = -1 if options.get("read-costs") == "true" else 1
        counts = {}
        if table := options.get("reco2num-spk-rspecifier"):
            counts = read_reco2num_spk(folder / table.removeprefix("ark,t:"))
        ahc = AhcOptions(
            float(options.get("max-spk-fraction", 1)),
            int(options.get("first-pass-max-utterances", 32767)),
        )
        labels = read_labels(folder / f"labels_{name}")
        for recording, matrix in matrices:
            if counts:
                stop = Stop(num_speakers=counts[recording])
            else:
                stop = Stop(threshold=sign * float(options["threshold"]))
            expected = [labels[utterance] - 1 for utterance in utterances[recording]]
            yield KaldiRun(recording, sign * matrix, stop, ahc, expected)

    return read
