"""Scenes: who speaks when in a recording, and with which voice."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ssahc.core.types import Turn
from ssahc.simulation.audio.options import SimulateAudioOptions
from ssahc.simulation.audio.turns import (
    draw_conversation,
    draw_meeting,
    excerpt,
    speech_of,
)
from ssahc.simulation.audio.voices import Voice, choose_voices

# After the last turn, in seconds.
_TAIL = 0.3
# Where voices are too short for a recording, it is made shorter by this factor, until
# it is given up at so many seconds.
_SHORTER, _SHORTEST = 0.85, 10.0

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


def draw_scenes(
    voices: Sequence[Voice],
    options: SimulateAudioOptions,
    generator: np.random.Generator,
    conversations: Sequence[Sequence[Turn]] | None = None,
) -> Iterator[Scene]:
    """Yield recordings with a voice for each speaker, as many as are asked for.

    Recordings with too few speakers after all, and those for which voices are too
    short, are left out.

    Parameters
    ----------
    voices : sequence of Voice
    options : SimulateAudioOptions
    generator : numpy.random.Generator
    conversations : sequence of sequences of Turn, optional
        The turns of real conversations: each recording has a part of one. By default,
        turns are drawn.
    """
    if conversations is None:
        draws = list(_list_drawn(options, generator))
    else:
        draws = list(_list_excerpts(conversations, options, generator))
    casting = np.random.default_rng([options.seed, 1])
    uses: Counter[str] = Counter()
    made = 0
    for name, draw in draws:
        if made == options.recordings:
            return
        scene = _cast(name, draw, voices, uses, options, casting)
        if scene is not None:
            uses.update(voice.name for voice in scene.voices)
            made += 1
            yield scene


def _list_excerpts(
    conversations: Sequence[Sequence[Turn]],
    options: SimulateAudioOptions,
    generator: np.random.Generator,
) -> Iterator[tuple[str, Draw]]:
    """Yield the name of each recording, and what cuts its turns."""
    fitting = [
        turns
        for turns in conversations
        if options.min_speakers
        <= len({turn.speaker for turn in turns})
        <= options.max_speakers
    ]
    for place, index in enumerate(generator.permutation(len(fitting))):
        yield f"call{place:03d}", _draw_excerpt(fitting[index])


def _list_drawn(
    options: SimulateAudioOptions, generator: np.random.Generator
) -> Iterator[tuple[str, Draw]]:
    """Yield the name of each recording, and what draws its turns."""
    kind = "meeting" if options.max_speakers > 1 else "voice"
    for place in range(options.recordings):
        count = generator.integers(options.min_speakers, options.max_speakers + 1)
        yield f"{kind}{place:03d}", _draw_turns_of(int(count), place, options)


def _draw_excerpt(turns: Sequence[Turn]) -> Draw:
    return lambda seconds, generator: excerpt(turns, seconds, generator)


def _draw_turns_of(count: int, place: int, options: SimulateAudioOptions) -> Draw:
    overlap, silence = options.overlap, options.silence
    if overlap is None or silence is None:
        return lambda seconds, generator: draw_meeting(count, seconds, place, generator)
    return lambda seconds, generator: draw_conversation(
        count, seconds, overlap, silence, generator
    )


def _cast(
    name: str,
    draw: Draw,
    voices: Sequence[Voice],
    uses: Counter[str],
    options: SimulateAudioOptions,
    generator: np.random.Generator,
) -> Scene | None:
    """Return a recording with a voice for each speaker; None if voices fall short."""
    seconds = float(generator.uniform(options.min_seconds, options.max_seconds))
    while seconds >= _SHORTEST:
        turns = draw(seconds, generator)
        speakers = sorted({turn.speaker for turn in turns})
        needed = {
            speaker: speech_of(turn for turn in turns if turn.speaker == speaker)
            for speaker in speakers
        }
        chosen = choose_voices(needed, voices, uses, generator)
        if chosen is not None and len(speakers) >= options.min_speakers:
            named = [
                Turn(turn.start, turn.end, chosen[turn.speaker].name) for turn in turns
            ]
            return Scene(name, named, [chosen[speaker] for speaker in speakers])
        seconds *= _SHORTER
    return None
