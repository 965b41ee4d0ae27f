"""The Python interface: what ``import ssahc`` offers."""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, get_args

from numpy.typing import ArrayLike

from ssahc.backend.affinity import Affinity
from ssahc.backend.fusion import FusionOptions
from ssahc.backend.plda import PldaOptions
from ssahc.backend.training import TrainingOptions, fit_model
from ssahc.backend.trials import embed, score_trials
from ssahc.backend.unsupervised import estimate_mean, fit_unlabelled
from ssahc.clustering.ahc import AhcOptions
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.errors import DataError, FormatError, SsahcError, UsageError
from ssahc.core.types import (
    NO_MODEL,
    EmbeddingNet,
    Fault,
    Model,
    Plda,
    Progress,
    Recording,
    RttmObject,
    Turn,
    as_matrix,
    no_progress,
    suspect_unit,
)
from ssahc.frontend.extraction import ExtractionOptions, extract_audio
from ssahc.frontend.extractors import Extractor
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
from ssahc.pipeline.clustering import Windows, cluster_windows, make_windows
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import diarize_recording
from ssahc.pipeline.keywords import DiarizeKeywords, make_options
from ssahc.pipeline.options import DiarizeOptions, SpeakerOptions
from ssahc.pipeline.second_speakers import add_second_speakers, check_regions
from ssahc.pipeline.tune import Sweep, pool_sweeps, sweep_recording
from ssahc.runtime.device import Device
from ssahc.scoring.breakdown import Summary, break_down, count_speakers, summarize
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
    "Affinity",
    "AhcOptions",
    "DataError",
    "Diarization",
    "DiarizeKeywords",
    "DiarizeOptions",
    "EmbeddingNet",
    "EnergyVadOptions",
    "ExtractionOptions",
    "Extractor",
    "Fault",
    "FormatError",
    "FusionOptions",
    "LabelScorer",
    "LearningOptions",
    "LossOptions",
    "MergeHistory",
    "Metric",
    "MetricOptions",
    "Model",
    "Period",
    "Plda",
    "PldaOptions",
    "Recording",
    "RegionOptions",
    "RttmObject",
    "Score",
    "ScoringOptions",
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
    "make_options",
    "make_windows",
    "min_dcf",
    "open_xvector_dir",
    "pool_sweeps",
    "read_attributes",
    "read_model_dir",
    "read_overlap",
    "read_recordings",
    "read_rttm",
    "read_trials",
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


def diarize(
    xvectors: ArrayLike,
    segments: ArrayLike,
    *,
    model: Model | None = None,
    plda_scores: ArrayLike | None = None,
    options: DiarizeOptions | None = None,
    recording_id: str = "recording",
    utterances: Sequence[str] | None = None,
    overlap: ArrayLike | None = None,
    progress: Progress = no_progress,
    preset: str | None = None,
    **values: Unpack[DiarizeKeywords],
) -> Diarization:
    """Say who speaks when in one recording, given as arrays.

    The result equals that of ``ssahc diarize`` with the same data and options.

    Parameters
    ----------
    xvectors : (N, D) array
        One speaker embedding per window, from any extractor.
    segments : (N, 2) array
        Start and end of every window, in seconds.
    model : Model, optional
        Mean, whitening and PLDA, as far as there are any. If there is a mean at most,
        the others are learned from the recording. Several recordings of an extractor
        tell more: see `fit_unlabelled`.
    plda_scores : (N, N) array, optional
        Log-likelihood ratios that take the place of those of the model's PLDA.
    options : DiarizeOptions, optional
        From `make_options`, to be used again; instead of `preset` and `values`.
    recording_id : str
        Names the recording in the answer and in messages, and together with the seed
        decides on sampled triplets.
    utterances : sequence of str, optional
        Names of the windows; numbered if not given.
    overlap : (M, 2) array, optional
        Start and end of every region where two speak at once, in seconds, such as those
        of `read_overlap`; turns get second speakers there.
    progress : callable, optional
        Called with the step ("scoring", "learning", "clustering", "resegmenting"), how
        much of it is done, and how much there is.
    preset : str, optional
        Named set of options, such as "paper-ssa1"; `values` win over it.
    **values
        Options by the names of the command line, such as ``num_speakers=2``; see
        `make_options`.

    Returns
    -------
    Diarization

    Raises
    ------
    DataError
        If shapes disagree or values are not finite.
    UsageError
        If options are unknown or contradict each other, or the system lacks what it
        needs.

    Examples
    --------
    >>> xvectors = np.repeat(np.eye(3), 4, axis=0)
    >>> segments = np.arange(12)[:, None] + [0, 1]
    >>> diarize(xvectors, segments, num_speakers=3).turns[0]
    Turn(start=0.0, end=4.0, speaker='1', confidence=None)
    """
    if options is None:
        options = make_options(preset, **values)
    elif values or preset is not None:
        raise UsageError("give options by name or as an object of options, not both")
    if not isinstance(options, DiarizeOptions):
        raise UsageError(f"options come from make_options, found {options!r}")
    _check_model(model)
    recording = Recording.from_arrays(recording_id, xvectors, segments, utterances)
    if warning := suspect_unit(recording.segments):
        _logger.warning(f"recording {recording.id!r}: {warning}")
    scores = None if plda_scores is None else as_matrix(plda_scores, "PLDA scores")
    regions = None if overlap is None else check_regions(overlap)
    found = diarize_recording(
        recording,
        NO_MODEL if model is None else model,
        options,
        plda_scores=scores,
        progress=progress,
    )
    if regions is None:
        return found
    together = add_second_speakers(found.exclusive_turns, regions)
    return replace(found, overlapping=tuple(together))


