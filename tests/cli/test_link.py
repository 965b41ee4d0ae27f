"""``ssahc link`` as a user runs it."""

import json
from math import isnan

import pytest
from fault_table import contents
from linked_runs import VOICES, people

from ssahc.io.linked import read_linked
from ssahc.io.rttm import read_rttm

FILES = {
    *("rttm", "linked_speakers", "config.toml", "num_windows"),
    *("speaker_space.json", "speakers_plda.ark", "speakers_plda.scp"),
}


def test_the_same_person_has_the_same_name_everywhere(runs):
    status, errors = runs.link("mon", "tue", "out")
    assert status == 0
    assert "linked 7 speakers of 4 recordings: 4 people, 3 in several" in errors
    assert people("out/rttm") == {
        "mon0": ["S1", "S2"],
        "mon1": ["S2", "S3"],
        "tue0": ["S3", "S1"],
        "tue1": ["S4"],
    }
    assert {path.name for path in (runs.folder / "out").iterdir()} == FILES
    linked = read_linked(runs.folder / "out" / "linked_speakers")
    assert [one[:3] for one in linked[:2]] == [
        ("mon0", "1", "S1"),
        ("mon0", "2", "S2"),
    ]
    assert all(one.score > 5 for one in linked[:-1])
    assert isnan(linked[-1].score)
    # But for names, turns are those of the runs.
    for run in VOICES:
        for recording, turns in read_rttm(f"{run}/rttm").turns.items():
            found = read_rttm("out/rttm").turns[recording]
            assert [(t.start, t.end) for t in found] == [
                (t.start, t.end) for t in turns
            ]


def test_added_recordings_join_those_that_are_there(runs):
    assert runs.link("mon", "out")[0] == 0
    before = read_rttm("out/rttm").turns
    status, errors = runs.link("--add", "tue", "out")
    assert status == 0
    assert "linked 7 speakers of 4 recordings: 4 people, 1 of them new, 3 in" in errors
    after = read_rttm("out/rttm").turns
    assert before == {name: after[name] for name in before}
    assert people("out/rttm")["tue0"] == ["S3", "S1"]
    whole = contents(runs.folder / "out")
    # Once more they are refused, and nothing is touched.
    status, errors = runs.link("--add", "tue", "out")
    assert status == 2
    assert "recordings 'tue0', 'tue1': tue: this id is linked already" in errors
    assert contents(runs.folder / "out") == whole


def test_names_given_by_hand_are_kept_and_used(runs):
    assert runs.link("mon", "out")[0] == 0
    for name in ("rttm", "linked_speakers"):
        path = runs.folder / "out" / name
        text = path.read_text().replace(" S3 ", " Zoë ").replace(" S1 ", " S4 ")
        path.write_text(text)
    assert runs.link("--add", "tue", "out")[0] == 0
    found = people("out/rttm")
    assert found["mon1"] == ["S2", "Zoë"]
    assert found["tue0"] == ["Zoë", "S4"]
    # A new person gets a number that nobody has had.
    assert found["tue1"] == ["S5"]
    path.write_text(path.read_text().replace(" Zoë ", " Zoe "))
    status, errors = runs.link("--add", "tue", "out")
    assert status == 2
    assert "out/rttm: recording 'mon1' has speaker 'Zoë', which linked_" in errors


def test_enrolled_names_are_kept_and_found_elsewhere(runs):
    runs.enroll(Anna="A", Cleo="C")
    runs.diarize("mon", "--enroll", "people", "--enroll-threshold", 2)
    assert people("mon/rttm") == {"mon0": ["Anna", "2"], "mon1": ["2", "Cleo"]}
    assert runs.link("mon", "tue", "out")[0] == 0
    assert people("out/rttm") == {
        "mon0": ["Anna", "S1"],
        "mon1": ["S1", "Cleo"],
        "tue0": ["Cleo", "Anna"],
        "tue1": ["S2"],
    }
    # Those of a run that is added are the names of the corpus.
    runs.diarize("tue", "--enroll", "people", "--enroll-threshold", 2)
    assert runs.link("mon", "late")[0] == 0
    assert runs.link("--add", "tue", "late")[0] == 0
    # A new person gets a number that nobody can have had.
    assert people("late/rttm") == people("out/rttm") | {"tue1": ["S4"]}


def test_speakers_of_one_enrolled_name_are_one_person_and_of_two_names_two(runs):
    runs.enroll(Anna="A", Cleo="C")
    given = ("--enroll", "people", "--enroll-threshold", 2)
    runs.diarize("mon", *given)
    # The other way round: names count, not voices.
    runs.enroll(Anna="C", Cleo="A")
    runs.diarize("tue", *given)
    assert runs.link("mon", "tue", "out")[0] == 0
    assert people("out/rttm") == {
        "mon0": ["Anna", "S1"],
        "mon1": ["S1", "Cleo"],
        "tue0": ["Anna", "Cleo"],
        "tue1": ["S2"],
    }


def test_verbose_says_what_is_read_compared_and_joined(runs):
    _, errors = runs.link("mon", "tue", "out", "-v")
    said = [line.removeprefix("ssahc: ") for line in errors.splitlines()]
    assert said[:2] == [
        "mon: 4 speakers of 2 recordings",
        "tue: 3 speakers of 2 recordings",
    ]
    assert said[2].startswith("compared 7 speakers or clusters pair by pair: 21 pairs")
    assert said[3].startswith("made 3 merges in ")
    assert len(said) == 5


def test_a_report_on_a_linked_folder_says_what_runs_have(runs, ssahc_here):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    assert runs.link("mon", "tue", "out")[0] == 0
    result = ssahc_here("report", "out")
    assert (result.returncode, result.stderr) == (0, "")
    text = (runs.folder / "out" / "report.html").read_text()
    assert "Affinities are not shown: reports on the runs" in text
    assert "unknown option" not in text


def test_options_of_the_first_time_hold_for_what_is_added(runs):
    assert runs.link("mon", "out", "--threshold", 1e6)[0] == 0
    assert runs.link("--add", "tue", "out")[0] == 0
    names = [name for found in people("out/rttm").values() for name in found]
    assert len(set(names)) == len(names) == 7


def test_channels_stay_as_they_are(runs):
    runs.diarize("mon", "--rttm-channel", "A")
    assert runs.link("mon", "tue", "out")[0] == 0
    channels = read_rttm("out/rttm").channels
    assert channels == {"mon0": "A", "mon1": "A", "tue0": "0", "tue1": "0"}


def test_a_linked_corpus_is_scored_across(runs, ssahc_here):
    assert runs.link("mon", "tue", "out")[0] == 0
    lines = []
    for run, recordings in VOICES.items():
        for number, names in enumerate(recordings):
            for place, name in enumerate(names):
                lines.append(
                    f"SPEAKER {run}{number} 0 {60 * place} 60 <NA> <NA> {name} <NA>\n"
                )
    (runs.folder / "ref.rttm").write_text("".join(lines))
    arguments = ("score", "ref.rttm", "out/rttm", "--across")
    values = json.loads(ssahc_here(*arguments, "--json").stdout)["across"]
    assert values["der"] == pytest.approx(0, abs=1)
    assert values["purity"] == pytest.approx(100, abs=1)
    assert (values["num_found"], values["num_reference"]) == (4, 4)
    text = ssahc_here(*arguments).stdout
    assert "4 found, 4 in the reference" in text
    rows = ssahc_here(*arguments, "--format", "csv").stdout.splitlines()
    assert rows[-1].startswith("across,")
