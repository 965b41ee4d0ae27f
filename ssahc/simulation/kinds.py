"""Options that make simulated x-vectors like those of real recordings.

Every figure is read off real sets as ``python -m benchmarks embeddings`` measures them
(docs/results/simulated.md): drift and noise from the distances of windows by the time
between them, the rest from zeros, mean, directions and turns.
"""

from collections.abc import Mapping
from typing import Any

# Whitened squared distances of one speaker are 0.65 to 0.7 of those of two where
# windows follow each other, and 0.8 where they are 30 s apart and more, on real calls
# and meetings (prompts and short conversations drift less). The noise is that of two
# real calls under Kaldi's PLDA.
_DRIFTING = {
    "drift": 0.45,
    "noise": 1.15,
    "speaker_decay": 2.0,
}
# CAM++ on excerpts of AMI: half the elements are 0, by dimension 16 to 79 %; the mean
# is 0.8 times the spread; windows of a speaker differ in 123 directions, speakers in
# 24; the shares of speech have a concentration of 0.9.
_CAMPP = {
    "dim": 192,
    "relu": True,
    "mean_scale": 0.6,
    "speaker_variance": 0.9,
    "anisotropy": 0.7,
    "concentration": 0.9,
}
# Resemblyzer on the same: length 1; 17 to 41 of 256 dimensions are dead, by set, few of
# them because the ReLU never opens; the mean is 1.1 times the spread; 51 and 15
# directions.
_RESEMBLYZER = {
    "dim": 256,
    "relu": True,
    "unit_length": True,
    "dead_dims": 15,
    "mean_scale": 2.0,
    "speaker_variance": 0.9,
    "anisotropy": 1.3,
    "concentration": 0.9,
}
# Kaldi's x-vectors of CALLHOME: the mean is 1.5 to 1.75 times the spread; 59 and 17
# directions; distances rise for more than 30 s; the shares of speech have a
# concentration of 2.
_TELEPHONE = {
    "dim": 128,
    "drift_seconds": 30.0,
    "mean_scale": 3.2,
    "speaker_variance": 0.65,
    "anisotropy": 0.9,
    "concentration": 2.0,
}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "campp": _DRIFTING | _CAMPP,
    "resemblyzer": _DRIFTING | _RESEMBLYZER,
    "telephone": _DRIFTING | _TELEPHONE,
}
