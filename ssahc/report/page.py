"""The HTML report on a run."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.resources import files
from math import isnan

from ssahc.core.errors import counted, printable
from ssahc.report.certainty import describe_certainty, percent_sure
from ssahc.report.lanes import describe_error
from ssahc.report.overview import TurnsReport
from ssahc.report.palette import ERROR_COLORS, OVERLAP_COLORS
from ssahc.report.svg import lay_out, lay_out_turns
from ssahc.scoring.breakdown import (
    Group,
    Summary,
    break_down,
    count_speakers,
    summarize,
)
from ssahc.scoring.der import Errors, OverlapSeconds, Score
from ssahc.scoring.error_spans import ErrorAnalysis, ErrorSpan
from ssahc.scoring.overlap_spans import measure_overlap
from ssahc.scoring.regions import ScoringOptions

_FOLDER = files("ssahc") / "report"
# Of every recording.
_MAX_ERRORS = 10


@dataclass(frozen=True, eq=False)
class RecordingEntry:
    """A recording in the report."""

    recording: str
    analysis: ErrorAnalysis
    # Whether the hypothesis contains the recording.
    found: bool = True
    # Number of speakers to its probability; empty if it is not known.
    posterior: Mapping[int, float] = field(default_factory=dict)
    # PNG file, or why it is missing.
    affinity: bytes | None = None
    note: str | None = None

    @property
    def score(self) -> Score:
        """Score of the recording."""
        return self.analysis.score

    @property
    def overlap(self) -> OverlapSeconds:
        """Overlap within the UEM, whether it is scored or not, without a collar."""
        return measure_overlap(self.analysis.overlap)

    @property
    def percent_sure(self) -> float:
        """Probability of the number of speakers in percent; NaN if it is not known."""
        return percent_sure(self.posterior, len(self.analysis.hypothesis_speakers))

    @property
    def certainty(self) -> str:
        """How likely the number of speakers is, and others, in words."""
        number = len(self.analysis.hypothesis_speakers)
        return describe_certainty(self.posterior, number)


@dataclass(frozen=True, eq=False)
class RunReport:
    """Content of the report."""

    title: str
    # Kind of input to its path.
    sources: Mapping[str, str]
    options: ScoringOptions
    # Options of the run, by name.
    settings: Mapping[str, object]
    entries: Sequence[RecordingEntry]
    # Remarks on the whole report.
    notes: Sequence[str] = ()

    @property
    def summary(self) -> Summary:
        """Scores of all recordings together."""
        return summarize(entry.score for entry in self.entries)

    @property
    def breakdown(self) -> dict[Group | None, Summary]:
        """Scores by number of reference speakers."""
        scores = {entry.recording: entry.score for entry in self.entries}
        return break_down(scores, count_speakers(scores))


def rank(scores: Mapping[str, Score]) -> list[str]:
    """Return recordings in order of descending DER; those without DER come last."""

    def order(name: str) -> tuple[bool, float, str]:
        der = scores[name].der
        return isnan(der), 0.0 if isnan(der) else -der, name

    return sorted(scores, key=order)


def render(report: RunReport) -> str:
    """Return the report as one self-contained HTML document.

    The output is deterministic. Ids and paths are untrusted: they are escaped, and the
    content security policy blocks all requests and all scripts but the report's own.
    """
    by_name = {entry.recording: entry for entry in report.entries}
    names = rank({name: entry.score for name, entry in by_name.items()})
    return _fill(
        "page.html",
        report=report,
        entries=[by_name[name] for name in names],
        anchors={name: f"r{place}" for place, name in enumerate(sorted(by_name), 1)},
        lay_out=lay_out,
        longest=_longest_errors,
        parts=_parts,
        overlap_colors=OVERLAP_COLORS,
    )


def render_turns(report: TurnsReport) -> str:
    """Return the report on a run without a reference, as `render` does."""
    return _fill(
        "turns.html", report=report, lay_out_turns=lay_out_turns, counted=counted
    )


def _fill(template: str, **content: object) -> str:
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
    environment.filters |= {"number": _number, "base64": _base64}
    script = (_FOLDER / "sort.js").read_text(encoding="utf-8")
    return environment.get_template(template).render(
        **content,
        style=Markup((_FOLDER / "style.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=_base64(sha256(script.encode()).digest()),
    )


def _parts(score: Errors, whole: Errors | None = None) -> list[dict[str, str | float]]:
    """Return the seconds of each kind of error, and their share of scored speech.

    The share is that of the speech of a whole of which the score is a part, if given.
    """
    errors = (score.missed, score.false_alarm, score.confusion)
    whole = whole or score
    return [
        dict(kind=kind, color=color, seconds=value, percent=whole.percent(value))
        for (kind, color), value in zip(ERROR_COLORS.items(), errors, strict=True)
    ]


def _longest_errors(analysis: ErrorAnalysis) -> list[tuple[str, str, ErrorSpan]]:
    """Return the colour, description and span of the longest errors."""
    errors = sorted(analysis.errors, key=lambda error: error.start - error.end)
    return [
        (ERROR_COLORS[error.kind], describe_error(error), error)
        for error in errors[:_MAX_ERRORS]
    ]


def _printable(value: object) -> object:
    """Escape unprintable characters of plain text; markup is left alone."""
    return printable(value) if type(value) is str else value


def _number(value: float, digits: int = 2) -> str:
    return "\N{EN DASH}" if isnan(value) else f"{value:.{digits}f}"


def _base64(content: bytes) -> str:
    return b64encode(content).decode("ascii")
