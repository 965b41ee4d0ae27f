"""Pictures: written, of the right kind, and of what they say."""

import numpy as np
import pytest
from click.testing import CliRunner

import ssahc
from ssahc.backend.affinity import cosine_affinity
from ssahc.cli import cli
from ssahc.cli.sweep_table import write_sweep
from ssahc.core.types import Turn
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.io.xvectors import write_xvector_dir
from ssahc.pipeline.tune import Sweep
from ssahc.report.affinity import draw_affinity, encode_affinity
from ssahc.scoring.der import Score

pytest.importorskip("matplotlib")
MAGIC = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def data(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("plot")
    conversations = corpus["a"].conversations[:2]
    write_xvector_dir(path / "x", [item.recording for item in conversations])
    write_model_dir(path / "model", corpus["b"].model)
    write_rttm(path / "ref", {item.recording.id: item.turns for item in conversations})
    for name in ("fusion_weight", "threshold"):
        sweep = Sweep((name,), {(0.1,): scored(5), (0.2,): scored(6)})
        write_sweep(path / f"{name.split('_')[-1]}s.csv", sweep)
    header = "der,scored,missed,false_alarm,confusion"
    (path / "huge.csv").write_text(f"threshold,{header}\n1e308,0,1,1,0,0\n")
    (path / "tiny.csv").write_text(f"init_threshold,gamma,{header}\n0,0,0,1e-99,1,0,0")
    return path


def plot(*arguments):
    return CliRunner().invoke(cli, ["plot", *map(str, arguments)])


@pytest.mark.parametrize("suffix", MAGIC)
def test_affinities_of_a_recording(data, tmp_path, suffix):
    picture = tmp_path / f"picture{suffix}"
    result = plot(
        *("affinity", data / "x", "a001", data / "ref", picture),
        *("--model-dir", data / "model", "--device", "cpu"),
    )
    assert result.exit_code == 0, result.output
    assert "plda cosine ssahc" in result.output
    assert picture.read_bytes().startswith(MAGIC[suffix])


def test_matrices_are_those_of_the_systems(data, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "ssahc.report.affinity.save_affinities",
        lambda *arguments: drawn.update(arguments[4]),
    )
    common = ("--model-dir", data / "model", "--device", "cpu")
    plot(*("affinity", data / "x", "a000", data / "ref", tmp_path / "p.png"), *common)
    assert list(drawn) == ["plda", "cosine", "ssahc"]
    model = ssahc.read_model_dir(data / "model")
    (recording, *_) = ssahc.read_recordings(ssahc.open_xvector_dir(data / "x"))
    for system, affinity in drawn.items():
        options = ssahc.make_options(system=system, device="cpu")
        result = ssahc.diarize_recording(recording, model, options)
        np.testing.assert_array_equal(affinity.dense(), result.affinity.dense())


def test_the_config_of_a_run_will_do(data, tmp_path):
    run = ("diarize", data / "x", tmp_path / "out", "--gamma", 0.6, "--write-scores")
    assert CliRunner().invoke(cli, list(map(str, run))).exit_code == 0
    config = ("--config", tmp_path / "out" / "config.toml")
    arguments = ("affinity", data / "x", "a000", data / "ref", tmp_path / "p.png")
    assert ": ssahc of" in plot(*arguments, *config).output


def test_one_system_alone(data, tmp_path):
    arguments = ("affinity", data / "x", "a000", data / "ref", tmp_path / "p.png")
    assert "cosine ssahc of" in plot(*arguments).output
    assert ": cosine of" in plot(*arguments, "--system", "cosine").output


def test_strips_show_the_reference():
    from matplotlib.figure import Figure

    segments = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [7.0, 8.0]])
    turns = [Turn(0, 1.6, "a"), Turn(1.6, 3, "b")]
    axes = Figure().add_subplot()
    draw_affinity(axes, cosine_affinity(np.eye(4)), segments, turns)
    matrix, above, left = (image.get_array() for image in axes.images)
    np.testing.assert_array_equal(matrix, np.eye(4))
    assert above.shape[:2] == (1, 4)
    assert left.shape[:2] == (4, 1)
    assert above[0, 3].tolist() == [1, 1, 1], "nobody speaks there"
    np.testing.assert_array_equal(above[0], left[:, 0])
    assert above[0, 0].tolist() == above[0, 1].tolist() != above[0, 2].tolist()


def test_axes_are_times_and_the_scale_is_drawn():
    from matplotlib.figure import Figure

    segments = 0.75 * np.arange(101)[:, None] + [0, 1.5]
    affinity = cosine_affinity(np.random.default_rng(0).normal(size=(101, 3)))
    figure = Figure()
    axes = figure.add_subplot()
    draw_affinity(axes, affinity, segments, [Turn(0, 100, "a")])
    for axis in (axes.xaxis, axes.yaxis):
        assert axis.get_ticklocs().tolist() == [0, 25, 50, 75, 100]
        labels = [text.get_text() for text in axis.get_ticklabels()]
        assert labels == ["0", "19", "38", "56", "75"]
    image, scale = axes.images[0], figure.axes[1]
    assert scale.get_ylim() == image.get_clim()


def test_neighbours_of_long_recordings_are_averaged():
    from matplotlib.figure import Figure

    halves = np.repeat([[1.0, 0.0], [0.0, 1.0]], 1000, axis=0)
    segments = 0.75 * np.arange(2000)[:, None] + [0, 1.5]
    axes = Figure().add_subplot()
    draw_affinity(axes, cosine_affinity(halves), segments, [Turn(0, 900, "a")])
    matrix = axes.images[0].get_array()
    assert matrix.shape == (800, 800)
    np.testing.assert_array_equal(matrix, np.kron(np.eye(2), np.ones((400, 400))))
    assert axes.images[0].get_extent() == [-0.5, 1999.5, 1999.5, -0.5]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_affinities_that_are_all_alike(count):
    segments = 1.5 * np.arange(count)[:, None] + [0, 1.5]
    affinity = cosine_affinity(np.ones((count, 3)))
    for turns in ([], [Turn(0, 1, "a")]):
        assert encode_affinity(affinity, segments, turns).startswith(MAGIC[".png"])


