"""The options of `ssahc.diarize` as keywords, for editors and type checkers.

Names, types and meaning are those of `DiarizeOptions` and the classes nested in it.
"""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

from typing import Literal, TypedDict, Unpack

import numpy as np

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import check_values, combine
from ssahc.core.types import ClusteringName
from ssahc.learning.initialization import FirstLayer, SecondLayer
from ssahc.learning.losses.options import (
    DISPLACED_BY_LOSS,
    Distance,
    LossName,
    MarginKind,
    Triplets,
)
from ssahc.learning.losses.ssa import TripletForm
from ssahc.learning.mining import Sampling
from ssahc.pipeline.options import DiarizeOptions, System
from ssahc.pipeline.presets import load_preset
from ssahc.resegmentation.options import (
    DISPLACED_BY_RESEGMENTATION,
    ResegmentationName,
)
from ssahc.runtime.device import Device


class DiarizeKeywords(TypedDict, total=False):
    """Options of `ssahc.diarize` and `ssahc.make_options`."""

    # Speakers.
    num_speakers: int | None
    threshold: float | None
    min_speakers: int
    max_speakers: int | None
    # System.
    system: System | None
    final_clustering: ClusteringName | None
    pca_dim: int
    # Execution.
    device: Device
    max_memory: str | None
    # Clustering and resegmentation.
    max_spk_fraction: float
    first_pass_max_utterances: int | None
    resegmentation: ResegmentationName | None
    fa: float
    fb: float
    drift: float | None
    loop_seconds: float
    loop_prob: float
    # PLDA and fusion.
    target_energy: float
    length_norm: Literal["plda", "simple", "none"]
    fusion: Literal["raw", "maxabs", "znorm"]
    fusion_weight: float
    # Learning.
    start: FirstLayer
    projection: SecondLayer
    periods: int
    clustering: ClusteringName
    init_threshold: float
    threshold_step: float
    loss: LossName
    triplets: Triplets
    triplet_form: TripletForm
    gamma: float
    gamma_step: float
    lambda_: float
    kc: int
    eta: float
    lr: float
    max_steps: int
    guard: bool
    min_xvectors: int
    seed: int
    # Loss functions.
    sampling: Sampling
    margin: MarginKind
    margin_size: float | None
    scale: float | None
    distance: Distance
    center_weight: float


def make_options(
    preset: str | None = None, **values: Unpack[DiarizeKeywords]
) -> DiarizeOptions:
    """Return options by the names that the command line and config files use.

    Parameters
    ----------
    preset : str, optional
        Named set of values, such as "paper-ssa1"; `values` win over it.
    **values
        Options as in `DiarizeKeywords`, such as ``system="ssahc", num_speakers=2``;
        ``lambda_`` is the command line's ``--lambda``.

    Raises
    ------
    UsageError
        If a name is unknown, a value is of a wrong type, or values contradict each
        other.

    Examples
    --------
    >>> make_options("paper-ssa2", num_speakers=2).learning.gamma
    0.5
    """
    plain = {
        "lambda" if name == "lambda_" else name: (
            value.item() if isinstance(value, np.generic) else value
        )
        for name, value in values.items()
        if value is not None
    }
    try:
        checked = check_values(plain, DiarizeOptions, "make_options")
    except FormatError as error:
        raise UsageError(str(error)) from error
    sources = [] if preset is None else [load_preset(preset, DiarizeOptions)]
    displaces = {**DISPLACED_BY_RESEGMENTATION, **DISPLACED_BY_LOSS}
    return combine(DiarizeOptions, [*sources, checked], displaces)
