"""``ssahc diarize --enroll``, and ``ssahc verify`` by the same score."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fault_table import PAGE

import ssahc
from ssahc.core.types import Recording
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_spk2utt
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.linking.identify import default_threshold

DIM = 32
TIMES = np.column_stack([np.arange(4), np.arange(1, 5)]) * 1.5
SPEAKING = {"mon": "AB", "tue": "BC", "wed": "CA", "thu": "AD"}


@pytest.fixture
def here(tmp_path, ssahc_here, monkeypatch):
    """Recordings of two voices each, and a folder of enrolled A and B."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    voices = {name: 2 * rng.standard_normal(DIM) for name in "ABCD"}

    def speak(name, count):
        return voices[name] + 0.4 * rng.standard_normal((count, DIM))

    recordings = []
    for name, (first, second) in SPEAKING.items():
        starts = np.arange(30) * 1.5
        vectors = np.concatenate([speak(first, 15), speak(second, 15)])
        times = np.column_stack([starts, starts + 1.5])
        recordings.append(Recording.from_arrays(name, vectors, times))
    write_xvector_dir("x", recordings)
    write_model_dir("model", ssahc.Model(mean=np.zeros(DIM), transform=np.eye(DIM)))

    def enroll(people, folder="people", dim=DIM):
        """Write the x-vectors of people, {name: voice}, as Kaldi has them."""
        own = [
            Recording.from_arrays(f"{name}-1", speak(voice, 4)[:, :dim], TIMES)
            for name, voice in people.items()
        ]
        write_xvector_dir(folder, own)
        lines = [
            f"{u} {name}\n" for one, name in zip(own, people) for u in one.utterances
        ]
        (tmp_path / folder / "utt2spk").write_text("".join(lines))
        (tmp_path / folder / "segments").unlink()

    def run(*options, out="out"):
        result = ssahc_here(
            *("diarize", "x", out, "--model-dir", "model", "--num-speakers", 2),
            *("--system", "cosine", "--enroll", "people", *options),
        )
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr

    enroll({"anna": "A", "bo": "B"})
    return SimpleNamespace(folder=tmp_path, run=run, enroll=enroll, ssahc=ssahc_here)


def people():
    return {
        recording: [*dict.fromkeys(turn.speaker for turn in turns)]
        for recording, turns in read_rttm("out/rttm").turns.items()
    }


def test_speakers_who_are_enrolled_get_their_names(here):
    status, errors = here.run("--enroll-threshold", 2, "--write-speakers")
    assert status == 0
    assert "named 5 of 8 speakers, with scores above 2.00" in errors
    named = {"mon": {"anna", "bo"}, "tue": {"bo"}, "wed": {"anna"}, "thu": {"anna"}}
    for recording, names in people().items():
        assert len(names) == 2
        assert {name for name in names if not name.isdecimal()} == named[recording]
    rows = [
        line.split()
        for line in (here.folder / "out/named_speakers").read_text().splitlines()
    ]
    assert len(rows) == 8
    assert {(row[0], row[2]) for row in rows if row[5] == "named"} == {
        (recording, name) for recording, names in named.items() for name in names
    }
    assert {"mon-anna", "tue-bo"} < read_spk2utt(here.folder / "out" / "spk2utt").keys()


def test_the_table_of_an_earlier_run_is_removed(here):
    assert here.run("--enroll-threshold", 100)[0] == 0
    assert all(set(names) == {"1", "2"} for names in people().values())
    assert (here.folder / "out" / "named_speakers").exists()
    plain = ("--model-dir", "model", "--num-speakers", 2, "--system", "cosine")
    assert here.ssahc("diarize", "x", "out", *plain).returncode == 0
    assert not (here.folder / "out" / "named_speakers").exists()


def mix_extractors(here):
    for folder, extractor in (("x", "campplus"), ("people", "small")):
        (here.folder / folder / "config.toml").write_text(f'extractor = "{extractor}"')


def drop(table, name):
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(line for line in lines if not line.startswith(name)))


