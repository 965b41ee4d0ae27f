"""Windows and embeddings of audio, while it comes."""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ssahc.core.errors import UsageError
from ssahc.core.types import Float32Array, FloatArray
from ssahc.frontend.extraction import ExtractionOptions
from ssahc.frontend.extractors import Extractor, one_channel
from ssahc.frontend.extractors.installed import SMALL
from ssahc.frontend.features import check_samples
from ssahc.frontend.online_segments import OnlineSegments
from ssahc.frontend.resampling import Resampler
from ssahc.frontend.silero import FRAME_SHIFT, RATE, SileroDetector
from ssahc.io.audio import RATES


class OnlineExtractor:
    """Extract the windows and x-vectors of audio that comes in blocks.

    All together, they are those of `extract_audio` with ``vad="silero"``: times are the
    same, and x-vectors but for the rounding of float32 (and the noise of a dither). A
    window comes as soon as it is certain: the last one of a region of speech when
    `min_silence` has passed, and if the extractor subtracts a sliding mean, 1.5 seconds
    later.

    Memory does not grow.

    Parameters
    ----------
    extractor : Extractor, Path or str
        From `Extractor.load`, or what that takes. By default a small model of ssahc.
    sample_rate : int, optional
        Of the audio, in Hz; by default the extractor's. Others are resampled.
    extraction : ExtractionOptions
        Speech is detected by silero-vad; other ways need the whole recording.

    Attributes
    ----------
    extractor : Extractor
        Whose `model` is for `OnlineDiarizer`.
    sample_rate : int
        Of the audio, in Hz.

    Raises
    ------
    FormatError, UsageError
        As `Extractor.load`; if the options ask for another way of detecting speech, or
        silero-vad is not installed.

    Examples
    --------
    >>> online = OnlineExtractor(sample_rate=8000)
    >>> xvectors, segments = online.add(np.zeros(4000, np.int16))
    >>> xvectors.shape, segments.shape, online.seconds
    ((0, 192), (0, 2), 0.5)
    """

    def __init__(
        self,
        extractor: Extractor | Path | str = SMALL,
        *,
        sample_rate: int | None = None,
        extraction: ExtractionOptions = ExtractionOptions(),
    ) -> None:
        extraction = settle_online_detection(extraction)
        if not isinstance(extractor, Extractor):
            extractor = Extractor.load(extractor)
        rate = extractor.sample_rate if sample_rate is None else sample_rate
        least, most = RATES
        if not isinstance(rate, int | np.integer) or not least <= rate <= most:
            raise UsageError(
                f"sample_rate must be a whole number of Hz between {least} and {most}, "
                f"found {rate!r}"
            )
        self.extractor, self.sample_rate = extractor, rate
        self._detector = SileroDetector(extraction.silero)
        self._segments = OnlineSegments(
            FRAME_SHIFT, extraction.regions, extraction.windows
        )
        self._to_detector = Resampler(rate, RATE)
        self._to_extractor = Resampler(rate, extractor.sample_rate)
        self._frames = _OnlineFrames(extractor)
        # Windows (N, 2) that wait for frames.
        self._waiting = np.zeros((0, 2))
        self._num_samples = 0
        self._has_ended = False

    @property
    def seconds(self) -> float:
        """How far the audio has come, for `OnlineDiarizer.advance`."""
        return self._num_samples / self.sample_rate

    def add(self, samples: ArrayLike) -> tuple[Float32Array, FloatArray]:
        """Take further samples; return the windows that they complete.

        Parameters
        ----------
        samples : (n,) array
            Of one channel, on the scale of 16-bit audio, -32768 to 32767.

        Returns
        -------
        xvectors : (N, D) array
        segments : (N, 2) array
            Start and end in seconds, in order of time.

        Raises
        ------
        DataError
            If samples are not of one channel or not finite; then none of them is taken.
            If an embedding is not finite.
        UsageError
            If the audio has ended.
        """
        self._check_open()
        given = one_channel(samples)
        with np.errstate(over="ignore"):
            block = np.asarray(given, np.float32)
        check_samples(block, self._num_samples, self.sample_rate)
        self._num_samples += len(block)
        is_speech = self._detector.add(self._to_detector.add(block))
        self._frames.add(self._to_extractor.add(block))
        return self._embed(self._segments.add(is_speech))

    def finish(self) -> tuple[Float32Array, FloatArray]:
        """End the audio; return what is left of windows, as `add` does.

        Raises
        ------
        DataError
            If an embedding is not finite, or a window has no samples.
        UsageError
            If the audio has ended before.
        """
        self._check_open()
        self._has_ended = True
        is_speech = self._detector.add(self._to_detector.finish())
        is_speech = np.append(is_speech, self._detector.finish())
        self._frames.finish(self._to_extractor.finish())
        segments = self._segments.add(is_speech)
        return self._embed(np.concatenate([segments, self._segments.finish()]))

    def _check_open(self) -> None:
        if self._has_ended:
            raise UsageError("the audio has ended; start another OnlineExtractor")

    def _embed(self, segments: FloatArray) -> tuple[Float32Array, FloatArray]:
        """Take further windows; embed those whose frames are there."""
        has_frame = np.diff(self.extractor.frames_in(segments))[:, 0] > 0
        waiting = np.concatenate([self._waiting, segments[has_frame]])
        lookahead = self.extractor.lookahead
        ends = self.extractor.frames_in(waiting)[:, 1]
        needed = np.maximum(ends, lookahead) + lookahead
        is_ready = self._has_ended | (needed <= self._frames.end)
        # In order: later windows end no earlier.
        count = int(is_ready.sum())
        ready, self._waiting = waiting[:count], waiting[count:]
        xvectors = self.extractor.embed_from(self._frames, ready)
        earliest = min([self._segments.earliest, *self._waiting[:1, 0]])
        self._frames.drop(int(earliest / self.extractor.frame_shift))
        return xvectors, ready


