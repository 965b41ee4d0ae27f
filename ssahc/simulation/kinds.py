"""Options that make simulated x-vectors like those of real recordings.

Every figure is read off real sets as ``python -m benchmarks embeddings`` measures them
(docs/results/real.md): drift and noise from the distances of windows by the time
between them, the rest from zeros, mean, directions and turns.
"""

from collections.abc import Mapping
from typing import Any

# Squared distances of one speaker are 0.65 of those of two where windows follow each
# other, 0.8 where they are 30 s apart and more; speakers differ in few directions.
_DRIFTING = {"drift": 0.45, "drift_seconds": 15.0, "speaker_decay": 2.0}
# Of the CAM++ set of AMI: half the elements are 0, the mean is 0.8 to 0.9 of the
# spread, and the largest share of speech that of a concentration of 0.9.
_CAMPP = {
    "dim": 192,
    "relu": True,
    "mean_scale": 0.2,
    "anisotropy": 0.5,
    "noise": 0.1,
    "concentration": 0.9,
}
# Of Resemblyzer: length 1, some dimensions dead (17 to 41 where all that never exceed 0
# are counted), the others mostly 0 or hardly ever.
_RESEMBLYZER = {
    "dim": 256,
    "relu": True,
    "unit_length": True,
    "dead_dims": 15,
    "mean_scale": 0.5,
    "anisotropy": 1.2,
    "noise": 0.08,
    "concentration": 0.9,
}
# Of CALLHOME: Kaldi's x-vectors with a mean 1.5 to 1.75 times the spread, and turns of
# a concentration of 2.
_TELEPHONE = {"dim": 128, "mean_scale": 1.4, "noise": 0.18, "concentration": 2.0}

KINDS: Mapping[str, Mapping[str, Any]] = {
    "campp": _DRIFTING | _CAMPP,
    "resemblyzer": _DRIFTING | _RESEMBLYZER,
    "telephone": _DRIFTING | _TELEPHONE,
}
