"""Progress, and recordings that are diarized by other processes."""

import os
import pty
import sys

import pytest

from ssahc.cli.runner import meter, track


@pytest.mark.parametrize("where", ["--nj", "--dask"])
def test_other_processes_give_the_same_bytes(request, here, where):
    archive = here.folder / "x" / "xvector.ark"
    archive.write_bytes(archive.read_bytes()[:-200])
    options = ("--write-scores", "--resegmentation", "vb")
    alone = here.run(out="alone", options=options)
    with here.patch.context() as patch:
        value = 2
        if where == "--dask":
            value = request.getfixturevalue("cluster")
            # What GPUs the workers have is not known here.
            patch.setattr("ssahc.cli.diarize_task.has_gpu", None)
        elsewhere = here.run(where, value, out="elsewhere", options=options)
    assert alone.returncode == elsewhere.returncode == 1
    # All but seconds: on a busy machine a line of progress may come first.
    said = [
        [line for line in run.stderr.splitlines() if " diariz" not in line]
        for run in (alone, elsewhere)
    ]
    assert said[0] == said[1]
    names = ("rttm", "labels", "confidence", "speaker_posterior", "config.toml")
    for name in (*names, "scores.ark", "scores.scp"):
        paths = (here.folder / out / name for out in ("alone", "elsewhere"))
        assert len({path.read_bytes() for path in paths}) == 1


def test_no_gpu_is_looked_for_when_nothing_is_trained(here):
    here.patch.setattr("ssahc.cli.diarize_task.has_gpu", None)
    assert here.run().returncode == 0


def test_progress_in_a_log(caplog, monkeypatch):
    caplog.set_level("INFO", "ssahc")
    seconds = iter(range(0, 400, 40))
    monkeypatch.setattr("ssahc.cli.runner.time.monotonic", lambda: next(seconds))
    assert list(track("abc", 5, "diarizing", done=2)) == ["a", "b", "c"]
    assert caplog.messages == [
        "diarizing: 3 of 5, 0.0/s, 0:01:20 left",
        "diarizing: 4 of 5, 0.0/s, 0:00:40 left",
        "diarizing: 5 of 5, 0.0/s, 0:00:00 left",
    ]


def test_progress_on_a_terminal(monkeypatch):
    screen, terminal = pty.openpty()
    shown = b""
    with open(terminal, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stderr)
        assert list(track("abc", 3, "diarizing")) == ["a", "b", "c"]
        stderr.flush()
        while b"3/3" not in shown:
            shown += os.read(screen, 4096)
    os.close(screen)
    assert b"diarizing" in shown
    assert b"/s" in shown


def test_progress_is_in_hours_of_audio_or_in_minutes(caplog, monkeypatch):
    caplog.set_level("INFO", "ssahc")
    seconds = iter(range(0, 400, 36))
    monkeypatch.setattr("ssahc.cli.runner.time.monotonic", lambda: next(seconds))
    with meter(2.0, "extracting", done=0.5, in_hours=True) as advance:
        advance(0.5)
        advance(1.0)
    assert caplog.messages == [
        "extracting: 1.00 of 2.00 h of audio, 50 times real time, 0:01:12 left",
        "extracting: 2.00 of 2.00 h of audio, 75 times real time, 0:00:00 left",
    ]
    with meter(10, "training", in_minutes=True) as advance:
        advance(0.6)
    assert caplog.messages[-1] == "training: 0.6 of 10.0 min, 0:09:24 left"
