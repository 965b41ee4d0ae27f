"""Speech detection by energy, and regions of speech from decisions on frames."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ssahc.core.options import Options
from ssahc.core.types import Float32Array, FloatArray
from ssahc.core.validation import Interval
from ssahc.frontend.features import check_features

BoolArray = NDArray[np.bool_]
# Multiples of a frame shift in seconds are not exact beyond this.
_DIGITS = 6


@dataclass(frozen=True)
class EnergyVadOptions(Options, group="Audio"):
    """Options of speech detection by energy, named as in Kaldi.

    The defaults are those of Kaldi's program; the recipes have others in ``vad.conf``.

    Parameters
    ----------
    vad_energy_threshold : float
        Least log energy of speech, to which part of the mean log energy is added.
    vad_energy_mean_scale : float
        What part of the recording's mean log energy is added to the threshold.
    vad_frames_context : int
        Number of frames on each side that have a vote on a frame.
    vad_proportion_threshold : float
        Share of votes that makes a frame speech.
    """

    vad_energy_threshold: Annotated[float, Interval(ge=-1e6, le=1e6)] = 5.0
    vad_energy_mean_scale: Annotated[float, Interval(ge=0, le=1e6)] = 0.5
    vad_frames_context: Annotated[int, Interval(ge=0, le=100_000)] = 0
    vad_proportion_threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.6


@dataclass(frozen=True)
class RegionOptions(Options, group="Audio"):
    """How decisions on frames become regions; all lengths in seconds.

    Parameters
    ----------
    min_silence : float
        Gaps shorter than this are closed.
    min_speech : float
        Regions shorter than this, once gaps are closed, are dropped.
    speech_padding : float
        Regions are extended by this on both sides, and joined where they touch.
    """

    min_silence: Annotated[float, Interval(ge=0, le=1e6)] = 0.3
    min_speech: Annotated[float, Interval(ge=0, le=1e6)] = 0.25
    speech_padding: Annotated[float, Interval(ge=0, le=1e6)] = 0.0


def energy_vad(
    features: Float32Array, options: EnergyVadOptions = EnergyVadOptions()
) -> BoolArray:
    """Return whether frames (T,) are speech, as Kaldi's ``compute-vad``.

    Parameters
    ----------
    features : (T, D) array
        MFCCs before normalisation; the first of each is the log energy.
    options : EnergyVadOptions

    Raises
    ------
    DataError
        If features are NaN or infinite.
    """
    check_features(features)
    if len(features) == 0:
        return np.zeros(0, bool)
    energies = features[:, 0]
    mean = energies.mean(dtype=np.float64)
    threshold = options.vad_energy_threshold + options.vad_energy_mean_scale * mean
    votes = np.concatenate([[0], np.cumsum(energies > np.float32(threshold))])
    frames, context = np.arange(len(energies)), options.vad_frames_context
    first = np.maximum(frames - context, 0)
    last = np.minimum(frames + context + 1, len(energies))
    # In single precision, as Kaldi: 3 votes of 5 are a share of 0.6.
    least = (last - first).astype(np.float32) * np.float32(
        options.vad_proportion_threshold
    )
    return votes[last] - votes[first] >= least


def speech_regions(
    is_speech: BoolArray,
    frame_shift: float = 0.01,
    options: RegionOptions = RegionOptions(),
) -> FloatArray:
    """Return regions of speech (N, 2), in seconds, from decisions on frames (T,).

    Frame t stands for the time from t to t + 1 times `frame_shift` (seconds).
    """
    edges = np.flatnonzero(np.diff(is_speech, prepend=False, append=False))
    regions = edges.reshape(-1, 2).astype(np.float64) * frame_shift
    return smooth_regions(regions, len(is_speech) * frame_shift, options)


def smooth_regions(
    regions: FloatArray, end: float, options: RegionOptions = RegionOptions()
) -> FloatArray:
    """Close gaps in sorted regions (N, 2), in seconds, drop short ones, extend all.

    None reaches beyond `end`, where the recording ends.
    """
    regions = drop_short(close_gaps(regions, options.min_silence), options.min_speech)
    padding = np.array([-options.speech_padding, options.speech_padding])
    padded = np.clip(regions + padding, 0.0, end)
    return close_gaps(padded, 0.0).round(_DIGITS)


def drop_short(regions: FloatArray, shortest: float) -> FloatArray:
    """Drop regions (N, 2) that are shorter than this."""
    lengths = (regions[:, 1] - regions[:, 0]).round(_DIGITS)
    return regions[lengths >= shortest]


def close_gaps(regions: FloatArray, shortest: float) -> FloatArray:
    """Join sorted regions (N, 2) that touch, or have less than `shortest` between."""
    if len(regions) == 0:
        return regions
    gaps = (regions[1:, 0] - regions[:-1, 1]).round(_DIGITS)
    opens = (gaps >= shortest) & (gaps > 0)
    starts = regions[np.concatenate([[True], opens]), 0]
    ends = regions[np.concatenate([opens, [True]]), 1]
    return np.column_stack([starts, ends])
