"""Semi-real recordings: real voices in real or drawn turns, by telephone or in rooms.

VOICES has a folder of audio files for each voice, at any rate. OUT gets wav.scp, the
audio in OUT/wav, and as its truth ref.rttm, all.uem, reco2num_spk, and conditions.csv.
Speakers are called by their voices. No voice is twice in a recording, no audio is used
twice in it, and voices are those of no other recording as long as there are enough.
The same voices, options and seed give the same bytes.

Over the telephone each speaker has a line filter of their own, and the mix is 8 kHz
mu-law. In a room (RT60 0.2 to 0.7 s) each speaker has an impulse response of their own
(image method, then a decaying tail). Embeddings are then those of

    ssahc extract OUT/wav.scp XVECTORS --extractor campplus --segments OUT/ref.rttm
    cp OUT/{ref.rttm,all.uem,reco2num_spk} XVECTORS

which is what `python -m benchmarks real --more XVECTORS` reads.
"""

import argparse
import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.support.acoustics import TELEPHONE_RATE, in_room, over_telephone
from benchmarks.support.conversation_turns import draw_meeting, excerpt, speech_of
from benchmarks.support.voices import (
    RATE,
    Supply,
    Voice,
    choose_voices,
    read_voices,
)
from ssahc import Turn, read_rttm
from ssahc.core.types import FloatArray
from ssahc.io.rttm import write_rttm

# Of rooms, in seconds.
REVERBERATION = 0.2, 0.7
# After the last turn, in seconds.
_TAIL = 0.3
# Where voices are too short for a recording, it is made shorter by this factor, until
# it is given up at so many seconds.
_SHORTER, _SHORTEST = 0.85, 10.0
_PEAK = 0.7

# Draws the turns of a recording of so many seconds.
Draw = Callable[[float, np.random.Generator], list[Turn]]


@dataclass(frozen=True)
class Scene:
    """A recording before it is mixed: turns of voices."""

    name: str
    turns: list[Turn]
    voices: list[Voice]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return max(turn.end for turn in self.turns) + _TAIL


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("voices", type=Path)
    parser.add_argument("out", type=Path)
    kinds = parser.add_mutually_exclusive_group(required=True)
    kinds.add_argument(
        "--turns",
        nargs="+",
        type=Path,
        metavar="RTTM",
        help="turns of real conversations: a part of each recording, in random order",
    )
    kinds.add_argument("--meetings", type=int, metavar="N", help="N drawn meetings")
    kinds.add_argument(
        "--one-voice", type=int, metavar="N", help="N recordings of one voice"
    )
    parser.add_argument(
        "--recordings", type=int, help="of --turns, make so many (default: all)"
    )
    parser.add_argument(
        "--condition",
        choices=("telephone", "room", "both"),
        help="both alternate (default: telephone for --turns, room for --meetings, "
        "both for --one-voice)",
    )
    for name, default, text in (
        ("--seconds", (60.0, 200.0), "length of recordings"),
        ("--snr", (12.0, 30.0), "signal-to-noise ratio while anybody speaks, in dB"),
    ):
        parser.add_argument(
            name,
            nargs=2,
            type=float,
            default=default,
            metavar=("MIN", "MAX"),
            help=f"{text} (default: %(default)s)",
        )
    parser.add_argument(
        "--speakers",
        nargs=2,
        type=int,
        default=(2, 8),
        metavar=("MIN", "MAX"),
        help="of a meeting, or of recordings of --turns to take (default: %(default)s)",
    )
    parser.add_argument(
        "--gains",
        type=float,
        default=8.0,
        metavar="DB",
        help="difference of the softest and the loudest voice, at most (default: 8)",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        type=Path,
        default=[],
        metavar="RTTM",
        help="leave out the voices of other sets",
    )
    parser.add_argument("--seed", type=int, default=0)


def main(arguments: argparse.Namespace) -> None:
    others = {
        turn.speaker
        for path in arguments.without
        for turns in read_rttm(path).turns.values()
        for turn in turns
    }
    voices = read_voices(arguments.voices)
    voices = [voice for voice in voices if voice.name not in others]
    (arguments.out / "wav").mkdir(parents=True)
    generator = np.random.default_rng(arguments.seed)
    scenes = list(cast_scenes(list_draws(arguments, generator), voices, arguments))
    conditions = {"both": ("room", "telephone")}.get(
        condition_of(arguments), (condition_of(arguments),)
    )
    rows = [
        record(scene, condition, arguments, child)
        for scene, condition, child in zip(
            scenes, cycle(conditions), generator.spawn(len(scenes)), strict=False
        )
    ]
    write_tables(arguments.out, scenes, rows)
    used = [voice.name for scene in scenes for voice in scene.voices]
    seconds = sum(scene.seconds for scene in scenes)
    print(
        f"{len(scenes)} recordings, {seconds / 60:.0f} minutes; {len(set(used))} voices"
        f" for {len(used)} speakers"
    )
    asked = arguments.recordings or arguments.meetings or arguments.one_voice
    if asked is not None and len(scenes) < asked:
        print(f"for {asked - len(scenes)} more, voices or turns do not suffice")


def condition_of(arguments: argparse.Namespace) -> str:
    """Return the condition that is asked for, or that of the kind of recordings."""
    default = "room" if arguments.meetings else "telephone"
    return arguments.condition or ("both" if arguments.one_voice else default)


# ---- who speaks when ---------------------------------------------------------------


