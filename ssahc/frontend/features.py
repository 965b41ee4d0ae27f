"""MFCC and log mel filterbank features as Kaldi computes them.

Samples are on the scale of 16-bit audio, -32768 to 32767, as in Kaldi: energies, floors
and dither depend on it. The same samples give the same features, bit for bit, in
blocks of any size.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ssahc.core.errors import DataError, UsageError
from ssahc.core.types import Float32Array, FloatArray
from ssahc.frontend.feature_options import FbankOptions, FrameOptions, MfccOptions

# Energies below this, such as those of digital silence, have the logarithm of this.
ENERGY_FLOOR = float(np.finfo(np.float32).eps)
# Frames computed together: always the same ones, so that block sizes do not matter.
_GROUP = 512
# Whole arrays are taken in blocks of this many samples, to bound memory.
_BLOCK = 1 << 17


# ---- features ----------------------------------------------------------------------


def mfcc(samples: ArrayLike, options: MfccOptions = MfccOptions()) -> Float32Array:
    """Return MFCC features (T, D) of samples (N,), as Kaldi's ``compute-mfcc-feats``.

    Raises
    ------
    DataError
        If samples are not one axis of finite numbers.
    """
    return _gather(samples, options)


def fbank(samples: ArrayLike, options: FbankOptions = FbankOptions()) -> Float32Array:
    """Return filterbank features (T, D) of samples (N,): ``compute-fbank-feats``.

    Raises
    ------
    DataError
        If samples are not one axis of finite numbers.
    """
    return _gather(samples, options)


def _gather(samples: ArrayLike, options: MfccOptions | FbankOptions) -> Float32Array:
    array = np.asarray(samples)
    if array.ndim != 1 or array.dtype.kind not in "fiu":
        raise DataError(
            f"expected samples of one channel, shape (N,), found shape {array.shape} "
            f"of {array.dtype}"
        )
    starts = range(0, len(array), _BLOCK)
    return collect_features((array[i : i + _BLOCK] for i in starts), options)


def collect_features(
    blocks: Iterable[NDArray[np.generic]], options: MfccOptions | FbankOptions
) -> Float32Array:
    """Return features (T, D) of samples that come in blocks; see `feature_blocks`."""
    features = np.empty((_GROUP, options.dim), np.float32)
    done = 0
    for block in feature_blocks(blocks, options):
        if done + len(block) > len(features):
            # In place, where lists and their concatenation would need twice as much.
            features.resize(
                (len(features) * 5 // 4 + _GROUP, options.dim), refcheck=False
            )
        features[done : done + len(block)] = block
        done += len(block)
    features.resize((done, options.dim), refcheck=False)
    return features


def check_features(features: Float32Array) -> None:
    """Raise a DataError if features (T, D) are of other shape, NaN or infinite."""
    if features.ndim != 2:
        raise DataError(f"features must have one row a frame, found {features.shape}")
    usable = np.isfinite(features).all(axis=1)
    if not usable.all():
        raise DataError(
            f"features of frame {int(np.argmin(usable))} hold NaN or infinity "
            f"({int((~usable).sum())} such frames of {len(features)}); compute them "
            "again"
        )


def check_samples(
    block: NDArray[np.generic], done: int, sample_frequency: float
) -> None:
    """Raise a DataError if a sample is NaN or infinite; `done` precede the block."""
    if not np.isfinite(block).all():
        bad = done + int(np.argmin(np.isfinite(block)))
        raise DataError(
            f"sample {bad} (at {bad / sample_frequency:.3f} s) is NaN or infinite; "
            "convert or record the audio again"
        )


def sample_rows(
    blocks: Iterable[NDArray[np.generic]], rate: int
) -> Iterator[Float32Array]:
    """Yield samples that come in blocks (n,) in rows (t, rate / 100) of 10 ms.

    Less than a row at the end is left out. Raises a DataError as `feature_blocks`.
    """
    size = rate // 100
    rest = np.zeros(0, np.float32)
    done = 0
    for block in blocks:
        check_samples(block, done, rate)
        done += len(block)
        samples = np.concatenate([rest, np.asarray(block, np.float32)])
        count = len(samples) // size * size
        rest = samples[count:]
        if count:
            yield samples[:count].reshape(-1, size)


def to_unit_scale(
    blocks: Iterable[NDArray[np.generic]],
) -> Iterator[Float32Array]:
    """Yield blocks of 16-bit samples as samples from -1 to 1."""
    for block in blocks:
        yield np.asarray(block, np.float32) / np.float32(32768)


def num_frames(num_samples: int, options: FrameOptions) -> int:
    """Return how many frames there are in a number of samples."""
    size, shift = options.samples_per_frame, options.samples_per_shift
    if not options.snip_edges:
        return (num_samples + shift // 2) // shift
    return 0 if num_samples < size else 1 + (num_samples - size) // shift


def feature_blocks(
    blocks: Iterable[NDArray[np.generic]], options: MfccOptions | FbankOptions
) -> Iterator[Float32Array]:
    """Yield features (t, D) of samples that come in blocks (n,), as `mfcc` or `fbank`.

    Memory does not grow with the number of blocks.

    Raises
    ------
    DataError
        If a sample is NaN or infinite.
    UsageError
        If a filter lies between two frequencies of the FFT.
    """
    window, filters = frame_window(options), mel_filters(options)
    cepstra = cepstral_transform(options) if isinstance(options, MfccOptions) else None
    for number, frames in enumerate(_frame_groups(blocks, options)):
        signal, energy = _prepare(frames, window, options, number)
        spectrum = np.fft.rfft(signal, options.fft_size)[:, : len(filters)]
        power = spectrum.real**2 + spectrum.imag**2
        if isinstance(options, FbankOptions) and not options.use_power:
            power = np.sqrt(power)
        features = power @ filters
        if cepstra is not None:
            features = np.log(np.maximum(features, ENERGY_FLOOR)) @ cepstra
        elif isinstance(options, FbankOptions) and options.use_log_fbank:
            features = np.log(np.maximum(features, ENERGY_FLOOR))
        yield _place_energy(features, energy, options).astype(np.float32)


def _place_energy(
    features: FloatArray, energy: FloatArray | None, options: FrameOptions
) -> FloatArray:
    is_mfcc = isinstance(options, MfccOptions)
    if energy is not None:
        if options.energy_floor > 0:
            energy = np.maximum(energy, np.log(options.energy_floor))
        # The log energy replaces c0, and is added to a filterbank.
        features = np.column_stack([energy, features[:, 1:] if is_mfcc else features])
    if options.htk_compat and (is_mfcc or energy is not None):
        if energy is None:
            # HTK's discrete cosine transform scales c0 as all others.
            features[:, 0] *= np.sqrt(2)
        features = np.roll(features, -1, axis=1)
    return features


# ---- frames ------------------------------------------------------------------------


def _frame_groups(
    blocks: Iterable[NDArray[np.generic]], options: FrameOptions
) -> Iterator[NDArray[np.generic]]:
    """Yield frames (t, size) in groups of `_GROUP`; the last may be smaller."""
    size, shift = options.samples_per_frame, options.samples_per_shift
    first = options.first_sample
    group_span = (_GROUP - 1) * shift + size
    held: list[NDArray[np.generic]] = []
    # Samples so far; those before `begin` are no longer held.
    total = begin = 0
    for block in blocks:
        check_samples(block, total, options.sample_frequency)
        held.append(block)
        total += len(block)
        if total < first + group_span:
            continue
        samples = np.concatenate(held)
        while total >= first + group_span:
            piece = _cut(samples, begin, total, first, first + group_span)
            yield sliding_window_view(piece, size)[::shift]
            first += _GROUP * shift
        # Reflection at the end goes back by less than a frame.
        kept = max(min(first, total) - size, begin)
        held, begin = [samples[kept - begin :]], kept
    rest = num_frames(total, options) - (first - options.first_sample) // shift
    if rest > 0:
        piece = _cut(
            np.concatenate(held), begin, total, first, first + (rest - 1) * shift + size
        )
        yield sliding_window_view(piece, size)[::shift]


def _cut(
    samples: NDArray[np.generic], begin: int, total: int, first: int, last: int
) -> NDArray[np.generic]:
    """Return samples `first` to `last`, reflected at 0 and `total`."""
    if begin <= first and last <= total:
        return samples[first - begin : last - begin]
    places = np.arange(first, last) % (2 * total)
    return samples[np.minimum(places, 2 * total - 1 - places) - begin]


def _prepare(
    frames: NDArray[np.generic], window: FloatArray, options: FrameOptions, group: int
) -> tuple[FloatArray, FloatArray | None]:
    """Return windowed frames, and their log energies (t,) if they are wanted."""
    signal = frames.astype(np.float64)
    if options.dither > 0:
        # A generator for each group: noise does not depend on what was drawn before.
        noise = np.random.default_rng(group).standard_normal(signal.shape)
        signal += options.dither * noise
    if options.remove_dc_offset:
        signal -= signal.mean(axis=1, keepdims=True)
    raw = _log_energy(signal) if options.use_energy and options.raw_energy else None
    if options.preemphasis_coefficient > 0:
        before = np.hstack([signal[:, :1], signal[:, :-1]])
        signal -= options.preemphasis_coefficient * before
    signal *= window
    if options.use_energy and not options.raw_energy:
        return signal, _log_energy(signal)
    return signal, raw


def _log_energy(signal: FloatArray) -> FloatArray:
    return np.log(np.maximum(np.einsum("ij,ij->i", signal, signal), ENERGY_FLOOR))


# ---- constants ---------------------------------------------------------------------


def frame_window(options: FrameOptions) -> FloatArray:
    """Return the window (samples_per_frame,) that frames are multiplied with."""
    size = options.samples_per_frame
    angle = 2 * np.pi * np.arange(size) / (size - 1)
    hann = 0.5 - 0.5 * np.cos(angle)
    match options.window_type:
        case "povey":
            return hann**0.85
        case "hanning":
            return hann
        case "hamming":
            return 0.54 - 0.46 * np.cos(angle)
        case "sine":
            return np.sin(0.5 * angle)
        case "rectangular":
            return np.ones(size)
        case "blackman":
            a0 = options.blackman_coeff
            return a0 - 0.5 * np.cos(angle) + (0.5 - a0) * np.cos(2 * angle)


def mel_filters(options: FrameOptions) -> FloatArray:
    """Return filters (fft_size / 2, num_mel_bins), triangles on the mel scale."""
    # As in Kaldi, the Nyquist frequency belongs to no filter.
    frequencies = np.arange(options.fft_size // 2) * (
        options.sample_frequency / options.fft_size
    )
    low, high = (_mel(frequency) for frequency in options.mel_range)
    count = options.num_mel_bins
    centres = low + np.arange(count + 2) * (high - low) / (count + 1)
    mels = _mel(frequencies)[:, None]
    rising = (mels - centres[:-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[2:] - mels) / (centres[2:] - centres[1:-1])
    filters = np.maximum(np.minimum(rising, falling), 0)
    if not filters.any(axis=0).all():
        raise UsageError(
            f"--num-mel-bins {count} are so many filters that some lie between the "
            f"frequencies of the FFT, {options.sample_frequency / options.fft_size:g} "
            "Hz apart; give fewer"
        )
    return filters


def _mel(frequencies: ArrayLike) -> FloatArray:
    return 1127.0 * np.log1p(np.asarray(frequencies, np.float64) / 700.0)


def cepstral_transform(options: MfccOptions) -> FloatArray:
    """Return the transform (num_mel_bins, num_ceps) to liftered cepstra."""
    bins, order = options.num_mel_bins, np.arange(options.num_ceps)
    places = np.arange(bins)[:, None] + 0.5
    cosines = np.sqrt(2 / bins) * np.cos(np.pi / bins * places * order)
    cosines[:, 0] = np.sqrt(1 / bins)
    lifter = options.cepstral_lifter
    if lifter > 0:
        cosines *= 1 + 0.5 * lifter * np.sin(np.pi * order / lifter)
    return cosines
