"""``ssahc link`` as a user runs it."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fault_table import Faults, contents
from kaldi_tables import read_table

import ssahc
from ssahc.core.types import Recording
from ssahc.io.ark import ArchiveWriter
from ssahc.io.linked import read_linked
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.xvector_writer import write_xvector_dir

FILES = {
    *("rttm", "linked_speakers", "config.toml", "num_windows"),
    *("speaker_space.json", "speakers_plda.ark", "speakers_plda.scp"),
}
VOICES = {"mon": ["AB", "BC"], "tue": ["CA", "D"]}


def _simulate(rng, model, voices, names):
    """Return a recording of whole minutes of voices, one after the other."""
    psi = model.plda.psi
    rows = np.repeat([voices[name] for name in names], 40, axis=0)
    rows = rows + rng.standard_normal(rows.shape) * np.sqrt(0.1 * psi + 0.3)
    # They expect the length of whitened x-vectors.
    rows /= np.sqrt(1 + psi.mean())
    starts = np.arange(len(rows)) * 1.5
    times = np.column_stack([starts, starts + 1.5])
    return rows, times


@pytest.fixture(scope="module")
def model():
    psi = np.linspace(8, 2, 24)
    plda = ssahc.Plda(np.zeros(24), np.eye(24) * np.sqrt(1 + psi.mean()), psi)
    return ssahc.Model(mean=np.zeros(24), transform=np.eye(24), plda=plda)


@pytest.fixture
def runs(model, tmp_path, ssahc_here, monkeypatch):
    """Two runs of two recordings with four voices, and a way to link."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    voices = {
        name: rng.standard_normal(24) * np.sqrt(model.plda.psi) for name in "ABCD"
    }
    write_model_dir("model", model)
    for run, recordings in VOICES.items():
        write_xvector_dir(
            f"x_{run}",
            [
                Recording.from_arrays(
                    f"{run}{number}", *_simulate(rng, model, voices, names)
                )
                for number, names in enumerate(recordings)
            ],
        )
        counts = [f"{run}{n} {len(names)}\n" for n, names in enumerate(recordings)]
        (tmp_path / f"x_{run}" / "reco2num_spk").write_text("".join(counts))

    def diarize(run, *options, out=None):
        given = ("--model-dir", "model", "--write-speakers", "--system", "plda")
        given += ("--reco2num-spk", f"x_{run}/reco2num_spk", *options)
        result = ssahc_here("diarize", f"x_{run}", out or run, *given)
        assert result.returncode == 0, result.stderr

    def link(*arguments):
        result = ssahc_here("link", *arguments)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        return result.returncode, result.stderr

    for run in VOICES:
        diarize(run)
    return SimpleNamespace(
        folder=tmp_path, link=link, diarize=diarize, model=model, voices=voices
    )


def people(path):
    """Return the names of a recording's speakers in order of time."""
    return {
        recording: list(dict.fromkeys(turn.speaker for turn in turns))
        for recording, turns in read_rttm(path).turns.items()
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
    assert np.isnan(linked[-1].score)
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


def enroll(runs, **voices):
    """Write the folder people, with the x-vectors of voices by name."""
    rng = np.random.default_rng(1)
    own = [
        Recording.from_arrays(
            f"{name}+1", *_simulate(rng, runs.model, runs.voices, [voice])
        )
        for name, voice in voices.items()
    ]
    write_xvector_dir("people", own)
    lines = [f"{u} {one.id[:-2]}\n" for one in own for u in one.utterances]
    (runs.folder / "people" / "utt2spk").write_text("".join(lines))


def test_enrolled_names_are_kept_and_found_elsewhere(runs):
    enroll(runs, Anna="A", Cleo="C")
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
    enroll(runs, Anna="A", Cleo="C")
    given = ("--enroll", "people", "--enroll-threshold", 2)
    runs.diarize("mon", *given)
    # The other way round: names count, not voices.
    enroll(runs, Anna="C", Cleo="A")
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


# ---- what goes wrong ---------------------------------------------------------------

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
    enroll(runs, S1="A")
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
