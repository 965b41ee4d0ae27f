"""Figures of affinities show the matrices, the windows and the reference speakers."""

import numpy as np
import pytest

import ssahc
from ssahc.backend.affinity import cosine_affinity
from ssahc.core.types import Turn
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.report.affinity import draw_affinity, encode_affinity
from ssahc.report.palette import speaker_color

matplotlib = pytest.importorskip("matplotlib")
matplotlib_colors = pytest.importorskip("matplotlib.colors")
matplotlib_figure = pytest.importorskip("matplotlib.figure")


@pytest.fixture(scope="module")
def data(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("plot")
    conversations = corpus["a"].conversations[:2]
    write_xvector_dir(path / "x", [item.recording for item in conversations])
    write_model_dir(path / "model", corpus["b"].model)
    write_rttm(path / "ref", {item.recording.id: item.turns for item in conversations})
    return path


@pytest.fixture
def plot(ssahc_here, data, tmp_path):
    """Plot affinities of a recording; return the result."""

    def run(*options, name="a000", picture="p.png", ref=data / "ref"):
        files = (data / "x", name, ref, tmp_path / picture)
        return ssahc_here("plot", "affinity", *files, "--device", "cpu", *options)

    return run


def test_the_systems_affinities_and_the_speakers_are_drawn(data, plot, drawn):
    result = plot("--model-dir", data / "model")
    assert result.returncode == 0, result.stderr
    assert "plda cosine ssahc of" in result.stdout
    (figure,) = drawn
    model = ssahc.read_model_dir(data / "model")
    (recording, *_) = ssahc.read_recordings(ssahc.open_xvector_dir(data / "x"))
    systems = ("plda", "cosine", "ssahc")
    drawings = [axes for axes in figure.axes if len(axes.images) == 3]
    for system, axes in zip(systems, drawings, strict=True):
        options = ssahc.make_options(system=system, device="cpu")
        result = ssahc.diarize_recording(recording, model, options)
        assert axes.get_title() == system
        np.testing.assert_array_equal(
            axes.images[0].get_array(), result.affinity.dense()
        )
    (legend,) = figure.legends
    speakers = {turn.speaker for turn in read_rttm(data / "ref").turns["a000"]}
    assert {text.get_text().strip() for text in legend.get_texts()} == speakers


def test_without_a_reference_the_speakers_found_are_drawn(
    data, ssahc_here, tmp_path, drawn
):
    files = (data / "x", "a000", tmp_path / "p.png", "--num-speakers", 3)
    result = ssahc_here("plot", "affinity", *files, "--system", "cosine")
    assert result.returncode == 0, result.stderr
    (figure,) = drawn
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "speakers found"
    assert [text.get_text().strip() for text in legend.get_texts()] == ["1", "2", "3"]
    _, above, _ = figure.axes[0].images
    recordings = list(ssahc.read_recordings(ssahc.open_xvector_dir(data / "x")))
    options = ssahc.make_options(system="cosine", num_speakers=3)
    model = ssahc.fit_unlabelled(recordings, strict=False)
    labels = ssahc.diarize_recording(recordings[0], model, options).labels
    colors = [matplotlib_colors.to_rgb(speaker_color(label)) for label in labels]
    np.testing.assert_allclose(above.get_array()[0], colors)


def test_system_and_model_decide_what_is_drawn(data, plot, drawn, tmp_path, ssahc_here):
    assert "cosine ssahc of" in plot().stdout
    # The config of a run, with options that do not concern the plot.
    run = ("diarize", data / "x", tmp_path / "out", "--gamma", 0.6, "--write-scores")
    assert ssahc_here(*run).returncode == 0
    assert ": ssahc of" in plot("--config", tmp_path / "out" / "config.toml").stdout


def test_figures_are_saved_as_their_suffix_says(plot, tmp_path):
    assert plot("--system", "cosine", picture="p.pdf").returncode == 0
    assert (tmp_path / "p.pdf").read_bytes().startswith(b"%PDF")


def windows(count):
    return 0.75 * np.arange(count)[:, None] + [0, 1.5]


def test_strips_show_the_reference():
    segments = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0], [7.0, 8.0]])
    turns = [Turn(0, 1.6, "a"), Turn(1.6, 3, "b")]
    axes = matplotlib_figure.Figure().add_subplot()
    draw_affinity(axes, cosine_affinity(np.eye(4)), segments, turns)
    matrix, above, left = (image.get_array() for image in axes.images)
    np.testing.assert_array_equal(matrix, np.eye(4))
    assert above.shape[:2] == (1, 4)
    assert left.shape[:2] == (4, 1)
    assert above[0, 3].tolist() == [1, 1, 1], "silence is white"
    np.testing.assert_array_equal(above[0], left[:, 0])
    assert above[0, 0].tolist() == above[0, 1].tolist() != above[0, 2].tolist()


