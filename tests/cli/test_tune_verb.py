"""``ssahc tune``: tables that say what diarize and score say, and the best config."""

import csv
import json
import tomllib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.cli.sweep_grid import GridOptions, parse_numbers
from ssahc.cli.sweep_table import read_sweep, write_sweep
from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import list_options
from ssahc.core.types import Turn
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import write_rttm
from ssahc.io.xvectors import write_xvector_dir
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
def tune(ssahc_here, data):
    def run(*options, out="tuned", reference="ref"):
        result = ssahc_here(
            *("tune", data / "x", data / reference, data / out),
            *("--model-dir", data / "model", "--device", "cpu", *options),
            cwd=data,
        )
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


def test_every_row_is_what_diarize_and_score_find(data, tune, rate):
    grid = ("--thresholds=-0.1,0.2", "--gammas", "0.2,0.6", "--init-thresholds=0.3")
    more = ("--system", "ssahc", "--lambda", 0.1, "--reco2min-max", data / "bounds")
    scoring = ("--collar", 0.1, "--uem", data / "uem")
    result = tune(*grid, *more, *scoring)
    assert result.returncode == 0, result.stderr
    table = rows(data / "tuned" / "tuning.csv")
    assert list(table[0])[:3] == ["init_threshold", "gamma", "threshold"]
    assert len(table) == 4
    for row in table:
        options = [f"--{name.replace('_', '-')}={row[name]}" for name in list(row)[:3]]
        expected = rate(*options, *more, scoring=scoring)
        # Diarizations are written to the millisecond.
        assert float(row["der"]) == pytest.approx(expected, abs=0.02)
        seconds = [float(row[name]) for name in ("missed", "false_alarm", "confusion")]
        share = 100 * sum(seconds) / float(row["scored"])
        assert float(row["der"]) == pytest.approx(share, abs=1e-4)
    assert "the best gamma, 0." in result.stderr
    assert (data / "tuned" / "tuning.png").read_bytes().startswith(b"\x89PNG")


def test_the_config_brings_the_best_rate_back(data, tune, rate):
    result = tune("--fusion-weights", "0:1:0.25", "--min-speakers", 2, "-q")
    assert result.returncode == 0
    assert result.stderr == ""
    table = rows(data / "tuned" / "tuning.csv")
    config = tomllib.loads((data / "tuned" / "config.toml").read_text())
    assert config.keys() <= {option.name for option in list_options(DiarizeOptions)}
    lowest = min(float(row["der"]) for row in table)
    (row,) = (
        row
        for row in table
        if float(row["threshold"]) == config["threshold"]
        and float(row["fusion_weight"]) == config["fusion_weight"]
    )
    assert float(row["der"]) == lowest
    assert config["system"] == "ssahc+plda"
    found = rate("--config", data / "tuned" / "config.toml")
    assert found == pytest.approx(lowest, abs=0.02)
    # 5 weights, and as many thresholds as the README says.
    assert len(table) == 5 * 75
    printed = result.stdout
    assert "rows, around the best" in printed.splitlines()[0]
    marked = [line.split() for line in printed.splitlines() if line.endswith("  best")]
    assert marked == [
        [*(f"{config[name]:g}" for name in list(row)[:2]), f"{lowest:.2f}", "best"]
    ]
    assert f"DER {lowest:.2f} %" in printed


def test_known_numbers_of_speakers(data, tune, rate):
    known = ("--reco2num-spk", data / "counts", "--lambda", 0.1)
    grid = ("--system=ssahc", "--init-thresholds=0.1,0.5", "--gammas=0.2,0.6,1")
    assert tune(*grid, *known).returncode == 0
    table = rows(data / "tuned" / "tuning.csv")
    assert [(row["init_threshold"], row["gamma"]) for row in table] == [
        (first, gamma) for first in ("0.1", "0.5") for gamma in ("0.2", "0.6", "1.0")
    ]
    found = rate(*known, "--system=ssahc", "--init-threshold=0.5", "--gamma=0.6")
    assert float(table[4]["der"]) == pytest.approx(found, abs=0.02)
    config = tomllib.loads((data / "tuned" / "config.toml").read_text())
    assert "threshold" not in config
    again = rate("--config", data / "tuned" / "config.toml", *known[:2])
    assert again == pytest.approx(min(float(row["der"]) for row in table), abs=0.02)


