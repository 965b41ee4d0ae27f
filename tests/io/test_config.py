import os
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from ssahc.backend.fusion import FusionOptions
from ssahc.cli import cluster, fit, train_metric, tune, verify
from ssahc.cli.diarize import Run
from ssahc.cli.inputs import CONFLICTS
from ssahc.core.errors import FormatError, UsageError
from ssahc.io.config import (
    build,
    flatten,
    list_options,
    list_presets,
    read_config,
    read_preset,
    read_toml,
    resolve,
    write_config,
)
from ssahc.learning.losses.options import LossOptions
from ssahc.learning.ssa import LearningOptions
from ssahc.pipeline.options import DiarizeOptions
from ssahc.runtime.executor import RunningOptions
from ssahc.scoring.der import ScoringOptions
from ssahc.simulation.conversations import SimulateOptions


@dataclass(frozen=True)
class Inner:
    """Inner options.

    Parameters
    ----------
    mode : {"fast", "slow"}
        How fast, on
        two lines.
    """

    mode: Literal["fast", "slow"] = "fast"


@dataclass(frozen=True)
class Outer:
    """Outer options.

    Parameters
    ----------
    count : int, optional
        How many.
    rate : float
        How quick.
    place : Path, optional
        Where.
    """

    count: int | None = None
    rate: float = 0.5
    place: Path | None = None
    inner: Inner = field(default_factory=Inner)


def test_a_field_names_what_turns_it_off():
    options = {option.name: option for option in list_options(ScoringOptions)}
    overlaps = options["ignore_overlaps"]
    assert (overlaps.flag, overlaps.off_flag) == (
        "--ignore-overlaps",
        "--score-overlaps",
    )
    assert build(ScoringOptions, {"ignore_overlaps": False}).ignore_overlaps is False
    assert next(list_options(Outer)).off_flag == "--no-count"


def test_options_are_described_by_docstrings():
    options = {option.name: option for option in list_options(Outer)}
    assert list(options) == ["count", "rate", "place", "mode"]
    assert options["count"].type is int
    assert options["count"].default is None
    assert options["mode"].choices == ("fast", "slow")
    assert options["mode"].help == "How fast, on two lines."


def test_sources_win_in_order(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text("gamma = 0.7\neta = 0.6\npca_dim = 12\n")
    run = resolve(Run, {"gamma": 0.9, "eta": None}, config=config, preset="paper-ssa1")
    learning = run.method.learning
    assert learning.gamma == 0.9
    assert learning.eta == 0.6
    assert run.method.pca_dim == 12
    assert learning.min_xvectors == 0
    assert learning.lr == 1e-3


def test_config_round_trip(tmp_path):
    place = Path("x").absolute()
    options = build(Outer, {"rate": 2.0, "place": place, "mode": "slow"})
    write_config(tmp_path / "config.toml", options)
    assert resolve(Outer, {}, config=tmp_path / "config.toml") == options
    relative = build(Outer, {"rate": 2.0, "place": Path("x"), "mode": "slow"})
    assert flatten(relative) == {"rate": 2.0, "place": str(place), "mode": "slow"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama = 1.0", "key 'gama': unknown option; did you mean 'gamma'?"),
        ("gamma = 'x'", "key 'gamma': expected a value of type float, found 'x'"),
        ("pca_dim = 1.5", "key 'pca_dim': expected a value of type int"),
        ("write_scores = 1", "expected a value of type bool"),
        ("system = 'magic'", "expected one of cosine, plda"),
        ("gamma = ", "not a TOML file"),
    ],
)
def test_faults_name_file_and_key(tmp_path, text, message):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_config(path, Run)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("num_speakers = 2", {"threshold": 0.5}, (None, 0.5, 1, None)),
        ("threshold = 0.2\nmin_speakers = 2", {"num_speakers": 3}, (3, None, 1, None)),
        ("threshold = 0.2", {"max_speakers": 3}, (None, 0.2, 1, 3)),
        ("min_speakers = 2", {"reco2num_spk": Path("x")}, (None, None, 1, None)),
    ],
)
def test_the_command_line_displaces_what_it_contradicts(
    tmp_path, text, given, expected
):
    config = tmp_path / "config.toml"
    config.write_text(text)
    run = resolve(Run, given, config=config, displaces=CONFLICTS)
    assert astuple(run.method.speakers) == expected


def test_presets_are_the_paper():
    assert "paper-ssa1" in list_presets()
    for name in list_presets():
        values = read_preset(name, DiarizeOptions)
        assert {"gamma", "init_threshold", "eta", "lr", "max_steps"} <= set(values)
    with pytest.raises(UsageError, match="there are paper-ssa1"):
        resolve(Run, {}, preset="paper")


WHOLE_NUMBERS = [
    (options, option.name)
    for options in (
        *(Run, RunningOptions, SimulateOptions, cluster.Run, fit.Run, tune.Tuning),
        *(train_metric.Run, verify.Run),
    )
    for option in list_options(options)
    if option.type is int
]


