"""What is done to a recording: the systems there are, and all their options."""

import re
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

from ssahc.backend.fusion import FusionOptions
from ssahc.backend.plda import PldaOptions
from ssahc.clustering.ahc import AhcOptions
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import UsageError
from ssahc.core.types import Model
from ssahc.core.validation import changed_fields, check_fields
from ssahc.learning.initialization import check_start
from ssahc.learning.optimizer import Device
from ssahc.learning.ssa import LearningOptions
from ssahc.pipeline.clustering import ON_VECTORS, ClusteringName
from ssahc.resegmentation.resegment import DEFAULT_THRESHOLD, ResegmentationOptions

System = Literal["cosine", "plda", "spectral", "ssahc", "ssahc+plda"]
_NEEDS_PLDA = ("plda", "ssahc+plda")
LEARNING = ("ssahc", "ssahc+plda")
_LEARNED_THRESHOLD = 0.1
# How the clusterings that know no threshold find the number of speakers.
_RULES = {"kmeans": "x-means", "xmeans": "BIC", "spectral": "eigengap"}


@dataclass(frozen=True)
class SpeakerOptions:
    """How many speakers a recording has.

    Parameters
    ----------
    num_speakers : int, optional
        Known number of speakers, the same for all recordings.
    threshold : float, optional
        Merge while the best average affinity is at or above it; with resegmentation,
        find the number of speakers with the most evidence, to which each speaker adds
        so many nats. If not given: -1 with resegmentation; 0.1 for ssahc unless it
        starts as the model; else 0.
    min_speakers : int
        Never fewer speakers than this.
    max_speakers : int, optional
        Never more speakers than this.
    """

    num_speakers: int | None = None
    threshold: float | None = None
    min_speakers: int = 1
    max_speakers: int | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.stop()

    def stop(self, *, sign: float = 1.0, default: float = 0.0) -> Stop:
        """Return when merging stops.

        Parameters
        ----------
        sign : float
            -1 if the threshold is one on costs.
        default : float
            Threshold if none is given.

        Raises
        ------
        UsageError
            If an exact number stands beside a threshold or bounds.
        """
        threshold = self.threshold
        if self.num_speakers is None and threshold is None:
            threshold = default
        if threshold is not None:
            threshold *= sign
        return Stop(self.num_speakers, threshold, self.min_speakers, self.max_speakers)


@dataclass(frozen=True)
class DiarizeOptions:
    """What is done to a recording.

    Parameters
    ----------
    system : {"cosine", "plda", "spectral", "ssahc", "ssahc+plda"}, optional
        Affinity that is clustered; "spectral" is that of "cosine", clustered
        spectrally. If not given: ssahc+plda if there is a PLDA or its scores, else
        ssahc.
    final_clustering : {"ahc", "kmeans", "xmeans", "spectral", "vb"}, optional
        How the affinity is clustered in the end; without a known number, ahc merges
        down to the threshold, kmeans asks x-means for the number, xmeans splits while
        BIC rises, spectral looks for the eigengap, and vb is ahc with resegmentation
        vb. If not given: spectral for the system of that name, else ahc.
    pca_dim : int
        Dimensions of the recording's PCA for cosine, spectral and the network.
    device : {"auto", "cpu", "cuda"}
        Where networks are trained; auto is the GPU if there is one.
    max_memory : str, optional
        Skip recordings that are estimated to need more memory than this, such as 4G or
        500M, in any one process, with what it takes already.
    plda : PldaOptions
        Of the PLDA scores.
    learning : LearningOptions
        Of the network.
    fusion : FusionOptions
        Of the two.
    speakers : SpeakerOptions
        When merging stops.
    ahc : AhcOptions
        Kaldi's further options of the clustering; where they steer merges, there is no
        resegmentation.
    resegmentation : ResegmentationOptions
        Of the labels.
    """

    system: System | None = None
    final_clustering: ClusteringName | None = None
    pca_dim: int = 10
    device: Device = "auto"
    max_memory: str | None = None
    plda: PldaOptions = field(default_factory=PldaOptions)
    learning: LearningOptions = field(default_factory=LearningOptions)
    fusion: FusionOptions = field(default_factory=FusionOptions)
    speakers: SpeakerOptions = field(default_factory=SpeakerOptions)
    ahc: AhcOptions = field(default_factory=AhcOptions)
    resegmentation: ResegmentationOptions = field(default_factory=ResegmentationOptions)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.pca_dim < 1:
            raise UsageError(f"pca-dim must be 1 or more, found {self.pca_dim}")
        self.max_bytes()
        self._check_final_clustering()

    def _check_final_clustering(self) -> None:
        given, asked = self.final_clustering, self.resegmentation.resegmentation
        method, kind = self.final_method(), "clustering"
        flag = f"--final-clustering {given}"
        if self.system == "spectral":
            if given not in (None, "spectral"):
                raise UsageError(
                    f"--system spectral is clustered spectrally, which {flag} is not; "
                    "use --system cosine, or leave one of them out"
                )
            flag, kind = "--system spectral", "system"
        if method in _RULES and self.speakers.threshold is not None:
            raise UsageError(
                f"{flag} knows no --threshold: it finds the number of speakers by "
                f"{_RULES[method]}; leave it out, or give bounds or a number"
            )
        steering = changed_fields(self.ahc)
        if method in _RULES and steering:
            raise UsageError(
                f"{flag} makes no merges that {' and '.join(steering)} could steer; "
                "leave that out"
            )
        if method in _RULES and asked == "vb":
            raise UsageError(
                f"--resegmentation vb starts from merges, and {flag} makes none; use "
                f"another {kind}"
            )
        if given == "vb" and asked == "none":
            raise UsageError(
                f"{flag} is ahc with --resegmentation vb, and --resegmentation none "
                "stands beside it; leave one of them out"
            )

    def final_method(self) -> ClusteringName:
        """Return how the affinity is clustered; ahc for vb, which refines that."""
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
                "max-memory must be a number of bytes, or one with K, M, G or T after "
                f"it such as 4G, found {self.max_memory!r}"
            )
        return size

    def stop(self) -> Stop:
        """Return when merging stops, by a default where nothing is said of it.

        Of options that are settled (`settle`). The cosines that a network has learned
        from whitened x-vectors lie higher than others; at 0, log-likelihood ratios and
        cosines of centred vectors find "same" and "different" equally likely.
        """
        default = 0.0
        if self.resegmentation.resegmentation == "vb":
            default = DEFAULT_THRESHOLD
        elif self.system == "ssahc" and self.learning.start == "whitened":
            default = _LEARNED_THRESHOLD
        return self.speakers.stop(default=default)


