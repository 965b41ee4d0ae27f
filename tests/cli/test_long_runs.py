"""Runs that are interrupted, resumed, and spread over processes."""

import fcntl
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ssahc.cli import runner
from ssahc.io.xvectors import open_xvector_dir, read_recordings, write_xvector_dir
from ssahc.pipeline import diarize

FILES = ("rttm", "labels", "scores.ark", "scores.scp", "config.toml")


@pytest.fixture
def options(folder):
    return (
        *("--system", "plda", "--model-dir", folder / "model", "--write-scores"),
        *("--max-speakers", 4),
    )


@pytest.fixture
def run(ssahc_here, folder, options):
    """Diarize the folder into `out`."""

    def run(out, *more):
        return ssahc_here("diarize", folder / "x", folder / out, *options, *more)

    return run


def contents(out, names=FILES):
    return {name: (out / name).read_bytes() for name in names}


def die(folder, options, patch, out="out", *more):
    """Diarize in a process in which `patch` has been run first."""
    arguments = [
        *("ssahc", "diarize", folder / "x", folder / out),
        *(*options, *more),
    ]
    code = (
        "import os, signal, sys\n"
        "from ssahc.cli import journal, resume\n"
        "def die(): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{patch}\n"
        f"sys.argv = {list(map(str, arguments))!r}\n"
        "import ssahc.__main__"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )


AFTER = """
add = journal.Unfinished.add
def add_and_die(self, *arguments):
    add(self, *arguments)
    if len(self.labels) == {count}: die()
journal.Unfinished.add = add_and_die
"""
IN_A_MATRIX = """
write = journal.write_entry
def write_a_part(file, key, value):
    if key == "a001":
        file.write(b"a001 \\0BFM ")
        file.flush()
        die()
    return write(file, key, value)
journal.write_entry = write_a_part
"""
AT_THE_END = """
def move_one(source, target, names, **_):
    (source / names[{index}]).replace(target / names[{index}])
    die()
resume.move_files = move_one
"""


@pytest.mark.parametrize(
    ("patch", "kept"),
    [
        (AFTER.format(count=1), 1),
        (AFTER.format(count=2), 2),
        (IN_A_MATRIX, 1),
        (AT_THE_END.format(index=0), 3),
        (AT_THE_END.format(index=2), 3),
    ],
)
def test_a_killed_run_is_resumed(folder, options, run, patch, kept):
    assert run("whole").returncode == 0
    killed = die(folder, options, patch)
    assert killed.returncode == -signal.SIGKILL
    refused = run("out")
    assert refused.returncode == 2
    assert "go on with --resume" in refused.stderr
    resumed = run("out", "--resume")
    assert resumed.returncode == 0
    assert f"{kept} recordings were done before" in resumed.stderr
    assert contents(folder / "out") == contents(folder / "whole")
    assert {path.name for path in (folder / "out").iterdir()} == set(FILES)


def test_killed_again_and_again(folder, options, run):
    run("whole")
    for count in (1, 2, 3):
        die(folder, options, AFTER.format(count=count), "out", "--resume")
    assert run("out", "--resume").returncode == 0
    assert contents(folder / "out") == contents(folder / "whole")


def test_what_is_done_is_not_done_again(folder, run, monkeypatch):
    assert run("out").returncode == 0
    before = contents(folder / "out")
    with monkeypatch.context() as patch:
        patch.setattr("ssahc.cli.inputs.diarize_steps", None)
        again = run("out", "--resume")
    assert again.returncode == 0
    assert "3 recordings were done before" in again.stderr
    assert contents(folder / "out") == before


def test_ids_that_start_with_white_space_of_unicode_are_found_again(folder, run):
    recordings = [
        replace(item, utterances=tuple(f"\u00a0{name}" for name in item.utterances))
        for item in read_recordings(open_xvector_dir(folder / "x"))
    ]
    write_xvector_dir(folder / "x", recordings)
    assert run("out").returncode == 0
    assert "3 recordings were done before" in run("out", "--resume").stderr


