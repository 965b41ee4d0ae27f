"""The fuzzing harnesses: their corpus, and what becomes of it when it is mutated.

`tests/fuzz/run.py` is what fuzzes; here no atheris is needed.
"""

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
CORPUS = FUZZ / "corpus"
NAMES = sorted(path.name for path in CORPUS.iterdir())
INPUTS = {
    path.relative_to(CORPUS).as_posix(): path for path in sorted(CORPUS.glob("*/*"))
}
# Public functions beyond ssahc.io that take what a file holds.
OTHERS = {
    "ssahc.io.config": ("read_config", "read_toml"),
    "ssahc.cli.sweep_table": ("read_sweep",),
    "ssahc.cli.references": ("read_references", "read_hypothesis"),
    "ssahc.cli.inputs": ("read_speakers", "open_source"),
    "ssahc.cli.report": ("_read_settings",),
    "ssahc.cli.train_metric": ("_read_checkpoint",),
    "ssahc.cli.journal": ("read_back",),
}
# Megabytes: a corpus is for all to fetch.
LARGEST_CORPUS = 0.3


@pytest.fixture(scope="module")
def fuzz():
    """The modules harnesses, checks and make_corpus."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FUZZ)
        yield importlib.import_module("harnesses")


@pytest.fixture
def feed(fuzz, tmp_path, caplog):
    """Have a reader read an input; return its error, if it refuses it."""
    caplog.set_level(logging.CRITICAL)
    return lambda name, data: fuzz.feed(fuzz.HARNESSES[name], data, tmp_path)


@pytest.mark.parametrize("name", INPUTS)
def test_good_is_accepted_and_bad_refused(feed, name):
    path = INPUTS[name]
    refused = feed(path.parent.name, path.read_bytes())
    assert path.name.startswith(("good-", "bad-"))
    assert path.name.startswith("good-") == (refused is None), refused


def test_every_reader_has_good_and_bad_inputs(fuzz):
    assert sorted(fuzz.HARNESSES) == NAMES
    for name in NAMES:
        kinds = {path.name.partition("-")[0] for path in (CORPUS / name).iterdir()}
        assert kinds == {"good", "bad"}, name


def readers():
    """Name and code of every public function that reads."""
    names = [
        f"ssahc.io.{item.name}" for item in pkgutil.iter_modules(ssahc.io.__path__)
    ]
    for module in map(importlib.import_module, names):
        for name, value in inspect.getmembers(module, inspect.isfunction):
            is_reader = re.match("read_|open_|index_|scan_|find_problems", name)
            if is_reader and value.__module__ == module.__name__:
                yield f"{module.__name__}.{name}", value.__code__
    for module, functions in OTHERS.items():
        for name in functions:
            function = getattr(importlib.import_module(module), name)
            yield f"{module}.{name}", function.__code__


def test_every_reader_is_called(feed):
    called = set()

    def note(frame, event, argument):
        if event == "call":
            called.add(frame.f_code)

    earlier = sys.getprofile()
    sys.setprofile(note)
    try:
        for path in INPUTS.values():
            if path.name.startswith("good-"):
                feed(path.parent.name, path.read_bytes())
    finally:
        sys.setprofile(earlier)
    known = dict(readers())
    assert "ssahc.io.ark.read_archive" in known
    assert [name for name, code in known.items() if code not in called] == []


def test_corpus_is_what_the_script_makes(fuzz, monkeypatch, tmp_path):
    make_corpus = importlib.import_module("make_corpus")
    monkeypatch.setattr(sys, "argv", ["make_corpus.py", str(tmp_path / "corpus")])
    make_corpus.main()
    made = {
        path.relative_to(tmp_path / "corpus").as_posix(): path.read_bytes()
        for path in (tmp_path / "corpus").glob("*/*")
    }
    assert sorted(made) == sorted(INPUTS)
    # Zip files and arrays in them differ between versions of Python and numpy.
    for name, path in INPUTS.items():
        assert made[name] == path.read_bytes() or name.startswith("checkpoint/"), name
    assert sum(map(len, made.values())) < LARGEST_CORPUS * 1e6


class TestWhatIsNotSound:
    """The harnesses would notice a reader that lets through what it should not."""

    @pytest.fixture(autouse=True)
    def reader(self, fuzz, monkeypatch):
        self.patch = monkeypatch
        self.objects, self.tables = map(
            importlib.import_module, ("fuzz_objects", "fuzz_text")
        )
        self.unsound = importlib.import_module("checks").Unsound

    def test_a_traceback(self, feed):
        self.patch.setattr(self.tables, "read_uem", lambda path: {}[path])
        with pytest.raises(KeyError):
            feed("uem", b"r1 1 0 1\n")

    def test_a_lost_line(self, feed):
        self.patch.setattr(self.tables, "read_uem", lambda path: {})
        with pytest.raises(self.unsound, match="lost"):
            feed("uem", b"r1 1 0 1\n")

    def test_too_large_an_array(self, feed):
        self.patch.setattr(self.objects, "read_single", lambda *_: np.zeros(10_000))
        with pytest.raises(self.unsound, match="80000 bytes from a file of 9"):
            feed("single", b" [ 1 2 ]\n")

    def test_an_error_of_two_lines(self, feed):
        class Raw(DataError):
            def __str__(self):
                return "two\nlines"

        def fail(path):
            raise Raw("")

        self.patch.setattr(self.tables, "read_uem", fail)
        with pytest.raises(self.unsound, match="two"):
            feed("uem", b"")


# ---- mutated inputs ----------------------------------------------------------------


@st.composite
def mutants(draw, inputs):
    """An input of the corpus, or two spliced, with some bytes or lines changed."""
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
def test_mutants_are_read_or_refused(feed, name):
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]

    # What is found once must be found again.
    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=[*HealthCheck],
        database=None,
    )
    @given(mutants(inputs))
    def check(data):
        feed(name, data)

    check()


# ---- the script --------------------------------------------------------------------


@pytest.fixture
def run(fuzz, monkeypatch, capsys):
    """Run the script in this process; return its exit status and what it printed."""
    script = importlib.import_module("run")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["run.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            script.main()
        return caught.value.code, capsys.readouterr().out

    return run


def test_table_of_a_short_run(run, tmp_path):
    pytest.importorskip("atheris")
    options = "--seconds", 0.5, "--keep", tmp_path, "--table", tmp_path / "table"
    status, out = run(*options, "uem")
    assert status == 0, out
    header, line = (dict(enumerate(text.split())) for text in out.splitlines())
    assert (header[0], line[0]) == ("reader", "uem")
    assert int(line[1]) > 10
    assert (tmp_path / "table").read_text() == out
    # What is in the table is not done again.
    assert run(*options, "uem") == (0, out.splitlines(keepends=True)[0])


def test_an_input_is_read_again(run):
    status, out = run("--replay", CORPUS / "uem" / "bad-overlap", "uem")
    assert (status, out.startswith("refused: ")) == (0, True)
    status, out = run("--replay", CORPUS / "uem" / "good-spans", "uem")
    assert (status, out) == (0, "accepted\n")


def test_without_atheris_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install" in run("uem")[0]


def test_unknown_readers_are_named(run):
    assert "no reader xyz; there are ark-vectors" in run("xyz")[0]
