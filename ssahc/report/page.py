"""The page of a run: from scores, timelines and affinities to HTML."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from math import isnan

from ssahc.core.errors import printable
from ssahc.report.drawing import draw
from ssahc.report.palette import ERROR_COLORS
from ssahc.scoring.breakdown import (
    Group,
    Summary,
    break_down,
    count_speakers,
    summarize,
)
from ssahc.scoring.der import Score, ScoringOptions
from ssahc.scoring.error_spans import ERROR_KINDS, Comparison

_FOLDER = files("ssahc") / "report"


@dataclass(frozen=True, eq=False)
class Entry:
    """A recording of the page.

    Parameters
    ----------
    recording : str
    comparison : Comparison
    found : bool
        Whether the hypothesis has the recording.
    affinity : bytes, optional
        A PNG file.
    note : str, optional
        Why there is no affinity, if one was wanted.
    """

    recording: str
    comparison: Comparison
    found: bool = True
    affinity: bytes | None = None
    note: str | None = None

    @property
    def score(self) -> Score:
        """Its score."""
        return self.comparison.score


@dataclass(frozen=True, eq=False)
class Report:
    """All that the page says.

    Parameters
    ----------
    title : str
    sources : mapping
        What was read, to where.
    options : ScoringOptions
    settings : mapping
        Name to value: the options of the run.
    entries : sequence of Entry
    notes : sequence of str
        What a reader must know besides.
    """

    title: str
    sources: Mapping[str, str]
    options: ScoringOptions
    settings: Mapping[str, object]
    entries: Sequence[Entry]
    notes: Sequence[str] = ()

    @property
    def summary(self) -> Summary:
        """The scores of all recordings, put together."""
        return summarize(entry.score for entry in self.entries)

    @property
    def breakdown(self) -> dict[Group | None, Summary]:
        """Number of reference speakers to the recordings with that many."""
        scores = {entry.recording: entry.score for entry in self.entries}
        return break_down(scores, count_speakers(scores))


def rank(scores: Mapping[str, Score]) -> list[str]:
    """Return recordings by error rate, the worst first; last those with none."""

    def order(name: str) -> tuple[bool, float, str]:
        der = scores[name].der
        return isnan(der), 0.0 if isnan(der) else -der, name

    return sorted(scores, key=order)


def render(report: Report) -> str:
    """Return the page as one HTML document that needs nothing else.

    The same report gives the same text. Its content policy forbids every request and
    every script but its own, whatever ids and paths are called.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("ssahc", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters["number"] = _number
    environment.filters["base64"] = _base64
    by_name = {entry.recording: entry for entry in report.entries}
    names = rank({name: entry.score for name, entry in by_name.items()})
    script = (_FOLDER / "sort.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        report=report,
        entries=[by_name[name] for name in names],
        anchors={name: f"r{place}" for place, name in enumerate(sorted(by_name), 1)},
        draw=draw,
        parts=_parts,
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_base64(sha256(script.encode()).digest()),
    )


@dataclass(frozen=True)
class _Part:
    """One kind of error: seconds, and percent of the scored time."""

    kind: str
    color: str
    seconds: float
    percent: float


def _parts(score: Score) -> list[_Part]:
    seconds = dict(
        zip(
            ERROR_KINDS,
            (score.missed, score.false_alarm, score.confusion),
            strict=True,
        )
    )
    return [
        _Part(kind, ERROR_COLORS[kind], seconds[kind], score.percent(seconds[kind]))
        for kind in ERROR_KINDS
    ]


def _printable(value: object) -> object:
    """Return text with what a browser does not show escaped; markup stays as it is."""
    return printable(value) if type(value) is str else value


def _number(value: float, digits: int = 2) -> str:
    return "\N{EN DASH}" if isnan(value) else f"{value:.{digits}f}"


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")