def test_what_failed_is_tried_again(folder, run):
    archive = folder / "x" / "xvector.ark"
    whole = archive.read_bytes()
    archive.write_bytes(whole[: 2 * len(whole) // 3])
    assert run("out").returncode == 1
    archive.write_bytes(whole)
    refused = run("out", "--resume")
    assert refused.returncode == 2
    config = folder / "out" / "config.toml"
    assert f"{archive}: has changed since the run" in refused.stderr
    assert f"touch {config}" in refused.stderr
    config.touch()
    resumed = run("out", "--resume")
    assert resumed.returncode == 0
    assert "recordings were done before" in resumed.stderr
    assert run("whole").returncode == 0
    assert contents(folder / "out") == contents(folder / "whole")


def test_other_options_are_not_mixed(folder, options, run):
    die(folder, options, AFTER.format(count=1))
    result = run("out", "--resume", "--target-energy", 0.5)
    assert result.returncode == 2
    assert "target_energy is 0.1 there and 0.5 now" in result.stderr
    assert run("out", "--resume").returncode == 0
    result = run("out", "--resume", "--threshold", 0.5)
    assert result.returncode == 2
    assert "threshold is not given there and 0.5 now" in result.stderr


@pytest.mark.parametrize("name", ["x/xvector.ark", "x/segments", "model/plda"])
def test_other_inputs_are_not_mixed(folder, options, run, name):
    die(folder, options, AFTER.format(count=1))
    later = time.time() + 1
    os.utime(folder / name, (later, later))
    result = run("out", "--resume")
    assert result.returncode == 2
    assert f"{folder / name}: has changed since the run" in result.stderr


@pytest.mark.parametrize("name", ["scores.ark", "spk2utt"])
def test_other_scores_are_not_mixed(folder, run, ssahc_here, name):
    """Beside their scp: archives, and what says whose rows they are."""
    assert run("scored").returncode == 0
    shutil.copy(folder / "x" / "spk2utt", folder / "scored")
    given = ("--system", "plda", "--plda-scores", folder / "scored" / "scores.scp")
    arguments = ("diarize", folder / "x", folder / "out", *given)
    assert ssahc_here(*arguments).returncode == 0
    (folder / "scored" / name).touch()
    result = ssahc_here(*arguments, "--resume")
    assert result.returncode == 2
    assert f"{folder / 'scored' / name}: has changed since the run" in result.stderr


@pytest.mark.parametrize("place", [0, 3])
def test_labels_of_another_recording_are_not_its_own(folder, ssahc_here, place):
    tables = [folder / "x" / name for name in ("spk2utt", "utt2spk")]
    lines = tables[0].read_text().splitlines()
    some = lines[1].split()[1:4]
    lines.insert(place, f"other {' '.join(some)}")
    tables[0].write_text("\n".join(lines) + "\n")
    if place == 3:
        # utt2spk has to agree with the last line that lists an utterance.
        text = tables[1].read_text()
        for utterance in some:
            text = text.replace(f"{utterance} a001\n", f"{utterance} other\n")
        tables[1].write_text(text)
    arguments = ("diarize", folder / "x", folder / "out", "--system", "cosine")
    first = ssahc_here(*arguments)
    assert first.returncode == 1
    assert "recording 'other': " in first.stderr
    before = contents(folder / "out", ["labels", "rttm"])
    again = ssahc_here(*arguments, "--resume")
    assert again.returncode == 1
    assert "recording 'other': " in again.stderr
    assert contents(folder / "out", ["labels", "rttm"]) == before


def test_a_run_that_is_given_up_at_its_end_leaves_no_options(folder, options, run):
    """They would say of its labels that they are of the run that was there before."""
    assert run("out").returncode == 0
    before = contents(folder / "out", ["labels"])
    other = ("--threshold", 5)
    killed = die(folder, options, AT_THE_END.format(index=0), "out", *other)
    assert killed.returncode == -signal.SIGKILL
    assert contents(folder / "out", ["labels"]) != before
    shutil.rmtree(folder / "out" / ".unfinished")
    refused = run("out", "--resume")
    assert refused.returncode == 2
    assert "holds labels that ssahc diarize did not write" in refused.stderr


def test_scores_that_are_not_made_anew_go(folder, options, run, ssahc_here):
    plain = [option for option in options if option != "--write-scores"]
    assert run("out").returncode == 0
    killed = die(folder, plain, AT_THE_END.format(index=0))
    assert killed.returncode == -signal.SIGKILL
    result = ssahc_here("diarize", folder / "x", folder / "out", *plain, "--resume")
    assert result.returncode == 0
    assert "3 recordings were done before" in result.stderr
    left = {path.name for path in (folder / "out").iterdir()}
    assert left == {"rttm", "labels", "config.toml"}


def test_another_list_of_recordings_is_another_run(folder, run):
    names = folder / "list"
    names.write_text("a000\na001\n")
    assert run("out", "--recordings", names).returncode == 0
    names.write_text("a002\n")
    later = time.time() + 1
    os.utime(names, (later, later))
    result = run("out", "--recordings", names, "--resume")
    assert result.returncode == 2
    assert f"{names}: has changed since the run" in result.stderr


def test_scores_that_were_not_kept_are_made(folder, run, ssahc_here, options):
    plain = [option for option in options if option != "--write-scores"]
    ssahc_here("diarize", folder / "x", folder / "out", *plain)
    result = run("out", "--resume")
    assert result.returncode == 2
    assert "write_scores is False there and True now" in result.stderr


def test_nothing_to_resume_is_a_start(folder, run):
    assert run("out", "--resume").returncode == 0
    assert run("whole").returncode == 0
    assert contents(folder / "out") == contents(folder / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_what_it_has(folder, options, run, number):
    patch = AFTER.format(count=2).replace("die()", f"os.kill(os.getpid(), {number:d})")
    stopped = die(folder, options, patch)
    assert stopped.returncode == 128 + number
    assert "2 of 3 recordings are done and kept" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert run("out", "--resume").returncode == 0


def test_two_runs_do_not_share_a_folder(folder, run):
    (folder / "out" / ".unfinished").mkdir(parents=True)
    with open(folder / "out" / ".unfinished" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = run("out")
    assert result.returncode == 2
    assert "another run is writing there" in result.stderr
    assert run("out").returncode == 0


def test_refusals_leave_nothing(folder, run):
    assert run("out").returncode == 0
    before = contents(folder / "out")
    assert run("out", "--resume", "--threshold", 1).returncode == 2
    assert {path.name for path in (folder / "out").iterdir()} == set(FILES)
    assert contents(folder / "out") == before


def test_a_recording_too_large_costs_only_itself(run, monkeypatch):
    diarize_steps = diarize.diarize_steps

    async def run_out_of_memory(recording, *arguments, **options):
        if recording.id == "a001":
            raise MemoryError("Unable to allocate 6.71 GiB")
        return await diarize_steps(recording, *arguments, **options)

    monkeypatch.setattr("ssahc.cli.inputs.diarize_steps", run_out_of_memory)
    result = run("out")
    assert result.returncode == 1
    assert "recording 'a001': not enough memory: Unable to" in result.stderr


def test_nobody_asks_for_a_gpu_that_has_nothing_to_do(run, monkeypatch):
    def ask(device):
        raise AssertionError("torch would be loaded")

    monkeypatch.setattr("ssahc.cli.diarize.has_gpu", ask)
    assert run("out", "--system", "plda").returncode == 0


def test_what_gpus_a_cluster_has_is_not_asked_here(run, cluster, monkeypatch):
    def ask(device):
        raise AssertionError("the workers know")

    monkeypatch.setattr("ssahc.cli.diarize.has_gpu", ask)
    assert run("out", "--dask", cluster).returncode == 0


def test_every_torn_file_gives_whole_recordings(folder, options, run):
    assert run("whole").returncode == 0
    die(folder, options, AFTER.format(count=3))
    unfinished = folder / "out" / ".unfinished"
    whole = (unfinished / "labels.0").read_bytes()
    for cut in range(0, len(whole), 97):
        (unfinished / "labels.0").write_bytes(whole[:cut])
        if cut % 2:
            # After a power failure a file may end in zeros.
            (unfinished / "labels.0").write_bytes(whole[:cut] + b"\0" * 50)
        copy = folder / f"cut{cut}"
        subprocess.run(["cp", "-rp", folder / "out", copy], check=True)
        assert run(copy.name, "--resume").returncode == 0
        assert contents(copy) == contents(folder / "whole")


def test_matrices_that_cannot_be_read_are_made_again(folder, options, run):
    assert run("whole").returncode == 0
    die(folder, options, AFTER.format(count=2))
    scores = folder / "out" / ".unfinished" / "scores.0"
    scores.write_bytes(b"\0" * scores.stat().st_size)
    resumed = run("out", "--resume")
    assert resumed.returncode == 0
    assert "done before" not in resumed.stderr
    assert contents(folder / "out") == contents(folder / "whole")


@pytest.mark.parametrize("where", ["--nj", "--dask"])
def test_the_same_bytes_from_other_processes(request, folder, run, where):
    archive = folder / "x" / "xvector.ark"
    archive.write_bytes(archive.read_bytes()[:-200])
    here = run("here", "-q")
    value = 2 if where == "--nj" else request.getfixturevalue("cluster")
    elsewhere = run("elsewhere", where, value, "-q")
    assert here.returncode == elsewhere.returncode == 1
    assert elsewhere.stderr == here.stderr
    assert contents(folder / "elsewhere") == contents(folder / "here")


def test_progress_in_a_log(run, monkeypatch):
    monkeypatch.setattr(runner, "_SILENCE", 0.0)
    assert "diarizing: 2 of 3, " in run("out").stderr
    assert "s, 0:00:00 left" in run("again").stderr


def test_progress_on_a_terminal(folder, options):
    screen, terminal = pty.openpty()
    script = Path(sys.executable).with_name("ssahc")
    command = [script, "diarize", folder / "x", folder / "out", *options]
    result = subprocess.run([*map(str, command)], stderr=terminal, check=False)
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(screen, 4096)
        except OSError:
            break
    os.close(screen)
    assert result.returncode == 0
    assert b"diarizing" in shown
    assert b"3/3" in shown
    assert b"/s" in shown


def test_the_old_spelling_of_dask_is_taken_with_a_warning(run):
    result = run("out", "--cluster", "host:1")
    assert result.returncode == 2
    assert "use --dask" in result.stderr
    assert "--dask must be dask://HOST:PORT, found 'host:1'" in result.stderr