def test_reference_speakers_are_named(data, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: kept.append(self))
    arguments = ("affinity", data / "x", "a000", data / "ref", tmp_path / "p.png")
    assert plot(*arguments, "--system", "cosine").exit_code == 0
    (legend,) = kept[0].legends
    speakers = {turn.speaker for turn in read_rttm(data / "ref").turns["a000"]}
    assert {text.get_text().strip() for text in legend.get_texts()} == speakers


def scored(rate):
    return Score(100.0, confusion=rate)


def drawn(monkeypatch):
    """Return a list that gets the figures that are saved."""
    from matplotlib.figure import Figure

    figures, save = [], Figure.savefig

    def keep(self, *arguments, **named):
        figures.append(self)
        save(self, *arguments, **named)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_bars_stand_for_rates(tmp_path, monkeypatch):
    figures = drawn(monkeypatch)
    rates = {(0.0, 0.2): 5.0, (0.0, 0.4): 6.0, (0.1, 0.2): 7.0, (0.1, 0.4): 8.0}
    # Of the thresholds it is the lowest rate that counts.
    scores = {(*values, 0.0): scored(rate) for values, rate in rates.items()}
    scores |= {(*values, 0.1): scored(rate + 1) for values, rate in rates.items()}
    table, picture = tmp_path / "tuning.csv", tmp_path / "sweep.svg"
    write_sweep(table, Sweep(("init_threshold", "gamma", "threshold"), scores))
    assert plot("sweep", table, picture).exit_code == 0
    assert picture.read_bytes().startswith(MAGIC[".svg"])
    (axes,) = figures[0].axes
    heights = [bar.get_height() for bars in axes.containers for bar in bars]
    assert heights == [5.0, 7.0, 6.0, 8.0]
    (legend,) = figures[0].legends
    assert [text.get_text() for text in legend.texts] == ["0.2", "0.4"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "0.1"]


def test_curves_stand_for_rates(tmp_path, monkeypatch):
    figures = drawn(monkeypatch)
    one, two, picture = (tmp_path / name for name in ("1.csv", "2.csv", "p.png"))
    rates = {-9.0: 60.0, 0.0: 9.0, 0.1: 4.0, 0.2: 7.0, 9.0: 90.0}
    scores = {(threshold,): scored(rate) for threshold, rate in rates.items()}
    write_sweep(one, Sweep(("threshold",), scores))
    scores = {(w, t): scored(w + t) for w in (0.3, 0.5) for t in (0.1, 0.2)}
    write_sweep(two, Sweep(("fusion_weight", "threshold"), scores))
    for tables in ([one], [one, two]):
        assert plot("thresholds", *tables, picture).exit_code == 0
        assert picture.read_bytes().startswith(MAGIC[".png"])
    alone, both = figures
    (line,) = alone.axes[0].lines
    assert dict(zip(*line.get_data())) == rates
    assert line.get_markevery() == [2], "the lowest is marked"
    left, right = alone.axes[0].get_xlim()
    assert -1 < left < 0 < 0.2 < right < 1, "what is far above it is left out"
    assert alone.axes[0].get_xlabel() == "threshold"
    assert not alone.legends
    labels = [text.get_text() for text in both.legends[0].texts]
    weights = ("fusion-weight 0.3", "fusion-weight 0.5")
    assert labels == [str(one), *(f"{two}, {weight}" for weight in weights)]
    heights = [line.get_ydata() for line in both.axes[0].lines]
    np.testing.assert_allclose(heights[1], [0.4, 0.5])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("affinity", "x", "nobody", "ref", "p.png"), "has no recording 'nobody'"),
        (("affinity", "x", "a000", "ref", "p.gif"), "ends in .png, .svg, .pdf"),
        (("affinity", "x", "a000", "ref", "no/p.png"), "no such folder"),
        (("affinity", "x", "a000", "nothing", "p.png"), "no such file"),
        (("sweep", "ref", "p.png"), "expected a table of ssahc tune"),
        (("sweep", "weights.csv", "p.png"), "found one over fusion-weight"),
        (("sweep", "nothing", "p.png"), "no such file"),
        (("sweep", "weights.csv", "p.gif"), "ends in .png, .svg, .pdf"),
        (("thresholds", "huge.csv", "p.png"), "huge.csv:2: expected numbers and a DER"),
        (("sweep", "tiny.csv", "p.png"), "tiny.csv:2: expected numbers and a DER"),
        (("thresholds", "p.png"), "Missing argument"),
        (("thresholds", "weights.csv", "thresholds.csv", "p.png"), "same last option"),
    ],
)
def test_faults(data, monkeypatch, arguments, message):
    monkeypatch.chdir(data)
    result = plot(*arguments)
    assert result.exit_code != 0
    assert message in f"{result.output} {result.exception}"
    assert not list(data.glob("p.*"))


def test_a_recording_that_is_not_there_is_named(data, tmp_path):
    write_rttm(tmp_path / "ref", {"a007": [Turn(0, 1, "x")]})
    result = plot("affinity", data / "x", "a007", tmp_path / "ref", tmp_path / "p.png")
    assert "has no recording 'a007'" in str(result.exception)
    assert "a000, a001" in str(result.exception)