def test_folds(data, tune):
    arguments = ("--system", "plda", "--thresholds=-0.3:0.3:0.1")
    assert tune(*arguments, "--folds", 2, "--collar", 0).returncode == 0
    table = rows(data / "tuned" / "folds.csv")
    assert [(row["recording"], row["fold"]) for row in table] == [
        *(("a000", "1"), ("a002", "1"), ("a001", "2")),
    ]
    # The first fold's values are those that tuning on the other recording finds.
    (data / "other").write_text("a001\n")
    only = ("--recordings", data / "other")
    assert tune(*arguments, "--collar", 0, *only, out="single").returncode == 0
    best = tomllib.loads((data / "single" / "config.toml").read_text())["threshold"]
    assert float(table[0]["threshold"]) == best
    sweep = read_sweep(data / "single" / "tuning.csv")
    assert float(table[0]["der_of_others"]) == round(sweep.scores[best,].der, 4)
    held_out = read_sweep(data / "single" / "tuning.csv").scores
    chosen = float(table[2]["threshold"])
    assert float(table[2]["der_held_out"]) == round(held_out[chosen,].der, 4)
    # What an earlier run has left of another kind does not stay.
    result = tune(*arguments)
    assert "held out" not in result.stdout
    files = sorted(path.name for path in (data / "tuned").iterdir())
    assert files == ["config.toml", "tuning.csv", "tuning.png"]


def test_processes_make_no_difference(data, tune):
    for jobs in (1, 2):
        arguments = ("--system", "plda", "--folds", 3, "--nj", jobs)
        assert tune(*arguments, out=f"nj{jobs}").returncode == 0
    for name in ("tuning.csv", "folds.csv", "config.toml", "tuning.png"):
        one, two = ((data / f"nj{jobs}" / name).read_bytes() for jobs in (1, 2))
        assert one == two, name


def test_a_recording_that_fails_does_not_cost_the_others(data, tune):
    result = tune("--system", "plda", "--folds", 3, reference="two")
    assert result.returncode == 1
    assert "no folds: 3 folds need as many recordings, found 2" in result.stderr
    assert "recording 'a001'" in result.stderr
    assert "has no turns of this recording" in result.stderr
    table = rows(data / "tuned" / "tuning.csv")
    (data / "list").write_text("a000\na002\n")
    clean = tune("--system", "plda", "--recordings", data / "list", out="clean")
    assert clean.returncode == 0
    assert "1 recordings of" in clean.stderr
    assert rows(data / "clean" / "tuning.csv") == table


def test_the_edge_of_the_grid_is_told(tune):
    low = tune("--system", "plda", "--thresholds=-50,-40")
    assert "the best threshold, -40, is the largest that was tried" in low.stderr
    assert "a larger one may be better: give more values by --thresholds" in low.stderr
    assert "was tried" not in tune("--system", "plda").stderr
    assert "was tried" not in tune("--system", "plda", "--thresholds", "0").stderr
    weights = tune("--thresholds", "0.1", "--fusion-weights", "0,1")
    assert "was tried" not in weights.stderr


def test_without_matplotlib(data, tune, monkeypatch):
    monkeypatch.setattr("ssahc.report.figure.find_spec", lambda name: None)
    result = tune("--system", "plda")
    assert result.returncode == 0
    assert "no picture: matplotlib is missing; pip install" in result.stderr
    files = sorted(path.name for path in (data / "tuned").iterdir())
    assert files == ["config.toml", "tuning.csv"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--thresholds", "a,b"), "--thresholds: expected numbers like"),
        (("--gammas", "0.1:0.5"), "start:stop:step, found '0.1:0.5'"),
        (("--thresholds", "0:9:0.0001"), "more than 10000 values"),
        (("--thresholds", "1e-320:1e-319:1e-320"), "are told apart by 10 decimals"),
        (("--thresholds", "\N{ARABIC-INDIC DIGIT ONE}"), "expected numbers like"),
        (("--thresholds", "1_0"), "expected numbers like"),
        (("--gammas", "-1"), "gamma must be between 0 and"),
        (("--fusion-weights", "0.5,1.1"), "between 0 and 1, found 1.1"),
        (("--gammas", "0.1", "--gamma", "0.2"), "--gamma conflicts with --gammas"),
        (("--system", "plda", "--gammas", "0.1"), "plda does not use --gamma"),
        (("--system", "spectral"), "spectral does not use --threshold"),
        (("--num-speakers", "2"), "no threshold to tune; give values"),
        (("--reco2num-spk", "counts"), "no threshold to tune; give values"),
        (("--num-speakers", "2", "--thresholds", "0"), "there are no --thresholds"),
        (("--folds", "1"), "--folds must be 2 or more"),
        (("--folds", "4"), "--folds 4 needs as many recordings, found 3"),
        (("--threshold", "0"), "No such option '--threshold'"),
        (("--uem", "ref"), "ref"),
        (("--preset", "paper-ssa3"), "paper-ssa1"),
    ],
)
def test_wrong_usage(data, tune, options, message):
    system = () if "--system" in options else ("--system", "ssahc+plda")
    if not {"--gammas", "--fusion-weights"} & set(options):
        system = ("--system", "cosine") if not system == () else ()
    result = tune(*system, *options)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (data / "tuned").exists()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "no such file"),
        ("counts", "holds no SPEAKER line"),
        ("short", "no reference speech is left to tune on"),
        ("strange", "no recording could be done"),
    ],
)
def test_references_that_will_not_do(data, tune, reference, message):
    result = tune("--system", "plda", reference=reference)
    assert result.returncode == 2
    assert message in result.stderr
    assert not (data / "tuned").exists()


