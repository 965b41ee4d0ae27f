"""Runs of ``ssahc diarize`` that are interrupted and resumed, one case at a time.

All orders of interruptions are in test_interruptions, what is seen of each kind in
test_faults_running.
"""

import os
import shutil
import time
from dataclasses import replace

import pytest
from fault_table import contents
from kills import killed

from ssahc.cli import resume
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings

FILES = {"confidence", "rttm", "labels", "scores.ark", "scores.scp", "config.toml"}
PLAIN = ("--system", "plda", "--max-speakers", 4)


@pytest.fixture
def kill_at_the_end(here):
    """Kill a run when the first of its files has been moved into place."""

    def kill(**options):
        with killed(here.out) as die, here.patch.context() as patch:

            def move_one(source, target, names):
                (source / names[0]).replace(target / names[0])
                die()

            patch.setattr(resume, "move_files", move_one)
            here.run(**options)

    return kill


def test_a_finished_run_is_resumed_with_the_same_options_alone(here):
    assert here.run().returncode == 0
    before = contents(here.out)
    assert before.keys() == FILES
    # Recordings that are done are not read again.
    archive = here.folder / "x" / "xvector.ark"
    archive.rename(here.folder / "moved")
    again = here.run("--resume")
    assert again.returncode == 0
    assert "already done: 3 recordings" in again.stderr
    assert contents(here.out) == before
    (here.folder / "moved").rename(archive)
    for option, message in (
        (("--target-energy", 0.5), "target_energy was 0.1 and is 0.5 now"),
        (("--threshold", 0.5), "threshold was not given and is 0.5 now"),
        (("--no-write-scores",), "write_scores was True and is False now"),
    ):
        refused = here.run("--resume", *option)
        assert refused.returncode == 2
        assert message in refused.stderr
        assert contents(here.out) == before


def test_changed_inputs_are_refused(here):
    """Whatever results depend on: tables, archives, models and scores of others."""
    x, scored = here.folder / "x", here.folder / "scored"
    assert here.run(out="scored").returncode == 0
    shutil.copy(x / "spk2utt", scored)
    (here.folder / "list").write_text("a000\na001\n")
    options = ("--system", "plda", "--plda-scores", scored / "scores.scp")
    options += ("--recordings", here.folder / "list")
    assert here.run(options=options).returncode == 0
    for path in (
        here.folder / "list",
        here.folder / "model" / "plda",
        x / "segments",
        x / "xvector.ark",
        scored / "scores.ark",
        scored / "spk2utt",
    ):
        # What has changed so far is accepted.
        (here.out / "config.toml").touch()
        before, later = path.stat(), time.time() + 10
        os.utime(path, (later, later))
        result = here.run("--resume", options=options)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert result.returncode == 2
        assert f"{path}: has changed since the run" in result.stderr


def test_utterances_that_start_with_unicode_white_space_are_found_again(here):
    recordings = [
        replace(item, utterances=tuple(f"\u00a0{name}" for name in item.utterances))
        for item in read_recordings(open_xvector_dir(here.folder / "x"))
    ]
    write_xvector_dir(here.folder / "x", recordings)
    assert here.run().returncode == 0
    assert "already done: 3 recordings" in here.run("--resume").stderr


@pytest.mark.parametrize("place", [0, 3])
def test_resuming_does_not_take_labels_of_another_recording(here, place):
    tables = [here.folder / "x" / name for name in ("spk2utt", "utt2spk")]
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
    results = []
    for more in ((), ("--resume",)):
        result = here.run(*more)
        assert result.returncode == 1
        assert "recording 'other': " in result.stderr
        results.append(contents(here.out))
    assert results[0] == results[1]


def test_a_run_abandoned_at_its_end_leaves_no_options_of_the_run_before(
    here, kill_at_the_end
):
    assert here.run().returncode == 0
    before = (here.out / "labels").read_bytes()
    kill_at_the_end(options=(*PLAIN, "--threshold", 5))
    assert (here.out / "labels").read_bytes() != before
    shutil.rmtree(here.out / ".unfinished")
    refused = here.run("--resume")
    assert refused.returncode == 2
    assert "holds labels that no completed run of ssahc diarize" in refused.stderr


def test_scores_of_an_earlier_run_are_removed_when_labels_are_replaced(
    here, kill_at_the_end
):
    assert here.run().returncode == 0
    kill_at_the_end(options=PLAIN)
    result = here.run("--resume", options=PLAIN)
    assert result.returncode == 0
    assert "already done: 3 recordings" in result.stderr
    assert contents(here.out).keys() == {"rttm", "labels", "confidence", "config.toml"}
