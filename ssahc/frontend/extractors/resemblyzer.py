"""Resemblyzer's d-vectors: an LSTM on mel spectra, trained with the GE2E loss.

Wan, Wang, Papir, Lopez Moreno: Generalized End-to-End Loss for Speaker Verification
(ICASSP 2018).
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.checkpoints import read_checkpoint, run_module

_RATE = 16000
# Samples.
_FRAME, _SHIFT = 400, 160
_NUM_MELS, _HIDDEN, _EMBEDDING, _LAYERS = 40, 256, 256, 3
# Frames that the network sees at once, and from one such part of a window to the next.
_PART, _STEP = 160, 77
# A last part of which less is within the window is left out.
_LEAST_COVERED = 0.75
# Mean square of samples below 1 that quieter windows are amplified to: -30 dBFS.
_LEAST_POWER = 1e-3
# Frames computed together, and parts embedded together.
_GROUP, _BATCH = 512, 32


def load_resemblyzer(path: Path, device: str = "cpu") -> Extractor:
    """Load Resemblyzer's encoder (256 dimensions) from a checkpoint.

    Raises a FormatError if the checkpoint is damaged or of another network.
    """
    network = _DVector()
    checkpoint = read_checkpoint(path)
    try:
        weights = checkpoint["model_state"]
        # The checkpoint also has the scale of the loss.
        own = {name: weights[name] for name in network.state_dict()}
        network.load_state_dict(own)
    except (RuntimeError, KeyError, TypeError) as error:
        raise FormatError("these are not Resemblyzer's weights", path=path) from error
    run = partial(run_module, network.eval().to(device), device)
    return Extractor(
        name="resemblyzer",
        sample_rate=_RATE,
        dim=_EMBEDDING,
        frame_shift=_SHIFT / _RATE,
        frame_length=_FRAME / _RATE,
        overhang=0,
        context=0,
        lookahead=0,
        compute_features=_compute_features,
        embed_frames=partial(_embed_frames, run=run),
    )


class _DVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_NUM_MELS, _HIDDEN, _LAYERS, batch_first=True)
        self.linear = nn.Linear(_HIDDEN, _EMBEDDING)

    def forward(self, parts: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(parts)
        return nn.functional.normalize(self.linear(hidden[-1]).relu())


# ---- windows -----------------------------------------------------------------------


def _embed_frames(
    features: Float32Array, ranges: IntArray, *, run: partial[Float32Array]
) -> Float32Array:
    """Return embeddings (N, 256): of unit length, the mean over a window's parts."""
    parts, rows = [], []
    for row, (first, last) in enumerate(ranges.tolist()):
        window = features[first:last]
        gain = max(1.0, _LEAST_POWER / max(float(window[:, -1].mean()), 1e-12))
        for start in _part_starts(len(window)):
            part = np.zeros((_PART, _NUM_MELS), np.float32)
            frames = window[start : start + _PART, :-1]
            part[: len(frames)] = gain * frames
            parts.append(part)
            rows.append(row)
    batches = (parts[i : i + _BATCH] for i in range(0, len(parts), _BATCH))
    outputs = np.concatenate([run(np.stack(batch)) for batch in batches])
    sums = np.zeros((len(ranges), _EMBEDDING))
    np.add.at(sums, rows, outputs)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(lengths, 1e-12)).astype(np.float32)


def _part_starts(num_frames: int) -> list[int]:
    starts = list(range(0, max(1, num_frames + 2 + _STEP - _PART), _STEP))
    if len(starts) > 1 and num_frames - starts[-1] < _LEAST_COVERED * _PART:
        starts.pop()
    return starts


# ---- features ----------------------------------------------------------------------


def _compute_features(blocks: Iterable[NDArray[np.generic]]) -> Iterator[Float32Array]:
    """Yield mel power spectra and, as the last column, the power (t, 41).

    Frames are centred on multiples of 10 ms; what is missing at the ends is silence.
    They are not log spectra.
    """
    window = np.hanning(_FRAME + 1)[:-1]
    filters = _mel_filters()
    for frames in _cut(blocks):
        signal = frames.astype(np.float64) / 32768
        spectra = np.abs(np.fft.rfft(signal * window)) ** 2 @ filters
        middle = signal[:, (_FRAME - _SHIFT) // 2 : (_FRAME + _SHIFT) // 2]
        power = np.square(middle).mean(axis=1, keepdims=True)
        yield np.hstack([spectra, power]).astype(np.float32)


def _cut(blocks: Iterable[NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
    """Yield frames (t, 400), at most `_GROUP` at once."""
    edge = np.zeros(_FRAME // 2, np.float32)
    held = edge
    for block in chain(blocks, [edge]):
        if not np.isfinite(block).all():
            raise DataError(
                "a sample is NaN or infinite; convert or record the audio again"
            )
        held = np.concatenate([held, block])
        while len(held) >= _FRAME:
            frames = sliding_window_view(held, _FRAME)[::_SHIFT][:_GROUP]
            yield frames
            held = held[len(frames) * _SHIFT :]


def _mel_filters() -> FloatArray:
    """Return triangles (201, 40) of unit area on Slaney's mel scale up to 8 kHz."""
    edges = _to_hertz(np.linspace(0, _to_mel(_RATE / 2), _NUM_MELS + 2))
    frequencies = np.fft.rfftfreq(_FRAME, 1 / _RATE)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.maximum(np.minimum(rising, falling), 0) * 2 / (edges[2:] - edges[:-2])


# Slaney's scale is linear up to 1 kHz, 15 mel, and logarithmic beyond, 27 mel for a
# factor of 6.4.
def _to_mel(hertz: float) -> float:
    return (
        hertz * 3 / 200
        if hertz < 1000
        else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)
    )


def _to_hertz(mels: ArrayLike) -> FloatArray:
    mels = np.asarray(mels, np.float64)
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
