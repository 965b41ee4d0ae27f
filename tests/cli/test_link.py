"""``ssahc link`` as a user runs it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from fault_table import contents

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
    return SimpleNamespace(folder=tmp_path, link=link, diarize=diarize, model=model)


def people(path):
    """Return the names of a recording's speakers in order of time."""
    return {
        recording: list(dict.fromkeys(turn.speaker for turn in turns))
        for recording, turns in read_rttm(path).turns.items()
    }


def test_the_same_person_has_the_same_name_everywhere(runs):
    status, errors = runs.link("mon", "tue", "out")
    assert status == 0
    assert "7 speakers of 4 recordings are 4 people; 3 of them speak in" in errors
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
    assert "7 speakers of 4 recordings are 4 people, 1 of them new; 3 of" in errors
    after = read_rttm("out/rttm").turns
    assert before == {name: after[name] for name in before}
    assert people("out/rttm")["tue0"] == ["S3", "S1"]
    whole = contents(runs.folder / "out")
    # Once more they are refused, and nothing is touched.
    status, errors = runs.link("--add", "tue", "out")
    assert status == 2
    assert "recordings 'tue0', 'tue1': tue: has a recording that is linked" in errors
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
    # A new person gets a name that nobody has.
    assert found["tue1"] == ["S1"]
    path.write_text(path.read_text().replace(" Zoë ", " Zoe "))
    status, errors = runs.link("--add", "tue", "out")
    assert status == 2
    assert "out/rttm: recording 'mon1' has speaker 'Zoë', which linked_" in errors


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


def test_runs_in_other_spaces_are_refused(runs):
    other = ssahc.Model(
        mean=np.full(24, 0.1), transform=np.eye(24), plda=runs.model.plda
    )
    write_model_dir("other", other)
    runs.diarize("tue", "--model-dir", "other")
    status, errors = runs.link("mon", "tue", "out")
    assert status == 2
    assert "tue: was diarized with another model than mon, so that speakers" in errors
    assert not (runs.folder / "out").exists()
    runs.diarize("tue")
    for run, extractor in (("mon", "campplus"), ("tue", "small")):
        path = runs.folder / run / "speaker_space.json"
        space = json.loads(path.read_text())
        path.write_text(json.dumps(space | {"extractor": extractor}))
    status, errors = runs.link("mon", "tue", "out")
    assert status == 2
    assert "tue: x-vectors are of extractor small, those of mon of campplus;" in errors


def test_recordings_with_a_speaker_that_cannot_be_used_are_left_out(runs):
    scp = runs.folder / "mon" / "speakers_plda.scp"
    with ArchiveWriter(scp.with_suffix(".ark"), scp) as archive:
        archive.write("mon0-1", np.full(24, np.nan, np.float32))
        archive.write("mon0-2", np.ones(24, np.float32))
        archive.write("mon1-1", np.ones(23, np.float32))
    status, errors = runs.link("mon", "tue", "out")
    assert status == 1
    assert "recording 'mon0': mon/speakers_plda.ark: key 'mon0-1': holds NaN" in errors
    assert "recording 'mon1': mon/speakers_plda.ark: key 'mon1-1': has 23 dim" in errors
    assert people("out/rttm").keys() == {"tue0", "tue1"}


def test_speakers_without_a_mean_are_named(runs):
    path = runs.folder / "mon" / "num_windows"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    status, errors = runs.link("mon", "out")
    assert status == 1
    assert "recording 'mon0': mon: has turns of speaker '1', but no mean of" in errors


@pytest.mark.parametrize(
    ("hurt", "message"),
    [
        (lambda run: (run / "speaker_space.json").unlink(), "mon: has no means of"),
        (lambda run: (run / "num_windows").unlink(), "num_windows: no such file"),
        (lambda run: (run / "rttm").unlink(), "rttm: no such file"),
        (lambda run: (run / "rttm").write_text(""), "rttm: holds no turn"),
        (
            lambda run: (run / "num_windows").write_text("mon0-1 0\n"),
            "num_windows:1: key 'mon0-1': expected a number of windows above 0",
        ),
        (
            lambda run: (run / "speaker_space.json").write_text('{"psi": []}'),
            'speaker_space.json: expected {"model": SHA-256',
        ),
        (
            lambda run: (run / "speaker_space.json").write_text("[" * 10**5),
            "speaker_space.json: is not JSON",
        ),
    ],
)
def test_a_run_that_cannot_be_used_is_named(runs, hurt, message):
    hurt(runs.folder / "mon")
    status, errors = runs.link("tue", "mon", "out")
    assert status == 2
    assert message in errors
    assert not (runs.folder / "out").exists()


def test_wrong_usage_writes_nothing(runs):
    runs.diarize("mon", "--no-write-speakers", out="plain")
    assert runs.link("mon", "linked")[0] == 0
    before = contents(runs.folder / "mon")
    for arguments, message in (
        (("out",), "Missing argument"),
        (("nowhere", "out"), "nowhere: no such folder"),
        (("plain", "out"), "plain: holds no speakers; run ssahc diarize with --write"),
        (("linked", "out"), "linked: was written by ssahc link"),
        (("mon", "tue"), "tue: holds rttm that no completed run of ssahc link"),
        (("--add", "mon", "out"), "--add needs a folder that ssahc link has written"),
        (("mon", "out", "--threshold", "nan"), "--threshold must be"),
        (("mon", "out", "--session-variance", "-1"), "--session-variance must be"),
        (("mon", "mon", "out"), "has a recording that is linked already"),
    ):
        status, errors = runs.link(*arguments)
        assert status in (1, 2)
        assert message in errors
    assert contents(runs.folder / "mon") == before


def test_linked_folders_are_not_taken_for_runs(runs, ssahc_here):
    assert runs.link("mon", "out")[0] == 0
    result = ssahc_here("diarize", "x_mon", "out", "--model-dir", "model")
    assert result.returncode == 2
    assert "out: holds rttm that no completed run of ssahc diarize" in result.stderr
