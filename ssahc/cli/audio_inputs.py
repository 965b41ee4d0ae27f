"""What verbs read that start from audio: recordings, channels, speech."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from ssahc.cli.runner import warn_of
from ssahc.core.errors import FormatError, UsageError, counted
from ssahc.core.model import input_dims
from ssahc.core.options import Options, combine, flatten, list_options
from ssahc.core.types import Fault, Model
from ssahc.core.validation import Interval, flag
from ssahc.frontend.extraction import (
    ExtractionOptions,
    settle_detection,
)
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.installed import (
    INSTALLABLE,
    SEGMENTERS,
    SMALL,
    SMALL_FOLDER,
    general_model,
    has_name,
)
from ssahc.frontend.recordings import Audio, inspect_recording
from ssahc.frontend.segmentation import find_network
from ssahc.frontend.segmentation.chunks import SegmentationOptions
from ssahc.frontend.silero import SileroOptions, open_silero
from ssahc.frontend.vad import EnergyVadOptions, RegionOptions
from ssahc.io.audio_list import (
    AUDIO_SUFFIXES,
    AudioRecording,
    list_audio,
    read_channels,
)
from ssahc.io.files import strip_rspecifier
from ssahc.io.kaldi_conf import find_conf
from ssahc.io.model import MEAN, PLDA, TRANSFORM
from ssahc.io.speech import read_speech
from ssahc.io.xvectors import SCP
from ssahc.runtime.device import Device

# Of a Kaldi model folder, besides the network.
MODEL_FILES = (MEAN, TRANSFORM, PLDA)
_CONFS = ("mfcc.conf", "fbank.conf", "vad.conf")
_LIST = "wav.scp"
# To those who do not know any.
_SUGGESTED = "campplus"

_BY_ENERGY = {option.name for option in list_options(EnergyVadOptions)}
_BY_SILERO = {option.name for option in list_options(SileroOptions)}
_BY_SEGMENTATION = {option.name for option in list_options(SegmentationOptions)}
_REGIONS = {option.name for option in list_options(RegionOptions)}
# Options that conflict with those of a config file, and displace them: ways of
# detecting speech with the options of the other way, and regions that are given with
# all of them.
AUDIO_CONFLICTS = {
    "vad=auto": _BY_ENERGY | _BY_SILERO | _BY_SEGMENTATION,
    "vad=silero": _BY_ENERGY | _BY_SEGMENTATION,
    "vad=energy": _BY_SILERO | _BY_SEGMENTATION,
    "vad=segmentation-3.0": _BY_ENERGY | _BY_SILERO,
    "segments": {"vad"} | _BY_ENERGY | _BY_SILERO | _BY_SEGMENTATION | _REGIONS,
}

# Of files that may hold x-vectors.
_NO_AUDIO = {".ark", ".npz", ".npy"}

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class AudioOptions(Options, group="Audio"):
    """Which audio is read, and how it becomes x-vectors.

    Parameters
    ----------
    audio : Path, optional
        A wav.scp, a folder of audio files, or one file.
    extractor : str, optional
        Model that makes x-vectors of audio: a name (see ssahc models), a Kaldi model
        folder (final.raw, extract.config, mfcc.conf, and perhaps vad.conf, mean.vec,
        transform.mat and plda), or an ONNX file. Default for audio: small, which comes
        with ssahc.
    segments : Path, optional
        Regions of speech: an RTTM (.rttm), a UEM (.uem), or Kaldi's segments. By
        default they are detected (--vad).
    channel : int, optional
        Channel of the audio to read, counted from 1. Default: the mean of all.
    reco2file_and_channel : Path, optional
        Kaldi's table of the channel of each recording: "recording file channel" lines.
    extraction : ExtractionOptions
    """

    audio: Path | None = None
    extractor: str | None = None
    segments: Path | None = None
    channel: Annotated[int | None, Interval(ge=1, le=1024)] = None
    reco2file_and_channel: Path | None = None
    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.extractor == "":
            raise UsageError("--extractor is empty; ssahc models lists what there is")
        if self.channel is not None and self.reco2file_and_channel is not None:
            raise UsageError(
                "--reco2file-and-channel gives the channels; leave out --channel"
            )
        if self.segments is not None:
            for option in self.extraction.detection():
                raise UsageError(
                    f"--segments gives the regions of speech; leave out {option}"
                )


def load_extractor(options: AudioOptions, device: Device) -> Extractor:
    """Load the extractor, so that one that cannot be used is named at once."""
    return Extractor.load(options.extractor or SMALL, device=device)


def settle_extractor(model: str) -> str:
    """Return the name of an extractor, or its path made absolute if it is there."""
    path = Path(model)
    return model if has_name(model) or not path.exists() else str(path.absolute())


def extractor_folder(model: Path) -> Path:
    """Return the folder of an extractor to be changed, which may have a name."""
    return SMALL_FOLDER if str(model) == SMALL and not model.exists() else model


def complete_options(
    options: AudioOptions, given: Sequence[Mapping[str, Any]], extractor: Extractor
) -> AudioOptions:
    """Decide how speech is detected; log this, and the extractor, if it was not given.

    Options of a model folder's vad.conf are taken that are not `given`. The paths of
    the extractor and of a segmentation model become absolute.
    """
    if all(table.get("extractor") is None for table in given):
        tell_default()
    options = replace(options, extractor=settle_extractor(options.extractor or SMALL))
    if options.segments is not None:
        return options
    extraction = settle_detection(options.extraction, extractor)
    if extraction.vad == "energy" and extractor.vad is not None:
        stored = flatten(extractor.vad)
        sources = [flatten(extraction), stored]
        for table in given:
            sources.append({name: table[name] for name in stored if name in table})
        extraction = combine(ExtractionOptions, sources, {})
    if extraction.vad == "silero":
        open_silero()
    if extraction.is_segmented:
        extraction = replace(extraction, vad=_settle_vad(extraction.vad))
    if options.extraction.vad == "auto":
        _tell_detection(extraction, extractor)
    return replace(options, extraction=extraction)


def _settle_vad(vad: str) -> str:
    """Return the name or the absolute path of the segmentation model of --vad."""
    try:
        return settle_segmentation(vad)
    except UsageError as error:
        raise UsageError(
            f"--vad is auto, energy, silero, or a segmentation model; {error}"
        ) from error


def settle_segmentation(model: str) -> str:
    """Return the name of a segmentation model, or its path made absolute.

    UsageError if it is not there.
    """
    find_network(model)
    path = Path(model)
    return str(path.absolute()) if path.exists() else model


def tell_default() -> None:
    """Log that the extractor that is taken by default is not the best one."""
    model = INSTALLABLE[_SUGGESTED]
    install = "" if model.find_weights() else f"{model.install}, and "
    _logger.info(
        f"the small extractor of ssahc is taken; larger ones make fewer errors: "
        f"{install}--extractor {_SUGGESTED} (see ssahc models)"
    )


def _tell_detection(extraction: ExtractionOptions, extractor: Extractor) -> None:
    if extraction.vad != "energy":
        how = f"by {extraction.vad} (--vad {extraction.vad})"
    elif extractor.vad is not None:
        how = "by its energy, as in Kaldi's recipes (--vad energy)"
    else:
        how = (
            "by its energy, as for telephone calls (--vad energy); for rooms and noise "
            f"{SEGMENTERS['segmentation-3.0'].install}, or give --segments"
        )
    _logger.info("speech is detected %s", how)


def check_dims(model: Model, extractor: Extractor) -> None:
    """Raise a UsageError for a model of other x-vectors before any are extracted."""
    for part, found in input_dims(model, extractor.dim).items():
        if found != extractor.dim:
            raise UsageError(
                f"the model's {part} is for {found} dimensions, {extractor.name} gives "
                f"{extractor.dim}; give a model of its x-vectors, or none"
            )


def model_folder(options: AudioOptions) -> Path | None:
    """Return the folder of the extractor, if it is one."""
    if options.extractor is None or has_name(options.extractor):
        return None
    folder = Path(options.extractor)
    return folder if folder.is_dir() else None


def find_model(options: AudioOptions) -> Path | None:
    """Return the folder with the model of the extractor's x-vectors; None without one.

    It is the extractor's own folder, or a general one that comes with ssahc.
    """
    folder = model_folder(options)
    if folder is None and options.extractor:
        folder = general_model(options.extractor)
    has_model = folder is not None and any(
        (folder / name).exists() for name in MODEL_FILES
    )
    return folder if has_model else None


@dataclass(frozen=True)
class AudioList:
    """Recordings to extract from, faults of others, and the files that were read."""

    recordings: list[Audio]
    faults: list[Fault]
    files: list[Path]


def open_audio(options: AudioOptions) -> AudioList:
    """Read the lists of recordings, channels and speech, and the headers of all files.

    What is wrong with one recording becomes its fault.
    """
    if options.audio is None:
        raise AssertionError("every verb that reads audio is given its path")
    faults: list[Fault] = []

    def add_fault(recording: str, error: FormatError) -> None:
        faults.append(Fault(recording, str(error)))

    listed = list_audio(options.audio, add_fault)
    files = [*_tables(options), *(recording.path for recording in listed)]
    channels, speech = {}, None
    if options.reco2file_and_channel is not None:
        channels = read_channels(options.reco2file_and_channel)
    if options.segments is not None:
        speech = read_speech(options.segments)
        known = {recording.id for recording in listed}
        known |= {fault.recording for fault in faults}
        what = f"{options.segments}: recordings without audio"
        warn_of(what, speech.keys() - known)
    recordings = []
    for recording in listed:
        try:
            channel = options.channel
            if options.reco2file_and_channel is not None:
                channel = _find(channels, recording, options.reco2file_and_channel)
            audio = inspect_recording(recording, channel)
            if speech is not None and options.segments is not None:
                regions = _find(speech, recording, options.segments)
                audio = audio._replace(speech=regions)
            recordings.append(audio)
        except FormatError as error:
            add_fault(recording.id, error)
    return AudioList(recordings, faults, files)


def _tables(options: AudioOptions) -> list[Path]:
    tables = [options.segments, options.reco2file_and_channel]
    if options.audio is not None:
        path = strip_rspecifier(options.audio)[1]
        tables += [path, path / _LIST]
    found = [path for path in tables if path is not None and path.is_file()]
    return found + extractor_files(options.extractor or SMALL)


def extractor_files(model: str) -> list[Path]:
    """Return the files that an extractor, by its name or path, is read from."""
    files: list[Path | None] = []
    if has_name(model) and model != SMALL:
        files.append(INSTALLABLE[model].find_weights())
    else:
        path = SMALL_FOLDER if model == SMALL else Path(model)
        if path.is_dir():
            files += sorted(path.iterdir())
            # Where Kaldi has them, beside the folder.
            files += [find_conf(path, name) for name in _CONFS]
        else:
            # Of an ONNX model, a recipe beside it.
            files += [path, *sorted(path.parent.glob("*.toml"))]
    return [path for path in files if path is not None and path.is_file()]


def _find(table: Mapping[str, Any], recording: AudioRecording, path: Path) -> Any:
    if not table.get(recording.id):
        raise FormatError(
            "has nothing on this recording; add it, or leave the recording out",
            path=path,
            key=recording.id,
        )
    return table[recording.id]


def tell_resampling(recordings: Iterable[Audio], rate: int) -> None:
    """Log once how many recordings are resampled, and from what."""
    others: dict[int, list[str]] = {}
    for audio in recordings:
        if audio.sample_rate != rate:
            others.setdefault(audio.sample_rate, []).append(audio.id)
    for found, names in sorted(others.items()):
        lacks = ""
        if found < rate:
            lacks = f"; they lack what the model expects above {found // 2} Hz"
        _logger.log(
            logging.WARNING if lacks else logging.INFO,
            "%s at %d Hz resampled to the model's %d Hz%s, the first of them %r",
            counted(len(names), "recording"),
            found,
            rate,
            lacks,
            names[0],
        )


# ---- telling audio from x-vectors --------------------------------------------------


def refuse_audio_options(path: Path, options: AudioOptions) -> None:
    """Raise a UsageError for options of audio, if a path is none."""
    given = flatten(options).items() - flatten(AudioOptions()).items()
    is_meant = bool(given) or path.suffix.lower() in AUDIO_SUFFIXES
    if is_meant and not strip_rspecifier(path)[1].exists():
        raise FormatError("no such file or folder; check the path", path=path)
    for name, _ in sorted(given):
        raise UsageError(f"{flag(name)} is for audio, not for x-vectors")


def is_audio(path: Path) -> bool:
    """Whether a path looks like audio, and not like x-vectors."""
    path = strip_rspecifier(path)[1]
    if path.is_dir():
        if (path / SCP).exists():
            return False
        if (path / _LIST).exists():
            return True
        return any(entry.suffix.lower() in AUDIO_SUFFIXES for entry in path.iterdir())
    # x-vectors' own lists are called xvector.scp, xvector.1.scp, ...
    is_list = path.suffix == ".scp" and path.name.startswith(Path(SCP).stem)
    return path.is_file() and not is_list and path.suffix not in _NO_AUDIO


def refuse_xvectors(path: Path, out_dir: Path) -> None:
    """Raise a UsageError for an x-vector folder, or one to write to, as audio."""
    if (path / SCP).exists():
        raise UsageError(
            f"{path}: holds x-vectors, not audio; ssahc diarize without --extractor "
            "takes them"
        )
    if out_dir.exists() and path.exists() and out_dir.samefile(path):
        raise UsageError(f"{out_dir}: holds the audio; choose another OUT_DIR")