BAD = {
    "enrolled x-vectors of another extractor with the same dimension": mix_extractors,
    "enrolled x-vectors of another extractor": lambda here: here.enroll(
        {"anna": "A"}, dim=16
    ),
    "an enrolled utterance that is listed twice": lambda here: (
        here.folder / "people" / "utt2spk"
    ).write_text(2 * (here.folder / "people" / "utt2spk").read_text()),
    "an enrolled name that is a number": lambda here: here.enroll({"7": "A"}),
    "a data folder with audio of nobody": lambda here: [
        (here.folder / "people" / "xvector.scp").unlink(),
        (here.folder / "people" / "wav.scp").write_text("other other.wav\n"),
        soundfile.write(here.folder / "people" / "other.wav", np.zeros(8000), 8000),
    ],
    "a person without audio": lambda here: [
        (here.folder / "people" / "xvector.scp").unlink(),
        (here.folder / "people" / "bo").mkdir(),
    ],
    "a person without an x-vector": lambda here: drop(
        here.folder / "people" / "xvector.scp", "bo"
    ),
    "nobody enrolled": lambda here: [
        path.unlink() for path in (here.folder / "people").iterdir()
    ],
    "no folder of enrolled people": lambda here: shutil.rmtree("people"),
}


@pytest.mark.parametrize("fault", PAGE["Enrolled people"])
def test_people_who_cannot_be_enrolled_are_refused(here, fault):
    BAD[fault](here)
    status, errors = here.run()
    assert status == 2
    row = PAGE["Enrolled people"][fault]
    assert row.is_said_in(errors), errors
    assert not (here.folder / "out" / "rttm").exists()


def test_audio_cannot_be_enrolled_for_x_vectors(here):
    shutil.rmtree("people")
    (here.folder / "people" / "anna").mkdir(parents=True)
    soundfile.write("people/anna/a.wav", np.zeros(8000), 8000)
    status, errors = here.run()
    assert status == 2
    assert "--enroll people: is audio, and the run starts from x-vectors" in errors


def test_audio_outside_of_folders_is_named_and_hidden_folders_are_not_people(here):
    shutil.rmtree("people")
    for name in ("anna", ".cache"):
        (here.folder / "people" / name).mkdir(parents=True)
    for name in ("anna/a.wav", "bo.wav"):
        soundfile.write(here.folder / "people" / name, np.zeros(8000), 8000)
    _, errors = here.run()
    assert "people: left out audio that is in no folder of a person: bo.wav" in errors
    assert "--enroll people: is audio, and the run starts from x-vectors" in errors


def test_a_threshold_needs_enrolled_people(ssahc_here, here):
    result = ssahc_here("diarize", "x", "out", "--enroll-threshold", 3)
    assert result.returncode == 2
    assert "--enroll-threshold is for --enroll; leave it out" in result.stderr


def test_people_are_enrolled_with_audio(calls, ssahc_here, model_folder):
    people = calls.parent / "people"
    for name in ("anna", "bo"):
        (people / name).mkdir(parents=True)
    shutil.copy(calls / "call0.wav", people / "anna")
    shutil.copy(calls / "call1.wav", people / "bo")

    def run():
        options = ("--extractor", model_folder, "--num-speakers", 1)
        result = ssahc_here(
            "diarize",
            "calls",
            "out",
            *options,
            "--enroll",
            "people",
            "--enroll-threshold",
            -100,
        )
        assert "Traceback" not in result.stderr
        return result

    result = run()
    assert result.returncode == 0, result.stderr
    rows = (calls.parent / "out/named_speakers").read_text().splitlines()
    assert [row.split()[0] for row in rows] == ["call0", "call1", "call2"]
    # Silence is no speech of a person.
    soundfile.write(people / "bo" / "call1.wav", np.zeros(48000), 8000)
    result = run()
    assert result.returncode == 2
    assert "enrolled 'bo' has no usable speech: " in result.stderr


