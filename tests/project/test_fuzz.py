"""The fuzzing harnesses on their seeds and on mutations of them, without atheris."""

import importlib
import importlib.util
import inspect
import logging
import pkgutil
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ssahc.io
from ssahc.core.errors import DataError

FUZZ = Path(__file__).parents[1] / "fuzz"
NAMES = (
    "ark-vectors ark-matrices single scp plda metric model checkpoint xvector-dir "
    "npz labelled scores unfinished speakers linked window-lines tables rttm uem "
    "references trials config sweep audio audio-list conf speech nnet3"
).split()
# Functions beyond ssahc.io that read files.
OTHERS = {
    "ssahc.io.config": ("read_config", "read_toml"),
    "ssahc.cli.sweep_table": ("read_sweep",),
    "ssahc.cli.references": ("read_references", "read_hypothesis"),
    "ssahc.cli.inputs": ("read_speakers", "open_source"),
    "ssahc.cli.report": ("_read_settings",),
    "ssahc.cli.training": ("load_checkpoint",),
    "ssahc.cli.journal": ("read_back",),
}


@pytest.fixture(scope="module")
def fuzz():
    """Make the modules of tests/fuzz importable; return the harnesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FUZZ)
        yield importlib.import_module("harnesses")


@pytest.fixture(scope="module")
def seeds(fuzz):
    return importlib.import_module("seeds").make_seeds()


@pytest.fixture
def feed(fuzz, tmp_path, caplog):
    """Have a reader read an input; return its error, if it refuses it."""
    caplog.set_level(logging.CRITICAL)
    return lambda name, data: fuzz.feed(name, data, tmp_path)


@pytest.fixture(scope="module")
def fed(fuzz, seeds, tmp_path_factory):
    """Feed all seeds; return the error of each, and the code that good ones ran."""
    refused, called = {}, set()

    def note(frame, event, argument):
        if event == "call":
            called.add(frame.f_code)

    earlier = sys.getprofile()
    for name in NAMES:
        folder = tmp_path_factory.mktemp(name)
        for seed, data in seeds[name].items():
            sys.setprofile(note if seed.startswith("good-") else earlier)
            try:
                refused[name, seed] = fuzz.feed(name, data, folder)
            finally:
                sys.setprofile(earlier)
    return refused, called


def test_good_seeds_are_accepted_and_bad_ones_refused(fuzz, seeds, fed):
    assert list(fuzz.READERS) == list(seeds) == NAMES
    kinds = {name: set() for name in NAMES}
    for (name, seed), refused in fed[0].items():
        kind = seed.partition("-")[0]
        assert kind == ("good" if refused is None else "bad"), (name, seed, refused)
        kinds[name].add(kind)
    assert all(kind == {"good", "bad"} for kind in kinds.values())


def readers():
    """Yield name and code of every public function that reads."""
    names = [
        f"ssahc.io.{item.name}" for item in pkgutil.iter_modules(ssahc.io.__path__)
    ]
    for module in map(importlib.import_module, names):
        for name, value in inspect.getmembers(module, inspect.isfunction):
            is_reader = re.match("read_|open_|index_|find_problems", name)
            if is_reader and value.__module__ == module.__name__:
                yield f"{module.__name__}.{name}", value.__code__
    for module, functions in OTHERS.items():
        for name in functions:
            function = getattr(importlib.import_module(module), name)
            yield f"{module}.{name}", function.__code__


def test_harnesses_call_every_reader(fed):
    known = dict(readers())
    assert "ssahc.io.ark.read_archive" in known
    assert [name for name, code in known.items() if code not in fed[1]] == []


class TwoLines(DataError):
    def __str__(self):
        return "two\nlines"


def fail(path):
    raise TwoLines("")


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        (lambda path: {}[path], "uem"),
        (lambda path: {}, "spans"),
        (fail, "two"),
    ],
    ids=["traceback", "lost line", "error of two lines"],
)
def test_harnesses_notice_faulty_readers(feed, monkeypatch, instead, message):
    monkeypatch.setattr("fuzz_text.read_uem", instead)
    unsound = importlib.import_module("checks").Unsound
    with pytest.raises((unsound, KeyError), match=message):
        feed("uem", b"r1 1 0 1\n")


def test_harnesses_notice_arrays_larger_than_the_file(feed, monkeypatch):
    monkeypatch.setattr("fuzz_objects.read_single", lambda *_: np.zeros(10_000))
    unsound = importlib.import_module("checks").Unsound
    with pytest.raises(unsound, match="80000 bytes from a file of 9"):
        feed("single", b" [ 1 2 ]\n")


@st.composite
def mutants(draw, inputs):
    """Draw a seed, or two spliced, with some bytes changed."""
    data = draw(st.sampled_from(inputs))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        kind = draw(st.sampled_from(["flip", "cut", "splice", "insert"]))
        if kind == "flip" and start < len(data):
            flipped = data[start] ^ (1 << draw(st.integers(0, 7)))
            data = data[:start] + bytes([flipped]) + data[start + 1 :]
        elif kind == "cut":
            data = data[:start] + data[start + draw(st.integers(1, 40)) :]
        elif kind == "splice":
            other = draw(st.sampled_from(inputs))
            data = data[:start] + other[draw(st.integers(0, len(other))) :]
        else:
            data = data[:start] + draw(st.binary(max_size=6)) + data[start:]
    return data


@pytest.mark.parametrize("name", NAMES)
def test_mutated_seeds_are_read_or_refused(feed, seeds, name):
    @settings(
        max_examples=25,
        deadline=None,
        # What is found once must be found again.
        derandomize=True,
        suppress_health_check=[*HealthCheck],
        database=None,
    )
    @given(mutants(list(seeds[name].values())))
    def check(data):
        feed(name, data)

    check()


# ---- the script --------------------------------------------------------------------


@pytest.fixture
def run(fuzz, monkeypatch, capsys):
    """Run the script in this process; return its exit status and output."""
    script = importlib.import_module("run")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            script.main()
        return caught.value.code, capsys.readouterr().out

    return run


def test_replay_reads_an_input_again(run, seeds, tmp_path):
    for seed, expected in (("bad-overlap", "refused: "), ("good-spans", "accepted")):
        (tmp_path / seed).write_bytes(seeds["uem"][seed])
        status, out = run("--replay", tmp_path / seed, "uem")
        assert (status, out.startswith(expected)) == (0, True)


def test_script_says_what_is_missing(run, monkeypatch):
    assert "no reader xyz; there are ark-vectors" in run("xyz")[0]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install" in run("uem")[0]
