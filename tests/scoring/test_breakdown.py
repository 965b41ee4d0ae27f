"""Scores of groups of recordings, and the output formats of ``ssahc score``."""

import csv
import io
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import ssahc as api
from ssahc.core.types import Turn
from ssahc.io.rttm import write_rttm
from ssahc.scoring.breakdown import break_down, summarize
from ssahc.scoring.der import Score

SECONDS = ("scored", "missed", "false_alarm", "confusion")
PARTS = ("silence", "single", "overlap")
LANGUAGES = {"r0": "en", "r1": "US  English", "r2": "nan", "r3": "en", "other": "fr"}


def random_turns(rng, speakers):
    """At least one turn of every speaker, with some overlap."""
    starts = np.cumsum(rng.uniform(0.5, 3, size=12))
    names = [*range(speakers), *rng.integers(speakers, size=12 - speakers)]
    ends = starts + rng.uniform(0.6, 3, size=12)
    return [
        Turn(round(start, 2), round(end, 2), f"s{name}")
        for start, end, name in zip(starts, ends, names)
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Reference, hypothesis and languages of five recordings, one without any."""
    folder, rng = tmp_path_factory.mktemp("corpus"), np.random.default_rng(5)
    counts = {"r0": 2, "r1": 3, "r2": 2, "r3": 11, "r4": 3}
    write_rttm(folder / "ref", {r: random_turns(rng, n) for r, n in counts.items()})
    write_rttm(folder / "hyp", {r: random_turns(rng, 3) for r in counts if r != "r4"})
    lines = (f"{name} {value}\n" for name, value in LANGUAGES.items())
    (folder / "language").write_text("\n".join(lines))
    return folder


@pytest.fixture
def score(ssahc_here, corpus):
    """Score the corpus with both breakdowns; return what is printed."""

    def run(*options):
        arguments = ("score", "ref", "hyp", "--by", "speakers", "--by", "language")
        result = ssahc_here(*arguments, *options, cwd=corpus)
        assert result.returncode == 0
        assert "not in the hypothesis, counted as missed: r4\n" in result.stderr
        assert "not listed in language, in a group of their own: r4\n" in result.stderr
        return result.stdout

    return run


amounts = st.floats(0, 1000).map(lambda value: round(value, 3))
scores = st.builds(Score, amounts, amounts, amounts, amounts, amounts, st.integers(0))
groups = st.none() | st.integers(0, 12) | st.sampled_from(["en", "nan", "-1.5", "inf"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(scores, groups)))
def test_groups_add_up_to_the_corpus(recordings):
    table = {f"r{number}": score for number, (score, _) in enumerate(recordings)}
    names = {f"r{n}": group for n, (_, group) in enumerate(recordings)}
    known = {name: group for name, group in names.items() if group is not None}
    summaries = break_down(table, known)
    expected = {
        group: summarize(table[name] for name in table if names[name] == group)
        for group in names.values()
    }
    # As text, since NaN is not equal to itself (dataclasses compare so from 3.13 on).
    assert {group: repr(one) for group, one in summaries.items()} == {
        group: repr(one) for group, one in expected.items()
    }
    corpus = summarize(table.values())
    assert corpus.recordings == len(table)
    assert sum(one.recordings for one in summaries.values()) == len(table)
    total = sum((one.pooled for one in summaries.values()), Score())
    for part in (*SECONDS, "jaccard", "speakers"):
        whole = sum(getattr(score, part) for score in table.values())
        assert getattr(total, part) == pytest.approx(whole)
        assert getattr(corpus.pooled, part) == pytest.approx(whole)
    rates = [score.der for score in table.values() if score.scored > 0]
    assert corpus.mean_der == pytest.approx(np.mean(rates or [np.nan]), nan_ok=True)
    rates = [score.jer for score in table.values() if score.speakers > 0]
    assert corpus.mean_jer == pytest.approx(np.mean(rates or [np.nan]), nan_ok=True)


def test_numbers_are_sorted_before_names_and_the_unlisted():
    wanted = ["-3", 2, "2.5", "10", "en", "inf", "nan", None]
    for turn in range(len(wanted)):
        names = wanted[turn:] + wanted[:turn]
        table = {str(number): Score() for number in range(len(names))}
        known = {str(n): name for n, name in enumerate(names) if name is not None}
        assert list(break_down(table, known)) == wanted


# ---- output formats ----------------------------------------------------------------


@pytest.fixture(scope="module")
def summaries(corpus):
    """Scores, summary and breakdowns of the corpus from Python."""
    reference = api.read_rttm(corpus / "ref").turns
    table = api.score_corpus(reference, api.read_rttm(corpus / "hyp").turns)
    counts = api.count_speakers(table)
    assert counts == {"r0": 2, "r1": 3, "r2": 2, "r3": 11, "r4": 3}
    languages = api.read_attributes(corpus / "language")
    breakdowns = {
        "speakers": api.break_down(table, counts),
        "language": api.break_down(table, languages),
    }
    return table, api.summarize(table.values()), breakdowns


def values(score):
    """A score in the formats for machines, which have six digits."""
    seconds = {name: getattr(score, name) for name in SECONDS}
    percent = {
        f"{name}_percent": 100 * getattr(score, name) / score.scored
        for name in SECONDS[1:]
    }
    rates = {"der": score.der, "jer": score.jer, "speakers": score.speakers}
    return rounded(seconds | percent | rates)


def rounded(rates):
    return {name: round(value, 6) for name, value in rates.items()}


def test_json_and_csv_hold_all_scores(score, summaries):
    table, whole, breakdowns = summaries
    text = score("--format", "json")
    assert score("--json") == text
    document = json.loads(text)
    assert (document["collar"], document["ignore_overlaps"]) == (0.25, True)
    assert document["recordings"] == {name: values(one) for name, one in table.items()}

    def expected(summary):
        mean = rounded({"der": summary.mean_der, "jer": summary.mean_jer})
        count = {"num_recordings": summary.recordings}
        return count | {"pooled": values(summary.pooled), "mean": mean}

    assert document.items() >= expected(whole).items()
    assert document["breakdowns"] == {
        by: [{"group": group} | expected(one) for group, one in found.items()]
        for by, found in breakdowns.items()
    }
    # The table has the same values, one row per recording, group and corpus.
    lines = [
        {"level": "recording", "recording": name} | one
        for name, one in document["recordings"].items()
    ]
    for by, found in document["breakdowns"].items():
        lines += [{"level": "group", "by": by} | one for one in found]
    lines.append(
        {"level": "pooled"} | {name: document[name] for name in expected(whole)}
    )
    for line in lines[5:]:
        line |= line.pop("pooled")
        line |= {f"mean_{name}": rate for name, rate in line.pop("mean").items()}
    rows = list(csv.DictReader(io.StringIO(score("--format", "csv"))))
    assert len(rows) == 5 + 3 + 4 + 1
    for row, line in zip(rows, lines, strict=True):
        assert {key: value for key, value in row.items() if value} == {
            key: str(value) for key, value in line.items() if value is not None
        }
    summary = list(csv.DictReader(io.StringIO(score("--format", "csv", "--summary"))))
    assert summary == rows[5:]


def cells_of(summaries):
    """The tables for people: rows of cells, without headers."""
    table, whole, breakdowns = summaries

    def seconds(score):
        yield f"{score.scored:.2f}"
        for part in SECONDS[1:]:
            yield f"{getattr(score, part):.2f}"
            yield f"{100 * getattr(score, part) / score.scored:.2f}"

    yield [
        [name, f"{one.der:.2f}", *seconds(one), f"{one.jer:.2f}"]
        for name, one in [*table.items(), ("pooled", whole.pooled)]
    ] + [["mean", f"{whole.mean_der:.2f}", *[""] * 7, f"{whole.mean_jer:.2f}"]]
    for found in breakdowns.values():
        yield [
            [
                "(unlisted)" if group is None else str(group),
                str(one.recordings),
                f"{one.pooled.der:.2f}",
                f"{one.mean_der:.2f}",
                *seconds(one.pooled),
                f"{one.pooled.jer:.2f}",
            ]
            for group, one in found.items()
        ]


def test_markdown_holds_all_scores(score, summaries):
    html = MarkdownIt().enable("table").render(score("--format", "markdown"))
    tables = [
        [
            re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
            for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)
        ]
        for table in re.findall(r"<table>(.*?)</table>", html, re.S)
    ]
    headers = [table.pop(0) for table in tables]
    assert [header[0] for header in headers] == ["recording", "speakers", "language"]
    assert headers[1][1:4] == ["count", "DER %", "mean DER %"]
    assert tables == list(cells_of(summaries))
    assert "collar 0.25 s" in html.rsplit("</table>")[-1]


def test_text_is_readable(score, summaries):
    text = score()
    assert max(map(len, text.splitlines())) <= 100
    *tables, notes = text.split("\n\n")
    for table, rows in zip(tables, cells_of(summaries), strict=True):
        for line, cells in zip(table.splitlines()[2:], rows, strict=True):
            # Cells are at least two spaces apart; those of the mean may be blank.
            assert re.split(r"  +", line) == [cell for cell in cells if cell]
    assert "DER: collar 0.25 s, overlap not scored" in notes
    short = score("--summary", "--score-overlaps")
    assert "r0" not in short
    assert "pooled" in short
    assert "overlap scored; pooled" in short


def test_errors_of_overlap_are_printed_where_it_is_scored(score, corpus):
    files = (api.read_rttm(corpus / name).turns for name in ("ref", "hyp"))
    options = api.ScoringOptions(ignore_overlaps=False)
    scores = api.score_corpus(*files, options)
    pooled = api.summarize(scores.values()).pooled
    *_, table, notes = score("--score-overlaps").split("\n\n")
    rows = [re.split(r"  +", line) for line in table.splitlines()[2:]]
    parts = pooled.silence, pooled.single, pooled.overlap, pooled
    for row, part in zip(rows, parts, strict=True):
        share = pooled.percent(part.error)
        assert row[1:4] == [number(part.der), number(share), number(part.scored)]
        assert row[4::2] == [number(getattr(part, name)) for name in SECONDS[1:]]
    overlap = pooled.overlap_seconds
    assert f"{overlap.reference:.2f} s, missed {overlap.missed:.2f} %" in notes
    assert f"{overlap.hypothesis:.2f} s, precision {overlap.precision:.2f} %" in notes
    document = json.loads(score("--score-overlaps", "--json"))
    lines = [*document["recordings"].values(), document["pooled"]]
    for line, one in zip(lines, [*scores.values(), pooled], strict=True):
        for kind in SECONDS:
            parts = (line.get(f"{who}_{kind}", 0) for who in PARTS)
            assert sum(parts) == pytest.approx(line[kind], abs=3e-6)
        assert line["overlap_missed"] == pytest.approx(one.overlap.missed, abs=1e-6)
        assert line["overlap_both"] == round(one.overlap_seconds.both, 6)
    rows = csv.DictReader(io.StringIO(score("--score-overlaps", "--format", "csv")))
    assert float([*rows][-1]["overlap_recall"]) == round(overlap.recall, 6)


def number(value):
    return "-" if np.isnan(value) else f"{value:.2f}"


def test_odd_names_are_printed_whole_and_escaped(ssahc_here, corpus, tmp_path):
    def printed(name, *options):
        for file in ("ref", "hyp"):
            text = (corpus / file).read_text().replace("r0", name)
            (tmp_path / file).write_text(text)
        return ssahc_here("score", "ref", "hyp", *options, cwd=tmp_path).stdout

    long = "a-recording-with-a-name-that-is-longer-than-a-terminal-is-wide" * 3
    assert f"\n{long}  " in printed(long)
    special = r"a|b_c_*d*\`<e>~&amp;[f](g)"
    markdown = printed(special, "--format", "markdown")
    tokens = MarkdownIt().enable("table").parse(markdown)
    inline = [token.children for token in tokens if token.type == "inline"]
    assert "".join(child.content for child in inline[10]) == special
    (tmp_path / "odd\x07").write_text("a\x1b[2J v\x1b\nr1 w\n")
    by = ("--by", tmp_path / "odd\x07")
    for form in ("csv", "text"):
        text = printed("a\x1b[2J", *by, "--format", form)
        assert text.replace("\n", "").isprintable()
        for name in ("a\\x1b[2J", "odd\\x07", "v\\x1b"):
            assert name in text


def test_only_speakers_of_the_uem_are_counted(ssahc_here, corpus, tmp_path):
    first = min(api.read_rttm(corpus / "ref").turns["r3"])
    (tmp_path / "uem").write_text(f"r3 0 0 {first.start + 0.1}\n")
    options = ("--by", "speakers", "--json", "--collar", 0, "--uem", tmp_path / "uem")
    result = ssahc_here("score", "ref", "hyp", *options, cwd=corpus)
    counts = json.loads(result.stdout)["breakdowns"]["speakers"]
    assert [one["group"] for one in counts] == [1, 2, 3]


def test_faulty_tables_and_contradictory_options_are_refused(ssahc_here, corpus):
    (corpus / "twice").write_text("r0 en\nr0 fr\n")
    (corpus / "bare").write_text("r0 en\nr1\n")
    (corpus / "others").write_text("x en\ny fr\n")
    for options, message in (
        (["--by", "twice"], "twice:2: key 'r0'"),
        (["--by", "bare"], "bare:2: key 'r1'"),
        (["--by", "others"], "others: lists no recording of the reference"),
        (["--by", "nothing"], "nothing: no such file"),
        (["--by", ""], "the path is empty"),
        (["--by", "speakers", "--by", "speakers"], "'speakers'"),
        (["--by", "language", "--by", "./language"], "'language'"),
        (["--json", "--format", "csv"], "--format csv"),
        (["--format", "yaml"], "'yaml' is not one of"),
    ):
        result = ssahc_here("score", "ref", "hyp", "-q", *options, cwd=corpus)
        assert (result.returncode, result.stdout) == (2, "")
        (line,) = result.stderr.splitlines()
        assert message in line
