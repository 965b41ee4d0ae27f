"""From an audio file to the windows of a recording and their embeddings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.options import Options
from ssahc.core.types import FloatArray, Recording, as_numbers
from ssahc.core.validation import changed_fields
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.installed import SEGMENTERS
from ssahc.frontend.feature_options import MfccOptions
from ssahc.frontend.features import feature_blocks
from ssahc.frontend.recordings import Audio, inspect_recording, read_samples
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.chunks import (
    Segmentation,
    SegmentationOptions,
    find_regions,
    segment,
)
from ssahc.frontend.segmentation.local_speakers import seconds_alone
from ssahc.frontend.silero import (
    FRAME_SHIFT,
    RATE,
    SileroOptions,
    has_silero,
    silero_vad,
)
from ssahc.frontend.vad import (
    EnergyVadOptions,
    RegionOptions,
    energy_vad,
    smooth_regions,
    speech_regions,
)
from ssahc.frontend.windows import (
    OVERSHOOT,
    WindowOptions,
    uniform_windows,
    window_names,
)
from ssahc.io.audio import inspect_audio
from ssahc.io.audio_list import list_audio
from ssahc.io.speech import SpeechRegion, read_speech, unite_spans

# By the detection that found no speech, what finds more.
_IF_NO_SPEECH = {
    "energy": "a lower --vad-energy-threshold",
    "silero": "a lower --silero-threshold",
}
_IF_NONE_SEGMENTED = "a lower --segmentation-threshold, --vad silero or --vad energy"


@dataclass(frozen=True)
class ExtractionOptions(Options, group="Audio"):
    """How audio becomes windows: options of speech detection and sub-segmentation.

    Parameters
    ----------
    windows : WindowOptions
    vad : str
        How speech is detected: by its energy, as in Kaldi (energy), by silero-vad
        (silero), or by a segmentation model: segmentation-3.0 of pyannote, or the file
        or folder of another. auto: of a Kaldi model by its energy, else by
        segmentation-3.0, silero-vad, or energy, the first that is installed.
    energy : EnergyVadOptions
    silero : SileroOptions
    segmentation : SegmentationOptions
    regions : RegionOptions
    """

    windows: WindowOptions = field(default_factory=WindowOptions)
    vad: str = "auto"
    energy: EnergyVadOptions = field(default_factory=EnergyVadOptions)
    silero: SileroOptions = field(default_factory=SileroOptions)
    segmentation: SegmentationOptions = field(default_factory=SegmentationOptions)
    regions: RegionOptions = field(default_factory=RegionOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vad == "auto":
            return
        for vad, options in self._detectors().items():
            for option in changed_fields(options) if vad != self.vad else ():
                raise UsageError(
                    f"--vad {self.vad} does not use {option}; leave it out, or give "
                    f"--vad {vad}"
                )

    def _detectors(self) -> dict[str, Options]:
        """Return the options of each way of detecting speech."""
        model = self.vad if self.is_segmented else "segmentation-3.0"
        return {
            "energy": self.energy,
            "silero": self.silero,
            model: self.segmentation,
        }

    @property
    def is_segmented(self) -> bool:
        """Whether a segmentation model detects speech."""
        return self.vad not in ("auto", "energy", "silero")

    def detection(self) -> list[str]:
        """Return the flags of what is set for the detection of speech."""
        vad = [] if self.vad == "auto" else ["--vad"]
        parts = (*self._detectors().values(), self.regions)
        return vad + [option for part in parts for option in changed_fields(part)]


def detect_as_segmented(
    options: ExtractionOptions, segmentation: Path | str
) -> ExtractionOptions:
    """Return options by which this model detects speech, unless they say how."""
    if options.vad != "auto":
        return options
    return replace(options, vad=str(segmentation))


def settle_detection(
    options: ExtractionOptions, extractor: Extractor
) -> ExtractionOptions:
    """Return options in which the way of detecting speech is decided.

    For Kaldi models it is that by energy, with their ``vad.conf`` unless options of it
    are set, and for others the best one that is installed.

    Raises
    ------
    UsageError
        If options are set that this way does not use.
    """
    vad, energy = options.vad, options.energy
    if vad == "auto":
        vad = "energy" if extractor.vad is not None else _best_detector()
    if vad == "energy" and not changed_fields(energy):
        energy = extractor.vad or energy
    return replace(options, vad=vad, energy=energy)


def _best_detector() -> str:
    if SEGMENTERS["segmentation-3.0"].find_weights() is not None:
        return "segmentation-3.0"
    return "silero" if has_silero() else "energy"


def extract_recording(
    audio: Audio,
    extractor: Extractor,
    options: ExtractionOptions,
    on_read: Callable[[float], None] = lambda seconds: None,
) -> Recording:
    """Return the windows of a recording and their embeddings.

    Regions of speech that are not known are detected. The file is read in blocks;
    memory does not grow with it, embeddings and energies aside.

    Parameters
    ----------
    audio : Audio
    extractor : Extractor
    options : ExtractionOptions
        Those that `settle_detection` returns.
    on_read : callable
        Told the seconds of every block of audio that windows are embedded of.

    Raises
    ------
    DataError
        If there is no speech, or a region reaches beyond the audio.
    FormatError
        If the file cannot be read to the end of the speech.
    """
    if audio.speech is None:
        regions = detect_speech(audio, options, energy_features(extractor))
        speech = unite_spans(audio.id, map(tuple, regions.tolist()))
        if not speech:
            raise _no_speech(audio, options)
    else:
        speech = _within(audio, audio.speech)
    names, windows = _cut(speech, extractor, options.windows)
    if not names:
        raise DataError(
            f"{audio.path}: all speech is shorter than a frame, or --min-segment"
        )
    rate = extractor.sample_rate
    samples = read_samples(audio, rate, lambda count: on_read(count / rate))
    embeddings = extractor.embed(samples, windows)
    return Recording.from_arrays(audio.id, embeddings, windows, names)


def extract_audio(
    path: Path | str,
    extractor: Extractor,
    *,
    segments: ArrayLike | Path | str | None = None,
    channel: int | None = None,
    options: ExtractionOptions = ExtractionOptions(),
) -> Recording:
    """Return the windows of an audio file and their embeddings.

    Parameters
    ----------
    path : Path or str
        WAV, FLAC, OGG, MP3, SPHERE, ...; the recording is named after it.
    extractor : Extractor
    segments : (N, 2) array, Path or str, optional
        Regions of speech in seconds, or a file of them: RTTM, UEM, or Kaldi's
        ``segments``. By default they are detected.
    channel : int, optional
        Counted from 1; by default the mean of all.
    options : ExtractionOptions
        How speech is detected and cut into windows; see `settle_detection`.

    Raises
    ------
    DataError
        If there is no speech, or a region reaches beyond the audio.
    FormatError
        If a file is missing, damaged or of another kind.
    UsageError
        If options are set that have no effect, or silero-vad is not installed.
    """
    audio = open_audio_file(path, segments=segments, channel=channel)
    if segments is None:
        options = settle_detection(options, extractor)
    return extract_recording(audio, extractor, options)


def open_audio_file(
    path: Path | str,
    *,
    segments: ArrayLike | Path | str | None = None,
    channel: int | None = None,
) -> Audio:
    """Return an audio file as a recording; arguments are those of `extract_audio`."""
    recording, *others = list_audio(Path(path))
    if others:
        raise DataError(
            f"{path}: expected one recording, found {len(others) + 1}; take them one "
            "by one"
        )
    audio = inspect_recording(recording, channel)
    if segments is None:
        return audio
    return audio._replace(speech=_take_regions(segments, recording.id))


def segment_recording(
    audio: Audio, segmenter: Segmenter, options: SegmentationOptions
) -> tuple[Segmentation, FloatArray]:
    """Return who speaks when in chunks of a recording, and how long alone (B, K).

    Where regions of speech are known, only these count for the latter.
    """
    found = segment(read_samples(audio, segmenter.sample_rate), segmenter, options)
    speech = None
    if audio.speech is not None:
        speech = np.array([[region.start, region.end] for region in audio.speech])
    return found, seconds_alone(found, speech)


def _take_regions(
    segments: ArrayLike | Path | str, recording: str
) -> Sequence[SpeechRegion]:
    if isinstance(segments, Path | str):
        speech = read_speech(Path(segments))
        if not speech.get(recording):
            raise FormatError(
                "has nothing on this recording; add it", path=segments, key=recording
            )
        return speech[recording]
    times = as_numbers(segments, "segments")
    if times.ndim != 2 or times.shape[1] != 2 or len(times) == 0:
        raise DataError(
            f"expected regions of speech (N, 2) in seconds, found shape {times.shape}"
        )
    starts, ends = times.T
    in_order = (starts >= 0) & (starts < ends) & (ends < np.inf)
    if not in_order.all():
        row = int(np.argmin(in_order))
        raise DataError(
            f"expected 0 <= start < end in seconds, found {starts[row]:g} and "
            f"{ends[row]:g} in row {row} of segments"
        )
    return unite_spans(recording, map(tuple, times.tolist()))


def energy_features(extractor: Extractor) -> MfccOptions:
    """Return the features that speech is detected by.

    They are those of the model folder's ``mfcc.conf``, as in Kaldi's recipes, and
    Kaldi's default at the rate of the extractor if it has none.
    """
    default = MfccOptions(sample_frequency=extractor.sample_rate, snip_edges=False)
    return extractor.mfcc or default


def detect_speech(
    audio: Audio, options: ExtractionOptions, energy: MfccOptions
) -> FloatArray:
    """Return regions of speech (N, 2), in seconds."""
    if options.vad == "silero":
        is_speech = silero_vad(read_samples(audio, RATE), options.silero)
        return speech_regions(is_speech, FRAME_SHIFT, options.regions)
    if options.is_segmented:
        segmenter = Segmenter.load(options.vad, device="cpu")
        samples = read_samples(audio, segmenter.sample_rate)
        found = segment(samples, segmenter, options.segmentation)
        regions = find_regions(found.counts >= 1, found.edges)
        return smooth_regions(regions, found.edges[-1], options.regions)
    samples = read_samples(audio, round(energy.sample_frequency))
    # Of all features, the energy alone is kept.
    blocks = [block[:, :1].copy() for block in feature_blocks(samples, energy)]
    energies = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    is_speech = energy_vad(energies, options.energy)
    return speech_regions(is_speech, energy.frame_shift / 1000, options.regions)


def _no_speech(audio: Audio, options: ExtractionOptions) -> DataError:
    channels = inspect_audio(audio.path).num_channels
    where, choose = "", ""
    if channels > 1 and audio.channel is None:
        where = f" in the mean of {channels} channels"
        choose = "--channel takes one of them, "
    elif channels > 1:
        where = f" in channel {audio.channel} of {channels}"
        choose = "Another channel may have some, "
    advice = choose + _IF_NO_SPEECH.get(options.vad, _IF_NONE_SEGMENTED)
    return DataError(
        f"{audio.path}: no speech found{where}; is it silent? "
        f"{advice[0].upper()}{advice[1:]} finds more, or give --segments"
    )


def _within(audio: Audio, speech: Sequence[SpeechRegion]) -> list[SpeechRegion]:
    """Return the regions of a recording, none of which ends after the audio."""
    regions = []
    for region in speech:
        end = region.end if audio.seconds is None else min(region.end, audio.seconds)
        if region.end - end > OVERSHOOT or region.start >= end:
            verb = "lies" if region.start >= end else "reaches"
            raise DataError(
                f"region {region.name!r} ({region.start:g}-{region.end:g} s) {verb} "
                f"beyond the end of {audio.path}, at {audio.seconds:g} s; do they "
                "belong together?"
            )
        regions.append(region._replace(end=end))
    return regions


def _cut(
    speech: Sequence[SpeechRegion], extractor: Extractor, options: WindowOptions
) -> tuple[list[str], FloatArray]:
    """Return names and times (N, 2) of windows, without those that have no frame."""
    names = [name for region in speech for name in window_names(*region, options)]
    times = [uniform_windows(start, end, options) for _, start, end in speech]
    windows = np.concatenate(times)
    has_frame = np.diff(extractor.frames_in(windows))[:, 0] > 0
    return [names[row] for row in np.flatnonzero(has_frame)], windows[has_frame]
