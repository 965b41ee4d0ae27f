"""One recording, given as arrays, with options by name."""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

from numpy.typing import ArrayLike

from ssahc.core.constraints import CannotLink
from ssahc.core.errors import UsageError
from ssahc.core.types import (
    NO_MODEL,
    Model,
    Progress,
    Recording,
    as_matrix,
    no_progress,
    suspect_unit,
)
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import diarize_recording
from ssahc.pipeline.keywords import DiarizeKeywords, make_options
from ssahc.pipeline.options import DiarizeOptions
from ssahc.pipeline.second_speakers import add_second_speakers, check_regions

_logger = logging.getLogger(__name__)


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
    cannot_link: CannotLink | None = None,
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
    cannot_link : CannotLink, optional
        Windows that are different speakers; resegmentation vb avoids to join them, and
        networks are trained with them as negatives of each other.
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
    >>> first = diarize(xvectors, segments, num_speakers=3).turns[0]
    >>> first.start, first.end, first.speaker, round(first.confidence, 2)
    (0.0, 4.0, '1', 0.99)
    """
    options = take_options(options, preset, values)
    check_model_type(model)
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
        cannot_link=cannot_link,
        progress=progress,
    )
    if regions is None:
        return found
    together = add_second_speakers(found.exclusive_turns, regions)
    return replace(found, overlapping=tuple(together))


def take_options(
    options: DiarizeOptions | None, preset: str | None, values: DiarizeKeywords
) -> DiarizeOptions:
    """Return options that are given by name or as an object, but not both."""
    if options is None:
        return make_options(preset, **values)
    if values or preset is not None:
        raise UsageError("give options by name or as an object of options, not both")
    if not isinstance(options, DiarizeOptions):
        raise UsageError(f"options come from make_options, found {options!r}")
    return options


def check_model_type(model: object) -> None:
    """Raise a UsageError for what is no model."""
    if not isinstance(model, Model | None):
        raise UsageError(f"a model comes from read_model_dir or Model, found {model!r}")