def settle_online_detection(options: ExtractionOptions) -> ExtractionOptions:
    """Return options by which silero-vad detects speech; UsageError for other ways."""
    if options.vad in ("auto", "silero"):
        return replace(options, vad="silero")
    why = "segmentation models take chunks of many seconds"
    if options.vad == "energy":
        why = "energies are compared with the mean of the whole recording"
    raise UsageError(
        f"--vad {options.vad} cannot detect speech while audio comes: {why}; leave it "
        "out, for silero"
    )


class _OnlineFrames:
    """Features of a stream, computed of the samples that are held when asked for."""

    def __init__(self, extractor: Extractor) -> None:
        self._compute = extractor.compute_features
        self._context = extractor.context
        # As Kaldi, that cuts fractions of a sample off.
        self._shift = int(extractor.frame_shift * extractor.sample_rate + 1e-6)
        # Frames at the ends of samples that would differ if there were more.
        self._edge = ceil(extractor.frame_length / extractor.frame_shift - 1e-6) - 1
        # Samples from the first one of frame `first` on.
        self._held = np.zeros(0, np.float32)
        self._first = 0
        self._has_ended = False

    @property
    def end(self) -> int:
        """Number of frames that are known so far."""
        complete = self._first + len(self._held) // self._shift
        return complete + 1 if self._has_ended else max(complete - self._edge, 0)

    def add(self, samples: Float32Array) -> None:
        self._held = np.concatenate([self._held, samples])

    def finish(self, samples: Float32Array) -> None:
        self.add(samples)
        self._has_ended = True

    def drop(self, frame: int) -> None:
        """Say that no window from now on starts before a frame."""
        first = max(frame - self._context - self._edge, self._first)
        # Resampled samples may come after the decision that they are not needed.
        first = min(first, self._first + len(self._held) // self._shift)
        self._held = self._held[(first - self._first) * self._shift :]
        self._first = first

    def take(self, first: int, last: int) -> Float32Array:
        """Return frames `first` to `last`, or fewer at the end."""
        begin = max(first - self._edge, self._first)
        samples = self._held[(begin - self._first) * self._shift :]
        samples = samples[: (last + self._edge + 1 - begin) * self._shift]
        blocks = list(self._compute([samples]))
        features = np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)
        return features[first - begin : min(last, self.end) - begin]
