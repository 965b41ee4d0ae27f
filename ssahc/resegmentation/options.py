"""Options of resegmentation."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval, changed_fields

ResegmentationName = Literal["none", "vb", "vbx"]
# Default threshold on the evidence, in nats per speaker: part of the gain from another
# speaker is due to selection among many windows.
DEFAULT_THRESHOLD = -1.0
# Default drift where the model knows no speakers: the one with the lowest error rate
# over real, semi-real and then unseen sets. A PLDA that was trained on sessions of
# speakers counts part of the drift as noise (docs/results).
DEFAULT_DRIFT = 0.1
PLDA_DRIFT = 0.05
# Default threshold of vbx on affinities, less the recording's own: the bias in the
# recipes of VBx.
DEFAULT_VBX_THRESHOLD = -0.015
# Larger or smaller options make floats overflow.
_RANGE = Interval(ge=1e-6, le=1e6)
# Options that a value replaces if they are from a config file or a preset.
DISPLACED_BY_RESEGMENTATION = {
    "resegmentation=none": {"loop_prob", "drift"},
    "resegmentation=vb": {"loop_prob"},
    "resegmentation=vbx": {"loop_seconds", "drift"},
}


@dataclass(frozen=True)
class ResegmentationOptions(Options, group="Resegmentation"):
    """How labels are refined by a VB-HMM, which also estimates how many speakers.

    Parameters
    ----------
    resegmentation : {"none", "vb", "vbx"}, optional
        Refine the labels by a VB-HMM in the space of the PLDA or of whitened x-vectors:
        vb measures noise and finds the number of speakers by its evidence, vbx does as
        VBx (see --preset vbx). Default: vb after ahc if no --system is given, or one
        that learns.
    fa : float
        Effective number of independent observations per non-overlapping window;
        overlapping windows count less. With vbx, per window (F_A of VBx).
    fb : float
        Weight of the prior of the speaker means (F_B of VBx); larger values find fewer
        speakers.
    drift : float, optional
        With vb, variance by which the mean of many windows of a speaker deviates, where
        that of one window is 1; larger values find fewer speakers, 0 takes every
        lasting difference for another speaker. Default: 0.1 for a model that was
        learned without labels, else 0.05.
    loop_seconds : float
        With vb, the same speaker goes on for t seconds with probability
        exp(-t / loop_seconds).
    loop_prob : float
        With vbx, the same speaker goes on at the next window with this probability.
    """

    resegmentation: ResegmentationName | None = None
    fa: Annotated[float, _RANGE] = 1.0
    fb: Annotated[float, _RANGE] = 1.0
    drift: Annotated[float | None, Interval(ge=0, le=1e6)] = None
    loop_seconds: Annotated[float, _RANGE] = 1.0
    loop_prob: Annotated[float, Interval(ge=0, le=0.999999)] = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        changed = changed_fields(self)
        if self.resegmentation == "vbx" and "--loop-seconds" in changed:
            raise UsageError(
                "--resegmentation vbx does not use --loop-seconds; give --loop-prob"
            )
        if self.resegmentation in ("none", "vbx") and "--drift" in changed:
            raise UsageError(
                f"--resegmentation {self.resegmentation} does not use --drift; leave "
                "it out"
            )
        if self.resegmentation != "vbx" and "--loop-prob" in changed:
            raise UsageError(
                "--loop-prob needs --resegmentation vbx; give that as well, or "
                "--loop-seconds instead"
            )

    def default_threshold(self) -> float | None:
        """Return the threshold of a resegmentation if none is given."""
        if self.resegmentation == "vbx":
            return DEFAULT_VBX_THRESHOLD
        return DEFAULT_THRESHOLD if self.resegmentation == "vb" else None
