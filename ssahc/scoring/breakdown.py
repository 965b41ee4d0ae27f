"""Error rates of a corpus and of groups of its recordings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite, isnan, nan

from ssahc.scoring.der import Score

Group = int | str


@dataclass(frozen=True)
class Summary:
    """Scores of several recordings, pooled and averaged.

    Attributes
    ----------
    recordings : int
        Number of recordings.
    pooled : Score
        Sum of the scores: recordings are weighted by scored speech in the pooled DER
        and by number of reference speakers in the pooled JER.
    mean_der, mean_jer : float
        Unweighted means over recordings, in percent. Recordings with nothing to score
        are left out; NaN if there are no others.
    """

    recordings: int
    pooled: Score
    mean_der: float
    mean_jer: float


def summarize(scores: Iterable[Score]) -> Summary:
    """Pool and average the scores of recordings."""
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
    """Summarize the scores of each group of recordings.

    Parameters
    ----------
    scores : mapping
        Recording to score, as from `score_corpus`.
    groups : mapping
        Recording to group, such as its number of speakers (see `count_speakers`),
        language or domain. Recordings without a score are ignored.

    Returns
    -------
    dict
        Group to summary: numbers in ascending order, then names in alphabetical order,
        then None for recordings that `groups` does not list.
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
    # "nan" and "inf" may be names of groups (a language code, for example).
    return (0, number, str(group)) if isfinite(number) else (1, 0.0, str(group))


def count_speakers(scores: Mapping[str, Score]) -> dict[str, Group]:
    """Return the number of reference speakers of each recording, for `break_down`.

    Only speakers who speak in the scored spans are counted.
    """
    return {recording: score.speakers for recording, score in scores.items()}