def test_people_are_enrolled_with_data_folders(calls, ssahc_here, model_folder):
    people = calls.parent / "people"
    people.mkdir()
    scores = []
    for tables in (
        {"wav.scp": "anna-1 calls/call0.wav\nbo-1 calls/call1.wav\n"},
        {
            "wav.scp": "a calls/call0.wav\nb calls/call1.wav\n",
            "segments": "anna-1 a 0 2\nbo-1 b 0 2\ngone c 0 2\n",
        },
    ):
        for name, text in tables.items():
            (people / name).write_text(text)
        (people / "utt2spk").write_text("anna-1 anna\nbo-1 bo\ngone bo\n")
        options = ("--extractor", model_folder, "--num-speakers", 1)
        result = ssahc_here("diarize", "calls", "out", *options, "--enroll", "people")
        assert result.returncode == 0, result.stderr
        assert "utt2spk: left out utterances without audio: gone" in result.stderr
        table = (calls.parent / "out/named_speakers").read_text().splitlines()
        assert {row.split()[2] for row in table} <= {"anna", "bo"}
        scores.append([row.split()[3] for row in table])
    # Segments give the speech.
    assert scores[0] != scores[1]


# ---- ssahc verify --scoring enroll -------------------------------------------------


@pytest.fixture
def verify(here):
    """Verify speakers of a run; return exit status, printed values, and errors."""
    here.run("--write-speakers", "--enroll-threshold", 2)
    trials = here.folder / "trials"
    lines = [
        f"{name} {recording}-{speaker} {'' if speaker == name else 'non'}target\n"
        for recording, speakers in people().items()
        for speaker in speakers
        for name in ("anna", "bo")
    ]
    trials.write_text("".join(lines))

    def run(*options, source="out", trials="trials"):
        result = here.ssahc(
            *("verify", source, trials, "--scoring", "enroll", "--format", "json"),
            *("--model-dir", "model", "--enroll-dir", "people", *options),
        )
        assert "Traceback" not in result.stderr
        values = json.loads(result.stdout) if result.stdout else None
        return result.returncode, values, result.stderr

    return run


def test_verify_scores_as_names_are_given(here, verify):
    status, values, errors = verify("--write-scores", "scores")
    assert status == 0, errors
    assert (values["num_target"], values["eer"]) == (5, 0)
    assert values["threshold"] == pytest.approx(default_threshold(2))
    scores = {
        tuple(line.split()[:2]): float(line.split()[2])
        for line in (here.folder / "scores").read_text().splitlines()
    }
    for line in (here.folder / "out/named_speakers").read_text().splitlines():
        recording, speaker, name, score, _, result = line.split()
        speaker = name if result == "named" else speaker
        assert scores[name, f"{recording}-{speaker}"] == pytest.approx(
            float(score), abs=0.006
        )
    for threshold, misses, alarms in ((2, 0, 0), (99, 5, 0), (-99, 0, 11)):
        values = verify("--threshold", threshold)[1]
        assert (values["misses"], values["false_alarms"]) == (misses, alarms)


def test_a_run_is_verified_with_the_model_that_it_has_learned(here, verify):
    options = ("--num-speakers", 2, "--write-speakers")
    assert here.ssahc("diarize", "x", "free", *options).returncode == 0
    trials = "".join(
        f"anna {recording}-{speaker} {'non' if speaker == '2' else ''}target\n"
        for recording in SPEAKING
        for speaker in "12"
    )
    (here.folder / "guesses").write_text(trials)
    options = ("--scoring", "enroll", "--enroll-dir", "people")
    result = here.ssahc("verify", "free", "guesses", *options)
    assert result.returncode == 0, result.stderr


def test_single_x_vectors_are_verified_with_tables_of_people(here, verify):
    table = (here.folder / "x" / "segments").read_text()
    utterances = [line.split()[0] for line in table.splitlines()]
    # The first half of a recording is its first voice.
    own = {name: [] for name in "ABCD"}
    for recording, voices in SPEAKING.items():
        rows = [one for one in utterances if one.startswith(recording)]
        for voice, part in zip(voices, (rows[:15], rows[15:])):
            own[voice] += part
    (here.folder / "spk2utt").write_text(
        "".join(f"{name} {' '.join(own[name][:5])} gone\n" for name in "AB")
    )
    (here.folder / "few").write_text(
        "".join(
            f"{name} {test} {'' if name == voice else 'non'}target\n"
            for name in "AB"
            for voice in "ABCD"
            for test in own[voice][5:]
        )
        + "E mon-1 nontarget\nA nobody nontarget\n"
    )
    options = ("--enroll-dir", "x", "--enroll-spk2utt", "spk2utt")
    status, values, errors = verify(*options, source="x", trials="few")
    assert status == 1
    assert values["num_target"] == len(own["A"] + own["B"]) - 10
    assert values["eer"] < 0.01
    assert "spk2utt: left out utterances without an x-vector: gone" in errors
    assert "enrolled 'E': has no x-vector" in errors
    assert "test utterance 'nobody': has no x-vector" in errors