def list_draws(
    arguments: argparse.Namespace, generator: np.random.Generator
) -> Iterator[tuple[str, Draw]]:
    """Yield the name of each recording, and what draws its turns."""
    if arguments.turns:
        turns = [
            own
            for path in arguments.turns
            for own in read_rttm(path).turns.values()
            if within(len({turn.speaker for turn in own}), arguments.speakers)
        ]
        for place, index in enumerate(generator.permutation(len(turns))):
            yield f"call{place:03d}", draw_excerpt(turns[index])
    for place in range(arguments.meetings or 0):
        low, high = arguments.speakers
        count = int(generator.integers(low, high + 1))
        yield f"meeting{place:03d}", draw_turns_of(count, place)
    for place in range(arguments.one_voice or 0):
        yield f"voice{place:03d}", draw_turns_of(1, place)


def draw_excerpt(turns: Sequence[Turn]) -> Draw:
    return lambda seconds, generator: excerpt(turns, seconds, generator)


def draw_turns_of(count: int, place: int) -> Draw:
    return lambda seconds, generator: draw_meeting(count, seconds, place, generator)


def within(value: int, bounds: Sequence[int]) -> bool:
    return bounds[0] <= value <= bounds[1]


def cast_scenes(
    draws: Iterator[tuple[str, Draw]],
    voices: Sequence[Voice],
    arguments: argparse.Namespace,
) -> Iterator[Scene]:
    """Yield recordings with a voice for each speaker, as many as are asked for.

    Recordings with too few speakers after all, and those for which voices are too
    short, are left out.
    """
    generator = np.random.default_rng([arguments.seed, 1])
    used: set[str] = set()
    made, low = 0, 1 if arguments.one_voice else arguments.speakers[0]
    for name, draw in draws:
        if made == arguments.recordings:
            return
        seconds = float(generator.uniform(*arguments.seconds))
        while seconds >= _SHORTEST:
            turns = draw(seconds, generator)
            speakers = sorted({turn.speaker for turn in turns})
            needed = {
                speaker: speech_of(turn for turn in turns if turn.speaker == speaker)
                for speaker in speakers
            }
            chosen = choose_voices(needed, voices, used, generator)
            if chosen is not None and len(speakers) >= low:
                named = [
                    Turn(turn.start, turn.end, chosen[turn.speaker].name)
                    for turn in turns
                ]
                cast = [chosen[speaker] for speaker in speakers]
                used |= {voice.name for voice in cast}
                made += 1
                yield Scene(name, named, cast)
                break
            seconds *= _SHORTER


# ---- sound -------------------------------------------------------------------------


def record(
    scene: Scene,
    condition: str,
    arguments: argparse.Namespace,
    generator: np.random.Generator,
) -> dict[str, object]:
    """Mix a recording, write its audio, and return what it is like."""
    snr = float(generator.uniform(*arguments.snr))
    row: dict[str, object] = {
        "recording": scene.name,
        "condition": condition,
        "seconds": f"{scene.seconds:.2f}",
        "speakers": len(scene.voices),
        "snr": f"{snr:.1f}",
        "rt60": "",
    }
    tracks, speaks = fill_tracks(scene, arguments.gains, generator)
    path = arguments.out / "wav" / f"{scene.name}.wav"
    if condition == "telephone":
        mixed = over_telephone(tracks, speaks, snr, generator)
        write_audio(path, mixed, TELEPHONE_RATE, "ULAW")
    else:
        reverberation = float(generator.uniform(*REVERBERATION))
        row["rt60"] = f"{reverberation:.2f}"
        mixed = in_room(tracks, speaks, snr, reverberation, generator)
        write_audio(path, mixed, RATE, "PCM_16")
    return row


def fill_tracks(
    scene: Scene, gains: float, generator: np.random.Generator
) -> tuple[list[FloatArray], FloatArray]:
    """Return a track (n,) of each voice's turns, and where anybody speaks (n,)."""
    count = round(scene.seconds * RATE)
    tracks, speaks = [], np.zeros(count, bool)
    for voice in scene.voices:
        track, supply = np.zeros(count), Supply(voice, generator)
        gain = 10 ** (generator.uniform(-gains / 2, gains / 2) / 20)
        for turn in scene.turns:
            if turn.speaker == voice.name:
                start, end = round(turn.start * RATE), round(turn.end * RATE)
                track[start:end] = gain * supply.take(end - start)
                speaks[start:end] = True
        tracks.append(track)
    return tracks, speaks


def write_audio(path: Path, samples: FloatArray, rate: int, subtype: str) -> None:
    samples = samples * (_PEAK / np.abs(samples).max())
    soundfile.write(path, samples, rate, subtype=subtype)


def write_tables(
    out: Path, scenes: Sequence[Scene], rows: Sequence[dict[str, object]]
) -> None:
    """Write the lists of audio, of the truth, and of conditions."""
    write_rttm(
        out / "ref.rttm", {scene.name: scene.turns for scene in scenes}, channel="1"
    )
    lines = {
        "wav.scp": (f"{scene.name} wav/{scene.name}.wav" for scene in scenes),
        "all.uem": (f"{scene.name} 1 0.000 {scene.seconds:.3f}" for scene in scenes),
        "reco2num_spk": (f"{scene.name} {len(scene.voices)}" for scene in scenes),
    }
    for name, listed in lines.items():
        (out / name).write_text("".join(f"{line}\n" for line in listed))
    with (out / "conditions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
