"""The section of faults.md on speakers to link, and wrong usage of ``ssahc link``."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fault_table import Faults, contents
from kaldi_tables import read_table
from linked_runs import people

from ssahc.io.ark import ArchiveWriter
from ssahc.io.model import write_model_dir

faults = Faults()


def set_space(run, **values):
    path = run / "speaker_space.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def set_means(run, **means):
    """Write the archive of means anew, with some changed or, if None, left out."""
    scp = run / "speakers_plda.scp"
    vectors = dict(read_table(scp, "vector"))
    with ArchiveWriter(scp.with_suffix(".ark"), scp) as archive:
        for key, vector in (vectors | means).items():
            if vector is not None:
                archive.write(key, vector)


@faults("a run without speakers")
def _(runs):
    runs.diarize("mon", "--no-write-speakers")


@faults("a run without a common space")
def _(runs):
    (runs.folder / "mon" / "speaker_space.json").unlink()


@faults("a run of another model")
def _(runs):
    other = replace(runs.model, mean=np.full(24, 0.1))
    write_model_dir("other", other)
    runs.diarize("mon", "--model-dir", "other")


@faults("a run of another extractor")
def _(runs):
    set_space(runs.folder / "tue", extractor="campplus")
    set_space(runs.folder / "mon", extractor="small")


@faults("a run without turns")
def _(runs):
    (runs.folder / "mon" / "rttm").write_text("")


@faults("an enrolled name as `ssahc link` gives them")
def _(runs):
    runs.enroll(S1="A")
    runs.diarize("mon", "--enroll", "people", "--enroll-threshold", 2)


@faults("a run given twice")
def _(runs):
    return ("tue", "tue", "out")


@faults("recordings of the folder that would be lost")
def _(runs):
    assert runs.link("mon", "out")[0] == 0
    return ("tue", "out")


@faults("a run of `ssahc link`")
def _(runs):
    runs.link("mon", "linked")
    return ("tue", "linked", "out")


@faults("a damaged space")
def _(runs):
    (runs.folder / "mon" / "speaker_space.json").write_text("[" * 10**5)


@faults("another file in place of the space")
def _(runs):
    (runs.folder / "mon" / "speaker_space.json").write_text('{"psi": []}')


@faults("a number of windows of 0")
def _(runs):
    (runs.folder / "mon" / "num_windows").write_text("mon0-1 0\n")


@faults("a mean that is no number")
def _(runs):
    set_means(runs.folder / "mon", **{"mon1-1": np.full(24, np.nan, np.float32)})


@faults("a mean of another dimension")
def _(runs):
    set_means(runs.folder / "mon", **{"mon1-1": np.ones(23, np.float32)})


@faults("a mean that is missing")
def _(runs):
    set_means(runs.folder / "mon", **{"mon1-1": None})


@faults("a speaker who is not listed")
def _(runs):
    path = runs.folder / "mon" / "num_windows"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("mon1-1")))


@faults("a recording in two runs")
def _(runs):
    (runs.folder / "some").write_text("mon1\n")
    runs.diarize("mon", "--recordings", "some", out="again")
    return ("tue", "mon", "again", "out")


@faults("`--add` to a folder without links")
def _(runs):
    return ("--add", "mon", "out")


@faults("a name changed in one file alone")
def _(runs):
    return change_names(runs, ("rttm",), " S1 ", " Zoë ")


@faults("a recording in one file of the folder alone")
def _(runs):
    assert runs.link("mon", "out")[0] == 0
    path = runs.folder / "out" / "linked_speakers"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if not line.startswith("mon0")))
    return ("--add", "tue", "out")


@faults("one name for two speakers of a recording")
def _(runs):
    return change_names(runs, ("linked_speakers",), " S2 ", " S1 ")


def change_names(runs, names, old, new):
    assert runs.link("mon", "out")[0] == 0
    for name in names:
        path = runs.folder / "out" / name
        path.write_text(path.read_text().replace(old, new))
    return ("--add", "tue", "out")


# What faults.md calls it: exit status, and the recordings that are linked.
SURVIVORS = {
    "everything (a warning)": (0, {"tue0", "tue1"}),
    "all other recordings": (1, {"mon0", "tue0", "tue1"}),
    "nothing is written": (2, set()),
    "what was there": (2, {"mon0", "mon1"}),
}


@pytest.mark.parametrize("fault", faults)
def test_faults_are_as_the_page_says(runs, faults_page, fault):
    assert set(faults) == set(faults_page["Speakers to link"]), "every row is tested"
    row = faults_page["Speakers to link"][fault]
    arguments = faults[fault](runs) or ("tue", "mon", "out")
    status, errors = runs.link(*arguments)
    expected, linked = SURVIVORS[row.survives]
    assert status == expected
    assert row.is_said_in(errors), errors
    assert (runs.folder / "out").exists() == bool(linked)
    if fault == "a recording in two runs":
        linked = linked | {"mon1"}
    if linked:
        assert people("out/rttm").keys() == linked


def test_wrong_usage_writes_nothing(runs):
    before = contents(runs.folder / "mon")
    for arguments, message in (
        (("out",), "Missing argument"),
        (("nowhere", "out"), "nowhere: no such folder"),
        (("mon", "tue"), "tue: holds rttm that no completed run of ssahc link"),
        (("mon", "out", "--threshold", "nan"), "--threshold must be"),
        (("mon", "out", "--session-variance", "-1"), "--session-variance must be"),
    ):
        status, errors = runs.link(*arguments)
        assert status == 2
        assert message in errors
        assert not (runs.folder / "out").exists()
    assert contents(runs.folder / "mon") == before


def test_linked_folders_are_not_taken_for_runs(runs, ssahc_here):
    assert runs.link("mon", "out")[0] == 0
    result = ssahc_here("diarize", "x_mon", "out", "--model-dir", "model")
    assert result.returncode == 2
    assert "out: holds rttm that no completed run of ssahc diarize" in result.stderr