def test_a_diarization_keeps_its_config(data, tune, rate):
    rate("--system", "plda")
    before = (data / "o" / "config.toml").read_bytes()
    result = tune("--system", "plda", out="o")
    assert result.returncode == 2
    assert "config.toml: is of a diarization" in result.stderr
    assert (data / "o" / "config.toml").read_bytes() == before
    # It can be tuned on, though: the sweep wins over what it says.
    rate("--threshold", 0.2, "--fusion-weight", 0.3)
    config = ("--config", data / "o" / "config.toml")
    assert tune(*config, "--fusion-weights", "0.1").returncode == 0
    (row, *_) = rows(data / "tuned" / "tuning.csv")
    assert float(row["fusion_weight"]) == 0.1
    rate("--num-speakers", 2)
    assert tune(*config, "--thresholds", "0.5").returncode == 0
    assert len(rows(data / "tuned" / "tuning.csv")) == 1


def test_a_diarization_does_not_take_the_place_of_a_tuning(data, tune, ssahc_here):
    assert tune("--system", "cosine", "--thresholds", "0,0.1").returncode == 0
    before = (data / "tuned" / "config.toml").read_bytes()
    result = ssahc_here("diarize", data / "x", data / "tuned", "--system", "cosine")
    assert result.returncode == 2
    assert "tuned: holds what ssahc tune wrote" in result.stderr
    assert (data / "tuned" / "config.toml").read_bytes() == before


# ---- numbers and tables ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0.3,-1,0.3", (-1.0, 0.3)),
        ("-0.2:0.2:0.1", (-0.2, -0.1, 0.0, 0.1, 0.2)),
        ("0:1:0.4", (0.0, 0.4, 0.8)),
        ("2:2:1,1e1", (2.0, 10.0)),
    ],
)
def test_numbers(text, numbers):
    assert parse_numbers("--x", text) == numbers


def test_the_default_grid_is_even():
    numbers = parse_numbers("--thresholds", GridOptions.thresholds)
    assert numbers == tuple(-number for number in reversed(numbers))
    steps = {round(b - a, 9) for a, b in pairwise(numbers)}
    assert steps == {0.05, 0.5, 5.0}


@pytest.mark.parametrize(
    "text", ["", "1,", "1:2", "1:2:0", "2:1:1", "0:inf:1", "nan", "inf", "0:1:nan"]
)
def test_no_numbers(text):
    with pytest.raises(UsageError, match="--x: expected numbers"):
        parse_numbers("--x", text)


def test_the_most_numbers():
    numbers = parse_numbers("--x", "0.0001:1:0.0001")
    assert (len(numbers), numbers[-1]) == (10_000, 1.0)
    with pytest.raises(UsageError, match="more than 10000 values"):
        parse_numbers("--x", "0:1:0.0001")


@pytest.mark.parametrize("text", ["0:1:1e-5", "0:1:1e-300", "-1e300:1e300:1e-300"])
def test_too_many_numbers(text):
    with pytest.raises(UsageError, match=f"{text}: more than 10000 values"):
        parse_numbers("--x", text)


finite = st.floats(-1e6, 1e6)
seconds = st.floats(0, 1e6).map(lambda value: round(value, 6))
scores = st.builds(Score, seconds.map(lambda s: s + 1), seconds, seconds, seconds)


@settings(max_examples=30, deadline=None)
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
        ("", "table of ssahc tune"),
        ("der,scored,missed,false_alarm,confusion\n", "table of ssahc tune"),
        ("recording,fold\n", "table of ssahc tune"),
        (HEADER, "found 0 rows"),
        (HEADER + "0,0,1,100,0,0,x\n", ":2: expected a number for the confusion"),
        (HEADER + "0,0,1,100,0,0\n", ":2: expected 7 numbers, found 6"),
        (HEADER + 2 * "0,0,1,100,0,0,1\n", ":3: the same values"),
        (HEADER + "nan,0,1,100,0,0,1\n", ":2: expected a number for the gamma"),
        (HEADER + "0,inf,1,100,0,0,1\n", ":2: expected a number for the threshold"),
        (HEADER + "0,0,1,100,0,nan,1\n", ":2: expected a number for the false_alarm"),
        (HEADER + "0,0,1,0,0,0,1\n", ":2: .* some scored seconds"),
        (HEADER + "0,0,1,100,0,0,-1\n", ":2: .* none below 0"),
        (HEADER + "0,0,1,100,0,0,1\n1,2,1,100,0,0,1\n", "each of 4 combinations"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    path = tmp_path / "tuning.csv"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_sweep(path)
