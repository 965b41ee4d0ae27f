"""``ssahc train-extractor`` and ``ssahc score-extractor``."""

import csv
import itertools
import json
import re
import shutil

import fault_table
import numpy as np
import pytest
import soundfile
from kills import killed

from ssahc.cli.train_extractor_config import ExtractorConfig
from ssahc.cli.train_extractor_inputs import TrainingInputs, embed_by_teacher
from ssahc.frontend.extractors import Extractor
from ssahc.io.ark import ArchiveWriter
from ssahc.io.checkpoint import read_checkpoint, write_checkpoint
from ssahc.learning.extractor.speech import LabelledSpeech

PAGE = fault_table.PAGE["Speech to train an extractor on"]
RATE = 8000
SMALL = (
    *("--sample-rate", RATE, "--num-ceps", 8, "--width", 8, "--embedding-dim", 6),
    *("--epochs", 2, "--epoch-hours", 0.002, "--speakers-per-batch", 3),
    *("--min-chunk", 0.3, "--max-chunk", 0.5, "--device", "cpu"),
)


def speak(folder, names, generator):
    """Write voices of other pitches: buzzes with pauses, two files of each."""
    for number, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for part in range(2):
            times = np.arange(int(1.2 * RATE)) / RATE
            buzz = np.sign(np.sin(2 * np.pi * (100 + 60 * number) * times))
            samples = 0.2 * buzz * (times % 0.5 < 0.4)
            samples += 0.01 * generator.standard_normal(len(times))
            soundfile.write(folder / name / f"{name}{part}.wav", samples, RATE)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Folders of voices, and the first of them as a data folder of Kaldi."""
    folder = tmp_path_factory.mktemp("voices")
    generator = np.random.default_rng(0)
    speak(folder / "train", "abcd", generator)
    speak(folder / "dev", "xyz", generator)
    # Drawing rooms and noise takes seconds.
    (folder / "quiet.toml").write_text("room_share = 0\nnoise_share = 0\n")
    data = folder / "data"
    data.mkdir()
    tables = {"wav.scp": "", "segments": "", "utt2spk": ""}
    for path in sorted((folder / "train").rglob("*.wav")):
        tables["wav.scp"] += f"{path.stem} {path}\n"
        for start in (0.0, 0.6):
            name = f"{path.stem}-{start:g}"
            tables["segments"] += f"{name} {path.stem} {start} {start + 0.6}\n"
            tables["utt2spk"] += f"{name} {path.parent.name}\n"
    for name, text in tables.items():
        (data / name).write_text(text)
    return folder


@pytest.fixture
def train(ssahc_here, home):
    def run(out, *options, folders=("--train", home / "train", "--dev", home / "dev")):
        quiet = (
            ()
            if "--augmentation" in options
            else ("--augmentation", home / "quiet.toml")
        )
        result = ssahc_here("train-extractor", out, *folders, *SMALL, *quiet, *options)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stderr

    return run


def contents(folder):
    names = sorted(path.name for path in folder.iterdir() if path.name != "config.toml")
    return {name: (folder / name).read_bytes() for name in names}


def cannot_be_scored(folder):
    """Return a folder where too many utterances are short, and one that is missing."""
    for speaker, second in (("a", 1.0), ("b", 0.1), ("c", 0.1)):
        (folder / "short" / speaker).mkdir(parents=True)
        for part, seconds in enumerate((1.0, second)):
            noise = np.random.default_rng(part).uniform(-0.1, 0.1, int(seconds * RATE))
            soundfile.write(folder / "short" / speaker / f"{part}.wav", noise, RATE)
    return folder / "short", folder / "missing"


def test_an_extractor_is_trained_resumed_scored_and_used(
    train, ssahc_here, home, tmp_path, monkeypatch
):
    out, epochs = tmp_path / "out", itertools.count()
    with killed(tmp_path / "killed") as die, monkeypatch.context() as patch:

        def write_and_die(*arguments):
            write_checkpoint(*arguments)
            if next(epochs) == 1:
                die()

        patch.setattr("ssahc.cli.train_extractor.write_checkpoint", write_and_die)
        train(tmp_path / "killed")
    status, said = train(tmp_path / "killed", "--resume")
    assert status == 0
    assert "resuming after epoch 1" in said
    status, said = train(out)
    assert status == 0
    assert "4 speakers" in said
    assert re.search(r"epoch 2: loss [\d.]+, held out: EER [\d.]+ %, of 1.5 s", said)
    assert contents(tmp_path / "killed") == contents(out)
    assert "already finished" in train(out, "--resume")[1]
    assert {"final.raw", "extract.config", "training.csv"} < contents(out).keys()
    rows = list(csv.DictReader((out / "training.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    result = ssahc_here("score-extractor", out, home / "dev")
    assert result.returncode == 0
    best = min(rows, key=lambda row: float(row["short_eer"]))
    rates = [f"{100 * float(best[name]):.2f}" for name in ("eer", "short_eer")]
    line = next(text for text in result.stdout.splitlines() if "/dev" in text)
    assert line.split()[1:] == ["3", "6", *rates]
    folders = (home / "dev", *cannot_be_scored(tmp_path))
    beside = ssahc_here("score-extractor", out, *folders)
    assert beside.returncode == 1
    assert line in beside.stdout
    errors = [text for text in beside.stderr.splitlines() if "error: " in text]
    assert len(errors) == 2
    fault = "a folder to score without two utterances of two speakers"
    assert PAGE[fault].is_said_in(errors[0]), errors
    assert f"{folders[2]}: " in errors[1]
    assert ssahc_here("score-extractor", out, *folders[1:]).returncode == 2
    further = tmp_path / "further"
    options = ("--init", out, "--epochs", 1, "--loss", "triplet")
    small = [*SMALL[:2], *SMALL[8:]]
    folders = ("--train", home / "train", "--dev", home / "dev")
    quiet = ("--augmentation", home / "quiet.toml")
    result = ssahc_here("train-extractor", further, *folders, *small, *quiet, *options)
    assert result.returncode == 0
    rows = list(csv.DictReader((further / "training.csv").read_text().splitlines()))
    assert float(rows[0]["short_eer"]) == pytest.approx(float(best["short_eer"]))


def test_kaldi_folders_are_read_with_their_faults(train, home, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(home / "data", data)
    with (data / "wav.scp").open("a") as file:
        file.write("e0 sph2pipe e0.sph |\n")
    with (data / "segments").open("a") as file:
        file.write("late a0 5 6\ne0-0 e0 0 1\n")
    with (data / "utt2spk").open("a") as file:
        file.write("late a\ne0-0 e\n")
    folders = ("--train", data, "--validation-share", 0.5)
    status, said = train(tmp_path / "out", "--network", "attention", folders=folders)
    assert status == 1
    assert "recording 'e0': " in said
    assert "is a pipe, which would run a shell" in said
    assert PAGE["an utterance beyond the end"].is_said_in(said), said
    assert "held out: 0.00 h of 2 speakers" in said
    assert (tmp_path / "out" / "weights.npz").exists()


def test_features_of_kaldi_are_trained_on(train, tmp_path):
    generator = np.random.default_rng(0)
    with ArchiveWriter(tmp_path / "feats.ark", tmp_path / "feats.scp") as writer:
        lines = []
        for speaker, part in itertools.product("abcde", range(2)):
            matrix = generator.standard_normal((60, 8)).astype(np.float32)
            if (speaker, part) == ("e", 0):
                matrix = matrix[:, :5]
            writer.write(f"{speaker}{part}", matrix)
            lines.append(f"{speaker}{part} {speaker}\n")
    (tmp_path / "utt2spk").write_text("".join(lines))
    folders = ("--train", tmp_path, "--validation-share", 0)
    status, said = train(tmp_path / "out", folders=folders)
    assert status == 2
    assert PAGE["a folder of features without `--features`"].is_said_in(said), said
    status, said = train(tmp_path / "out", "--features", folders=folders)
    assert status == 1
    assert PAGE["features of another dimension"].is_said_in(said), said
    assert "the network of epoch 2 is kept" in said


def test_augmentation_is_described_in_a_file(train, home, tmp_path):
    (tmp_path / "clean.toml").write_text("room_share = 0\nnoise_share = 1\nmin_snr = 9")
    options = ("--augmentation", tmp_path / "clean.toml", "--noise", home / "dev")
    assert train(tmp_path / "out", *options)[0] == 0
    stored = (tmp_path / "out" / "config.toml").read_text()
    assert "room_share = 0" in stored
    assert "min_snr = 9" in stored
    (tmp_path / "wrong.toml").write_text("roomshare = 0")
    status, said = train(tmp_path / "x", "--augmentation", tmp_path / "wrong.toml")
    assert status == 2
    fault = "a key that is not known in the file of `--augmentation`"
    assert PAGE[fault].is_said_in(said), said


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("--dev train", "speakers in `--train` and in `--dev`"),
        ("--network sincnet --features", "`--features` for a network of samples"),
        ("--init nothing", "a network to start from that is missing"),
        ("--min-chunk 9", "a range of chunks that is none"),
        ("--network sincnet --mean sliding", "a sliding mean of a network of samples"),
        ("--attention-heads 8", "options of another network"),
    ],
)
def test_wrong_usage(train, home, tmp_path, monkeypatch, options, fault):
    monkeypatch.chdir(home)
    folders = ("--train", "train")
    status, said = train(tmp_path / "out", *options.split(), folders=folders)
    assert status == 2
    assert PAGE[fault].is_said_in(said), said
    assert not (tmp_path / "out").exists()


def test_checkpoints_hold_running_means(train, tmp_path, monkeypatch):
    stored = []
    name = "ssahc.cli.train_extractor.write_checkpoint"
    monkeypatch.setattr(name, lambda *arguments: stored.append(arguments))
    train(tmp_path / "out", "--epochs", 1)
    write_checkpoint(tmp_path / "c.npz", *stored[-1][1:])
    arrays, record = read_checkpoint(tmp_path / "c.npz")
    assert len(json.loads(record)["epochs"]) == 2
    buffers = [name for name in arrays if name.startswith("buffer")]
    weights = [name for name in arrays if name.startswith("layer")]
    best = [name for name in arrays if name.startswith("best")]
    assert len(best) == len(weights) + len(buffers) > len(weights)


def test_a_teacher_gives_its_dimension_and_is_followed(train, home, tmp_path):
    assert train(tmp_path / "teacher")[0] == 0
    command = (tmp_path / "out", "--teacher", tmp_path / "teacher")
    # Twice the dimension that it has.
    status, said = train(*command, "--embedding-dim", 12)
    assert (status, "has --embedding-dim 6; leave out" in said) == (2, True)
    losses = []
    for weight in ("1e-6", "10"):
        status, said = train(*command, "--teacher-weight", weight)
        assert status == 0, said
        losses.append(float(re.search(r"epoch 2: loss ([\d.]+)", said)[1]))
    # Cosines are below 1.
    assert losses[1] > losses[0] + 1
    status, said = train(*command, "--features", folders=("--train", home / "data"))
    assert (status, "--teacher needs audio" in said) == (2, True)


@pytest.mark.parametrize("damage", ["text", "rows", "nan"])
def test_damaged_embeddings_of_the_teacher_are_made_anew(tmp_path, caplog, damage):
    speech = LabelledSpeech(["u"], ["a"], [np.arange(RATE, dtype=np.int16)])
    teacher = Extractor("t", RATE, 2, 0.01, 0.025, 0, 0, 0, None, None)
    inputs = TrainingInputs(speech, None, None, teacher)
    config = ExtractorConfig()

    def embed(self, samples, windows):
        return np.ones((len(windows), 2), np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Extractor, "embed", embed)
        made = embed_by_teacher(inputs, config, tmp_path)
    path = tmp_path / "teacher.npz"
    # Without a teacher's embedding: what is kept is read.
    np.testing.assert_array_equal(embed_by_teacher(inputs, config, tmp_path), made)
    bad = np.full((3, 2), np.nan, np.float32) if damage == "nan" else made[:2]
    write_checkpoint(path, {"embeddings": bad}, "")
    if damage == "text":
        path.write_text("no archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Extractor, "embed", embed)
        found = embed_by_teacher(inputs, config, tmp_path)
    np.testing.assert_array_equal(found, made)
    fault = "the embeddings of the teacher of an interrupted run, damaged"
    (warning,) = caplog.messages
    assert PAGE[fault].is_said_in(f"ssahc: {warning}")
