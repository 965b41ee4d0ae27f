"""Timelines: lanes follow the speaker mapping, and drawn errors match the score."""

import colorsys
import json
import os
from itertools import combinations
from xml.dom import minidom

import pytest

from ssahc.core.errors import printable
from ssahc.core.types import Turn
from ssahc.io.rttm import write_rttm
from ssahc.report.lanes import hypothesis_lanes, reference_lanes
from ssahc.report.palette import (
    DISTINCT_COLORS,
    ERROR_COLORS,
    OVERLAP_COLORS,
    speaker_color,
)
from ssahc.report.rates import save_curves, save_speakers
from ssahc.report.timeline import save_timeline
from ssahc.scoring.breakdown import break_down
from ssahc.scoring.der import Score
from ssahc.scoring.error_spans import find_errors
from ssahc.scoring.regions import ScoringOptions

pytest.importorskip("matplotlib")
REFERENCE = [Turn(0, 6, "A"), Turn(5, 9, "B"), Turn(10, 14, "A")]
HYPOTHESIS = [Turn(0, 5, "2"), Turn(5, 8, "1"), Turn(9.3, 12, "2"), Turn(12, 14, "3")]


def bars(axes):
    """Drawn bars: colour, start, end."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_hex

    found = []
    for collection in axes.collections:
        assert isinstance(collection, PolyCollection)
        color = to_hex(collection.get_facecolor()[0]).upper()
        for path in collection.get_paths():
            box = path.get_extents()
            found.append((color, box.x0, box.x1))
    return found


def test_drawn_errors_match_the_score(ssahc_here, tmp_path, drawn):
    write_rttm(tmp_path / "ref", {"r": REFERENCE})
    write_rttm(tmp_path / "hyp", {"r": HYPOTHESIS})
    files = (tmp_path / "ref", tmp_path / "hyp")
    for options in ([], ["--collar", 0, "--score-overlaps"]):
        picture = (*files, "r", tmp_path / "p.png")
        result = ssahc_here("plot", "timeline", *picture, *options)
        assert result.returncode == 0, result.stderr
        scores = ssahc_here("score", *files, "--json", *options).stdout
        score = json.loads(scores)["pooled"]
        found = bars(drawn[-1].axes[0])
        for kind, color in ERROR_COLORS.items():
            seconds = sum(end - start for c, start, end in found if c == color)
            expected = score[kind.replace(" ", "_")]
            assert seconds == pytest.approx(expected, abs=1e-5), kind
            assert f"{kind} {expected:.2f} s" in result.stdout
    assert score["confusion"] > 1
    assert score["missed"] > 1
    assert score["false_alarm"] > 0.5


def test_turns_and_shares_are_drawn_without_a_reference(ssahc_here, tmp_path, drawn):
    turns = [Turn(0, 6, "A"), Turn(6, 8, "B")]
    write_rttm(tmp_path / "hyp", {"r": turns})
    result = ssahc_here("plot", "timeline", "hyp", "r", "p.png", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "p.png: 2 turns; A 75.0 %, B 25.0 %\n"
    colors = map(speaker_color, range(2))
    assert bars(drawn[0].axes[0]) == [
        (color, turn.start, turn.end) for color, turn in zip(colors, turns, strict=True)
    ]
    labels = [text.get_text().strip() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["A (75 %)", "B (25 %)"]
    for arguments, message in (
        (("hyp", "nobody", "p.png"), "hyp: has no recording 'nobody'"),
        (("hyp", "r", "p.png", "--collar", 0), "without REF_RTTM nothing is scored"),
        (("hyp", "hyp", "hyp", "r", "p.png"), "one REF_RTTM at most, found hyp hyp"),
    ):
        result = ssahc_here("plot", "timeline", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr


def test_lanes_follow_the_speaker_mapping():
    reference = [Turn(0, 2, "10"), Turn(2, 4, "9")]
    hypothesis = [Turn(0, 2, "x"), Turn(2, 4, "y"), Turn(4, 5, "z")]
    analysis = find_errors(reference, hypothesis, ScoringOptions())
    ours = {lane.name: lane.number for lane in reference_lanes(analysis)}
    assert ours == {"9": 0, "10": 1}
    theirs = {lane.name.split()[0]: lane.number for lane in hypothesis_lanes(analysis)}
    assert theirs == {"y": 0, "x": 1, "z": 2}
    lanes = (*reference_lanes(analysis), *hypothesis_lanes(analysis))
    assert all(lane.color == speaker_color(lane.number) for lane in lanes)
    assert hypothesis_lanes(find_errors(reference, [], ScoringOptions())) == []


def test_unscored_time_is_grey(tmp_path, drawn):
    analysis = find_errors(REFERENCE, HYPOTHESIS, ScoringOptions())
    save_timeline(tmp_path / "p.svg", "r", analysis)
    (axes,) = drawn[0].axes
    spans = [
        patch.get_extents().transformed(axes.transData.inverted())
        for patch in axes.patches
    ]
    found = [pytest.approx((span.x0, span.x1), abs=1e-6) for span in spans]
    assert found == list(analysis.unscored)
    labels = {text.get_text().strip() for text in drawn[0].legends[0].get_texts()}
    assert labels == {"A", "B", "3 (unmapped)", *ERROR_COLORS, "not scored"}


def test_more_speakers_than_colours(tmp_path, drawn):
    count = DISTINCT_COLORS + 2
    reference = [Turn(i, i + 1, f"s{i}") for i in range(count)]
    analysis = find_errors(reference, reference[::-1], ScoringOptions(collar=0))
    save_timeline(tmp_path / "p.png", "crowd", analysis)
    assert len(drawn[0].legends[0].get_texts()) > count
    colors = [speaker_color(index) for index in range(DISTINCT_COLORS)]
    assert len(set(colors)) == DISTINCT_COLORS
    assert speaker_color(DISTINCT_COLORS) == colors[0]


def test_colours_differ_for_colour_blind_readers():
    """Red-green blindness leaves lightness, and blue against yellow."""

    def seen(color):
        red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return colorsys.rgb_to_yiq(red, green, blue)[:2]

    for palette in (
        map(speaker_color, range(7)),
        ERROR_COLORS.values(),
        OVERLAP_COLORS.values(),
    ):
        for (a, b), (c, d) in combinations(map(seen, palette), 2):
            assert abs(a - c) + abs(b - d) > 0.1


def test_odd_names_are_drawn_literally_or_escaped(tmp_path):
    odd = "s\x01\x1b\udcff\ufffe\x85"
    names = ["$x_", "_a", "\N{CJK UNIFIED IDEOGRAPH-4E2D}", "l" * 999, odd]
    turns = [Turn(5 * n, 5 * n + 5, name) for n, name in enumerate(names)]
    analysis = find_errors(turns, turns, ScoringOptions())
    save_timeline(tmp_path / "t.svg", odd, analysis)
    summary = break_down({"r": Score(10.0, missed=1.0)}, {"r": 1})
    save_speakers(tmp_path / "s.svg", {odd: summary, "other": summary})
    curves = {odd: {0.0: 1.0}, "other": {0.0: 2.0}}
    save_curves(tmp_path / "c.svg", curves, "x", (odd, 0.0))
    for picture in ("t.svg", "s.svg", "c.svg"):
        text = minidom.parse(str(tmp_path / picture)).toxml()
        assert printable(odd) in text
        if picture == "t.svg":
            assert all(name in text for name in ("$x_", "_a", "lll"))


def test_odd_file_names_are_printed_escaped(ssahc_here, tmp_path):
    write_rttm(tmp_path / "ref", {"x": REFERENCE})
    odd = (os.fsdecode(b"\xff"), "h\x01x", "h\nx")
    for name in odd:
        write_rttm(tmp_path / name, {"x": HYPOTHESIS})
    picture = tmp_path / "p\x01\n.svg"
    files = [tmp_path / name for name in odd]
    result = ssahc_here("plot", "speakers", "ref", *files, picture, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "p\\x01\\n.svg: 1 recording, \\udcff, h\\x01x, h\\nx\n" in result.stdout
    assert minidom.parse(str(picture))
