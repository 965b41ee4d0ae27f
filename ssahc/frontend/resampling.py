"""Resampling by a windowed sinc, block by block."""

from collections.abc import Iterable, Iterator
from math import ceil, gcd

import numpy as np

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
        In Hz; blocks pass unchanged if they are equal.
    """
    if rate == new_rate:
        yield from blocks
        return
    up, down = new_rate // gcd(rate, new_rate), rate // gcd(rate, new_rate)
    reach = ceil(_CROSSINGS * max(1.0, down / up))
    # After `period` outputs, which take `step` inputs, filters repeat themselves.
    period = up * ceil(_WIDTH / up)
    step = period // up * down
    filters = [
        _filters(first, min(first + _WIDTH, period), up, down, reach)
        for first in range(0, period, _WIDTH)
    ]
    rows = max(_GROUP // period, 1)
    needed = rows * step + 2 * reach
    # The audio is between zeros.
    held: list[Float32Array] = [np.zeros(reach, np.float32)]
    length, total = reach, 0
    for block in blocks:
        held.append(np.asarray(block, np.float32))
        length += len(block)
        total += len(block)
        if length < needed:
            continue
        samples = np.concatenate(held)
        while len(samples) >= needed:
            yield _filter(samples, rows, step, filters)
            samples = samples[rows * step :]
        held, length = [samples], len(samples)
    done = (total + reach - length) // step * period
    rest = ceil(total * up / down) - done
    rows = ceil(rest / period)
    if rows > 0:
        padding = np.zeros(max(rows * step + 2 * reach - length, 0), np.float32)
        yield _filter(np.concatenate([*held, padding]), rows, step, filters)[:rest]


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


def _filter(
    samples: Float32Array,
    rows: int,
    step: int,
    filters: list[tuple[int, Float32Array]],
) -> Float32Array:
    """Return the outputs of `rows` periods."""
    outputs = []
    for begin, values in filters:
        # Rows overlap, and the last may end behind the samples, where filters are zero.
        width = len(values)
        places = begin + step * np.arange(rows)
        missing = max(int(places[-1]) + width - len(samples), 0)
        padded = np.pad(samples, (0, missing)) if missing else samples
        windows = np.lib.stride_tricks.sliding_window_view(padded, width)[places]
        outputs.append(windows @ values)
    return np.hstack(outputs).ravel()
