"""Speech detection by the network of silero-vad, whose package has the weights.

The package is located, not imported; what it depends on need not be installed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import Float32Array
from ssahc.core.validation import Interval
from ssahc.frontend.extractors.installed import find_file
from ssahc.frontend.vad import BoolArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_PACKAGE, _WEIGHTS = "silero_vad", "data/silero_vad_16k_sequence.onnx"
_INSTALL = "pip install 'ssahc[vad]'"
# Hz that the network takes, and seconds of a frame.
RATE = 16000
FRAME_SHIFT = 0.032
# Samples of a frame, and of what comes before it that the network sees as well.
_SIZE, _CONTEXT = 512, 64
# Frames that are taken together.
_BLOCK = 512
# Speech ends where the probability falls this far below the threshold.
_HYSTERESIS, _LEAST = 0.15, 0.01


@dataclass(frozen=True)
class SileroOptions(Options, group="Audio"):
    """Options of speech detection by silero-vad.

    Parameters
    ----------
    silero_threshold : float
        Probability at which speech starts; it ends 0.15 below. The default finds
        distant voices as well; silero-vad's own is 0.5.
    """

    silero_threshold: Annotated[float, Interval(gt=0, lt=1)] = 0.2


def has_silero() -> bool:
    """Whether the packages that speech detection by silero-vad needs are installed."""
    return bool(find_file(_PACKAGE, _WEIGHTS) and find_spec("onnxruntime"))


def open_silero() -> "InferenceSession":
    """Load the network; UsageError if a package is not installed."""
    weights = find_file(_PACKAGE, _WEIGHTS)
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError(f"--vad silero needs onnxruntime: {_INSTALL}") from error
    if weights is None:
        raise UsageError(f"--vad silero needs the weights of silero-vad: {_INSTALL}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(weights), options)


def silero_vad(
    samples: Iterable[Float32Array], options: SileroOptions = SileroOptions()
) -> BoolArray:
    """Return whether frames (T,) of 32 ms are speech.

    `samples` come in blocks (n,), at 16 kHz, on the scale of 16-bit audio.
    """
    network = open_silero()
    state = cell = np.zeros((1, 1, 128), np.float32)
    found = [np.zeros(0, np.float32)]
    for frames in _frames(samples):
        inputs = {"input": frames / np.float32(32768), "h": state, "c": cell}
        probabilities, state, cell = network.run(None, inputs)
        found.append(probabilities)
    return _decide(np.concatenate(found), options)


def _decide(probabilities: Float32Array, options: SileroOptions) -> BoolArray:
    """Decide on frames; between both thresholds they are as the last one beyond."""
    starts = probabilities >= options.silero_threshold
    ends = probabilities < max(options.silero_threshold - _HYSTERESIS, _LEAST)
    places = np.where(starts | ends, np.arange(len(starts)), -1)
    last = np.maximum.accumulate(places)
    return (last >= 0) & starts[last]


def _frames(samples: Iterable[Float32Array]) -> Iterator[Float32Array]:
    """Yield frames (t, 576) with their context; silence is around the audio."""
    held = np.zeros(_CONTEXT, np.float32)
    for block in samples:
        held = np.concatenate([held, block])
        whole = (len(held) - _CONTEXT) // _SIZE
        yield from _slice(held, whole)
        held = held[whole * _SIZE :]
    if len(held) > _CONTEXT:
        yield from _slice(np.pad(held, (0, _CONTEXT + _SIZE - len(held))), 1)


def _slice(samples: Float32Array, count: int) -> Iterator[Float32Array]:
    for first in range(0, count, _BLOCK):
        places = np.arange(first, min(first + _BLOCK, count))[:, None] * _SIZE
        yield samples[places + np.arange(_CONTEXT + _SIZE)]
