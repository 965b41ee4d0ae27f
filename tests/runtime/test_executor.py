"""Other processes give the same results, and a killed one loses nothing."""

import importlib
import io
import os
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from ssahc.cli import runner
from ssahc.cli.diarize import method_of_workers
from ssahc.core.errors import UsageError
from ssahc.pipeline.options import DiarizeOptions
from ssahc.runtime.executor import Each, RunningOptions, Undone, map_unordered


@pytest.fixture(scope="module", autouse=True)
def work():
    """Import the work from a folder on the path, where other processes find it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "elsewhere")
        yield importlib.import_module("work")


def run(function, count, running):
    return dict(map_unordered(Each(function), range(count), running, total=count))


@pytest.fixture(params=["here", "processes", "dask"])
def running(request):
    if request.param == "dask":
        return RunningOptions(dask=request.getfixturevalue("cluster"))
    return RunningOptions(nj=2 if request.param == "processes" else 1)


def test_results_and_log_records_arrive(work, running, caplog):
    assert run(work.square, 0, running) == {}
    assert run(work.square, 30, running) == {n: n**2 for n in range(30)}
    messages = [r.getMessage() for r in caplog.records if r.name == "ssahc"]
    assert sorted(messages) == sorted(f"squaring {n}" for n in range(30))


@pytest.mark.parametrize("nj", [1, 2])
def test_batches_are_as_large_as_their_load(work, nj):
    """Loads are in tenths of a batch; each batch says how many it holds."""
    running, loads = RunningOptions(nj=nj), [1, 1, 9, 10, 5, 5, 3, 20, 1]
    done = map_unordered(
        work.count, enumerate(loads), running, total=1000, load=work.tenths
    )
    sizes = [size for _, size in sorted(done)]
    assert sizes == [3, 3, 3, 1, 2, 2, 2, 2, 1]
    # Few items keep all processes busy.
    done = map_unordered(work.count, range(16), running, total=16, load=lambda _: 0.0)
    assert nj == 1 or {size for _, size in done} == {2}


def test_an_item_or_result_too_large_to_send_fails_alone(work):
    """The first cannot be sent, the result of the last cannot be sent back."""
    items = [work.TooLarge(), 1, 2]
    make = Each(work.too_large_at_2)
    done = list(map_unordered(make, items, RunningOptions(nj=2), total=3))
    assert [result for _, result in done if not isinstance(result, Undone)] == [1]
    for item, result in done:
        if item != 1:
            assert result.reason.startswith(
                "could not be sent between processes: not enough memory: Unable to"
            )


@dataclass(frozen=True)
class Named:
    id: str


@pytest.mark.parametrize("terminal", [False, True])
def test_results_are_released_before_the_next_item_is_read(monkeypatch, terminal):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    held = []

    def note(thing):
        held.append(weakref.ref(thing))
        return thing

    def items():
        for number in range(5):
            assert [ref() for ref in held if ref() is not None] == []
            yield note(Named(str(number)))

    work = Each(lambda item: note(Named(f"result of {item.id}")))
    outcomes = runner.work_each(items(), work, RunningOptions(), total=5)
    names = []
    for outcome in runner.track(outcomes, 5, "noting"):
        names.append(outcome[0])
        del outcome
    assert (names, len(held)) == (["0", "1", "2", "3", "4"], 10)


def test_max_memory_does_not_apply_to_dask_workers():
    method = DiarizeOptions(max_memory="1G")
    assert method_of_workers(method, RunningOptions(nj=2)) == method
    elsewhere = RunningOptions(dask="dask://host:1")
    assert method_of_workers(method, elsewhere).max_memory is None


def test_exceptions_of_the_work_are_raised(work, running):
    with pytest.raises(ZeroDivisionError, match="a fault of the program"):
        run(partial(work.fail_at, 7), 20, running)


def test_the_work_of_a_killed_process_is_retried(work, tmp_path, caplog):
    """One item kills its process once; another kills every process and is reported."""
    running = RunningOptions(nj=2)
    done = run(partial(work.killed_at_7_once_at_20, tmp_path), 40, running)
    assert "every process that worked on it was killed" in done.pop(7).reason
    assert done == {n: n for n in range(40) if n != 7}
    assert "a worker was killed; its work is retried" in caplog.text
    assert (tmp_path / "died").exists()


def test_a_process_killed_while_it_sends_costs_the_others_nothing(work, tmp_path):
    dies_once = partial(work.killed_while_sending, 7, tmp_path)
    done = run(dies_once, 40, RunningOptions(nj=2))
    assert done == {n: n for n in range(40)}
    assert (tmp_path / "died").exists()


def test_abandoned_work_is_killed_at_once(work):
    done = map_unordered(Each(work.slow), range(8), RunningOptions(nj=2), total=8)
    assert next(done) == (0, 0)
    start = time.monotonic()
    done.close()
    assert time.monotonic() - start < 5


def test_workers_end_with_their_parent(work, tmp_path, wait_until):
    """Killed, the parent tells nobody; its workers are in the middle of their work."""
    code = (
        "import work; from functools import partial\n"
        "from ssahc.runtime.executor import Each, RunningOptions, map_unordered\n"
        "if __name__ == '__main__':\n"
        f"    each = Each(partial(work.note_and_sleep, {str(tmp_path)!r}))\n"
        "    list(map_unordered(each, range(2), RunningOptions(nj=2), total=8))\n"
    )
    path = os.pathsep.join([str(Path(work.__file__).parent), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}
    )
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    parent.kill()
    parent.wait()
    wait_until(lambda: not any(map(is_alive, tmp_path.iterdir())))


def is_alive(note):
    stat = Path("/proc", note.name, "stat")
    return stat.exists() and " Z " not in stat.read_text()


def test_ctrl_c_is_left_to_the_parent(work):
    results = run(work.interrupt_itself, 4, RunningOptions(nj=2))
    assert results == {n: n for n in range(4)}


def test_a_killed_dask_worker_is_replaced(work, cluster, tmp_path):
    dies_once = partial(work.killed_at, 7, tmp_path)
    assert run(dies_once, 40, RunningOptions(dask=cluster)) == {n: n for n in range(40)}
    assert (tmp_path / "died").exists()


def test_invalid_options_are_refused():
    for options, message in (
        ({"nj": 10**10}, "nj must be between 1 and 4,096, found 10000000000"),
        ({"nj": 2, "dask": "dask://host:1"}, "leave out --nj"),
        ({"dask": "host:1"}, "must be dask://HOST:PORT or tcp://HOST:PORT"),
    ):
        with pytest.raises(UsageError, match=message):
            RunningOptions(**options)


def test_dask_workers_that_do_not_answer_are_reported(work, cluster, monkeypatch):
    from distributed import Future

    def wait(future, timeout):
        # Dask's own has no message.
        raise TimeoutError

    monkeypatch.setattr(Future, "result", wait)
    with pytest.raises(UsageError, match="no worker has answered for 30 s"):
        run(work.square, 3, RunningOptions(dask=cluster))


def test_a_missing_dask_scheduler_is_reported(work, monkeypatch):
    monkeypatch.setattr("ssahc.runtime.pools.PATIENCE", 1.0)
    running = RunningOptions(dask="dask://127.0.0.1:1")
    with pytest.raises(UsageError, match="no Dask scheduler answers there"):
        run(work.square, 3, running)
