"""Faults while it runs, and whether they are as their rows of docs/faults.md say."""

import multiprocessing
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
RESUME = "holds a run that was interrupted; go on with --resume"
# The exit status, where the page does not give it.
STATUS = {
    "everything": 0,
    "all other recordings": 1,
    "what was done": 2,
    "nothing is written": 2,
}


def read_page():
    """Return fault: (messages, exit status, what survives)."""
    rows = {}
    section = PAGE.read_text().partition("## While it runs\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and not line.startswith(("| fault", "| :--")):
            fault, seen, survives = line.strip("| ").split(" | ")
            status = re.search(r"exit status (\d+)", seen)
            number = int(status[1]) if status else STATUS[survives]
            messages = [m for m in re.findall("`(.*?)`", seen) if m != "--resume"]
            rows[fault] = messages, number, survives
    return rows


ROWS = read_page()


class Faults(dict):
    """What brings about each fault of a test module."""

    def __call__(self, name):
        """Note what brings a fault about, and returns what was seen of it."""

        def note(bring_about):
            self[name] = bring_about
            return bring_about

        return note


def check_fault(here, name, bring_about):
    """Bring a fault about, and check all that the page says of it."""
    messages, status, survives = ROWS[name]
    learning = "GPU" in name or "cuda" in name
    options = {"options": ("--system", "ssahc")} if learning else {}
    whole = here.run(out="whole", **options)
    assert whole.returncode == 0
    children = multiprocessing.active_children()
    with here.patch.context() as patch:
        here.patch = patch
        result = bring_about(here)
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr
    assert result.returncode == status, result.stderr
    for message in messages:
        pattern = re.escape(message).replace(r"\.\.\.", ".+")
        assert re.search(pattern, result.stderr), result.stderr
    if not messages:
        assert result.stderr in ("", whole.stderr)
    SURVIVAL[survives](here)
    assert set(multiprocessing.active_children()) <= set(children)


# ---- what survives -----------------------------------------------------------------


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def everything(here):
    assert contents(here.out) == contents(here.folder / "whole")


def what_was_done(here):
    """A run with --resume goes on from there, and does no recording again."""
    kept = (here.out / ".unfinished" / "config.toml").exists()
    if not kept:
        # It has been resumed already.
        everything(here)
        return
    assert {path.name for path in here.out.iterdir()} == {".unfinished"}
    assert RESUME in here.run().stderr
    (here.out / ".unfinished" / "config.toml").touch()
    resumed = here.run("--resume")
    assert resumed.returncode == 0
    assert re.search("[1-3] recordings were done before", resumed.stderr)
    everything(here)


def nothing_is_written(here):
    """A run that was there is as it was; a folder that was not is not."""
    if here.out.is_dir():
        assert {path.name for path in here.out.iterdir()} <= {"rttm", ".unfinished"}
    else:
        assert not here.out.exists() or here.out.read_text() == "mine"


def all_other_recordings(here):
    lines = (here.out / "labels").read_text().splitlines()
    theirs = (here.folder / "whole" / "labels").read_text().splitlines()
    assert 0 < len(lines) < len(theirs)
    assert lines == [line for line in theirs if line in set(lines)]
    assert not (here.out / ".unfinished").exists()


SURVIVAL = {
    "everything": everything,
    "what was done": what_was_done,
    "nothing is written": nothing_is_written,
    "all other recordings": all_other_recordings,
}
