"""Systems for diarizing a recording, and their options."""

import re
from dataclasses import dataclass, field, replace
from math import inf
from typing import Annotated, Literal

from ssahc.backend.fusion import FusionOptions
from ssahc.backend.plda import PldaOptions, is_isotropic
from ssahc.clustering.ahc import AhcOptions
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import ClusteringName, Model
from ssahc.core.validation import Interval, changed_fields
from ssahc.learning.initialization import check_start
from ssahc.learning.options import LearningOptions
from ssahc.pipeline.clustering import ON_VECTORS
from ssahc.resegmentation.options import (
    DEFAULT_DRIFT,
    PLDA_DRIFT,
    ResegmentationOptions,
)
from ssahc.runtime.device import Device

System = Literal["cosine", "plda", "spectral", "ssahc", "ssahc+plda"]
_NEEDS_PLDA = ("plda", "ssahc+plda")
LEARNING: tuple[System, ...] = ("ssahc", "ssahc+plda")
_LEARNED_THRESHOLD = 0.1
# How clusterings without a threshold find the number of speakers.
_RULES = {"kmeans": "x-means", "xmeans": "BIC", "spectral": "eigengap"}


@dataclass(frozen=True)
class SpeakerOptions(Options, group="Speakers"):
    """How many speakers a recording has.

    Parameters
    ----------
    num_speakers : int, optional
        Known number of speakers, the same for all recordings.
    threshold : float, optional
        Merge while the best average affinity is at or above it; with --resegmentation
        vb, nats added to the evidence per speaker; with vbx, added to the recording's
        own threshold on affinities, where two Gaussians fitted to them cross. Default:
        -1 with vb, -0.015 with vbx, 0.1 for ssahc with --start whitened, else 0.
    min_speakers : int
        Minimum number of speakers.
    max_speakers : int, optional
        Maximum number of speakers.
    """

    num_speakers: int | None = None
    threshold: float | None = None
    min_speakers: int = 1
    max_speakers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stop()

    def at_least(self, fewest: int) -> "SpeakerOptions":
        """Return options by which so many speakers are found, unless others are given.

        A known number or a maximum holds nevertheless.
        """
        if self.num_speakers is not None:
            return self
        fewest = max(self.min_speakers, fewest)
        if self.max_speakers is not None:
            fewest = min(fewest, self.max_speakers)
        return replace(self, min_speakers=fewest)

    def stop(self, *, sign: float = 1.0, default: float = 0.0) -> Stop:
        """Return when merging stops; UsageError if a number conflicts with the others.

        `sign` is -1 if the threshold applies to costs; `default` replaces a missing
        one.
        """
        threshold = self.threshold
        if self.num_speakers is None and threshold is None:
            threshold = default
        if threshold is not None:
            threshold *= sign
        return Stop(self.num_speakers, threshold, self.min_speakers, self.max_speakers)


