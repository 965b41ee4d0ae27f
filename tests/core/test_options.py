"""Options classes: the flat names, help texts and values that are derived from them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import (
    Options,
    build,
    check_values,
    combine,
    flatten,
    list_options,
)
from ssahc.core.validation import Interval, changed_fields


@dataclass(frozen=True)
class Inner(Options, group="Learning"):
    """Inner options.

    Parameters
    ----------
    mode : {"fast", "slow"}
        How fast, on
        two lines.
    lambda_ : float
        A ``weight``.
    """

    mode: Literal["fast", "slow"] = "fast"
    lambda_: Annotated[float, Interval(ge=0, lt=1)] = 0.0


@dataclass(frozen=True)
class Outer(Options, group="System"):
    """Outer options.

    Parameters
    ----------
    count, size : int, optional
        How many.
    loud : bool
        Whether to shout.
    place : Path, optional
        Where.
    inner : Inner
    """

    count: Annotated[int | None, Interval(ge=1)] = None
    size: int = 3
    loud: bool = field(default=True, metadata={"off": "quiet", "group": "Execution"})
    place: Path | None = None
    inner: Inner = field(default_factory=Inner)


OPTIONS = {option.name: option for option in list_options(Outer)}


def test_options_are_described_by_annotations_docstrings_and_metadata():
    assert list(OPTIONS) == ["count", "size", "loud", "place", "mode", "lambda"]
    types = [option.type for option in OPTIONS.values()]
    assert types == [int, int, bool, Path, str, float]
    assert OPTIONS["count"].default is None
    assert OPTIONS["mode"].choices == ("fast", "slow")
    assert OPTIONS["mode"].help == "How fast, on two lines."
    assert OPTIONS["lambda"].help == "A weight."
    assert OPTIONS["count"].help == OPTIONS["size"].help == "How many."
    assert OPTIONS["lambda"].flag == "--lambda"
    assert OPTIONS["loud"].off_flag == "--quiet"
    assert OPTIONS["size"].off_flag == "--no-size"
    groups = [option.group for option in OPTIONS.values()]
    assert groups == ["System", "System", "Execution", "System", "Learning", "Learning"]


def test_help_texts_do_not_depend_on_the_docstrings_indentation():
    # Python 3.13 removes the indentation, earlier ones keep it.
    @dataclass(frozen=True)
    class Dedented:
        number: int = 0

    Dedented.__doc__ = (
        "A title.\n\nParameters\n----------\nnumber : int\n    How many.\n"
    )
    assert next(list_options(Dedented)).help == "How many."


def test_building_and_flattening_are_inverse():
    values = {"size": 2, "loud": False, "place": Path("x"), "mode": "slow"}
    options = build(Outer, values)
    assert options == Outer(None, 2, False, Path("x"), Inner("slow"))
    assert flatten(options) == values | {"lambda": 0.0}
    assert build(Outer, flatten(options)) == options
    assert changed_fields(Inner(lambda_=0.5)) == {"--lambda": 0.5}


def test_values_are_checked_against_annotations():
    for values, flag in (
        ({"count": 0}, "--count"),
        ({"count": 1.5}, "--count"),
        ({"count": True}, "--count"),
        ({"count": 2**63}, "--count"),
        ({"size": -(2**63) - 1}, "--size"),
        ({"size": None}, "--size"),
        ({"loud": 1}, "--loud"),
        ({"inner": "slow"}, "--inner"),
    ):
        with pytest.raises(UsageError, match=f"{flag} must be .*, found"):
            Outer(**values)
    for value in (-0.1, 1, np.nan, np.inf, "0", None):
        with pytest.raises(UsageError, match=r"--lambda must be .*, found"):
            Inner(lambda_=value)
    with pytest.raises(UsageError, match="--mode must be one of fast, slow, found"):
        Inner("x")
    # Numbers of numpy are numbers.
    assert Inner(lambda_=np.float32(0.5)).lambda_ == 0.5
    assert Outer(count=np.int64(2)).count == 2


def test_intervals_are_written_in_words():
    assert str(Interval(ge=1)) == "1 or more"
    assert str(Interval(ge=1, le=4096)) == "between 1 and 4,096"
    assert str(Interval(gt=0, lt=np.inf)) == "finite and above 0"
    assert str(Interval(ge=1e-30, lt=1)) == "1e-30 or more and below 1"
    assert str(Interval(le=0.5)) == "0.5 or less"


def test_plain_values_become_those_of_the_options_and_wrong_ones_are_named():
    values = check_values({"lambda": 0, "place": "x", "size": 1}, Outer, "c.toml")
    assert values == {"lambda": 0.0, "place": Path("x"), "size": 1}
    assert isinstance(values["lambda"], float)
    for key, value, message in (
        ("modus", "slow", "unknown option; did you mean 'mode'?"),
        ("other", 1, "unknown option; there are count, lambda"),
        ("lambda", "x", "expected a value of type float, found 'x'"),
        ("size", 1.5, "expected a value of type int"),
        ("loud", 1, "expected a value of type bool"),
        ("mode", "magic", "expected one of fast, slow"),
        ("place", "a\0b", "zero byte"),
        ("lambda", 10**400, "expected a value of type float"),
    ):
        with pytest.raises(FormatError) as caught:
            check_values({key: value}, Outer, "c.toml")
        assert str(caught.value).startswith(f"c.toml: key {key!r}: ")
        assert message in str(caught.value)


def test_later_sources_override_and_displace_earlier_ones():
    displaces = {"count": {"place"}, "mode=slow": {"lambda"}}
    low = {"place": Path("x"), "lambda": 0.5, "size": 1}
    options = combine(Outer, [low, {"size": 2, "count": None}], displaces)
    assert options == Outer(None, 2, True, Path("x"), Inner("fast", 0.5))
    options = combine(Outer, [low, {"count": 4, "mode": "slow"}], displaces)
    assert (options.place, options.inner) == (None, Inner("slow"))
    # A source does not displace its own values.
    both = combine(Outer, [{"count": 4, "place": Path("x")}], displaces)
    assert (both.count, both.place) == (4, Path("x"))
