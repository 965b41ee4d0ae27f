"""Charts of error rates; faults of all but ``plot affinity``."""

import json

import numpy as np
import pytest

from ssahc.cli.sweep_table import write_sweep
from ssahc.core.types import Turn
from ssahc.io.rttm import write_rttm
from ssahc.pipeline.tune import Sweep
from ssahc.report.palette import speaker_color
from ssahc.report.rates import save_speakers
from ssahc.scoring.breakdown import break_down
from ssahc.scoring.der import Score

to_hex = pytest.importorskip("matplotlib.colors").to_hex


def scored(rate):
    return Score(100.0, confusion=rate)


def test_bars_of_a_sweep(ssahc_here, tmp_path, drawn):
    rates = {(0.0, 0.2): 5.0, (0.0, 0.4): 6.0, (0.1, 0.2): 7.0, (0.1, 0.4): 8.0}
    # A bar is the lowest rate over the thresholds.
    scores = {(*values, 0.0): scored(rate) for values, rate in rates.items()}
    scores |= {(*values, 0.1): scored(rate + 1) for values, rate in rates.items()}
    table, picture = tmp_path / "tuning.csv", tmp_path / "sweep.svg"
    write_sweep(table, Sweep(("init_threshold", "gamma", "threshold"), scores))
    assert ssahc_here("plot", "sweep", table, picture).returncode == 0
    (axes,) = drawn[0].axes
    heights = [bar.get_height() for bars in axes.containers for bar in bars]
    assert heights == [5.0, 7.0, 6.0, 8.0]
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.texts] == ["0.2", "0.4"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.1"]
    colors = [to_hex(bars[0].get_facecolor()).upper() for bars in axes.containers]
    assert colors == [speaker_color(0), speaker_color(1)]
    (star,) = axes.lines
    bar = axes.containers[0][0]
    assert star.get_xydata().tolist() == [[bar.get_x() + bar.get_width() / 2, 5.0]]


def test_curves_over_thresholds(ssahc_here, tmp_path, drawn):
    one, two, picture = (tmp_path / name for name in ("1.csv", "2.csv", "p.png"))
    rates = {-9.0: 60.0, 0.0: 9.0, 0.1: 4.0, 0.2: 7.0, 9.0: 90.0}
    scores = {(threshold,): scored(rate) for threshold, rate in rates.items()}
    write_sweep(one, Sweep(("threshold",), scores))
    scores = {(w, t): scored(w + t) for w in (0.3, 0.5) for t in (0.1, 0.2)}
    write_sweep(two, Sweep(("fusion_weight", "threshold"), scores))
    for tables in ([one], [one, two]):
        assert ssahc_here("plot", "thresholds", *tables, picture).returncode == 0
    alone, both = drawn
    line, star = alone.axes[0].lines
    assert dict(zip(*line.get_data())) == rates
    assert star.get_xydata().tolist() == [[0.1, 4.0]]
    left, right = alone.axes[0].get_xlim()
    assert -1 < left < 0 < 0.2 < right < 1, "rates far above it are cut off"
    assert alone.axes[0].get_xlabel() == "threshold (unit of the affinity)"
    assert not alone.legends
    labels = [text.get_text() for text in both.legends[0].texts]
    weights = ("fusion-weight 0.3", "fusion-weight 0.5")
    assert labels == [str(one), *(f"{two}, {weight}" for weight in weights)]
    *lines, star = both.axes[0].lines
    assert len(lines) == 3, "one point alone is marked"
    np.testing.assert_allclose(lines[1].get_ydata(), [0.4, 0.5])
    np.testing.assert_allclose(star.get_xydata(), [[0.1, 0.4]])


@pytest.mark.parametrize(
    ("config", "unit"),
    [
        ('system = "plda"', "log-likelihood ratio"),
        ('system = "cosine"', "cosine"),
        ('system = "ssahc+plda"\nresegmentation = "vb"', "nats per speaker"),
    ],
)
def test_the_config_beside_a_table_tells_the_unit_of_thresholds(
    ssahc_here, tmp_path, drawn, config, unit
):
    table = tmp_path / "tuning.csv"
    write_sweep(table, Sweep(("threshold",), {(0.0,): scored(9.0)}))
    (tmp_path / "config.toml").write_text(config)
    picture = tmp_path / "p.png"
    assert ssahc_here("plot", "thresholds", table, picture).returncode == 0
    assert drawn[0].axes[0].get_xlabel() == f"threshold ({unit})"


def test_bars_by_number_of_speakers_match_score(ssahc_here, tmp_path, drawn):
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
        options = ("--collar", 0, "--by", "speakers", "--json")
        score = ssahc_here("score", files[0], path, *options)
        (groups,) = json.loads(score.stdout)["breakdowns"].values()
        heights = [bar.get_height() for bar in container]
        assert heights == pytest.approx([group["pooled"]["der"] for group in groups])


def test_groups_with_nothing_to_score_have_no_bar(tmp_path):
    scores = {"a": Score(10, 1, 0, 0, 0.5, 2), "b": Score(0, 0, 0, 0, 0.5, 3)}
    save_speakers(tmp_path / "p.svg", {"x": break_down(scores, {"a": 2, "b": 3})})
    assert (tmp_path / "p.svg").exists()


def test_reliability_of_two_systems(ssahc_here, tmp_path, drawn):
    write_rttm(tmp_path / "ref", {"r": [Turn(0, 60, "A"), Turn(60, 100, "B")]})
    for name, sure in (("one", 0.95), ("two", 0.65)):
        turns = [Turn(0, 30, "1", confidence=sure), Turn(30, 70, "1", confidence=0.35)]
        write_rttm(tmp_path / name, {"r": turns}, with_confidence=True)
    picture = tmp_path / "p.svg"
    files = [tmp_path / name for name in ("ref", "one", "two")]
    result = ssahc_here("plot", "reliability", *files, picture, "--collar", 0)
    assert result.returncode == 0
    assert f"{picture}: one, calibration error" in result.stdout
    above, below = drawn[0].axes
    diagonal, *curves = above.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [100, 100]]
    # From 30 to 70 s, A speaks for 30 s.
    for curve, sure in zip(curves, (95, 65), strict=True):
        points = curve.get_xydata().ravel().tolist()
        assert points == pytest.approx([35, 75, sure, 100])
    shares = [bar.get_height() for bars in below.containers for bar in bars]
    assert shares == pytest.approx([100 * 4 / 7, 100 * 3 / 7] * 2)


