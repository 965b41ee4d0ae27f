"""The speed benchmark: how it measures, and a tiny run."""

import sys
from functools import partial

import numpy as np
import pytest

from benchmarks import __main__, speed
from benchmarks.support import gpu, limits, methods, peers, processes, sweeps
from ssahc import diarize_recording, make_options

MIB = 2**20


def runs(*walls):
    return processes.Runs(
        tuple(processes.Usage(2 * wall, wall, MIB * wall) for wall in walls)
    )


def test_only_the_started_process_is_measured():
    ballast = np.ones(300 * MIB // 8)
    work = (
        "import time; held = b'x' * (100 << 20); print('not JSON')\n"
        "while time.process_time() < 0.3: pass\n"
        "time.sleep(0.3)"
    )
    usage = processes.run([sys.executable, "-I", "-S", "-c", work])
    assert 100 * MIB < usage.peak < 150 * MIB < ballast.nbytes
    assert 0.3 <= usage.cpu < 0.55
    assert 0.6 <= usage.wall
    assert usage.cpu < usage.wall


def test_processes_inherit_the_environment_but_write_bytecode(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    work = (
        "import os, sys; from pathlib import Path\n"
        "shown = map(os.environ.get, ('PYTHONDONTWRITEBYTECODE', 'OMP_NUM_THREADS'))\n"
        "Path(sys.argv[1]).write_text(f'{[*shown]} {os.environ[\"GIVEN\"]}')"
    )
    out = tmp_path / "out"
    processes.run([sys.executable, "-c", work, str(out)], {"GIVEN": "this"})
    assert out.read_text() == "[None, '7'] this"


def test_failing_process_raises_with_its_message():
    with pytest.raises(processes.CommandError, match=r"told why\n.*exit status 1"):
        processes.run([sys.executable, "-c", "raise SystemExit('told why')"])


def test_long_runs_are_not_repeated_and_medians_are_shown():
    taken = {"a": 1.0, "b": 15.0, "c": 100.0}
    order = []

    def pretend(name):
        order.append(name)
        return processes.Usage(0.0, taken[name], MIB)

    methods = {name: [partial(pretend, name)] * 2 for name in taken}
    found = processes.measure(methods, 3)
    assert {name: len(one.runs) for name, one in found.items()} == dict(a=3, b=1, c=1)
    assert order == [*"aabbcc", *"aa", *"aa"]
    assert found["b"].median("wall") == 30
    assert found["b"].median("peak") == MIB
    assert runs(3, 1, 2).show("wall") == "2.0 (1.0-3.0)"
    assert runs(3).show("peak", ".0f", MIB) == "3"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({n: 7 + 1e-6 * n**2 for n in (100, 1000, 10_000, 100_000)}, "2.00"),
        # What the smallest takes beyond start-up is subtracted with it.
        ({n: 1 + 1e-3 * n for n in (100, 1000, 3000, 10_000)}, "1.02"),
        ({100: 1.0, 1000: 0.99, 10_000: 1.05}, "flat"),
        ({100: 1.0, 1000: 2.0}, ""),
    ],
)
def test_growth_is_a_power_of_the_size(values, expected):
    assert sweeps.growth(values) == expected


def test_long_runs_are_foreseen():
    sweep = {10: runs(1.0), 20: runs(8.0)}
    assert sweeps.foresee(sweep, 40) == 0
    # Twice as many CPU seconds as wall.
    assert sweeps.foresee(sweep | {40: runs(57.0)}, 80) == pytest.approx(2 + 14 * 8**2)
    assert sweeps.foresee({10: runs(1.0)}, 40) == 0


def test_runs_beyond_their_limit_are_killed_and_left_out(capsys):
    endless = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    methods = {
        name: [partial(processes.run, command, patience=1)]
        for name, command in {"endless": endless, "short": ["true"]}.items()
    }
    found = processes.measure(methods, 2)
    assert {name: len(one.runs) for name, one in found.items()} == {"short": 2}
    assert "endless is left out: killed" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["scipy", "fastcluster", "scikit-learn"])
def test_peers_find_the_same_clusters_as_ssahc(corpus, name):
    peer = peers.PEERS[name]
    if not peer.is_there:
        pytest.skip(f"{name} is not installed")
    for item in corpus["a"].conversations:
        model = corpus["b"].model
        options = make_options(system="plda")
        ours = diarize_recording(item.recording, model, options).labels
        theirs = peers.cluster(peer, item.recording, model)
        pairs = set(zip(ours.tolist(), theirs.tolist()))
        assert len(pairs) == len({*ours.tolist()}) == len({*theirs.tolist()}) > 1


def test_operations_are_counted_per_window_and_per_pair():
    # Per window at first, per pair of windows for long recordings.
    one, seven, long, learned = (
        limits.count_flops(lengths, 16, learns=learns)
        for lengths, learns in (
            ([100], True),
            ([100] * 7, True),
            ([10**7], False),
            ([10**7], True),
        )
    )
    assert seven == pytest.approx(7 * one)
    assert long == pytest.approx(1e15, rel=1e-3)
    assert learned == pytest.approx(3 * long, rel=1e-3)


def test_devices_are_compared_by_their_labels(corpus, monkeypatch, capsys):
    recordings = [item.recording for item in corpus["a"].conversations]
    model = corpus["b"].model

    def compare():
        return gpu.compare(recordings, model, repeat=1, devices=("cpu", "auto"))

    assert compare() == []
    assert "the same in 3 of 3 recordings" in capsys.readouterr().out
    diarize_batch = gpu.diarize_batch

    def other_labels(recordings, model, options):
        answers = diarize_batch(recordings, model, options)
        if options[1].device == "auto":
            answers[1].labels[0] = 9
        return answers

    monkeypatch.setattr(gpu, "diarize_batch", other_labels)
    assert compare() == [recordings[1].id]
    assert "the same in 2 of 3 recordings" in capsys.readouterr().out


def test_tiny_run(tmp_path, monkeypatch, capsys, ssahc_here):
    def run(command, environment=None, *, patience=0.0):
        """Run ssahc in this process, peers in one of their own."""
        if command[1:3] != ["-m", "ssahc"]:
            return processes.run(command, environment, patience=patience)
        printed.append(capsys.readouterr().out)
        assert ssahc_here(*command[3:]).returncode == 0
        return processes.Usage(cpu=0.5, wall=0.5, peak=60 * MIB)

    printed = []
    picture = tmp_path / "picture.png"
    options = ["--sections", "long", "gpu", "--methods", "plda", "scipy"]
    options += ["--largest", "300", "--repeat", "1", "--memory", "0.0001"]
    command = ["benchmarks", "speed", *options, "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(speed, "warm_up", lambda bench, part: None)
    monkeypatch.setattr(methods, "run", run)
    monkeypatch.setattr(speed, "find_gpu", lambda: None)
    monkeypatch.setattr(speed, "SIZES", (100, 150))
    monkeypatch.setattr(limits, "SIDE", 100)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 0
    text = "".join([*printed, capsys.readouterr().out])
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    rows = {row[0]: row for row in cells if len(row) == 4}
    assert rows["peak MiB"] == ["peak MiB", "100", "150", "exponent"]
    assert rows["plda"][1:3] == ["60", "60"]
    assert float(rows["scipy"][1]) > 30
    # Eight bytes for each of 150^2 pairs are more than a ten-thousandth of a GiB.
    assert rows["scipy"][2] == ""
    assert "scipy is left out from 150 on: its matrix" in text
    assert "GPU: there is none" in text
    assert picture.stat().st_size > 1000
