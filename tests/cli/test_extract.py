"""``ssahc extract``: audio to an x-vector folder."""

import re
import shutil
import struct

import fault_table
import numpy as np
import pytest
import soundfile
from kaldi_tables import read_table

import ssahc
from ssahc.cli.extract_journal import ExtractJournal
from ssahc.core.types import Model, Plda
from ssahc.frontend.extractors.installed import INSTALLABLE
from ssahc.io.model import write_model_dir

RATE = 8000
PAGE = fault_table.PAGE["Audio"]


@pytest.fixture(scope="module")
def model_folder(golden, tmp_path_factory):
    """A Kaldi model folder with a tiny network."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    home = golden / "frontend"
    shutil.copytree(home / "model" / "tiny", folder)
    shutil.copy(home / "conf" / "mfcc_8k.conf", folder / "mfcc.conf")
    shutil.copy(home / "conf" / "vad.conf", folder)
    (folder / "min_chunk_size").write_text("20\n")
    (folder / "max_chunk_size").write_text("400\n")
    return folder


@pytest.fixture
def calls(golden, tmp_path, monkeypatch):
    """Three recordings of 6 s in a folder."""
    monkeypatch.chdir(tmp_path)
    samples, _ = soundfile.read(golden / "frontend/wav/trn06-8k.wav", dtype="int16")
    (tmp_path / "calls").mkdir()
    for number in range(3):
        part = samples[6 * RATE * number :][: 6 * RATE]
        soundfile.write(f"calls/call{number}.wav", part, RATE)
    return tmp_path / "calls"


@pytest.fixture
def extract(ssahc_here, model_folder):
    def run(audio, out, *options, extractor=model_folder):
        result = ssahc_here("extract", audio, out, "--extractor", extractor, *options)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        return result.returncode, result.stderr

    return run


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
    samples[RATE] = np.nan
    soundfile.write(calls / "nan.wav", samples, RATE, subtype="FLOAT")
    status, said = extract(calls, "x")
    faults = {
        "cut": "audio that was cut off",
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
    assert "extracted 3 of 11 recordings" in said
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
        ("--silero-threshold 0.3", "--silero-threshold needs --vad silero"),
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


# ---- diarizing audio ---------------------------------------------------------------


def test_audio_is_diarized_in_one_go(calls, extract, ssahc_here, model_folder):
    assert extract(calls, "x")[0] == 0
    assert ssahc_here("diarize", "x", "two").returncode == 0
    (calls / "empty.wav").touch()
    command = ("diarize", calls, "one", "--extractor", model_folder)
    done = ssahc_here(*command)
    assert done.returncode == 1
    assert "recording 'empty'" in done.stderr
    one, two = (calls.parent / name for name in ("one", "two"))
    assert (one / "rttm").read_bytes() == (two / "rttm").read_bytes()
    assert contents(one / "xvectors").keys() == contents(calls.parent / "x").keys()
    # X-vectors are taken again, and extracted anew if other ones are wanted.
    before = (one / "xvectors" / "xvector.ark").stat().st_mtime_ns
    done = ssahc_here(*command, "--num-speakers", 2)
    assert "one/xvectors has the x-vectors of 3 recordings" in done.stderr
    assert (one / "xvectors" / "xvector.ark").stat().st_mtime_ns == before
    assert "extracted 3 of 4" in ssahc_here(*command, "--window", 2).stderr
    assert (one / "xvectors" / "xvector.ark").stat().st_mtime_ns > before


def test_the_model_beside_the_network_is_used(
    calls, ssahc_here, model_folder, tmp_path
):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    plda = Plda(np.zeros(12), np.eye(12), np.linspace(9, 0.5, 12))
    write_model_dir(folder, Model(np.zeros(12), np.eye(12), plda))
    command = ("diarize", calls, "out", "--extractor", folder)
    assert ssahc_here(*command).returncode == 0
    out = calls.parent / "out"
    for name in ("mean.vec", "transform.mat", "plda"):
        path = out / "xvectors" / name
        assert path.read_bytes() == (folder / name).read_bytes()
    assert 'system = "ssahc+plda"' in (out / "config.toml").read_text()
    assert not (out / "learned_model").exists()
    # It is no longer there after a run by a model without one.
    assert ssahc_here(*command[:-1], model_folder).returncode == 0
    assert not (out / "xvectors" / "plda").exists()
    assert (out / "learned_model" / "plda").exists()


def test_a_stopped_run_over_audio_resumes(calls, ssahc_here, model_folder, monkeypatch):
    command = ("diarize", calls, "out", "--extractor", model_folder)

    def stop(self, recording):
        add(self, recording)
        raise KeyboardInterrupt

    add = ExtractJournal.add
    with monkeypatch.context() as patch:
        patch.setattr(ExtractJournal, "add", stop)
        assert ssahc_here(*command).returncode == 130
    assert "continue it with --resume" in ssahc_here(*command).stderr
    assert ssahc_here(*command, "--resume").returncode == 0
    assert len((calls.parent / "out" / "xvectors" / "spk2utt").read_text().split()) > 6
    assert ssahc_here(*command, "--resume").returncode == 0
    done = ssahc_here(*command, "--resume", "--window", 2)
    assert (done.returncode, "window was 1.5" in done.stderr) == (2, True)


def test_audio_without_an_extractor_is_told_what_to_type(
    calls, ssahc_here, model_folder
):
    (calls.parent / "two.scp").write_text("a calls/call0.wav\nb calls/call1.wav\n")
    for audio in ("calls/call0.wav", "calls", "two.scp"):
        done = ssahc_here("diarize", audio, "out")
        assert done.returncode == 2
        assert (
            f"{audio}: is audio, which needs an extractor: --extractor" in done.stderr
        )
    for words, fault in (
        (("gone.wav", "out"), "gone.wav: no such file or folder"),
        (("x", "out", "--window", 2), "--window is for audio"),
        (("x", "out", "--extractor", model_folder), "holds x-vectors, not audio"),
        (("calls", "calls", "--extractor", model_folder), "holds the audio"),
    ):
        (calls.parent / "x").mkdir(exist_ok=True)
        (calls.parent / "x" / "xvector.scp").touch()
        done = ssahc_here("diarize", *words)
        assert (done.returncode, fault in done.stderr) == (2, True), done.stderr


def test_models_are_listed_with_the_command_that_installs_them(ssahc_here):
    done = ssahc_here("models")
    assert done.returncode == 0
    for model in INSTALLABLE.values():
        assert model.install in done.stdout


def test_python_gives_what_the_command_line_gives(calls, ssahc_here, model_folder):
    path = calls / "call1.wav"
    extractor = ssahc.Extractor.load(model_folder)
    # Options of vad.conf are for the command line.
    options = ("--vad-energy-threshold", 5, "--vad-frames-context", 0)
    options += ("--vad-proportion-threshold", 0.6, "--num-speakers", 2)
    done = ssahc_here("diarize", path, "out", "--extractor", model_folder, *options)
    assert done.returncode == 0
    found = ssahc.diarize_audio(path, extractor, num_speakers=2)
    ssahc.write_rttm("rttm", found)
    rttm = (calls.parent / "out" / "rttm").read_bytes()
    assert (calls.parent / "rttm").read_bytes() == rttm
    halves = ssahc.diarize_audio(path, extractor, segments=[[0, 2], [4, 6]])
    assert halves.turns[-1].end == 6
    (calls.parent / "call1.rttm").write_bytes(rttm)
    again = ssahc.extract_audio(path, extractor, segments="call1.rttm")
    assert again.id == "call1"
    with pytest.raises(ssahc.DataError, match="expected one recording, found 3"):
        ssahc.diarize_audio(calls, extractor)


@pytest.mark.parametrize(
    "regions", [[[0, 2], [np.nan, 4]], [[5, 1]], [], [[0, np.inf]]]
)
def test_regions_that_are_none_are_refused(calls, model_folder, regions):
    with pytest.raises(ssahc.DataError, match="expected"):
        ssahc.diarize_audio(calls / "call0.wav", model_folder, segments=regions)