@pytest.mark.parametrize(("options", "name"), WHOLE_NUMBERS)
@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_no_option_takes_what_a_config_file_cannot_hold(options, name, value):
    flag = name.replace("_", "-")
    message = f"{flag} must be a whole number of at most 64 bits, .* found one of 65"
    with pytest.raises(UsageError, match=message):
        build(options, {name: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("system = 0x" + 5000 * "f", "'system': expected a number of at most 64 bits"),
        ("system = [0x" + 5000 * "f" + "]", "'system': expected one value, found a l"),
        ("system" + 3000 * ".a" + " = 1", "'system': expected one value, found a tab"),
        ("other" + 3000 * ".a" + " = 1", "'other': expected one value, found a table"),
    ],
    ids=["long", "long in a list", "deep", "deep and unknown"],
)
def test_what_cannot_be_shown_is_refused(tmp_path, text, message):
    path = tmp_path / "config.toml"
    path.write_text(text)
    for read in (read_toml, partial(read_config, options_class=Run)):
        with pytest.raises(FormatError) as caught:
            read(path)
        assert message in str(caught.value)


def test_every_option_has_a_help_and_a_name_of_its_own():
    options = list(list_options(Run))
    names = [option.name for option in options]
    assert len(set(names)) == len(names)
    assert all(option.help for option in options)


@pytest.mark.parametrize(
    ("name", "gamma", "weight"),
    [
        ("paper-ssa1", 0.4, 0.0),
        ("paper-ssa1-lambda0.1", 0.4, 0.1),
        ("paper-ssa1-lambda0.2", 0.4, 0.2),
        ("paper-ssa2", 0.5, 0.0),
        ("paper-ssa2-lambda0.1", 0.5, 0.1),
        ("paper-ssa2-lambda0.2", 0.5, 0.2),
    ],
)
def test_presets_are_the_rows_of_the_paper(name, gamma, weight):
    learning = resolve(Run, {}, preset=name).method.learning
    assert (learning.gamma, learning.lambda_) == (gamma, weight)
    assert (learning.init_threshold, learning.periods, learning.kc) == (0.1, 1, 1)
    assert (learning.eta, learning.lr, learning.max_steps) == (0.5, 1e-3, 10)
    assert learning.min_xvectors == 0


def test_presets_leave_nothing_of_the_method_to_defaults():
    values = read_preset("paper-ssa2-lambda0.1", Run)
    pinned = {*list_names(LearningOptions), *list_names(FusionOptions)}
    of_other_losses = set(list_names(LossOptions)) - {"sampling"}
    assert pinned - set(values) == {"seed"} | of_other_losses


def list_names(options_class):
    return [option.name for option in list_options(options_class)]


def test_there_are_no_other_presets():
    assert len(list_presets()) == 6


@pytest.mark.parametrize(
    ("name", "encoded_as", "way_out"),
    [
        (b"\xff", "ascii", "rename it"),
        (b"\xc3\xa9", "ascii", "use a UTF-8 locale, such as LC_ALL=C.UTF-8"),
    ],
)
def test_what_is_not_utf8_is_named(tmp_path, name, encoded_as, way_out):
    place = Path(name.decode(encoded_as, "surrogateescape"))
    path = tmp_path / "config.toml"
    with pytest.raises(UsageError) as caught:
        write_config(path, Outer(place=place))
    assert str(caught.value) == (
        f"place {str(place.absolute())!r} is not UTF-8 and cannot stand in "
        f"config.toml; {way_out}"
    )
    assert not path.exists()


def test_prefixes_survive_a_config_file(tmp_path):
    files = {"plda_scores": Path("ark:s.ark"), "reco2num_spk": Path("ark,t:n")}
    write_config(tmp_path / "config.toml", build(Run, files))
    again = resolve(Run, {}, config=tmp_path / "config.toml")
    assert again.files.plda_scores == Path(f"ark:{Path('s.ark').absolute()}")
    assert again.tables.reco2num_spk == Path(f"ark:{Path('n').absolute()}")


def test_scores_displace_a_plda_of_a_config_file(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('plda = "/p"\n')
    given = {"plda_scores": Path("/s")}
    run = resolve(Run, given, config=config, displaces=CONFLICTS)
    assert (run.files.plda, run.files.plda_scores) == (None, Path("/s"))


def test_a_loss_displaces_what_it_does_not_take_of_a_config_file(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('loss = "triplet"\nsampling = "hard"\nmargin = "adaptive"\n')
    run = resolve(Run, {"loss": "softmax"}, config=config, displaces=CONFLICTS)
    assert run.method.learning.objective == LossOptions()
    given = {"loss": "softmax", "sampling": "hard"}
    with pytest.raises(UsageError, match="not to softmax; leave it out"):
        resolve(Run, given, config=config, displaces=CONFLICTS)


def test_spectral_displaces_a_threshold_of_a_config_file(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('threshold = 0.1\nsystem = "cosine"\n')
    given = {"system": "spectral"}
    run = resolve(Run, given, config=config, displaces=CONFLICTS)
    assert run.method.speakers.threshold is None
    kept = resolve(Run, {"system": "ssahc"}, config=config, displaces=CONFLICTS)
    assert kept.method.speakers.threshold == 0.1


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(FormatError, match="it is a pipe, expected a regular file"):
        read_toml(tmp_path / "config.toml")
