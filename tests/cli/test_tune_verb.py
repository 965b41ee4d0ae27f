"""``ssahc tune``: tables that agree with diarize and score, and the best config."""

import csv
import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.cli.sweep_grid import parse_numbers
from ssahc.cli.sweep_table import read_sweep, write_sweep
from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import list_options
from ssahc.core.types import Turn
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import write_rttm
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.pipeline.options import DiarizeOptions
from ssahc.pipeline.tune import Sweep
from ssahc.scoring.der import Score


@pytest.fixture
def data(corpus, tmp_path):
    conversations = corpus["a"].conversations
    references = {item.recording.id: item.turns for item in conversations}
    write_xvector_dir(tmp_path / "x", [item.recording for item in conversations])
    write_model_dir(tmp_path / "model", corpus["b"].model)
    write_rttm(tmp_path / "ref", references)
    write_rttm(tmp_path / "two", {name: references[name] for name in ("a000", "a002")})
    write_rttm(tmp_path / "short", {name: [Turn(0, 0.1, "a")] for name in references})
    write_rttm(tmp_path / "strange", {"b000": [Turn(0, 9, "a")]})
    (tmp_path / "counts").write_text("a000 2\na001 3\na002 2\n")
    (tmp_path / "bounds").write_text("a000 1 2\na001 3 5\na002 2 2\n")
    (tmp_path / "uem").write_text("a000 0 2 30\na002 0 0 50\n")
    return tmp_path


@pytest.fixture
def tune(ssahc_here, data, monkeypatch):
    """Tune, by default without the figure, which would take most of the time."""

    def run(*options, out="tuned", reference="ref", figure=False):
        with monkeypatch.context() as patch:
            if not figure:
                patch.setattr("ssahc.cli.tune.can_draw", lambda: False)
            files = (data / "x", data / reference, data / out)
            model = ("--model-dir", data / "model", "--device", "cpu")
            result = ssahc_here("tune", *files, *model, *options, cwd=data)
        assert "Traceback" not in result.stderr
        return result

    return run


@pytest.fixture
def rate(ssahc_here, data):
    """Diarize and score; return the pooled error rate."""

    def run(*options, scoring=()):
        model = ("--model-dir", data / "model", "--device", "cpu")
        result = ssahc_here("diarize", data / "x", data / "o", *model, *options)
        assert result.returncode == 0, result.stderr
        arguments = ("score", data / "ref", data / "o" / "rttm", "--json", *scoring)
        return json.loads(ssahc_here(*arguments).stdout)["pooled"]["der"]

    return run


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def config_of(folder):
    return tomllib.loads((folder / "config.toml").read_text())


