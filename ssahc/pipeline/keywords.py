"""The options of `ssahc.diarize` as keywords, for editors and type checkers.

Names, types and meaning are those of `DiarizeOptions` and the classes nested in it.
"""

from typing import Literal, TypedDict

from ssahc.core.types import ClusteringName
from ssahc.learning.initialization import FirstLayer, SecondLayer
from ssahc.learning.losses.options import Distance, LossName, MarginKind, Triplets
from ssahc.learning.losses.ssa import TripletForm
from ssahc.learning.mining import Sampling
from ssahc.pipeline.options import System
from ssahc.resegmentation.options import ResegmentationName
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
