"""``ssahc extract``: audio to an x-vector folder."""

import re
import shutil
import struct
from itertools import count

import fault_table
import numpy as np
import pytest
import soundfile
from kaldi_tables import read_table

import ssahc
from ssahc.cli.extract_journal import ExtractJournal

RATE = 8000
PAGE = fault_table.PAGE["Audio"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tables_and_xvectors_are_kaldis(golden, tmp_path, extract, ssahc_here):
    home = golden / "frontend"
    audio = home / "wav" / "trn06-8k.wav"
    segments = home / "data" / "8k" / "segments"
    out = tmp_path / "x"
    status, said = extract(audio, out, "--segments", segments)
    assert status == 0
    assert re.search(
        r"extracted 1 recording: 26 x-vectors, 20 s of speech in 20 s", said
    )
    subsegments = (home / "data" / "8k" / "subsegments").read_text()
    assert (out / "segments").read_text() == subsegments
    names = [line.split()[0] for line in subsegments.splitlines()]
    assert (out / "spk2utt").read_text() == f"trn06-8k {' '.join(names)}\n"
    assert (out / "utt2spk").read_text().splitlines()[0] == f"{names[0]} trn06-8k"
    expected = {
        line.split()[0]: [float(x) for x in line.split()[2:-1]]
        for line in (home / "model/tiny/xvector_8k.txt").read_text().splitlines()
    }
    found = dict(read_table(out / "xvector.scp", "vector"))
    assert list(found) == list(expected)
    for name, xvector in expected.items():
        np.testing.assert_allclose(found[name], xvector, atol=5e-4)
    assert ssahc_here("check", out).returncode == 0


def test_speech_is_detected_as_the_model_folder_says(
    golden, tmp_path, extract, model_folder
):
    audio = golden / "frontend" / "wav" / "trn06-8k.wav"
    assert extract(audio, tmp_path / "x", "--min-silence", 0, "--min-speech", 0)[0] == 0
    vad = golden / "frontend" / "data" / "8k" / "vad.ark"
    is_speech = dict(read_table(vad, "vector"))["trn06-8k"]
    covered = np.zeros(len(is_speech))
    for line in (tmp_path / "x" / "segments").read_text().splitlines():
        start, end = (round(100 * float(time)) for time in line.split()[2:])
        covered[start:end] = 1
    np.testing.assert_array_equal(covered, is_speech)
    # The command line overrides vad.conf.
    status, said = extract(audio, tmp_path / "y", "--vad-energy-threshold", 50)
    assert status == 2
    assert "no speech found" in said


def test_a_killed_run_resumes_to_the_same_files_whatever_the_jobs(
    calls, extract, monkeypatch
):
    assert extract(calls, "whole")[0] == 0
    add = ExtractJournal.add

    def add_and_stop(self, recording):
        add(self, recording)
        if len(self.done) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ExtractJournal, "add", add_and_stop)
        status, said = extract(calls, "out")
    assert status == 130
    assert "2 of 3 recordings are done and kept in out" in said
    out = calls.parent / "out"
    assert [path.name for path in out.iterdir()] == [".unfinished"]
    # A kill in the middle of a line: the second recording is not done.
    lines = out / ".unfinished" / "segments.0"
    lines.write_bytes(lines.read_bytes()[:-5])
    status, said = extract(calls, "out")
    assert (status, "continue it with --resume" in said) == (2, True)
    status, said = extract(calls, "out", "--window", 2, "--resume")
    assert (status, "window was 1.5 and is 2.0 now" in said) == (2, True)
    status, said = extract(calls, "out", "--resume", "--nj", 2)
    assert (status, "already done: 1 recording" in said) == (0, True)
    assert contents(out) == contents(calls.parent / "whole")
    # Of a finished run nothing is touched.
    before = (out / "xvector.ark").stat().st_mtime_ns
    status, said = extract(calls, "out", "--resume")
    assert (status, "out has the x-vectors of 3 recordings" in said) == (0, True)
    assert (out / "xvector.ark").stat().st_mtime_ns == before


