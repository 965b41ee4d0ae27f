"""What is compiled is what was written, with or without a place to keep it."""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

from ssahc.clustering import dense_linkage
from ssahc.runtime.jit import compiled


def test_compiled_is_what_was_written():
    @compiled
    def weigh(values, weight):
        """Return a weighted sum."""
        total = 0.0
        for value in values:
            total += weight * value
        return total

    assert weigh.__doc__ == "Return a weighted sum."
    values = np.arange(5.0)
    assert weigh(values, 0.5) == weigh.__wrapped__(values, 0.5) == 5.0


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch):
    njit = numba.njit

    def nowhere(*, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", nowhere)

    @compiled
    def double(value):
        return 2 * value

    assert double(4) == 8


def test_where_numba_is_told_not_to_compile_nothing_is_said(monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    caplog.set_level("INFO")

    @compiled
    def double(value):
        return 2 * value

    assert (double(4), double(value=5)) == (8, 10)
    assert not caplog.messages


def test_merging_as_written_is_merging_as_compiled(rng):
    """Python's own arithmetic of float32 is that of the compiled loop, bit by bit."""
    affinity = rng.standard_normal((40, 40)).astype(np.float32)
    affinity += affinity.T
    ids, merges = np.arange(40), np.zeros((40, 2), np.int64)
    np.fill_diagonal(affinity, -np.inf)
    results = []
    for function in (dense_linkage._merge_best, dense_linkage._merge_best.__wrapped__):
        state = [affinity.copy(), np.ones(40, np.int64), ids.copy(), merges.copy()]
        averages = np.zeros(40, np.float32)
        done = function(
            *(*state, averages, ids.copy()),
            *(1, np.float32(-np.inf), 2**60, 25),
        )
        results.append((done, state[3].tolist(), averages.tolist()))
    assert results[0] == results[1]
    assert 0 < results[0][0] < 39, "no cluster grows beyond 25"


# A loop as those of the package, which take seconds to compile.
LOOP = """
import logging
from ssahc.runtime.jit import compiled

@compiled
def double(value):
    return 2 * value

if __name__ == "__main__":
    logging.basicConfig(level="INFO", format="%(message)s")
    import loop
    print(loop.double(4))
"""


def test_damage_to_what_was_kept_costs_time_alone(tmp_path):
    (tmp_path / "loop.py").write_text(LOOP)

    def run():
        return subprocess.run(
            [sys.executable, tmp_path / "loop.py"],
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "kept")},
            capture_output=True,
            text=True,
            check=True,
        )

    assert (run().stdout, run().stderr) == ("8\n", "")
    kept = [path for path in (tmp_path / "kept").rglob("*.nb*") if path.is_file()]
    assert kept
    whole = {path: path.read_bytes() for path in kept}
    for damage in ("cut", "empty", "rubbish"):
        for path, data in whole.items():
            half = data[: len(data) // 2]
            path.write_bytes({"cut": half, "empty": b"", "rubbish": b"no"}[damage])
        again = run()
        assert again.stdout == "8\n"
        assert "set NUMBA_CACHE_DIR to a folder that may be written to" in again.stderr


@pytest.mark.parametrize("import_first", ["ssahc", "ssahc.resegmentation.vbhmm"])
def test_numba_is_loaded_when_it_is_needed(import_first):
    code = f"import sys, {import_first}; print('numba' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "False\n"