def test_errors_at_a_threshold_are_printed(here, verify):
    (here.folder / "scores").write_text("a x 2.5\na y 0.5\nb x 1\nb y 3\n")
    (here.folder / "few").write_text(
        "a x target\nb x nontarget\nb y target\na y nontarget\n"
    )
    result = here.ssahc("verify", "scores", "few", "--threshold", 2.7)
    assert result.stdout.splitlines()[-1] == (
        "At 2.7000, 1 of 2 targets are missed (50.00 %), and 0 of 2 nontargets "
        "accepted (0.00 %)."
    )


def test_speakers_have_the_names_of_the_rttm(here, verify):
    here.enroll({"bo-b": "B"})
    options = ("--model-dir", "model", "--num-speakers", 2, "--enroll", "people")
    options += ("--enroll-threshold", 2, "--write-speakers")
    assert here.ssahc("diarize", "x", "dashed", *options).returncode == 0
    (here.folder / "few").write_text("bo-b mon-bo-b target\nbo-b thu-1 nontarget\n")
    status, values, errors = verify(source="dashed", trials="few")
    assert (status, values["num_target"], values["eer"]) == (0, 1, 0), errors


def test_a_recording_may_have_the_name_of_its_only_speaker(here):
    table = here.folder / "people" / "utt2spk"
    own = {line.split()[0]: line.split()[1] for line in table.read_text().splitlines()}
    (here.folder / "people" / "segments").write_text(
        "".join(
            f"{u} {name} {row} {row + 1}\n" for row, (u, name) in enumerate(own.items())
        )
    )
    assert here.run()[0] == 0


TRIAL_FAULTS = {
    "a folder of `ssahc link`": ("linked", ("--enroll-dir", "people")),
    "a threshold for trials without labels": (
        "out",
        ("--enroll-dir", "people", "--threshold", "3", "--write-scores", "s"),
    ),
    "scores in place of a model": (
        "free",
        ("--enroll-dir", "people", "--write-scores", "free/learned_model/mean.vec"),
    ),
    "nobody to compare with": ("out", ("--model-dir", "model")),
    "a run of another model": ("out", ("--enroll-dir", "people", "--mean", "one")),
    "a folder without speakers": ("model", ("--enroll-dir", "people")),
    "people of another extractor": (
        "x",
        ("--enroll-dir", "people", "--model-dir", "model"),
    ),
    "a model without a mean": ("x", ("--enroll-dir", "people")),
}


@pytest.mark.parametrize("fault", PAGE["Trials of enrolled people"])
def test_trials_that_cannot_be_scored_are_refused(here, verify, fault):
    mean = " ".join(["1"] * DIM)
    (here.folder / "one").write_text(f" [ {mean} ]\n")
    source, options = TRIAL_FAULTS[fault]
    trials = "trials"
    if "extractor" in fault:
        mix_extractors(here)
    if source == "linked":
        assert here.ssahc("link", "out", "linked").returncode == 0
        options += ("--model-dir", "model")
    elif source == "free":
        given = ("--num-speakers", 2, "--write-speakers")
        assert here.ssahc("diarize", "x", "free", *given).returncode == 0
    elif "labels" in fault:
        trials = "bare"
        (here.folder / trials).write_text("anna mon-anna\n")
    result = here.ssahc("verify", source, trials, "--scoring", "enroll", *options)
    assert result.returncode == 2
    row = PAGE["Trials of enrolled people"][fault]
    assert row.is_said_in(result.stderr), result.stderr
