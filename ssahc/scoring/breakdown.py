"""Scores of many recordings, put together: of the corpus, and of groups in it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, isnan, nan

from ssahc.scoring.der import Score

Group = int | str


@dataclass(frozen=True)
class Summary:
    """The scores of several recordings, put together.

    Attributes
    ----------
    recordings : int
        How many there are.
    pooled : Score
        Their sum: in its rates, a recording weighs as much as its scored speech (and
        in JER, as it has reference speakers).
    mean_der, mean_jer : float
        Mean over recordings of their rates in percent, each weighing the same. Those
        with nothing to score have none and do not count; NaN if none has one.
    """

    recordings: int
    pooled: Score
    mean_der: float
    mean_jer: float


def summarize(scores: Iterable[Score]) -> Summary:
    """Put the scores of recordings together."""
    scores = list(scores)
    return Summary(
        len(scores),
        sum(scores, Score()),
        _mean(score.der for score in scores),
        _mean(score.jer for score in scores),
    )


def _mean(rates: Iterable[float]) -> float:
    known = [rate for rate in rates if not isnan(rate)]
    return sum(known) / len(known) if known else nan


def break_down(
    scores: Mapping[str, Score], groups: Mapping[str, Group]
) -> dict[Group | None, Summary]:
    """Put the scores of the recordings of each group together.

    Parameters
    ----------
    scores : mapping
        Recording to its score, as from `score_corpus`.
    groups : mapping
        Recording to its group: its number of speakers (see `count_speakers`), its
        language, its domain. Recordings without a score are passed over.

    Returns
    -------
    dict
        Group to summary. Numbers come first, by size, then names, sorted, and last
        None, the group of the recordings that `groups` lacks.
    """
    members: dict[Group | None, list[Score]] = {}
    for recording, score in scores.items():
        members.setdefault(groups.get(recording), []).append(score)
    return {group: summarize(members[group]) for group in sorted(members, key=_rank)}


def _rank(group: Group | None) -> tuple[int, float, str]:
    if group is None:
        return 2, 0.0, ""
    try:
        number = float(group)
    except ValueError:
        number = nan
    # A group may be called "nan" (the language) or "inf".
    return (0, number, str(group)) if isfinite(number) else (1, 0.0, str(group))


def count_speakers(scores: Mapping[str, Score]) -> dict[str, Group]:
    """Return the number of reference speakers of each recording, to group by.

    Those who speak in the scored span are counted: without a UEM, all of them.
    """
    return {recording: score.speakers for recording, score in scores.items()}
