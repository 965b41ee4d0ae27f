"""Speech detection by the network of silero-vad, whose package has the weights.

The package is located, not imported; what it depends on need not be installed.
"""

from collections.abc import Iterable
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
    detector = SileroDetector(options)
    found = [detector.add(block) for block in samples]
    return np.concatenate([*found, detector.finish()])


class SileroDetector:
    """Detect speech in audio that comes in blocks; see `silero_vad`.

    A frame is decided on as soon as its samples are there. Raises a UsageError if a
    package is not installed.
    """

    def __init__(self, options: SileroOptions = SileroOptions()) -> None:
        self._network, self._options = open_silero(), options
        self._state = self._cell = np.zeros((1, 1, 128), np.float32)
        # Silence is around the audio.
        self._held = np.zeros(_CONTEXT, np.float32)
        self._is_speech = False

    def add(self, samples: Float32Array) -> BoolArray:
        """Take further samples (n,); return whether the frames (t,) are speech."""
        held = np.concatenate([self._held, samples])
        count = (len(held) - _CONTEXT) // _SIZE
        self._held = held[count * _SIZE :]
        return self._detect(held, count)

    def finish(self) -> BoolArray:
        """Return whether the last frame, if one is incomplete, is speech."""
        missing = _CONTEXT + _SIZE - len(self._held)
        count = int(len(self._held) > _CONTEXT)
        return self._detect(np.pad(self._held, (0, missing)), count)

    def _detect(self, samples: Float32Array, count: int) -> BoolArray:
        """Return decisions (count,) on frames, which begin with their context."""
        found = [np.zeros(0, np.float32)]
        for first in range(0, count, _BLOCK):
            places = np.arange(first, min(first + _BLOCK, count))[:, None] * _SIZE
            frames = samples[places + np.arange(_CONTEXT + _SIZE)]
            inputs = {
                "input": frames / np.float32(32768),
                "h": self._state,
                "c": self._cell,
            }
            probabilities, self._state, self._cell = self._network.run(None, inputs)
            found.append(probabilities)
        decisions = _decide(np.concatenate(found), self._options, self._is_speech)
        if len(decisions):
            self._is_speech = bool(decisions[-1])
        return decisions


def _decide(
    probabilities: Float32Array, options: SileroOptions, is_speech: bool
) -> BoolArray:
    """Decide on frames; between both thresholds they are as the last one beyond.

    `is_speech` tells what the frame before the first one is.
    """
    starts = probabilities >= options.silero_threshold
    ends = probabilities < max(options.silero_threshold - _HYSTERESIS, _LEAST)
    places = np.where(starts | ends, np.arange(len(starts)), -1)
    last = np.maximum.accumulate(places)
    return np.where(last >= 0, starts[last], is_speech)
