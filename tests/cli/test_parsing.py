"""Options of the verbs: precedence, conflicts, names and help."""

import re
from collections import Counter
from dataclasses import astuple
from math import nan
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner

from ssahc.cli import VERBS, cli
from ssahc.cli.cluster import ClusterConfig
from ssahc.cli.diarize_config import DiarizeConfig
from ssahc.cli.fit import FitConfig
from ssahc.cli.inputs import CONFLICTS
from ssahc.cli.parsing import resolve
from ssahc.cli.train_metric import MetricConfig
from ssahc.cli.tune import TuneConfig
from ssahc.cli.verify import VerifyConfig
from ssahc.core.errors import UsageError
from ssahc.core.options import Group, build, list_options
from ssahc.learning.losses.options import LossOptions
from ssahc.runtime.executor import RunningOptions
from ssahc.simulation.conversations import SimulateOptions

CONFIGS = (
    DiarizeConfig,
    ClusterConfig,
    FitConfig,
    MetricConfig,
    TuneConfig,
    VerifyConfig,
    RunningOptions,
    SimulateOptions,
)

# ---- sources of options ------------------------------------------------------------


@pytest.fixture
def diarize_config(tmp_path):
    """Resolve options of diarize that a config file and the command line set."""

    def resolve_both(text, given, **sources):
        path = tmp_path / "config.toml"
        path.write_text(text)
        displaces = CONFLICTS
        return resolve(
            DiarizeConfig, given, config=path, displaces=displaces, **sources
        )

    return resolve_both


def test_command_line_overrides_config_overrides_preset(diarize_config):
    text, given = "gamma = 0.7\neta = 0.6\npca_dim = 12\n", {"gamma": 0.9, "eta": None}
    method = diarize_config(text, given, preset="paper-ssa1").method
    assert (method.learning.gamma, method.learning.eta) == (0.9, 0.6)
    assert method.pca_dim == 12
    assert (method.learning.min_xvectors, method.learning.lr) == (0, 1e-3)


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("num_speakers = 2", {"threshold": 0.5}, (None, 0.5, 1, None)),
        ("threshold = 0.2\nmin_speakers = 2", {"num_speakers": 3}, (3, None, 1, None)),
        ("threshold = 0.2", {"max_speakers": 3}, (None, 0.2, 1, 3)),
        ("min_speakers = 2", {"reco2num_spk": Path("x")}, (None, None, 1, None)),
        ("threshold = 0.1", {"system": "spectral"}, (None, None, 1, None)),
        ("threshold = 0.1", {"system": "ssahc"}, (None, 0.1, 1, None)),
    ],
)
def test_speaker_options_displace_conflicting_ones_of_a_config(
    diarize_config, text, given, expected
):
    assert astuple(diarize_config(text, given).method.speakers) == expected


def test_a_choice_displaces_options_of_a_config_that_it_does_not_use(diarize_config):
    files = diarize_config('plda = "/p"\n', {"plda_scores": Path("/s")}).files
    assert (files.plda, files.plda_scores) == (None, Path("/s"))
    text = 'loss = "triplet"\nsampling = "hard"\nmargin = "adaptive"\n'
    config = diarize_config(text, {"loss": "softmax"})
    assert config.method.learning.objective == LossOptions()
    with pytest.raises(UsageError, match="not to softmax; leave it out"):
        diarize_config(text, {"loss": "softmax", "sampling": "hard"})


@pytest.mark.parametrize("options_class", CONFIGS)
def test_every_number_is_checked(options_class):
    # config.toml holds numbers of 64 bits, and NaN is no value of any option.
    wrong = {int: 2**63, float: nan}
    for option in list_options(options_class):
        if option.type in wrong:
            with pytest.raises(UsageError, match=rf"{option.flag} must be .*, found"):
                build(options_class, {option.name: wrong[option.type]})


# ---- help --------------------------------------------------------------------------


def commands():
    """Yield the words and the command of every verb, those of plot among them."""
    context = click.Context(cli)
    for name in VERBS:
        command = cli.get_command(context, name)
        if isinstance(command, click.Group):
            yield from (((name, sub), verb) for sub, verb in command.commands.items())
        else:
            yield (name,), command


COMMANDS = list(commands())


def help_of(*words, columns=80):
    result = CliRunner().invoke(cli, [*words, "--help"], env={"COLUMNS": str(columns)})
    assert result.exit_code == 0
    return result.output.splitlines()


@pytest.mark.parametrize(("words", "command"), COMMANDS)
def test_every_option_has_a_description_and_help_is_at_most_100_wide(words, command):
    options = [option for option in command.params if isinstance(option, click.Option)]
    options = [option for option in options if not option.hidden]
    assert all(option.help for option in options)
    flags = Counter(flag for option in options for flag in option.opts)
    assert set(flags.values()) == {1}
    for columns in (80, 200):
        assert max(map(len, help_of(*words, columns=columns))) <= 100


@pytest.mark.parametrize("verb", ["diarize", "tune"])
def test_options_are_grouped_with_the_common_ones_first(verb):
    lines = help_of(verb)
    groups = [line[:-1] for line in lines if re.fullmatch(r"\w[\w ]+:", line)]
    known = [group for group in get_args(Group) if group in groups]
    assert groups == [*known, "Other options"]
    assert {"Input and output", "Speakers", "System", "Learning"} <= set(groups)
    place = next(i for i, line in enumerate(lines) if line.startswith("  --num-sp"))
    assert place < len(lines) / 4


def test_top_level_help_describes_every_verb_in_one_line():
    lines = help_of()
    for verb, text in VERBS.items():
        assert any(
            re.fullmatch(rf"  {verb} +{re.escape(text)}", line) for line in lines
        )
