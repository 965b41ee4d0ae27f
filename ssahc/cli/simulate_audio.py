"""``ssahc simulate-audio``."""

import csv
import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import click
import numpy as np

from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    resolve,
)
from ssahc.core.errors import DataError, FormatError, UsageError, counted
from ssahc.core.types import Float32Array, FloatArray, Turn
from ssahc.frontend.resampling import resample_blocks
from ssahc.io.audio import read_audio
from ssahc.io.audio_list import AUDIO_SUFFIXES
from ssahc.io.files import atomic_write, is_id
from ssahc.io.folders import lock_folder, move_tree, staging_folder
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.simulation.audio.acoustics import TELEPHONE_RATE
from ssahc.simulation.audio.mixing import (
    Mix,
    NoiseSource,
    Sources,
    list_conditions,
    mix_scene,
)
from ssahc.simulation.audio.options import SimulateAudioOptions
from ssahc.simulation.audio.scenes import Scene, draw_scenes
from ssahc.simulation.audio.voices import RATE, Voice, condense

# The progress is logged after so many recordings.
_STEP = 100

_logger = logging.getLogger("ssahc")


@click.command("simulate-audio", cls=Verb)
@click.argument("voices", type=PATH)
@click.argument("out_dir", type=PATH)
@click.option(
    "--turns",
    cls=GroupedOption,
    group="Input and output",
    type=PATH,
    metavar="RTTM",
    multiple=True,
    help="Turns of real conversations, of which each recording gets a part; by default "
    "turns are drawn. May be repeated.",
)
@click.option(
    "--without",
    cls=GroupedOption,
    group="Input and output",
    type=PATH,
    metavar="RTTM",
    multiple=True,
    help="Leave out the voices that speak in another set. May be repeated.",
)
@click.option(
    "--noise",
    cls=GroupedOption,
    group="Input and output",
    type=PATH,
    metavar="FOLDER",
    help="Folder of audio files to take noise from; by default it is drawn.",
)
@options_of(SimulateAudioOptions)
@config_option
def command(
    voices: Path,
    out_dir: Path,
    turns: tuple[Path, ...],
    without: tuple[Path, ...],
    noise: Path | None,
    config: Path | None,
    **given: Any,
) -> None:
    """Write recordings of conversations, made of single voices, to OUT_DIR.

    VOICES has a folder of audio files, at any rate, for each voice. OUT_DIR gets
    wav.scp, the audio in OUT_DIR/wav, and as its truth ref.rttm, all.uem,
    reco2num_spk and conditions.csv. Speakers are called by their voices. No voice is
    twice in a recording, and no audio is used twice in it; voices are those of as few
    other recordings as possible.
    """
    options = resolve(SimulateAudioOptions, given, config=config)
    if turns and options.overlap is not None:
        raise UsageError("--turns gives overlap and silence; leave out --overlap")
    others = {turn.speaker for path in without for turn in _list_turns(path)}
    conversations = [own for path in turns for own in read_rttm(path).turns.values()]
    source = None if noise is None else open_noise(noise)
    with lock_folder(out_dir) as unfinished:
        _refuse_filled(out_dir)
        sources = Sources(read_voices(voices, without=others), read_samples, source)
        with staging_folder(unfinished) as folder:
            scenes = write_recordings(folder, sources, options, conversations or None)
            move_tree(folder, out_dir)
    _summarize(out_dir, scenes, options.recordings)


def _list_turns(path: Path) -> Iterator[Turn]:
    for turns in read_rttm(path).turns.values():
        yield from turns


def _refuse_filled(folder: Path) -> None:
    """Raise a UsageError if a folder has visible files."""
    found = next(folder.glob("[!.]*"), None)
    if found is not None:
        raise UsageError(f"{folder}: holds {found.name}; choose another folder")


def _summarize(out_dir: Path, scenes: Sequence[Scene], asked: int) -> None:
    used = [voice.name for scene in scenes for voice in scene.voices]
    _logger.info(
        "wrote %s, %.1f minutes, to %s: %s for %s",
        counted(len(scenes), "recording"),
        sum(scene.seconds for scene in scenes) / 60,
        out_dir,
        counted(len(set(used)), "voice"),
        counted(len(used), "speaker"),
    )
    if len(scenes) < asked:
        _logger.warning(
            "%s asked for: voices or turns do not suffice for more than %d",
            counted(asked, "recording"),
            len(scenes),
        )


# ---- reading -----------------------------------------------------------------------


def read_samples(path: Path) -> Float32Array:
    """Return the samples (n,) of an audio file at `RATE`, channels averaged."""
    samples, rate = read_audio(path)
    return np.concatenate([*resample_blocks([samples], rate, RATE)])