def test_progress_goes_on_within_a_recording(golden, tmp_path, extract, monkeypatch):
    clock = count(0, 40)
    monkeypatch.setattr("ssahc.cli.runner.time.monotonic", lambda: next(clock))
    # Of 20 s, in blocks of 8 s.
    status, said = extract(golden / "frontend" / "wav" / "trn06-8k.wav", tmp_path / "x")
    lines = re.findall(r"extracting: (\S+) of 0.01 h of audio", said)
    assert (status, lines) == (0, ["0.00", "0.00", "0.01", "0.01"])


def test_bad_audio_is_named_and_the_others_are_done(calls, extract):
    good = (calls / "call0.wav").read_bytes()
    (calls / "cut.wav").write_bytes(good[:50000])
    (calls / "empty.wav").touch()
    (calls / "video.wav").write_bytes(
        b"\0\0\0\x20ftypisom\0\0\2\0isomiso2" + bytes(999)
    )
    size = struct.pack("<I", 24 * 3600 * 2 * RATE)
    (calls / "day.wav").write_bytes(good[:40] + size + good[44:][: 2 * RATE])
    soundfile.write(calls / "nothing.wav", np.zeros(0), RATE)
    soundfile.write(calls / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(calls / "stereo.wav", np.zeros((RATE, 2)), RATE)
    samples = soundfile.read(calls / "call0.wav", dtype="float32")[0]
    soundfile.write(calls / "torn.ogg", samples, RATE)
    (calls / "torn.ogg").write_bytes((calls / "torn.ogg").read_bytes()[:-99])
    samples[RATE] = np.nan
    soundfile.write(calls / "nan.wav", samples, RATE, subtype="FLOAT")
    status, said = extract(calls, "x")
    faults = {
        "cut": "audio that was cut off",
        "torn": "an OGG file that was cut off",
        "empty": "an empty file",
        "video": "a video, or another kind of file",
        "day": "a header of 24 h before 1 s of audio",
        "nothing": "a header without samples",
        "silent": "silence",
        "stereo": "silence on several channels",
        "nan": "a sample that is NaN",
    }
    errors = [line for line in said.splitlines() if line.startswith("ssahc: error")]
    assert len(errors) == len(faults)
    for name, fault in faults.items():
        (error,) = (line for line in errors if f"recording {name!r}" in line)
        assert PAGE[fault].is_said_in(error), error
    assert status == 1
    assert "extracted 3 of 12 recordings" in said
    tables = (calls.parent / "x" / "spk2utt").read_text().splitlines()
    assert [line.split()[0] for line in tables] == ["call0", "call1", "call2"]


def test_channels_and_lists_are_per_recording(calls, extract):
    left, _ = soundfile.read(calls / "call0.wav", dtype="int16")
    stereo = np.column_stack([left, np.zeros_like(left)])
    soundfile.write("stereo.wav", stereo, RATE)
    (calls / "wav.scp").write_text(
        "a stereo.wav\nb stereo.wav\nc calls/call0.wav\nd sox x.wav - |\ne gone.wav\n"
    )
    # Of c, there is one channel.
    (calls / "channels").write_text("a x 1\nb x B\nc x 2\nd x 1\n")
    (calls / "segments").write_text("s a 0 4\nt b 5 60\nu c 0 1\nw other 0 1\n")
    options = ("--reco2file-and-channel", calls / "channels")
    status, said = extract(calls, "x", "--segments", calls / "segments", *options)
    assert status == 1
    for fault in (
        "a channel that is not there",
        "a command in `wav.scp`",
        "a file that is missing",
        "speech beyond the end",
    ):
        assert PAGE[fault].is_said_in(said), said
    assert "segments: recordings without audio: other" in said
    assert extract("calls/call0.wav", "mono", "--segments", "speech.rttm")[0] == 2
    rttm = "SPEAKER call0 1 0 4 <NA> <NA> me <NA> <NA>\n"
    (calls.parent / "speech.rttm").write_text(rttm)
    assert extract("calls/call0.wav", "mono", "--segments", "speech.rttm")[0] == 0
    archives = [calls.parent / name / "xvector.scp" for name in ("x", "mono")]
    first, second = (list(dict(read_table(a, "vector")).values()) for a in archives)
    np.testing.assert_array_equal(first, second)
    assert (
        "has nothing on this recording"
        in extract("calls/call1.wav", "y", "--segments", "speech.rttm")[1]
    )


def test_ids_may_have_white_space_of_unicode(calls, extract):
    odd = {"a\u3000b": "call0", "a\xa0c": "call1"}
    lines = [f"{name} {calls / file}.wav\n" for name, file in odd.items()]
    (calls / "wav.scp").write_text("".join(lines), encoding="utf-8")
    assert extract(calls, calls / "x")[0] == 0
    folder = ssahc.open_xvector_dir(calls / "x")
    assert {one.id for one in ssahc.read_recordings(folder)} == odd.keys()


def test_another_rate_is_told_once(calls, extract):
    samples, _ = soundfile.read(calls / "call0.wav", dtype="int16")
    for name in ("a", "b"):
        soundfile.write(calls / f"{name}.wav", np.repeat(samples, 2), 2 * RATE)
    status, said = extract(calls, "x")
    assert status == 0
    told = "2 recordings at 16000 Hz resampled to the model's 8000 Hz, the first of"
    assert said.count(told) == said.count("resampled") == 1


@pytest.mark.parametrize(
    ("extractor", "fault"),
    [
        ("nobody", "a model that is not known"),
        ("calls/call0.wav", "a model of another kind"),
        ("gone.onnx", "a model that is missing"),
    ],
)
def test_unusable_models_are_named_at_once(calls, extract, extractor, fault):
    status, said = extract(calls, "x", extractor=extractor)
    assert (status, PAGE[fault].is_said_in(said)) == (2, True), said
    assert not (calls.parent / "x").exists()


def test_a_plda_without_its_mean_is_told_what_to_add(calls, extract, model_folder):
    folder = calls.parent / "model"
    shutil.copytree(model_folder, folder)
    (folder / "plda").touch()
    status, said = extract(calls, "x", extractor=folder)
    assert status == 2
    assert PAGE["a PLDA of a model folder without its mean"].is_said_in(said), said


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("--silero-threshold 0.3", "does not use --silero-threshold"),
        (
            "--vad silero --vad-energy-threshold 3",
            "--vad silero does not use --vad-energy-threshold",
        ),
        ("--segments s --vad silero", "--segments gives the regions of speech; leave"),
        ("--segments s --min-silence 1", "leave out --min-silence"),
        ("--window 0.3 --period 3", "--period 3 is more than --window 0.3"),
    ],
)
def test_options_without_use_or_of_harm_are_refused(calls, extract, words, fault):
    status, said = extract(calls, "x", *words.split())
    assert (status, fault in said) == (2, True), said