def test_ticks_are_round_seconds_and_there_is_a_colour_scale():
    affinity = cosine_affinity(np.random.default_rng(0).normal(size=(101, 3)))
    figure = matplotlib_figure.Figure()
    axes = figure.add_subplot()
    draw_affinity(axes, affinity, windows(101), [Turn(0, 100, "a")])
    for axis in (axes.xaxis, axes.yaxis):
        places = np.array([0, 20, 40, 60]) / 0.75
        np.testing.assert_allclose(axis.get_ticklocs(), places)
        labels = [text.get_text() for text in axis.get_ticklabels()]
        assert labels == ["0", "20", "40", "60"]
    image, scale = axes.images[0], figure.axes[1]
    assert scale.get_ylim() == image.get_clim()


@pytest.mark.parametrize("count", [1, 2, 5, 300])
def test_the_matrix_fills_its_axes_whatever_its_size(count):
    affinity = cosine_affinity(np.random.default_rng(0).normal(size=(count, 3)))
    axes = matplotlib_figure.Figure().add_subplot()
    draw_affinity(axes, affinity, windows(count), [Turn(0, 1, "a")])
    left, right = axes.get_xlim()
    assert count / (right - left) > 0.95
    assert len(axes.get_xticks()) >= 1


def test_large_matrices_are_reduced_by_block_averages():
    halves = np.repeat([[1.0, 0.0], [0.0, 1.0]], 1000, axis=0)
    axes = matplotlib_figure.Figure().add_subplot()
    affinity = cosine_affinity(halves)
    draw_affinity(axes, affinity, windows(2000), [Turn(0, 900, "a")])
    matrix = axes.images[0].get_array()
    assert matrix.shape == (800, 800)
    np.testing.assert_array_equal(matrix, np.kron(np.eye(2), np.ones((400, 400))))
    assert axes.images[0].get_extent() == [-0.5, 1999.5, 1999.5, -0.5]


@pytest.mark.parametrize(("count", "turns"), [(1, []), (3, [Turn(0, 1, "a")])])
def test_constant_matrices_are_drawn_alike_under_all_settings(count, turns):
    affinity = cosine_affinity(np.ones((count, 3)))
    picture = encode_affinity(affinity, windows(count), turns)
    assert picture.startswith(b"\x89PNG")
    # The first needs LaTeX.
    with matplotlib.rc_context({"text.usetex": True, "font.size": 33}):
        assert encode_affinity(affinity, windows(count), turns) == picture


def test_faults_are_named_and_nothing_is_written(data, plot, tmp_path):
    write_rttm(tmp_path / "other", {"a007": [Turn(0, 1, "x")]})
    for arguments, message in (
        ({"name": "nobody"}, "has no recording 'nobody'"),
        ({"ref": tmp_path / "other"}, "other: has no recording 'a000'"),
        ({"name": "a007", "ref": tmp_path / "other"}, "a000, a001"),
        ({"picture": "p.gif"}, "p.gif: the name of a figure ends in .png, .svg, .pdf"),
        ({"picture": "no/p.png"}, "no such folder"),
        ({"ref": tmp_path / "nothing"}, "nothing: no such file"),
    ):
        result = plot(**arguments)
        assert result.returncode == 2
        assert message in result.stderr
    assert not list(tmp_path.rglob("p.*"))
