"""Compiled functions compute what is written, with or without a cache."""

import errno

import numba
import numpy as np
import pytest

from ssahc.clustering import dense_linkage
from ssahc.runtime.jit import compiled


def test_numba_can_be_told_not_to_compile(monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    caplog.set_level("INFO")

    @compiled
    def double(value):
        """Return twice the value."""
        return 2 * value

    assert (double(4), double(value=5)) == (8, 10)
    assert double.__doc__ == "Return twice the value."
    assert not caplog.messages


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("cannot cache function: no locator available"),
        OSError(errno.ENOSPC, "No space left on device"),
        EOFError(),
    ],
)
def test_without_a_usable_cache_it_is_compiled_all_the_same(monkeypatch, caplog, error):
    """In a read-only cache, on a full disk, with a file that has been truncated."""
    njit = numba.njit

    def no_cache(*, cache=False, **options):
        if cache:
            raise error
        return njit(**options)

    monkeypatch.setattr(numba, "njit", no_cache)
    caplog.set_level("INFO")

    @compiled
    def double(value):
        return 2 * value

    assert (double(4), double(5)) == (8, 10)
    assert "set NUMBA_CACHE_DIR to a folder" in caplog.text


def test_compiled_merging_equals_plain_python(rng):
    """Python's own arithmetic of float32 is that of the compiled loop, bit by bit."""
    affinity = rng.standard_normal((40, 40)).astype(np.float32)
    affinity += affinity.T
    ids, merges = np.arange(40), np.zeros((40, 2), np.int64)
    np.fill_diagonal(affinity, -np.inf)
    results = []
    for function in (dense_linkage._merge_best, dense_linkage._merge_best.__wrapped__):
        state = [affinity.copy(), np.ones(40, np.int64), ids.copy(), merges.copy()]
        averages = np.zeros(40, np.float32)
        end = (ids.copy(), 1, np.float32(-np.inf), 2**60, 25)
        done = function(*state, averages, *end)
        results.append((done, state[3].tolist(), averages.tolist()))
    assert results[0] == results[1]
    assert 0 < results[0][0] < 39, "no cluster grows beyond 25"


def test_settings_in_the_working_directory_do_not_end_help(ssahc, tmp_path):
    for name in (".numba_config.yaml", "matplotlibrc"):
        (tmp_path / name).write_bytes(b"[ \xff")
    result = ssahc("score", "--help", cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_broken_settings_in_the_working_directory_are_named(ssahc, golden, tmp_path):
    scores = golden / "ahc_random"
    (tmp_path / "tuning.csv").write_text(
        "threshold,der,scored,missed,false_alarm,confusion\n0,10,100,10,0,0\n"
    )
    for name, content, command in (
        (".numba_config.yaml", b"[ \n", ("cluster", scores / "scores.ark", "r2u", "o")),
        ("matplotlibrc", b"\xff", ("plot", "thresholds", "tuning.csv", "x.png")),
    ):
        (tmp_path / "r2u").write_bytes((scores / "reco2utt").read_bytes())
        (tmp_path / name).write_bytes(content)
        result = ssahc(*command, cwd=tmp_path)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith(f"ssahc: error: {name}: ")
        assert result.stderr.count("\n") == 1