def test_every_row_agrees_with_diarize_and_score(data, tune, rate):
    grid = ("--thresholds=-0.1,0.2", "--gammas", "0.2,0.6", "--init-thresholds=0.3")
    more = ("--system", "ssahc", "--lambda", 0.1, "--reco2min-max", data / "bounds")
    scoring = ("--collar", 0.1, "--uem", data / "uem")
    result = tune(*grid, *more, *scoring, figure=True)
    assert result.returncode == 0, result.stderr
    table = rows(data / "tuned" / "tuning.csv")
    assert list(table[0])[:3] == ["init_threshold", "gamma", "threshold"]
    assert len(table) == 4
    for row in table:
        options = [f"--{name.replace('_', '-')}={row[name]}" for name in list(row)[:3]]
        expected = rate(*options, *more, scoring=scoring)
        # RTTM files are written to the millisecond.
        assert float(row["der"]) == pytest.approx(expected, abs=0.02)
        seconds = [float(row[name]) for name in ("missed", "false_alarm", "confusion")]
        share = 100 * sum(seconds) / float(row["scored"])
        assert float(row["der"]) == pytest.approx(share, abs=1e-4)
    assert "the best gamma, 0." in result.stderr
    assert (data / "tuned" / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_the_config_reproduces_the_best_rate(data, tune, rate):
    result = tune("--fusion-weights", "0:1:0.25", "--min-speakers", 2, "-q")
    assert result.returncode == 0
    assert result.stderr == ""
    table = rows(data / "tuned" / "tuning.csv")
    # 5 weights, and the default thresholds.
    assert len(table) == 5 * 75
    config = config_of(data / "tuned")
    assert config.keys() <= {option.name for option in list_options(DiarizeOptions)}
    assert config["system"] == "ssahc+plda"
    lowest = min(float(row["der"]) for row in table)
    values = [config["fusion_weight"], config["threshold"]]
    (row,) = (
        row
        for row in table
        if [float(row["fusion_weight"]), float(row["threshold"])] == values
    )
    assert float(row["der"]) == lowest
    found = rate("--config", data / "tuned" / "config.toml")
    assert found == pytest.approx(lowest, abs=0.02)
    printed = result.stdout
    assert "rows, around the best" in printed.splitlines()[0]
    marked = [line.split() for line in printed.splitlines() if line.endswith("  best")]
    assert marked == [[*(f"{value:g}" for value in values), f"{lowest:.2f}", "best"]]
    assert f"DER {lowest:.2f} %" in printed


def test_known_numbers_of_speakers_need_no_threshold(data, tune, rate):
    known = ("--reco2num-spk", data / "counts", "--lambda", 0.1)
    grid = ("--system=ssahc", "--init-thresholds=0.1,0.5", "--gammas=0.2,0.6,1")
    assert tune(*grid, *known).returncode == 0
    table = rows(data / "tuned" / "tuning.csv")
    assert [(row["init_threshold"], row["gamma"]) for row in table] == [
        (first, gamma) for first in ("0.1", "0.5") for gamma in ("0.2", "0.6", "1.0")
    ]
    assert "threshold" not in config_of(data / "tuned")
    again = rate("--config", data / "tuned" / "config.toml", *known[:2])
    assert again == pytest.approx(min(float(row["der"]) for row in table), abs=0.02)


def test_folds_are_scored_with_the_values_of_the_others(data, tune, monkeypatch):
    arguments = ("--system", "plda", "--thresholds=-0.3:0.3:0.1")
    folds = ("--folds", 2, "--collar", 0)
    assert tune(*arguments, *folds).returncode == 0
    table = rows(data / "tuned" / "folds.csv")
    assert [(row["recording"], row["fold"]) for row in table] == [
        ("a000", "1"),
        ("a002", "1"),
        ("a001", "2"),
    ]
    # The values of the first fold are the best of the recording in the second.
    (data / "other").write_text("a001\n")
    only = ("--recordings", data / "other")
    assert tune(*arguments, "--collar", 0, *only, out="single").returncode == 0
    best = config_of(data / "single")["threshold"]
    assert float(table[0]["threshold"]) == best
    scores = read_sweep(data / "single" / "tuning.csv").scores
    assert float(table[0]["der_of_others"]) == round(scores[best,].der, 4)
    chosen = float(table[2]["threshold"])
    assert float(table[2]["der_held_out"]) == round(scores[chosen,].der, 4)
    assert tune(*arguments, *folds, "--nj", 2, out="nj2").returncode == 0
    for name in ("tuning.csv", "folds.csv", "config.toml"):
        one, two = ((data / out / name).read_bytes() for out in ("tuned", "nj2"))
        assert one == two, name
    # Files of an earlier run do not stay, and without matplotlib there is no figure.
    monkeypatch.setattr("ssahc.report.figure.find_spec", lambda name: None)
    result = tune(*arguments, figure=True)
    assert "matplotlib is missing; pip install" in result.stderr
    assert "held out" not in result.stdout
    files = sorted(path.name for path in (data / "tuned").iterdir())
    assert files == ["config.toml", "tuning.csv"]


def test_a_failed_recording_does_not_affect_the_others(data, tune):
    result = tune("--system", "plda", "--folds", 3, reference="two")
    assert result.returncode == 1
    assert "no folds: 3 folds need as many recordings, found 2" in result.stderr
    assert "recording 'a001'" in result.stderr
    assert "two: has no turns of this recording" in result.stderr
    table = rows(data / "tuned" / "tuning.csv")
    (data / "list").write_text("a000\na002\n")
    clean = tune("--system", "plda", "--recordings", data / "list", out="clean")
    assert clean.returncode == 0
    assert "not used for tuning: 1 recording of" in clean.stderr
    assert rows(data / "clean" / "tuning.csv") == table


def test_best_values_at_the_edge_of_the_grid_are_reported(tune):
    low = tune("--system", "plda", "--thresholds=-50,-40")
    assert "the best threshold, -40, is the largest in the grid" in low.stderr
    assert "larger ones may be better: extend --thresholds" in low.stderr
    for options in (
        ("--system", "plda"),
        ("--system", "plda", "--thresholds", "0"),
        ("--thresholds", "0.1", "--fusion-weights", "0,1"),
    ):
        assert "in the grid" not in tune(*options).stderr


COSINE = ("--system", "cosine")


def test_wrong_usage_and_unusable_references_are_refused(data, tune):
    fusion, known = ("--system", "ssahc+plda"), (*COSINE, "--num-speakers", "2")
    both = ("--gammas", "0.1", "--gamma", "0.2")
    for options, reference, message in (
        ((*COSINE, "--thresholds", "a,b"), "ref", "--thresholds: expected numbers"),
        ((*fusion, "--fusion-weights", "1.1"), "ref", "between 0 and 1, found 1.1"),
        ((*fusion, *both), "ref", "--gamma conflicts with --gammas"),
        (known, "ref", "give values by --fusion-weights, --gammas"),
        ((*COSINE, "--reco2num-spk", "counts"), "ref", "no threshold to tune"),
        ((*known, "--thresholds", "0"), "ref", "--thresholds conflict"),
        ((*COSINE, "--folds", "1"), "ref", "--folds must be 2 or more"),
        ((*COSINE, "--folds", "4"), "ref", "--folds 4 needs as many recordings, fou"),
        ((*COSINE, "--uem", "ref"), "ref", "ref:1: "),
        (COSINE, "nothing", "nothing: no such file"),
        (COSINE, "counts", "counts:1: expected SPEAKER"),
        (COSINE, "short", "no reference speech is left to tune on"),
        (COSINE, "strange", "no recording could be done"),
    ):
        result = tune(*options, reference=reference)
        assert result.returncode == 2
        assert message in result.stderr
        assert not (data / "tuned").exists()


def test_diarize_does_not_overwrite_a_tuning(data, tune, ssahc_here):
    assert tune(*COSINE, "--thresholds", "0,0.1").returncode == 0
    before = (data / "tuned" / "config.toml").read_bytes()
    result = ssahc_here("diarize", data / "x", data / "tuned", *COSINE)
    assert result.returncode == 2
    assert "tuned: holds what ssahc tune wrote" in result.stderr
    assert (data / "tuned" / "config.toml").read_bytes() == before


def test_swept_options_win_over_the_config(data, tune):
    config = data / "config.toml"
    config.write_text("threshold = 0.2\nfusion_weight = 0.3\n")
    assert tune("--config", config, "--fusion-weights", "0.1").returncode == 0
    (row, *_) = rows(data / "tuned" / "tuning.csv")
    assert float(row["fusion_weight"]) == 0.1
    config.write_text('num_speakers = 2\nsystem = "cosine"\n')
    assert tune("--config", config, "--thresholds", "0.5").returncode == 0
    assert len(rows(data / "tuned" / "tuning.csv")) == 1


# ---- numbers and tables ------------------------------------------------------------


def test_lists_and_ranges_of_numbers():
    for text, numbers in (
        ("0.3,-1,0.3", (-1.0, 0.3)),
        ("-0.2:0.2:0.1", (-0.2, -0.1, 0.0, 0.1, 0.2)),
        ("0:1:0.4", (0.0, 0.4, 0.8)),
        ("2:2:1,1e1", (2.0, 10.0)),
    ):
        assert parse_numbers("--x", text) == numbers
    arabic = "\N{ARABIC-INDIC DIGIT ONE}"
    for text in ("", "1,", "1:2", "1:2:0", "2:1:1", "0:inf:1", "nan", "1_0", arabic):
        with pytest.raises(UsageError, match="--x: expected numbers"):
            parse_numbers("--x", text)


def test_ranges_are_limited_in_length_and_precision():
    numbers = parse_numbers("--x", "0.0001:1:0.0001")
    assert (len(numbers), numbers[-1]) == (10_000, 1.0)
    for text, message in (
        ("0:1:0.0001", "more than 10000 values"),
        ("-1e300:1e300:1e-300", "more than 10000 values"),
        ("1e-320:1e-319:1e-320", "at most 10 decimals"),
    ):
        with pytest.raises(UsageError, match=message):
            parse_numbers("--x", text)


finite = st.floats(-1e6, 1e6)
seconds = st.floats(0, 1e6).map(lambda value: round(value, 6))
scores = st.builds(Score, seconds.map(lambda s: s + 1), seconds, seconds, seconds)


@settings(max_examples=20, deadline=None)
@given(st.lists(finite, unique=True, min_size=1), st.lists(scores, min_size=1))
def test_a_table_is_read_back(tmp_path_factory, values, some):
    path = tmp_path_factory.mktemp("sweep") / "tuning.csv"
    table = {(value, 0.5): some[n % len(some)] for n, value in enumerate(values)}
    write_sweep(path, Sweep(("gamma", "threshold"), table))
    back = read_sweep(path)
    assert back.names == ("gamma", "threshold")
    assert list(back.scores) == list(table)
    for point, score in back.scores.items():
        assert score.der == pytest.approx(table[point].der, rel=1e-6, abs=1e-6)


HEADER = "gamma,threshold,der,scored,missed,false_alarm,confusion\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected a table of ssahc tune"),
        (HEADER.removeprefix("gamma,threshold,"), ":1: expected a table of ssahc tune"),
        (HEADER, "found 0 rows"),
        (HEADER + "0,0,1,100,0,0,x\n", ":2: expected a number for the confusion"),
        (HEADER + "0,0,1,100,0,0\n", ":2: expected 7 numbers, found 6"),
        (HEADER + 2 * "0,0,1,100,0,0,1\n", ":3: repeats"),
        (HEADER + "nan,0,1,100,0,0,1\n", ":2: expected a number for the gamma"),
        (HEADER + "0,0,1,0,0,0,1\n", ":2: expected scored seconds"),
        (HEADER + "0,0,1,100,0,0,-1\n", ":2: expected scored seconds"),
        (HEADER + "1e308,0,0,1,1,0,0\n", ":2: .* within 1e"),
        (HEADER + "0,0,0,1e-99,1,0,0\n", ":2: .* within 1e"),
        (HEADER + "0,0,1,100,0,0,1\n1,2,1,100,0,0,1\n", "each of 4 combinations"),
    ],
)
def test_faulty_tables_are_refused(tmp_path, text, message):
    path = tmp_path / "tuning.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=f"tuning.csv.*{message}"):
        read_sweep(path)
