"""The Python interface: what ``import ssahc`` offers."""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from numpy.typing import ArrayLike

from ssahc.audio import diarize_audio
from ssahc.backend.affinity import Affinity
from ssahc.backend.fusion import FusionOptions
from ssahc.backend.plda import PldaOptions
from ssahc.backend.training import TrainingOptions, fit_model
from ssahc.backend.trials import embed, score_trials
from ssahc.backend.unsupervised import estimate_mean, fit_unlabelled
from ssahc.clustering.ahc import AhcOptions
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.constraints import CannotLink
from ssahc.core.errors import DataError, FormatError, SsahcError, UsageError
from ssahc.core.types import (
    Centroid,
    EmbeddingNet,
    Fault,
    Model,
    Plda,
    Recording,
    RttmObject,
    Turn,
)
from ssahc.frontend.extraction import ExtractionOptions, extract_audio
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.online_extraction import OnlineExtractor
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import SegmentationOptions
from ssahc.frontend.vad import EnergyVadOptions, RegionOptions
from ssahc.frontend.windows import WindowOptions
from ssahc.io import rttm
from ssahc.io.model import read_model_dir, write_model_dir
from ssahc.io.overlap import read_overlap
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_attributes
from ssahc.io.trials import read_trials
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.learning.losses.options import LossOptions, MetricOptions
from ssahc.learning.options import LearningOptions, Period
from ssahc.linking.options import LinkOptions
from ssahc.pipeline.arrays import check_model_type, diarize
from ssahc.pipeline.clustering import Windows, cluster_windows, make_windows
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import diarize_recording
from ssahc.pipeline.identification import Identification, identify_speakers
from ssahc.pipeline.keywords import DiarizeKeywords, make_options
from ssahc.pipeline.linking import link_speakers
from ssahc.pipeline.online import Announcement, Ended, OnlineDiarizer
from ssahc.pipeline.options import DiarizeOptions, SpeakerOptions
from ssahc.pipeline.overlap import SecondSpeakerOptions
from ssahc.pipeline.tune import Sweep, pool_sweeps, sweep_recording
from ssahc.runtime.device import Device
from ssahc.scoring.across import AcrossScore, score_across
from ssahc.scoring.breakdown import Summary, break_down, count_speakers, summarize
from ssahc.scoring.calibration import Calibration, calibrate, pool_calibrations
from ssahc.scoring.der import Score, score_corpus, score_recording
from ssahc.scoring.detection import (
    Verification,
    VerificationOptions,
    equal_error_rate,
    min_dcf,
    verify,
)
from ssahc.scoring.label_scorer import LabelScorer
from ssahc.scoring.regions import ScoringOptions

if TYPE_CHECKING:
    from ssahc.learning.embedding_training import TrainedEmbeddingNet

__all__ = [
    "AcrossScore",
    "Affinity",
    "AhcOptions",
    "Announcement",
    "Calibration",
    "CannotLink",
    "Centroid",
    "DataError",
    "Diarization",
    "DiarizeKeywords",
    "DiarizeOptions",
    "EmbeddingNet",
    "Ended",
    "EnergyVadOptions",
    "ExtractionOptions",
    "Extractor",
    "Fault",
    "FormatError",
    "FusionOptions",
    "Identification",
    "LabelScorer",
    "LearningOptions",
    "LinkOptions",
    "LossOptions",
    "MergeHistory",
    "Metric",
    "MetricOptions",
    "Model",
    "OnlineDiarizer",
    "OnlineExtractor",
    "Period",
    "Plda",
    "PldaOptions",
    "Recording",
    "RegionOptions",
    "RttmObject",
    "Score",
    "ScoringOptions",
    "SecondSpeakerOptions",
    "SegmentationOptions",
    "Segmenter",
    "SpeakerOptions",
    "SsahcError",
    "Stop",
    "Summary",
    "Sweep",
    "TrainingOptions",
    "Turn",
    "UsageError",
    "Verification",
    "VerificationOptions",
    "WindowOptions",
    "Windows",
    "break_down",
    "calibrate",
    "cluster_windows",
    "count_speakers",
    "diarize",
    "diarize_audio",
    "diarize_recording",
    "embed",
    "equal_error_rate",
    "estimate_mean",
    "extract_audio",
    "fit_model",
    "fit_unlabelled",
    "identify_speakers",
    "link_speakers",
    "make_options",
    "make_windows",
    "min_dcf",
    "open_xvector_dir",
    "pool_calibrations",
    "pool_sweeps",
    "read_attributes",
    "read_model_dir",
    "read_overlap",
    "read_recordings",
    "read_rttm",
    "read_trials",
    "score_across",
    "score_corpus",
    "score_recording",
    "score_trials",
    "summarize",
    "sweep_recording",
    "train_metric",
    "verify",
    "write_model_dir",
    "write_rttm",
    "write_xvector_dir",
]

_logger = logging.getLogger(__name__)

# The earlier name.
Metric = EmbeddingNet


def train_metric(
    xvectors: ArrayLike,
    speakers: Sequence[str],
    *,
    model: Model | None = None,
    options: MetricOptions | None = None,
    device: Device = "auto",
) -> TrainedEmbeddingNet:
    """Train an embedding network on labelled x-vectors, as ``ssahc train-metric`` does.

    Parameters
    ----------
    xvectors : (N, D) array
        As extracted.
    speakers : sequence of N str
        Speaker of every x-vector.
    model : Model, optional
        Mean, whitening and PLDA to start from; by default estimated from the x-vectors
        of the speakers that are not held out.
    options : MetricOptions, optional
    device : {"auto", "cpu", "cuda"}

    Returns
    -------
    TrainedEmbeddingNet
        Its ``model`` is one to `diarize` with; its ``epochs`` are the training log.

    Raises
    ------
    DataError
        If values are not finite, numbers disagree, or there are too few speakers.
    UsageError
        If options contradict each other, or the model lacks what they need.
    """
    options = MetricOptions() if options is None else options
    if not isinstance(options, MetricOptions):
        raise UsageError(f"options come from MetricOptions, found {options!r}")
    check_model_type(model)
    if device not in get_args(Device):
        raise UsageError(f"device must be auto, cpu or cuda, found {device!r}")
    # Here, since torch takes seconds to load.
    from ssahc.learning.embedding_training import train_embedding_net

    return train_embedding_net(xvectors, speakers, model, options, device=device)


def write_rttm(
    path: Path | str,
    turns: Diarization | Mapping[str, Diarization | Sequence[Turn]],
    *,
    channel: str = "0",
    with_confidence: bool = False,
) -> None:
    """Write an RTTM as Kaldi's ``make_rttm.py``: recordings sorted, milliseconds.

    Parameters
    ----------
    path : Path or str
    turns : Diarization, or mapping of str to Diarization or sequence of Turn
        One recording, or several by their ids.
    channel : str
        Third field of every line.
    with_confidence : bool
        Write the confidence of turns that have one into the ninth field.

    Raises
    ------
    DataError
        If a line would not be read back unchanged; then nothing is written.
    UsageError
        If turns are given without the id of their recording.
    """
    if isinstance(turns, Diarization):
        turns = {turns.recording_id: turns}
    if not isinstance(turns, Mapping):
        raise UsageError(
            "turns need the id of their recording: give a Diarization, or a dict of id "
            f"to turns, found {type(turns).__name__}"
        )
    plain = {
        name: group.turns if isinstance(group, Diarization) else group
        for name, group in turns.items()
    }
    rttm.write_rttm(path, plain, channel=channel, with_confidence=with_confidence)
