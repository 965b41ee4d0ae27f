"""Extractors: what turns audio and windows into one embedding a window."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssahc.core.errors import DataError, SsahcError, UsageError
from ssahc.core.types import (
    NO_MODEL,
    BriefRepr,
    Float32Array,
    FloatArray,
    IntArray,
    Model,
    as_matrix,
)
from ssahc.frontend.feature_options import MfccOptions
from ssahc.frontend.vad import EnergyVadOptions
from ssahc.frontend.windows import OVERSHOOT, frame_ranges
from ssahc.runtime.device import Device, has_gpu

# Windows that start within this many frames, or as many windows, are embedded together.
_GROUP_FRAMES = 3000
_GROUP_WINDOWS = 256
# Frames of features that are given as an array are taken in blocks.
_BLOCK = 3000
# Samples of one channel, or blocks of them; on the scale of 16-bit audio.
Samples = NDArray[np.generic] | Iterable[NDArray[np.generic]]


class FrameSource(Protocol):
    """Features of a recording, of which a stretch is taken at a time."""

    @property
    def end(self) -> int:
        """Number of frames that are known so far."""

    def take(self, first: int, last: int) -> Float32Array:
        """Return frames `first` to `last`, or fewer at the end; `first` never falls."""


@dataclass(frozen=True, eq=False, repr=False)
class Extractor(BriefRepr):
    """A model that embeds windows of a recording, and the features it needs.

    Parameters
    ----------
    name : str
        For messages.
    sample_rate : int
        Of the audio that it takes, in Hz.
    dim : int
        Dimension of the embeddings.
    frame_shift : float
        Seconds from one frame of features to the next.
    frame_length : float
        Seconds of audio that a frame of features is computed from, at most.
    overhang : int
        Frames at the end of a window that reach beyond it, and are left out.
    context : int
        Frames around a window that its embedding depends on, such as those of a sliding
        mean.
    lookahead : int
        How many of them after a window are needed while the audio goes on. Twice as
        many are needed in all, since a centred mean is shifted at the start.
    compute_features : callable
        Takes blocks (n,) of samples, and yields blocks (t, F) of features.
    embed_frames : callable
        Takes a stretch of features (T, F) and ranges (N, 2) of frames in it, none of
        them empty; returns embeddings (N, D).
    model : Model
        What is known about the embeddings: that of a Kaldi model folder, or, of
        ``campplus``, one learned without labels.
    mfcc : MfccOptions, optional
        Of a Kaldi model folder's ``mfcc.conf``.
    vad : EnergyVadOptions, optional
        How speech is detected by the recipes of a Kaldi model: what ``vad.conf`` in its
        folder says, or Kaldi's defaults.
    """

    name: str
    sample_rate: int
    dim: int
    frame_shift: float
    frame_length: float = field(repr=False)
    overhang: int = field(repr=False)
    context: int = field(repr=False)
    lookahead: int = field(repr=False)
    compute_features: Callable[
        [Iterable[NDArray[np.generic]]], Iterator[Float32Array]
    ] = field(repr=False)
    embed_frames: Callable[[Float32Array, IntArray], Float32Array] = field(repr=False)
    model: Model = NO_MODEL
    mfcc: MfccOptions | None = field(default=None, repr=False)
    vad: EnergyVadOptions | None = field(default=None, repr=False)

    @classmethod
    def load(cls, model: Path | str, *, device: Device = "auto") -> "Extractor":
        """Load an extractor, and try it on a second of noise.

        Parameters
        ----------
        model : Path or str
            A Kaldi model folder (``final.raw``, ``mfcc.conf``, ``extract.config``), an
            ONNX file with its features described in a TOML file beside it, or the name
            of a model from an installed package, such as ``campplus``.
        device : {"auto", "cpu", "cuda"}
            Where networks are computed; by default on a GPU if there is one.

        Raises
        ------
        FormatError
            If a file is missing, damaged, or of another kind, or if dimensions
            disagree.
        UsageError
            If there is no such model or device, or a package that it needs is not
            installed.
        """
        from ssahc.frontend.extractors.loading import load_extractor

        extractor = load_extractor(model, "cuda" if has_gpu(device) else "cpu")
        _try(extractor)
        return extractor

    def embed(self, samples: Samples, windows: ArrayLike) -> Float32Array:
        """Embed windows of a recording.

        Parameters
        ----------
        samples : (S,) array, or iterable of (s,) arrays
            At `sample_rate`, on the scale of 16-bit audio, -32768 to 32767. Of blocks,
            memory does not grow with the length of the recording.
        windows : (N, 2) array
            Start and end of every window, in seconds; the end may be half a second
            after that of the audio, as in Kaldi.

        Returns
        -------
        (N, dim) array

        Raises
        ------
        DataError
            If samples are not of one channel, a sample or an embedding is not finite,
            or a window is not within the audio or has no frame.
        """
        if isinstance(samples, np.ndarray):
            samples = [samples]
        features = self.compute_features(map(one_channel, samples))
        return self.embed_from(_Stretches(features), windows)

    def embed_features(self, features: ArrayLike, windows: ArrayLike) -> Float32Array:
        """Embed windows (N, 2), in seconds, of features (T, F) computed elsewhere.

        They must be as `compute_features` gives them, such as the MFCC of a Kaldi data
        folder. Raises a DataError as `embed`.
        """
        array = np.asarray(features, np.float32)
        if array.ndim != 2:
            raise DataError(f"expected features (T, F), found shape {array.shape}")
        blocks = (array[i : i + _BLOCK] for i in range(0, len(array), _BLOCK))
        return self.embed_from(_Stretches(blocks), windows)

    def frames_in(self, windows: FloatArray) -> IntArray:
        """Return ranges (N, 2) of the frames that windows (N, 2) are embedded from."""
        ranges = frame_ranges(windows, self.frame_shift)
        ranges[:, 1] -= self.overhang
        return ranges

    def embed_from(self, source: "FrameSource", windows: ArrayLike) -> Float32Array:
        """Embed windows (N, 2), in seconds, of features that a source gives.

        Raises a DataError as `embed`.
        """
        times = as_matrix(windows, "windows")
        _check_windows(times)
        ranges = self.frames_in(times)
        _check_lengths(ranges, times)
        embeddings = np.empty((len(ranges), self.dim), np.float32)
        for rows in _group(ranges):
            first = max(int(ranges[rows, 0].min()) - self.context, 0)
            last = int(ranges[rows, 1].max()) + self.context
            features = source.take(first, last)
            inside = np.minimum(ranges[rows] - first, len(features))
            beyond = ranges[rows, 1] - first - inside[:, 1]
            is_bad = (inside[:, 0] >= inside[:, 1]) | (
                beyond * self.frame_shift > OVERSHOOT
            )
            if is_bad.any():
                row = int(rows[is_bad][0])
                raise _not_within(row, times[row], source.end * self.frame_shift)
            embeddings[rows] = self.embed_frames(features, inside)
        self._check_finite(embeddings, times)
        return embeddings

    def _check_finite(self, embeddings: Float32Array, times: FloatArray) -> None:
        bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
        if len(bad):
            start, end = times[bad[0]]
            raise DataError(
                f"{self.name} gives NaN or infinity for window {bad[0]} "
                f"({start:g}-{end:g} s) and {len(bad) - 1} more of {len(times)}"
            )


def _not_within(row: int, window: FloatArray, end: float) -> DataError:
    return DataError(
        f"window {row} ({window[0]:g}-{window[1]:g} s) is not within the audio, which "
        f"ends at {end:.2f} s"
    )


def _check_lengths(ranges: IntArray, times: FloatArray) -> None:
    is_short = ranges[:, 0] >= ranges[:, 1]
    if is_short.any():
        row = int(np.argmax(is_short))
        raise DataError(
            f"window {row} ({times[row, 0]:g}-{times[row, 1]:g} s) is shorter than a "
            "frame; leave it out, or make it longer"
        )


def one_channel(block: ArrayLike) -> NDArray[np.generic]:
    """Return a block of samples; DataError unless it is of one channel."""
    block = np.asarray(block)
    if block.ndim != 1 or block.dtype.kind not in "iuf":
        raise DataError(
            f"expected samples (S,) of one channel, found {block.dtype} of shape "
            f"{block.shape}; of several channels take one, or their mean"
        )
    return block


def _check_windows(times: FloatArray) -> None:
    if times.shape[1] != 2:
        raise DataError(f"expected windows (N, 2) in seconds, found {times.shape}")
    in_order = (times[:, 0] >= 0) & (times[:, 0] < times[:, 1]) & (times[:, 1] < np.inf)
    if not in_order.all():
        row = int(np.argmin(in_order))
        raise DataError(
            f"expected 0 <= start < end in seconds, found {times[row, 0]:g} and "
            f"{times[row, 1]:g} of window {row}"
        )


def _group(ranges: IntArray) -> Iterator[IntArray]:
    """Yield rows in the order of time, those together that share most frames."""
    order = np.argsort(ranges[:, 0], kind="stable")
    starts = ranges[order, 0]
    begin = 0
    while begin < len(order):
        end = int(np.searchsorted(starts, starts[begin] + _GROUP_FRAMES))
        end = min(end, begin + _GROUP_WINDOWS)
        yield order[begin:end]
        begin = end


class _Stretches:
    """Features that come in blocks, of which a stretch is held at a time."""

    def __init__(self, blocks: Iterator[Float32Array]) -> None:
        self._blocks = blocks
        self._held: list[Float32Array] = []
        # The frames held are those from `_first` on, before `end`.
        self._first = self.end = 0

    def take(self, first: int, last: int) -> Float32Array:
        """Return frames `first` to `last`, or fewer at the end; `first` never falls."""
        self._drop(first)
        while self.end < last and (block := next(self._blocks, None)) is not None:
            self._held.append(block)
            self.end += len(block)
            self._drop(first)
        if not self._held:
            return np.zeros((0, 0), np.float32)
        # Views would keep all that was ever held.
        held = np.concatenate(self._held)[max(first - self._first, 0) :].copy()
        self._held, self._first = [held], max(first, self._first)
        return held[: last - self._first]

    def _drop(self, first: int) -> None:
        while self._held and self._first + len(self._held[0]) <= first:
            self._first += len(self._held.pop(0))


def _try(extractor: Extractor) -> None:
    """Embed a second of noise; an error names the extractor."""
    noise = 1000 * np.random.default_rng(0).standard_normal(extractor.sample_rate)
    try:
        extractor.embed(noise.astype(np.float32), [[0.0, 1.0]])
    except (SsahcError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{extractor.name}: does not embed a second of noise ({error})"
        ) from error