def test_a_way_of_finding_speech_displaces_that_of_a_config_file(calls, extract):
    # vad.conf has a threshold, which the first config.toml holds.
    assert extract(calls, "x", "--min-silence", 1)[0] == 0
    (calls / "segments").write_text("s call0 0 4\nt call1 0 4\nu call2 0 4\n")
    config = ("--config", "x/config.toml")
    assert extract(calls, "y", *config, "--segments", calls / "segments")[0] == 0
    kept = (calls.parent / "y" / "config.toml").read_text()
    assert "min_silence = 0.3" in kept
    assert "vad_energy_threshold = 5.0" in kept


def test_nothing_of_others_is_overwritten(calls, extract):
    # The audio's own folder, which holds Kaldi's segments.
    (calls / "segments").write_text("s call0 0 4\nt call1 0 4\nu call2 0 4\n")
    before = contents(calls)
    for options in (("--segments", calls / "segments"), ()):
        status, said = extract(calls, calls, *options)
        assert (status, "choose another OUT_DIR" in said) == (2, True)
    assert contents(calls) == before
    (calls.parent / "mine").mkdir()
    (calls.parent / "mine" / "segments").write_text("of others")
    status, said = extract(calls, "mine")
    assert (status, "no completed run of ssahc extract wrote" in said) == (2, True)
    assert extract(calls, "x")[0] == extract(calls, "x", "--window", 2)[0] == 0
    assert "window = 2.0" in (calls.parent / "x" / "config.toml").read_text()