def read_voices(folder: Path, *, without: set[str]) -> list[Voice]:
    """Return the voices of a folder: its sub-folders, by name, with their files."""
    voices = []
    for name, files in list_voices(folder).items():
        speech = {} if name in without else _measure_speech(files)
        if speech:
            voices.append(Voice(name, tuple(speech), sum(speech.values()) / RATE))
    if not voices:
        left = " apart from those left out" if without else ""
        raise FormatError(
            f"no sub-folder has audio files with speech{left}; expected one for each "
            "voice",
            path=folder,
        )
    return voices


def list_voices(folder: Path) -> dict[str, list[Path]]:
    """Return the audio files of each sub-folder, of one voice each."""
    if not folder.is_dir():
        raise FormatError("is no folder of voices; check the path", path=folder)
    places = sorted(path for path in folder.iterdir() if path.is_dir())
    for place in places:
        if not is_id(place.name):
            raise FormatError(
                "its name cannot be that of a speaker in RTTM; rename it", path=place
            )
    return {place.name: _list_files(place) for place in places}


def _list_files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"))
    return [path for path in found if path.suffix.lower() in AUDIO_SUFFIXES]


def _measure_speech(files: Iterable[Path]) -> dict[Path, int]:
    """Return the files that hold speech, with its length in samples.

    A warning names the first of those that cannot be read.
    """
    speech, faults = {}, []
    for path in files:
        try:
            length = len(condense(read_samples(path)))
        except FormatError as error:
            faults.append(error)
            continue
        if length:
            speech[path] = length
    if faults:
        text = counted(len(faults), "file")
        _logger.warning("%s left out, the first of them: %s", text, faults[0])
    return speech


def open_noise(folder: Path) -> NoiseSource:
    """Return what draws parts of files of a folder, repeated if they are short."""
    if not folder.is_dir():
        raise FormatError("is no folder of noise; check the path", path=folder)
    files = _list_files(folder)
    if not files:
        suffixes = ", ".join(sorted(AUDIO_SUFFIXES))
        raise FormatError(f"holds no audio files ({suffixes})", path=folder)

    def draw(count: int, generator: np.random.Generator) -> FloatArray:
        path = files[generator.integers(len(files))]
        noise = read_samples(path).astype(np.float64)
        if not noise.any():
            raise FormatError("is silent; leave it out", path=path)
        start = int(generator.integers(max(len(noise) - count, 0) + 1))
        return np.resize(noise[start:], count)

    return draw


# ---- writing -----------------------------------------------------------------------


def write_recordings(
    folder: Path,
    sources: Sources,
    options: SimulateAudioOptions,
    conversations: Sequence[Sequence[Turn]] | None,
) -> list[Scene]:
    """Write recordings with their tables to a folder, and return their scenes."""
    generator = np.random.default_rng(options.seed)
    scenes = list(draw_scenes(sources.voices, options, generator, conversations))
    if not scenes:
        raise DataError(
            "no recording can be made: voices are too short or too few, or turns have "
            "other numbers of speakers (--min-speakers, --max-speakers, --min-seconds)"
        )
    (folder / "wav").mkdir()
    conditions = cycle(list_conditions(options))
    rows = []
    for scene, own in zip(scenes, generator.spawn(len(scenes)), strict=True):
        mix = mix_scene(scene, next(conditions), sources, options, own)
        _write_audio(folder / "wav" / f"{scene.name}.wav", mix)
        rows.append(mix.row)
        if len(rows) % _STEP == 0:
            _logger.info("%d of %d recordings", len(rows), len(scenes))
    _write_tables(folder, scenes, rows)
    return scenes


def _write_audio(path: Path, mix: Mix) -> None:
    import soundfile

    encoding = "ULAW" if mix.rate == TELEPHONE_RATE else "PCM_16"
    with atomic_write(path, "wb") as file:
        soundfile.write(file, mix.samples, mix.rate, format="WAV", subtype=encoding)


def _write_tables(
    folder: Path, scenes: Sequence[Scene], rows: Sequence[dict[str, str]]
) -> None:
    """Write the lists of audio, of the truth, and of conditions."""
    write_rttm(
        folder / "ref.rttm", {scene.name: scene.turns for scene in scenes}, channel="1"
    )
    lines = {
        "wav.scp": (f"{scene.name} wav/{scene.name}.wav" for scene in scenes),
        "all.uem": (f"{scene.name} 1 0.000 {scene.seconds:.3f}" for scene in scenes),
        "reco2num_spk": (f"{scene.name} {len(scene.voices)}" for scene in scenes),
    }
    for name, listed in lines.items():
        with atomic_write(folder / name) as file:
            file.writelines(f"{line}\n" for line in listed)
    with atomic_write(folder / "conditions.csv") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
