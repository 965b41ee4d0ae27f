"""What Kaldi computed of four recordings; one of them is part of this project."""

import wave
from types import SimpleNamespace

import numpy as np
import pytest
from kaldi_tables import read_table

from ssahc.frontend.features import MfccOptions

# As conf/mfcc_8k.conf and conf/mfcc_16k.conf of the golden set.
OPTIONS = {
    "8k": MfccOptions(
        sample_frequency=8000, high_freq=3700, num_ceps=23, snip_edges=False
    ),
    "16k": MfccOptions(high_freq=7600, num_mel_bins=30, num_ceps=30, snip_edges=False),
}


@pytest.fixture(
    scope="session", params=["trn06-8k", "prompts-8k", "libri-16k", "trn05-16k"]
)
def kaldi(request, golden):
    """A recording, its MFCC options and Kaldi's outputs."""
    name = request.param
    if name == "trn06-8k":
        folder = golden / "frontend"
    else:
        folder = request.getfixturevalue("test_data") / "golden" / "frontend"
    rate = name.split("-")[-1]

    def read(table, kind="matrix"):
        return dict(read_table(folder / "data" / rate / f"{table}.ark", kind))[name]

    def read_lines(table):
        lines = (folder / "data" / rate / table).read_text().splitlines()
        return [line.split() for line in lines if line.split()[1] == name]

    return SimpleNamespace(
        name=name,
        samples=read_wav(folder / "wav" / f"{name}.wav"),
        options=OPTIONS[rate],
        read=read,
        read_lines=read_lines,
    )


def read_wav(path):
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")
