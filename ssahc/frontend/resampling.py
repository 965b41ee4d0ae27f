"""Resampling by a windowed sinc, block by block."""

from collections.abc import Iterable, Iterator
from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ssahc.core.types import Float32Array, FloatArray

# Zero crossings on each side of the filter, and the shape of its Kaiser window: it
# passes 92 % of the band, and what would alias is 80 dB lower.
_CROSSINGS = 32
_BETA = 8.0
# Outputs computed by one matrix product: more reuse its inputs, and waste more zeros.
_WIDTH = 64
# Outputs computed together: always the same ones, so that block sizes do not matter.
_GROUP = 1 << 15


def resample_blocks(
    blocks: Iterable[Float32Array], rate: int, new_rate: int
) -> Iterator[Float32Array]:
    """Yield samples at a new rate, of samples (n,) that come in blocks.

    N samples become ceil(N * new_rate / rate), the first of both at the same time. The
    same samples give the same result, bit for bit, in blocks of any size.

    Parameters
    ----------
    blocks : iterable of (n,) arrays
    rate, new_rate : int
        In Hz.
    """
    resampler = Resampler(rate, new_rate, group=_GROUP)
    for block in blocks:
        if len(resampled := resampler.add(block)):
            yield resampled
    if len(resampled := resampler.finish()):
        yield resampled


class Resampler:
    """Resample audio that comes in blocks; see `resample_blocks`.

    Parameters
    ----------
    rate, new_rate : int
        In Hz; blocks pass unchanged if they are equal.
    group : int, optional
        About how many outputs are computed together. By default all that are complete,
        all but a few milliseconds; they then depend on the sizes of blocks by the
        rounding of float32.
    """

    def __init__(self, rate: int, new_rate: int, *, group: int | None = None) -> None:
        self._is_same = rate == new_rate
        self._up = new_rate // gcd(rate, new_rate)
        self._down = rate // gcd(rate, new_rate)
        self._reach = ceil(_CROSSINGS * max(1.0, self._down / self._up))
        # After `period` outputs, which take `step` inputs, filters repeat themselves.
        self._period = self._up * ceil(_WIDTH / self._up)
        self._step = self._period // self._up * self._down
        self._rows = None if group is None else max(group // self._period, 1)
        self._filters = [
            _filters(
                first,
                min(first + _WIDTH, self._period),
                self._up,
                self._down,
                self._reach,
            )
            for first in range(0, self._period, _WIDTH)
        ]
        # The audio is between zeros.
        self._held: list[Float32Array] = [np.zeros(self._reach, np.float32)]
        self._length, self._total = self._reach, 0

    def add(self, block: Float32Array) -> Float32Array:
        """Take further samples (n,); return those (m,) that they complete."""
        block = np.asarray(block, np.float32)
        if self._is_same:
            return block
        self._held.append(block)
        self._length += len(block)
        self._total += len(block)
        complete = max(self._length - 2 * self._reach, 0) // self._step
        rows = self._rows or complete
        found = [np.zeros(0, np.float32)]
        if 0 < rows <= complete:
            samples = np.concatenate(self._held)
            for _ in range(complete // rows):
                found.append(self._filter(samples, rows))
                samples = samples[rows * self._step :]
            self._held, self._length = [samples], len(samples)
        return np.concatenate(found)

    def finish(self) -> Float32Array:
        """Return the samples (m,) that are left when no more come."""
        before = self._total + self._reach - self._length
        done = before // self._step * self._period
        rest = ceil(self._total * self._up / self._down) - done
        rows = ceil(rest / self._period)
        if self._is_same or rows <= 0:
            return np.zeros(0, np.float32)
        missing = rows * self._step + 2 * self._reach - self._length
        padding = np.zeros(max(missing, 0), np.float32)
        return self._filter(np.concatenate([*self._held, padding]), rows)[:rest]

    def _filter(self, samples: Float32Array, rows: int) -> Float32Array:
        """Return the outputs of `rows` periods."""
        outputs = []
        for begin, values in self._filters:
            # Rows overlap, and the last may end behind the samples, where filters are
            # zero.
            width = len(values)
            places = begin + self._step * np.arange(rows)
            missing = max(int(places[-1]) + width - len(samples), 0)
            padded = np.pad(samples, (0, missing)) if missing else samples
            windows = sliding_window_view(padded, width)[places]
            outputs.append(windows @ values)
        return np.hstack(outputs).ravel()


def _filters(
    first: int, last: int, up: int, down: int, reach: int
) -> tuple[int, Float32Array]:
    """Return the first input of outputs `first` to `last`, and their filters (I, O)."""
    # Inputs are counted from `reach` before that at the time of output 0.
    begin = first * down // up
    end = (last - 1) * down // up + 2 * reach + 2
    inputs = np.arange(begin, end)[:, None] - reach
    distance = inputs - np.arange(first, last) * (down / up)
    cutoff = min(1.0, up / down)
    values = np.sinc(cutoff * distance) * _kaiser(cutoff * distance / _CROSSINGS)
    return begin, (values / values.sum(axis=0)).astype(np.float32)


def _kaiser(place: FloatArray) -> FloatArray:
    """Return the Kaiser window at places from -1 to 1; beyond, it is zero."""
    inside = np.maximum(1 - place**2, 0)
    window: FloatArray = np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA)
    return np.where(inside > 0, window, 0)
