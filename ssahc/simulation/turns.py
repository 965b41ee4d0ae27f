"""Turns of simulated conversations, and the windows that are cut from them."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ssahc.core.types import FloatArray, Turn
from ssahc.simulation.options import TURN_FLOOR, SimulateOptions

# Length and shift of sliding windows, in seconds.
WINDOW, SHIFT = 1.5, 0.75
# Shape of the gamma distribution of the length of turns above the minimum.
_TURN_SHAPE = 1.5
# Dirichlet concentration of the shares of turns, unless one is given for speech.
_CONCENTRATION = 3.0
# A share that is not 0, so that everybody can be drawn.
_LEAST_SHARE = 1e-6


def draw_turns(
    count: int, options: SimulateOptions, generator: np.random.Generator
) -> list[Turn]:
    """Draw turns of `count` speakers, all of whom speak; times are rounded to 10 ms."""
    talkativeness, means = _draw_habits(count, options, generator)
    scales = np.maximum(means - TURN_FLOOR, 0) / _TURN_SHAPE
    turns: list[Turn] = []
    # Each speaker has one turn first; then speakers are drawn by talkativeness.
    queue = list(generator.permutation(count))
    speaker, clock = -1, float(generator.exponential(0.5))
    while clock < options.duration or queue:
        if queue:
            speaker = int(queue.pop())
        elif count > 1:
            odds = talkativeness.copy()
            odds[speaker] = 0
            speaker = int(generator.choice(count, p=odds / odds.sum()))
        end = clock + TURN_FLOOR + float(generator.gamma(_TURN_SHAPE, scales[speaker]))
        turns.append(Turn(round(clock, 2), round(end, 2), f"s{speaker + 1}"))
        if count > 1 and generator.random() < options.overlap:
            clock = end - float(generator.uniform(0.1, 0.5)) * (end - clock)
        else:
            clock = end + float(generator.exponential(0.4))
    return turns


def _draw_habits(
    count: int, options: SimulateOptions, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Draw how often speakers take a turn, and how long their turns are on average."""
    concentration = options.concentration or _CONCENTRATION
    shares = generator.dirichlet(np.full(count, concentration))
    if options.concentration is None:
        return shares, np.full(count, options.turn_seconds)
    shares = np.maximum(shares, _LEAST_SHARE)
    # Who is drawn again goes on: a turn is 1 / (1 - share) times as long, so that the
    # shares of the time are those drawn, although nobody follows himself.
    others = np.maximum(shares.sum() - shares, _LEAST_SHARE)
    return shares, options.turn_seconds * (shares @ others) / others


def cut_windows(turns: list[Turn], kind: str) -> FloatArray:
    """Cut every stretch of speech into windows (N, 2), "sliding" or whole "turns"."""
    stretches: list[list[float]] = []
    for turn in sorted(turns):
        if stretches and turn.start <= stretches[-1][1]:
            stretches[-1][1] = max(stretches[-1][1], turn.end)
        else:
            stretches.append([turn.start, turn.end])
    windows: list[tuple[float, float]] = []
    for begin, end in stretches:
        if kind == "turns":
            starts = [turn.start for turn in turns if begin <= turn.start < end]
            windows += pairwise([*starts, end])
        else:
            windows += _slide(begin, end)
    return np.array(windows)


def _slide(begin: float, end: float) -> Iterator[tuple[float, float]]:
    """Slide windows over a stretch of speech; the last one may be shorter."""
    count = 1 + max(int(np.ceil((end - begin - WINDOW) / SHIFT - 1e-9)), 0)
    for start in begin + SHIFT * np.arange(count):
        yield round(start, 2), round(min(start + WINDOW, end), 2)


def speaker_shares(segments: FloatArray, turns: list[Turn], count: int) -> FloatArray:
    """Return the (N, count) shares of the speakers in the speech of each window."""
    seconds = np.zeros((len(segments), count))
    for turn in turns:
        shared = np.minimum(segments[:, 1], turn.end) - np.maximum(
            segments[:, 0], turn.start
        )
        seconds[:, int(turn.speaker[1:]) - 1] += np.maximum(shared, 0)
    return seconds / seconds.sum(axis=1, keepdims=True)
