"""Pictures of what is scored: errors in time, rates by number of speakers."""

import colorsys
import json
import os
from xml.dom import minidom

import pytest

from ssahc.core.errors import printable
from ssahc.core.types import Turn
from ssahc.io.rttm import write_rttm
from ssahc.report.palette import DISTINCT_COLORS, ERROR_COLORS, speaker_color
from ssahc.report.rates import save_curves, save_speakers
from ssahc.report.timeline import draw_timeline, save_timeline
from ssahc.scoring.breakdown import break_down
from ssahc.scoring.der import Score, ScoringOptions
from ssahc.scoring.error_spans import find_errors

pytest.importorskip("matplotlib")
REFERENCE = [Turn(0, 6, "A"), Turn(5, 9, "B"), Turn(10, 14, "A")]
HYPOTHESIS = [Turn(0, 5, "2"), Turn(5, 8, "1"), Turn(9.3, 12, "2"), Turn(12, 14, "3")]


@pytest.fixture
def drawn(monkeypatch):
    """Figures, kept instead of saved."""
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: figures.append(self))
    return figures


def bars(axes):
    """Drawn bars: colour, to the row's height, to spans of time."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_hex

    found = []
    for bars in axes.collections:
        assert isinstance(bars, PolyCollection)
        color = to_hex(bars.get_facecolor()[0]).upper()
        for path in bars.get_paths():
            box = path.get_extents()
            found.append((color, box.y0, box.x0, box.x1))
    return found


def test_marked_seconds_are_those_of_the_score(ssahc_here, tmp_path, drawn):
    write_rttm(tmp_path / "ref", {"r": REFERENCE})
    write_rttm(tmp_path / "hyp", {"r": HYPOTHESIS})
    for options in ([], ["--collar", 0, "--score-overlaps"]):
        arguments = (tmp_path / "ref", tmp_path / "hyp")
        result = ssahc_here(
            *("plot", "timeline", *arguments, "r", tmp_path / "p.png", *options)
        )
        assert result.returncode == 0, result.stderr
        scores = ssahc_here("score", *arguments, "--json", *options).stdout
        score = json.loads(scores)["pooled"]
        found = bars(drawn[-1].axes[0])
        for kind, color in ERROR_COLORS.items():
            seconds = sum(end - start for c, _, start, end in found if c == color)
            expected = score[kind.replace(" ", "_")]
            assert seconds == pytest.approx(expected, abs=1e-5), kind
            assert f"{kind} {expected:.2f} s" in result.stdout
    assert score["confusion"] > 1
    assert score["missed"] > 1
    assert score["false_alarm"] > 0.5


def test_speakers_have_the_colours_of_those_they_are_scored_as():
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    analysis = find_errors(REFERENCE, HYPOTHESIS, ScoringOptions())
    draw_timeline(axes, {"hypothesis": analysis})
    colors = {(start, end): color for color, _, start, end in bars(axes)}
    blue, orange, green = map(speaker_color, range(3))
    assert colors[0, 6] == colors[0, 5] == blue
    assert colors[5, 9] == colors[5, 8] == orange
    assert colors[12, 14] == green, "scored as nobody"
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["reference", "hypothesis"]


def test_what_is_not_scored_is_grey(tmp_path, drawn):
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
    assert labels >= {"A", "B", "3 (unmapped)", *ERROR_COLORS, "not scored"}


def test_more_speakers_than_colours(tmp_path):
    reference = [Turn(i, i + 1, f"s{i}") for i in range(40)]
    analysis = find_errors(reference, reference[::-1], ScoringOptions(collar=0))
    save_timeline(tmp_path / "p.png", "crowd", analysis)
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    colors = [speaker_color(lane) for lane in range(DISTINCT_COLORS)]
    assert len(set(colors)) == DISTINCT_COLORS
    assert speaker_color(DISTINCT_COLORS) == colors[0]


def test_colours_differ_in_lightness_or_in_blue():
    """What red-green blindness leaves: lightness, and blue against yellow."""

    def seen(color):
        red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        lightness, blueness, _ = colorsys.rgb_to_yiq(red, green, blue)
        return lightness, blueness

    colors = [speaker_color(lane) for lane in range(7)]
    for palette in (colors, list(ERROR_COLORS.values())):
        for index, first in enumerate(palette):
            for second in palette[:index]:
                (a, b), (c, d) = seen(first), seen(second)
                assert abs(a - c) + abs(b - d) > 0.1, (first, second)


@pytest.mark.parametrize(
    "name", ["$x_", "_a", "\N{CJK UNIFIED IDEOGRAPH-4E2D}", "l" * 999]
)
def test_names_are_drawn_as_they_are(tmp_path, name):
    turns = [Turn(0, 5, name)]
    save_timeline(tmp_path / "p.svg", name, find_errors(turns, turns, ScoringOptions()))
    assert "<svg" in (tmp_path / "p.svg").read_text()


@pytest.mark.parametrize("name", ["s\x01", "a\x1bb", "\udcff", "\ufffe", "\x85"])
def test_what_does_not_print_is_escaped(tmp_path, name):
    turns = [Turn(0, 5, name)]
    save_timeline(tmp_path / "t.svg", name, find_errors(turns, turns, ScoringOptions()))
    summary = break_down({"r": Score(10.0, missed=1.0)}, {"r": 1})
    save_speakers(tmp_path / "s.svg", {name: summary, "other": summary})
    save_curves(tmp_path / "c.svg", {name: {0.0: 1.0}, "other": {0.0: 2.0}}, "x")
    for picture in ("t.svg", "s.svg", "c.svg"):
        text = minidom.parse(str(tmp_path / picture)).toxml()
        assert printable(name) in text


def test_names_of_files_are_escaped(ssahc, tmp_path):
    write_rttm(tmp_path / "ref", {"x": REFERENCE})
    odd = (os.fsdecode(b"\xff"), "h\x01x", "h\nx")
    for name in odd:
        write_rttm(tmp_path / name, {"x": HYPOTHESIS})
    picture = tmp_path / "p\x01\n.svg"
    files = [tmp_path / name for name in odd]
    result = ssahc("plot", "speakers", tmp_path / "ref", *files, picture)
    assert (result.returncode, result.stderr) == (0, "")
    assert "p\\x01\\n.svg: 1 recordings, \\udcff, h\\x01x, h\\nx\n" in result.stdout
    assert minidom.parse(str(picture))


def test_what_is_set_for_other_pictures_does_not_matter(ssahc, tmp_path, monkeypatch):
    # The first would open a window, the second needs LaTeX.
    monkeypatch.setenv("MPLBACKEND", "bogus")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    write_rttm(tmp_path / "ref", {"x": REFERENCE})
    result = ssahc("plot", "speakers", "ref", "ref", "p.png", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "p.png").stat().st_size > 0


def test_bars_are_the_breakdown_of_the_score(ssahc_here, tmp_path, drawn):
    two = [Turn(0, 5, "A"), Turn(5, 10, "B")]
    write_rttm(tmp_path / "ref", {"x": two, "y": two, "z": [Turn(0, 9, "A")]})
    write_rttm(tmp_path / "one", {"x": two, "y": [Turn(0, 10, "1")], "z": two})
    write_rttm(tmp_path / "two", {"x": two, "y": two})
    files = (tmp_path / "ref", tmp_path / "one", tmp_path / "two")
    result = ssahc_here("plot", "speakers", *files, tmp_path / "p.pdf", "--collar", 0)
    assert result.returncode == 0, result.stderr
    assert "3 recordings, one, two" in result.stdout
    assert "not in the hypothesis, counted as missed: z" in result.stderr
    (axes,) = drawn[0].axes
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["1\nn = 1", "2\nn = 2"]
    for container, path in zip(axes.containers, files[1:]):
        score = ssahc_here(
            "score", files[0], path, *"--collar 0 --by speakers".split(), "--json"
        )
        (groups,) = json.loads(score.stdout)["breakdowns"].values()
        heights = [bar.get_height() for bar in container]
        assert heights == pytest.approx([group["pooled"]["der"] for group in groups])


def test_groups_with_nothing_to_score_have_no_bar(tmp_path):
    from ssahc.scoring.breakdown import break_down
    from ssahc.scoring.der import Score

    scores = {"a": Score(10, 1, 0, 0, 0.5, 2), "b": Score(0, 0, 0, 0, 0.5, 3)}
    groups = break_down(scores, {"a": 2, "b": 3})
    save_speakers(tmp_path / "p.svg", {"x": groups})
    assert (tmp_path / "p.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("timeline", "ref", "hyp", "s", "p.png"), "no recording 's'; among its 1"),
        (("timeline", "ref", "hyp", "r", "p.gif"), "ends in .png, .svg, .pdf"),
        (("timeline", "ref", "nothing", "r", "p.png"), "no such file"),
        (("timeline", "ref", "hyp", "r", "p.png", "--collar", -1), "not negative"),
        (("timeline", "ref", "hyp", "r", "p.png", "--collar", 99), "no reference sp"),
        (("speakers", "ref", "hyp", "p.png", "--collar", 99), "no reference speech"),
        (("speakers", "ref", "hyp", "no/p.png"), "no such folder"),
        (("speakers", "ref", "hyp", "hyp", "p.png"), "given twice"),
        (("speakers", "ref", "p.png"), "Missing argument"),
    ],
)
def test_faults(ssahc_here, tmp_path, arguments, message):
    write_rttm(tmp_path / "ref", {"r": REFERENCE})
    write_rttm(tmp_path / "hyp", {"r": HYPOTHESIS})
    result = ssahc_here("plot", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert not list(tmp_path.glob("p.*"))