def choose_system(
    system: System | None, model: Model, *, has_scores: bool = False
) -> System:
    """Return the system to run: the one asked for, or the best there is input for.

    Parameters
    ----------
    system : str, optional
    model : Model
    has_scores : bool
        Whether PLDA scores are given ready-made.

    Raises
    ------
    UsageError
        If the system needs a PLDA and there is neither a model nor scores.
    """
    has_plda = has_scores or model.plda is not None
    if system is None:
        return "ssahc+plda" if has_plda else "ssahc"
    if system in _NEEDS_PLDA and not has_plda:
        raise UsageError(
            f"--system {system} needs a PLDA: give --plda FILE, a --model-dir that "
            "holds one, or --plda-scores, or use --system ssahc"
        )
    return system


def uses_plda(system: System | None) -> bool:
    """Whether a system clusters PLDA scores, alone or fused, if there are any."""
    return system is None or system in _NEEDS_PLDA


def settle(
    options: DiarizeOptions, model: Model, *, has_scores: bool = False
) -> DiarizeOptions:
    """Return the options with a system, and whether labels are resegmented, decided.

    The final clustering vb is ahc and a resegmentation from here on.

    Parameters
    ----------
    options : DiarizeOptions
    model : Model
    has_scores : bool
        Whether PLDA scores are given ready-made.

    Raises
    ------
    UsageError
        If the system needs a PLDA that is not there; if vb is asked for and there is
        nothing to know the x-vectors' space by; if k-means or x-means is, and there are
        scores alone; if networks cannot start as they should (`check_start`).
    """
    system = choose_system(options.system, model, has_scores=has_scores)
    if system in LEARNING:
        check_start(options.learning.start, model)
    asked = options.resegmentation.resegmentation
    final, method = options.final_clustering, options.final_method()
    knows_space = model.plda is not None or model.transform is not None
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
        refines = knows_space and system in LEARNING and method == "ahc"
        asked = "vb" if refines else "none"
    resegmentation = replace(options.resegmentation, resegmentation=asked)
    return replace(
        options, system=system, final_clustering=final, resegmentation=resegmentation
    )


def _refuse_vb(options: DiarizeOptions, *, learns: bool) -> None:
    """Refuse a VB-HMM where there is no space for it."""
    for flag, value, instead in (
        ("resegmentation", options.resegmentation.resegmentation, "none"),
        ("final-clustering", options.final_clustering, "ahc"),
        ("clustering", options.learning.clustering if learns else None, "ahc"),
    ):
        if value == "vb":
            raise UsageError(
                f"--{flag} vb needs a PLDA or a whitening transform: give a "
                f"--model-dir or --transform FILE, or use --{flag} {instead}"
            )