def test_faults_are_named_and_nothing_is_written(ssahc_here, tmp_path):
    turns = [Turn(0, 9, "A")]
    write_rttm(tmp_path / "ref", {"r": turns})
    for name in ("fusion_weight", "threshold"):
        sweep = Sweep((name,), {(0.1,): scored(5), (0.2,): scored(6)})
        write_sweep(tmp_path / f"{name.split('_')[-1]}s.csv", sweep)
    for arguments, message in (
        (("sweep", "ref", "p.png"), "ref:1: expected a table of ssahc tune"),
        (("sweep", "weights.csv", "p.png"), "found one over fusion-weight"),
        (("sweep", "nothing", "p.png"), "nothing: no such file"),
        (("sweep", "weights.csv", "p.gif"), "p.gif: the name of a figure"),
        (("thresholds", "p.png"), "Missing argument"),
        (("thresholds", "weights.csv", "thresholds.csv", "p.png"), "same last option"),
        (("speakers", "ref", "ref", "p.png", "--collar", 99), "no reference speech"),
        (("speakers", "ref", "ref", "no/p.png"), "no: no such folder"),
        (("speakers", "ref", "ref", "ref", "p.png"), "given twice"),
        (("speakers", "ref", "p.png"), "Missing argument"),
        (("reliability", "ref", "ref", "p.png"), "ref: no turn of a recording"),
        (("timeline", "ref", "ref", "s", "p.png"), "ref: has no recording 's'; among"),
        (("timeline", "ref", "ref", "r", "p.gif"), "p.gif: the name of a figure"),
        (("timeline", "ref", "nothing", "r", "p.png"), "nothing: no such file"),
        (("timeline", "ref", "ref", "r", "p.png", "--collar", -1), "--collar must be"),
        (("timeline", "ref", "ref", "r", "p.png", "--collar", 99), "no reference spe"),
    ):
        result = ssahc_here("plot", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
    assert not list(tmp_path.glob("p.*"))
