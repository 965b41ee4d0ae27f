"""The HTML page of a report: what it shows of given results."""

import pickle
import re
import subprocess
import sys

import pytest
from html_page import Page

from ssahc.cli.sweep_table import write_sweep
from ssahc.core.errors import printable
from ssahc.core.types import Turn
from ssahc.pipeline.tune import Sweep
from ssahc.report.overview import TurnsEntry, TurnsReport
from ssahc.report.page import RecordingEntry, RunReport, rank, render, render_turns
from ssahc.report.palette import OVERLAP_COLORS
from ssahc.report.svg import lay_out
from ssahc.scoring.der import Score
from ssahc.scoring.error_spans import find_errors
from ssahc.scoring.regions import ScoringOptions

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
HOSTILE = "<script>alert('x')</script>"


def make_report(**changes):
    reference, options = [Turn(0, 4, "A"), Turn(4, 8, "B")], ScoringOptions(collar=0)
    hypotheses = {
        "good": reference,
        "bad": [Turn(0, 8, "1")],
        HOSTILE: [Turn(0, 5, "<i>one"), Turn(5, 8, "2")],
    }
    values = {
        "title": "out",
        "sources": {"Reference": "ref.rttm"},
        "options": options,
        "settings": {"system": "plda"},
        "entries": [
            RecordingEntry(name, find_errors(reference, hypothesis, options))
            for name, hypothesis in hypotheses.items()
        ],
    }
    return RunReport(**values | changes)


def test_recordings_are_listed_by_descending_der_and_linked():
    page = Page(render(make_report()))
    assert page.order == ["bad", HOSTILE, "good"]
    targets = [link.removeprefix("#") for link in page.links]
    assert set(targets) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)
    # Those without any DER come last.
    scores = {"b": Score(1), "nothing": Score(), "a": Score(1), "c": Score(1, 1)}
    assert rank(scores) == ["c", "a", "b", "nothing"]


def named(name):
    """A report with a name wherever one can be."""
    turns = [Turn(0, 5, name)]
    analysis = find_errors(turns, turns, ScoringOptions())
    return render(
        make_report(
            title=name,
            settings={name: name},
            sources={name: name},
            entries=[RecordingEntry(name, analysis, note=name)],
            notes=[name],
        )
    )


def test_names_are_not_markup_and_unprintable_characters_are_escaped():
    text = named(HOSTILE)
    assert HOSTILE not in text
    assert Page(text).tags.count("script") == 1
    name = "s\x01a\x1bb\udcff"
    text = named(name)
    assert not any(character in text for character in "\x01\x1b\udcff")
    # In the table, the headings, the timeline and its tooltip, and all else above.
    assert text.count(printable(name)) >= 10


def test_nothing_is_loaded_from_elsewhere():
    text = render(make_report())
    policy = re.search(r'Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "url(" not in text
    assert "@import" not in text


def test_bars_of_the_timeline_are_in_place():
    text = render(make_report())
    titles = re.findall(
        r'<rect x="([\d.]+)" width="([\d.]+)"[^>]*><title>([^<]+)', text
    )
    # 8 seconds on 920 pixels; the hypothesis has speaker 1 all the time.
    assert ("0", "920", "0.00\N{EN DASH}8.00 s: 1, mapped to A") in titles
    assert ("460", "460", "4.00\N{EN DASH}8.00 s: B confused with 1") in titles


def test_overlap_has_lanes_where_there_is_any():
    reference = [Turn(0, 4, "A"), Turn(2, 6, "B"), Turn(8, 9, "A")]
    hypothesis = [
        Turn(0, 3, "1"),
        Turn(2.5, 6, "2"),
        Turn(8, 8.5, "2"),
        Turn(8, 9, "1"),
    ]
    options = ScoringOptions(0, ignore_overlaps=False)
    analysis = find_errors(reference, hypothesis, options)
    entries = [RecordingEntry("r", analysis)]
    text = render(make_report(entries=entries, options=options))
    (overlap,) = (row for row in lay_out(analysis).rows if row.name == "overlap")
    bars = {
        (lane.number, lane.color): [(bar.start, bar.end) for bar in lane.bars]
        for lane in overlap.lanes
    }
    assert bars == {
        (0, OVERLAP_COLORS["found"]): [(2.5, 3)],
        (0, OVERLAP_COLORS["missed"]): [(2, 2.5), (3, 4)],
        (1, OVERLAP_COLORS["found"]): [(2.5, 3)],
        (1, OVERLAP_COLORS["false alarm"]): [(8, 8.5)],
    }
    assert "3.00\N{EN DASH}4.00 s: A and B, missed</title>" in text
    assert 'aria-label="Timeline of r: reference, hypothesis, overlap, errors"' in text
    assert "reference 2.00 s, missed 75.00 %; hypothesis 1.00 s, right 50.00 %" in text
    # A legend, and the errors of overlapped speech.
    assert all(f"</i>{kind}" in text for kind in OVERLAP_COLORS)
    assert "<tr><td>two or more</td><td>37.50</td>" in text
    text = render_turns(TurnsReport("out", "rttm", {}, [TurnsEntry("r", hypothesis)]))
    assert text.count("1 and 2</title>") == 2
    assert "1.00 s of it by two or more at once" in text
    assert "overlap, " not in render(make_report())


def test_very_short_and_very_long_recordings():
    for reference, uem in (
        ([Turn(3, 3, "A")], None),
        ([Turn(0, 0.4, "A")], None),
        ([], [(0, 5)]),
        ([Turn(0, 1e5, "A")], None),
    ):
        hypothesis = [Turn(3, 3.5, "1")]
        analysis = find_errors(reference, hypothesis, ScoringOptions(), uem=uem)
        report = make_report(entries=[RecordingEntry("odd", analysis)])
        assert Page(render(report)).order == ["odd"]
        drawing = lay_out(analysis)
        assert 920 <= drawing.width <= 20000
        assert 0 < len(drawing.ticks) < drawing.width / 60


# ---- the command line --------------------------------------------------------------


def test_pages_and_figures_are_the_same_in_another_process(
    ssahc, ssahc_here, monkeypatch, tmp_path
):
    """It has other hashes of strings, and settings of other programs."""
    scores = {(threshold,): Score(100.0, confusion=9) for threshold in (0.0, 0.1)}
    write_sweep(tmp_path / "sweep.csv", Sweep(("threshold",), scores))
    plot = ("plot", "thresholds", "sweep.csv")
    assert ssahc_here(*plot, "here.png", cwd=tmp_path).returncode == 0
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    # The first would open a window, the second needs LaTeX.
    monkeypatch.setenv("MPLBACKEND", "bogus")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    result = ssahc(*plot, "there.png", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "here.png").read_bytes() == (tmp_path / "there.png").read_bytes()
    code = (
        "import pickle, sys; from ssahc.report.page import render\n"
        "print(render(pickle.load(open('report', 'rb'))), end='')"
    )
    (tmp_path / "report").write_bytes(pickle.dumps(make_report()))
    there = [sys.executable, "-c", code]
    page = subprocess.run(there, capture_output=True, check=True, cwd=tmp_path).stdout
    assert page == render(make_report()).encode()