def diarize_audio(
    path: Path | str,
    extractor: Extractor | Path | str,
    *,
    segments: ArrayLike | Path | str | None = None,
    channel: int | None = None,
    extraction: ExtractionOptions = ExtractionOptions(),
    model: Model | None = None,
    options: DiarizeOptions | None = None,
    progress: Progress = no_progress,
    preset: str | None = None,
    **values: Unpack[DiarizeKeywords],
) -> Diarization:
    """Say who speaks when in an audio file, as ``ssahc diarize`` does.

    Parameters
    ----------
    path, segments, channel, extraction
        As `extract_audio` takes them.
    extractor : Extractor, Path or str
        From `Extractor.load`, or what that takes: a name such as "campplus", a Kaldi
        model folder, or an ONNX file.
    model : Model, optional
        By default the extractor's; what is lacking is learned from the recording, with
        an empty `Model` all of it.
    options, progress, preset, **values
        As `diarize` takes them, such as ``num_speakers=2``.

    Raises
    ------
    DataError, FormatError, UsageError
        As `extract_audio`, `Extractor.load` and `diarize`.
    """
    if not isinstance(extractor, Extractor):
        extractor = Extractor.load(extractor)
    recording = extract_audio(
        path, extractor, segments=segments, channel=channel, options=extraction
    )
    return diarize(
        recording.xvectors,
        recording.segments,
        model=extractor.model if model is None else model,
        recording_id=recording.id,
        utterances=recording.utterances,
        options=options,
        progress=progress,
        preset=preset,
        **values,
    )


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
    _check_model(model)
    if device not in get_args(Device):
        raise UsageError(f"device must be auto, cpu or cuda, found {device!r}")
    # Here, since torch takes seconds to load.
    from ssahc.learning.embedding_training import train_embedding_net

    return train_embedding_net(xvectors, speakers, model, options, device=device)


def _check_model(model: object) -> None:
    if not isinstance(model, Model | None):
        raise UsageError(f"a model comes from read_model_dir or Model, found {model!r}")


def write_rttm(
    path: Path | str,
    turns: Diarization | Mapping[str, Diarization | Sequence[Turn]],
    *,
    channel: str = "0",
) -> None:
    """Write an RTTM as Kaldi's ``make_rttm.py``: recordings sorted, milliseconds.

    Parameters
    ----------
    path : Path or str
    turns : Diarization, or mapping of str to Diarization or sequence of Turn
        One recording, or several by their ids.
    channel : str
        Third field of every line.

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
    rttm.write_rttm(path, plain, channel=channel)
