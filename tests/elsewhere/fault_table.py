"""The tables of docs/reference/faults.md, and a check of a run against its row."""

import multiprocessing
import re
import shutil
from functools import cache
from pathlib import Path
from typing import NamedTuple

# How the last line of ssahc diarize starts.
SUMMARY = "ssahc: diarized "
RESUME = "holds an interrupted run; continue it with --resume"
# The exit status, where the page does not give it.
STATUS = {
    "everything": 0,
    "all other recordings": 1,
    "what was done": 2,
    "nothing is written": 2,
}


class Row(NamedTuple):
    """A row of docs/reference/faults.md: message and survivors."""

    seen: str
    survives: str

    def is_said_in(self, errors: str) -> bool:
        """Whether a line has the message; dots stand for anything."""
        if self.seen == "nothing":
            return all(line.startswith(SUMMARY) for line in errors.splitlines())
        (text,) = re.findall(r"`+ ?(.+?) ?`+", self.seen)
        form = ".*".join(map(re.escape, text.split("...")))
        who = r"ssahc: (error: )?((recording '.*?'|all \d+ recordings): )?"
        return any(re.fullmatch(who + form, line) for line in errors.splitlines())

    def of_a_run(self) -> tuple[list[str], int]:
        """Return the messages and the exit status of a row of "While it runs"."""
        status = re.search(r"exit status (\d+)", self.seen)
        number = int(status[1]) if status else STATUS[self.survives]
        messages = [m for m in re.findall("`(.*?)`", self.seen) if m != "--resume"]
        return messages, number


def read_page() -> dict[str, dict[str, Row]]:
    """Return the tables of faults.md: section, then fault, to its row."""
    sections: dict[str, dict[str, Row]] = {}
    path = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
    for line in path.read_text().splitlines():
        if line.startswith("## "):
            rows = sections.setdefault(line.removeprefix("## "), {})
        elif line.startswith("| ") and not line.startswith(("| fault ", "| :--")):
            fault, seen, survives = (cell.strip() for cell in line.split("|")[1:-1])
            assert fault not in rows
            rows[fault] = Row(seen, survives)
    return sections


PAGE = read_page()
ROWS = PAGE["While it runs"]


class Faults(dict):
    """The functions that bring about the faults of a test module."""

    def __call__(self, name):
        """Register a function that brings a fault about and returns the run."""

        def note(bring_about):
            self[name] = bring_about
            return bring_about

        return note


def check_fault(here, name, bring_about):
    """Bring a fault about; check messages, exit status and survivors."""
    messages, status = ROWS[name].of_a_run()
    whole = _before_the_last(
        put_whole_run(here, learning="GPU" in name or "cuda" in name)
    )
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
        # The last line has the seconds that it took.
        assert _before_the_last(result.stderr) in ([], whole)
    SURVIVAL[ROWS[name].survives](here)
    assert set(multiprocessing.active_children()) <= set(children)


def _before_the_last(said):
    *lines, _ = said.splitlines() or [""]
    return lines


@cache
def whole_runs():
    """Messages and files of runs without a fault, made once, and their folder."""
    return {}


def put_whole_run(here, *, learning):
    """Put the results of a run without a fault into "whole"; return its messages."""
    runs, out = whole_runs(), here.folder / "whole"
    if learning not in runs:
        options = {"options": ("--system", "ssahc")} if learning else {}
        result = here.run(out="whole", **options)
        assert result.returncode == 0
        runs[learning] = result.stderr, contents(out), str(here.folder).encode()
        shutil.rmtree(out)
    said, files, folder = runs[learning]
    out.mkdir()
    for name, data in files.items():
        (out / name).write_bytes(data)
    config = files["config.toml"].replace(folder, str(here.folder).encode())
    (out / "config.toml").write_bytes(config)
    return said


# ---- what survives -----------------------------------------------------------------


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def everything(here):
    assert contents(here.out) == contents(here.folder / "whole")


def what_was_done(here):
    """A run with --resume continues and completes it."""
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
    assert re.search("already done: [1-3] recording", resumed.stderr)
    everything(here)


def nothing_is_written(here):
    """What was there before is unchanged."""
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