@dataclass(frozen=True)
class DiarizeOptions(Options, group="System"):
    """How a recording is diarized.

    Parameters
    ----------
    system : {"cosine", "plda", "spectral", "ssahc", "ssahc+plda"}, optional
        Affinity that is clustered; spectral is spectral clustering of cosines. Default:
        ssahc+plda if there is a PLDA of speakers or its scores, ssahc if there is a
        whitening or a metric, or an option of learning is given, else cosine.
    final_clustering : {"ahc", "kmeans", "xmeans", "spectral", "vb"}, optional
        Final clustering. The number of speakers is found by --threshold (ahc), x-means
        (kmeans), BIC (xmeans) or the eigengap (spectral); vb is ahc with
        --resegmentation vb. Default: spectral for that system, else ahc.
    pca_dim : int
        Dimension of the recording's PCA for cosine, spectral and the network; 0 keeps
        all dimensions, without a PCA.
    device : {"auto", "cpu", "cuda"}
        Where networks are trained; auto uses a GPU if there is one.
    max_memory : str, optional
        Skip recordings estimated to need more memory per process than this, such as 4G
        or 500M.
    plda : PldaOptions
        Options of the PLDA scores.
    learning : LearningOptions
        Options for training the network.
    fusion : FusionOptions
        Options for fusing learned and PLDA affinities.
    speakers : SpeakerOptions
        Number of speakers.
    ahc : AhcOptions
        Further options of Kaldi's clustering; where they change merges, labels are not
        resegmented.
    resegmentation : ResegmentationOptions
        Options for refining the labels.
    """

    system: System | None = None
    final_clustering: ClusteringName | None = None
    pca_dim: Annotated[int, Interval(ge=0)] = 10
    device: Device = field(default="auto", metadata={"group": "Execution"})
    max_memory: str | None = field(default=None, metadata={"group": "Execution"})
    plda: PldaOptions = field(default_factory=PldaOptions)
    learning: LearningOptions = field(default_factory=LearningOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    ahc: AhcOptions = field(default_factory=AhcOptions)
    resegmentation: ResegmentationOptions = field(default_factory=ResegmentationOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.max_bytes()
        self._check_final_clustering()

    def _check_final_clustering(self) -> None:
        given, asked = self.final_clustering, self.resegmentation.resegmentation
        if self.system == "spectral" and given not in (None, "spectral"):
            raise UsageError(
                f"--system spectral conflicts with --final-clustering {given}; use "
                "--system cosine, or leave one of them out"
            )
        if given == "vb" and asked not in (None, "vb"):
            raise UsageError(
                f"--final-clustering vb conflicts with --resegmentation {asked}; leave "
                "one of them out"
            )
        method = self.final_method()
        if method not in _RULES:
            return
        chosen = f"--final-clustering {given}"
        if self.system == "spectral":
            chosen = "--system spectral"
        if self.speakers.threshold is not None:
            raise UsageError(
                f"{chosen} does not use --threshold: it finds the number of speakers "
                f"by {_RULES[method]}; leave it out, or give bounds or a number"
            )
        if unused := changed_fields(self.ahc):
            raise UsageError(
                f"{chosen} does not use {' and '.join(unused)}, which apply to merges; "
                "leave that out"
            )
        if asked in ("vb", "vbx"):
            raise UsageError(
                f"--resegmentation {asked} starts from merges, and {chosen} makes "
                "none; leave one of them out"
            )

    def final_method(self) -> ClusteringName:
        """Return how the affinity is clustered; ahc for vb, which refines it."""
        if self.system == "spectral":
            return "spectral"
        if self.final_clustering is None or self.final_clustering == "vb":
            return "ahc"
        return self.final_clustering

    def max_bytes(self) -> float:
        """Return `max_memory` in bytes; infinity if there is none."""
        if self.max_memory is None:
            return inf
        found = re.fullmatch(
            r"(\d+(?:\.\d+)?)([KMGT]?)B?", self.max_memory, re.ASCII | re.IGNORECASE
        )
        size = inf
        if found is not None:
            unit = " KMGT".index(found[2].upper() or " ")
            size = float(found[1]) * 1024.0**unit
        if size == inf:
            raise UsageError(
                "--max-memory must be a number of bytes, optionally with K, M, G or T "
                f"as in 4G, found {self.max_memory!r}"
            )
        return size

    def stop(self) -> Stop:
        """Return when merging stops, with a default threshold if none is given.

        Only for settled options (`settle`). At 0, log-likelihood ratios and cosines of
        centred vectors are equally likely for "same" and "different"; cosines of a
        network trained on whitened x-vectors are higher.
        """
        default = self.resegmentation.default_threshold()
        if default is None:
            learned = self.system == "ssahc" and self.learning.start == "whitened"
            default = _LEARNED_THRESHOLD if learned else 0.0
        return self.speakers.stop(default=default)


def choose_system(
    system: System | None, model: Model, *, has_scores: bool = False
) -> System:
    """Return the system that was asked for, or the best one that the inputs allow.

    That is cosine where the model knows no speakers: what a network learned was worse
    than its start then (measured). A UsageError is raised if the system needs a PLDA
    and there is neither one nor its scores.
    """
    has_plda = has_scores or model.plda is not None
    if system is None:
        if knows_no_speakers(model, has_scores=has_scores):
            return "cosine"
        return "ssahc+plda" if has_plda else "ssahc"
    if system in _NEEDS_PLDA and not has_plda:
        raise UsageError(
            f"--system {system} needs a PLDA: give --plda FILE, a --model-dir that "
            "holds one, or --plda-scores, or use --system ssahc"
        )
    return system


def lacks_model(model: Model, *, has_scores: bool = False) -> bool:
    """Whether a model must be learned from the recordings themselves.

    So it is if there is a mean at most, and there are no PLDA scores.
    """
    parts = (model.transform, model.plda, model.metric)
    return not has_scores and all(part is None for part in parts)


def knows_no_speakers(model: Model, *, has_scores: bool = False) -> bool:
    """Whether a model was learned without labels (`fit_unlabelled`), or is to be."""
    learned = model.plda is not None and is_isotropic(model.plda)
    return lacks_model(model, has_scores=has_scores) or (learned and not has_scores)


def uses_plda(system: System | None) -> bool:
    """Whether a system clusters PLDA scores, alone or fused, if there are any."""
    return system is None or system in _NEEDS_PLDA


def settle(
    options: DiarizeOptions, model: Model, *, has_scores: bool = False
) -> DiarizeOptions:
    """Resolve the options that depend on the inputs: system and resegmentation.

    The model is the given one, even if it will be completed (`complete_model`).
    Final clustering vb becomes ahc with resegmentation. Raises a UsageError if the
    system needs a PLDA, vb a PLDA or whitening, k-means or x-means vectors, or the
    start of a network a model (`check_start`), and there is none.
    """
    system = choose_system(options.system, model, has_scores=has_scores)
    sets_learning = options.learning != LearningOptions()
    if options.system is None and system == "cosine" and sets_learning:
        # Who sets options of learning, as the presets of the paper do, wants to learn.
        system = "ssahc"
    if system in LEARNING:
        check_start(options.learning.start, model)
    asked = options.resegmentation.resegmentation
    final, method = options.final_clustering, options.final_method()
    knows_space = (
        model.plda is not None
        or model.transform is not None
        or lacks_model(model, has_scores=has_scores)
    )
    if not knows_space:
        _refuse_vb(options, learns=system in LEARNING)
    if method in ON_VECTORS and has_scores and uses_plda(system):
        raise UsageError(
            f"--final-clustering {method} needs the vectors behind affinities, and "
            "--plda-scores have none; give the PLDA itself, or use --system cosine or "
            "ssahc, or another clustering"
        )
    if final == "vb":
        final, asked = "ahc", "vb"
    if asked is None:
        by_default = options.system is None or system in LEARNING
        refines = knows_space and by_default and method == "ahc"
        asked = "vb" if refines else "none"
    drift = options.resegmentation.drift
    if drift is None and asked == "vb":
        unlabelled = knows_no_speakers(model, has_scores=has_scores)
        drift = DEFAULT_DRIFT if unlabelled else PLDA_DRIFT
    resegmentation = replace(options.resegmentation, resegmentation=asked, drift=drift)
    return replace(
        options, system=system, final_clustering=final, resegmentation=resegmentation
    )


def _refuse_vb(options: DiarizeOptions, *, learns: bool) -> None:
    """Raise a UsageError for vb and vbx: they need a PLDA or a whitening transform."""
    for flag, value, instead in (
        ("resegmentation", options.resegmentation.resegmentation, "none"),
        ("final-clustering", options.final_clustering, "ahc"),
        ("clustering", options.learning.clustering if learns else None, "ahc"),
    ):
        if value in ("vb", "vbx"):
            raise UsageError(
                f"--{flag} {value} needs a PLDA or a whitening transform: give a "
                f"--model-dir or --transform FILE, or use --{flag} {instead}"
            )
