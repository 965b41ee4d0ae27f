"""Turns to speak in: excerpts of real conversations, or drawn ones."""

from collections.abc import Iterable, Sequence

import numpy as np

from ssahc import Turn
from ssahc.simulation.options import SimulateOptions
from ssahc.simulation.turns import draw_turns

# Shorter turns, and speakers who speak less in all, are left out; in seconds.
_SHORTEST, _LEAST = 0.1, 1.0
# Where turns of a speaker are this close, in seconds, they are one.
_TOUCHING = 0.02
# Of meetings: the mean length of a turn, in seconds, and how often it begins before the
# last one ends.
_TURN_SECONDS, _OVERLAP = (2.0, 6.0), 0.3
# Concentrations of speakers' shares: of every second meeting, one who speaks most.
_CONCENTRATIONS = 3.0, 0.6


def excerpt(
    turns: Sequence[Turn], seconds: float, generator: np.random.Generator
) -> list[Turn]:
    """Return the turns of a random part of a recording, from time 0 on."""
    end = max(turn.end for turn in turns)
    start = generator.uniform(0, max(end - seconds, 0))
    return _cut(turns, start, seconds)


def draw_meeting(
    speakers: int, seconds: float, place: int, generator: np.random.Generator
) -> list[Turn]:
    """Draw the turns of a meeting; of every second one, one speaker has most."""
    options = SimulateOptions(
        duration=max(seconds, 10),
        turn_seconds=generator.uniform(*_TURN_SECONDS),
        overlap=_OVERLAP,
        concentration=_CONCENTRATIONS[place % 2],
    )
    return _cut(draw_turns(speakers, options, generator), 0, seconds)


def _cut(turns: Iterable[Turn], start: float, seconds: float) -> list[Turn]:
    """Return what is of turns in a part of a recording, cleaned."""
    cut = [
        Turn(max(turn.start - start, 0), min(turn.end - start, seconds), turn.speaker)
        for turn in turns
    ]
    return _clean(turn for turn in cut if turn.end - turn.start > _SHORTEST)


def _clean(turns: Iterable[Turn]) -> list[Turn]:
    """Return turns to 10 ms, those of a speaker disjoint, of all who speak enough."""
    spoken: dict[str, list[Turn]] = {}
    for turn in sorted(turns):
        start, end = round(turn.start, 2), round(turn.end, 2)
        own = spoken.setdefault(turn.speaker, [])
        if own and start <= own[-1].end + _TOUCHING:
            last = own.pop()
            start, end = last.start, max(last.end, end)
        own.append(Turn(start, end, turn.speaker))
    kept = [own for own in spoken.values() if speech_of(own) >= _LEAST]
    return sorted(turn for own in kept for turn in own)


def speech_of(turns: Iterable[Turn]) -> float:
    """Return the seconds of turns."""
    return sum(turn.end - turn.start for turn in turns)
