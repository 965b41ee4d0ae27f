"""Turns to speak in: excerpts of real conversations, or drawn ones."""

from collections.abc import Iterable, Sequence

import numpy as np

from ssahc.core.types import FloatArray, Turn
from ssahc.simulation.options import TURN_FLOOR, SimulateOptions
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


# ---- conversations with an amount of overlap and of silence ------------------------

# Mean length of a turn, in seconds, drawn for each conversation; the shape of their
# gamma distribution above the minimum.
_MEAN_TURN, _TURN_SHAPE = (1.0, 4.0), 1.2
# Length of a backchannel, and of a turn in which there may be some, in seconds.
_BACKCHANNEL, _LONG_TURN = (0.2, 1.0), 1.5
# Number of backchannels in a long turn, at most.
_BACKCHANNELS = 2
# Share of the shorter of two turns that they may have in common.
_SHARED = 0.1, 0.8
# Mean length of pauses, in seconds, drawn for each: most are short, some are long. Much
# silence makes all longer.
_MEAN_PAUSE, _TYPICAL_PAUSE = (0.2, 4.0), 1.0
# From turn to turn where there is neither overlap nor a pause, in seconds.
_GAP = 0.0, 0.2


def draw_conversation(
    speakers: int,
    seconds: float,
    overlap: float,
    silence: float,
    generator: np.random.Generator,
) -> list[Turn]:
    """Draw turns with an amount of overlap and of silence.

    Wherever a turn ends, the amounts so far decide whether the next begins before that
    end or after a pause, so that the shares are met in the long run.

    Parameters
    ----------
    speakers : int
    seconds : float
        Length of the recording.
    overlap : float
        Mean share of the speech in which several speakers are active. The share of
        this conversation is drawn, from 0 to twice as much.
    silence : float
        Mean share of the time without speech; drawn as well.
    generator : numpy.random.Generator
    """
    overlap *= generator.uniform(0, 2)
    silence *= generator.uniform(0, 2)
    mean_turn = generator.uniform(*_MEAN_TURN)
    longer = max((TURN_FLOOR + mean_turn) * silence / (1 - silence), _TYPICAL_PAUSE)
    pauses = np.log(np.array(_MEAN_PAUSE) * longer / _TYPICAL_PAUSE)
    odds = np.maximum(generator.dirichlet(np.full(speakers, 2.0)), 1e-3)
    queue = list(generator.permutation(speakers))
    turns: list[Turn] = []
    speaker, last, end, silent, shared = -1, 0.0, 0.0, 0.0, 0.0
    while end < seconds:
        speaker = int(queue.pop()) if queue else _draw_other(odds, speaker, generator)
        length = TURN_FLOOR + generator.gamma(_TURN_SHAPE, mean_turn / _TURN_SHAPE)
        start = end
        if turns and speakers > 1 and shared < overlap * (end - silent):
            common = generator.uniform(*_SHARED) * min(length, last)
            start -= common
            shared += common
        elif silent <= silence * end:
            pause = generator.exponential(np.exp(generator.uniform(*pauses)))
            # Not more than what may be missing until the end.
            pause = min(pause, max(silence * seconds - silent, _GAP[1]))
            start += pause
            silent += pause
        else:
            start += generator.uniform(*_GAP)
        last, end = length, max(start + length, end)
        turns.append(Turn(start, start + length, f"s{speaker + 1}"))
        for _ in range(_BACKCHANNELS if speakers > 1 and length > _LONG_TURN else 0):
            if shared < overlap * (end - silent) and generator.random() < 0.5:
                short = generator.uniform(*_BACKCHANNEL)
                begin = start + generator.uniform(0, length - short)
                other = _draw_other(odds, speaker, generator)
                turns.append(Turn(begin, begin + short, f"s{other + 1}"))
                shared += short
    return _cut(turns, 0, seconds)


def _draw_other(odds: FloatArray, speaker: int, generator: np.random.Generator) -> int:
    """Draw a speaker by odds (K,), but not this one if there are others."""
    odds = odds.copy()
    if len(odds) > 1 and speaker >= 0:
        odds[speaker] = 0
    return int(generator.choice(len(odds), p=odds / odds.sum()))


def overlap_of(turns: Iterable[Turn]) -> tuple[float, float]:
    """Return the seconds in which anybody speaks, and in which several do."""
    changes = sorted(
        change for turn in turns for change in ((turn.start, 1), (turn.end, -1))
    )
    speech, shared, active, since = 0.0, 0.0, 0, 0.0
    for time, change in changes:
        speech += (time - since) * (active > 0)
        shared += (time - since) * (active > 1)
        active, since = active + change, time
    return speech, shared
