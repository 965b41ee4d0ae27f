"""``ssahc stream`` of raw audio."""

import fcntl
import io
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from fault_table import read_page

import ssahc
from ssahc.cli.stream import command
from ssahc.cli.stream_audio import StreamAudio, read_blocks
from ssahc.cli.stream_input import enlarge_pipe
from ssahc.core.types import Model
from ssahc.frontend.silero import has_silero
from ssahc.io.model import write_model_dir

pytestmark = pytest.mark.skipif(
    not has_silero(), reason="silero-vad is not installed: pip install 'ssahc[vad]'"
)
PAGE = read_page()["Streams of audio"]


@pytest.fixture(scope="module")
def samples(golden):
    path = golden / "frontend/wav/trn06-8k.wav"
    return soundfile.read(path, dtype="int16")[0].astype("<i2")


def run(data, *options):
    result = CliRunner().invoke(command, list(map(str, options)), input=data)
    if isinstance(result.exception, ssahc.SsahcError):
        # As the command line ends.
        return 2, [], f"ssahc: error: {result.exception}"
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, answers, result.stderr


def test_the_end_is_that_of_the_file(
    samples, model_folder, ssahc_here, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    soundfile.write("call.wav", samples, 8000)
    of_both = ["--extractor", model_folder, "--window", 1, "--period", 0.5]
    done = ssahc_here("diarize", "call.wav", "out", "--vad", "silero", *of_both)
    assert done.returncode == 0
    status, answers, _ = run(
        samples.tobytes(), *of_both, "--recording", "call", "--final-rttm", "rttm"
    )
    assert status == 0
    assert {item["recording"] for item in answers} == {"call"}
    found, expected = (
        ssahc.read_rttm(path).turns["call"] for path in ("rttm", "out/rttm")
    )
    times = [[(turn.start, turn.end) for turn in turns] for turns in (found, expected)]
    assert times[0] == times[1]
    # Names are those that were announced.
    pairs = {(a.speaker, b.speaker) for a, b in zip(found, expected, strict=True)}
    assert len(pairs) == len({turn.speaker for turn in expected})


def test_audio_of_another_rate_is_resampled(samples, model_folder):
    doubled = np.repeat(samples, 2).tobytes()
    status, answers, _ = run(
        doubled, "--extractor", model_folder, "--sample-rate", 16000
    )
    assert status == 0
    assert 19 < max(item["end"] for item in answers) <= 20


def test_answers_come_while_audio_does_and_a_signal_ends_it(
    samples, model_folder, tmp_path
):
    rttm = tmp_path / "final.rttm"
    options = ["--extractor", model_folder, "--final-rttm", rttm]
    options += ["--sample-rate", "8100"]
    with start(*options) as process:
        process.stdin.write(samples.tobytes()[:160_000])
        process.stdin.flush()
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        answers, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted: what has come is diarized" in errors
    assert b"signed 16-bit samples, one channel, 8100 Hz" in errors
    assert b"at 8100 Hz resampled to the model's 8000 Hz" in errors
    assert first["window"] == 0
    assert answers.splitlines()
    assert list(ssahc.read_rttm(rttm).turns) == ["recording"]


def start(*options):
    return subprocess.Popen(
        [sys.executable, "-m", "ssahc", "stream", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_turns_are_written_though_nobody_reads_and_the_terminal_is_closed(
    samples, model_folder, tmp_path
):
    rttm = tmp_path / "final.rttm"
    # Corrections are printed at the end: the network is trained then.
    options = ["--extractor", model_folder, "--final-rttm", rttm, "--system", "ssahc"]
    with start(*options) as process:
        process.stdin.write(samples.tobytes()[:160_000])
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(samples.tobytes()[160_000:])
        process.stdin.flush()
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        errors = process.stderr.read().decode()
    assert process.returncode == 128 + signal.SIGHUP
    assert PAGE["what reads the announcements ends"].is_said_in(errors)
    assert "Traceback" not in errors
    assert list(ssahc.read_rttm(rttm).turns) == ["recording"]


def test_scores_of_a_config_file_are_refused(model_folder, tmp_path):
    (tmp_path / "c.toml").write_text('plda_scores = "s.scp"\n')
    options = ["--extractor", model_folder, "--config", tmp_path / "c.toml"]
    _, _, errors = run(b"", *options)
    assert "a stream has no scores; leave out plda_scores" in errors


def test_closed_standard_input_holds_nothing():
    command = f"exec {sys.executable} -m ssahc stream <&-"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (result.returncode, "no windows" in result.stderr) == (2, True)


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="only Linux can")
def test_a_pipe_holds_what_is_recorded_while_a_model_is_loaded():
    source, end = os.pipe()
    with open(source, "rb") as stream, open(end, "wb") as recorder:
        enlarge_pipe(stream)
        os.set_blocking(end, False)
        assert recorder.raw.write(bytes(2**19)) == 2**19


def test_a_rate_alone_takes_the_small_extractor():
    status, _, errors = run(bytes(8000), "--sample-rate", 4000)
    assert (status, "no speech in 1.0 s of audio" in errors) == (2, True)


def make_file(kind):
    file = io.BytesIO()
    soundfile.write(file, np.zeros(800, np.int16), 8000, format=kind)
    return file.getvalue()


FAULTS = {
    "a WAV file in place of raw audio": lambda: make_file("WAV"),
    "another file of audio": lambda: make_file("FLAC"),
    "a SPHERE file": lambda: b"NIST_1A\n   1024\n" + bytes(2000),
    "lines of JSON in place of audio": lambda: b'{ "time": 1}\n' * 9,
    "audio that ends within a sample": lambda: bytes(8001),
    "audio without speech": lambda: bytes(8000),
    "no audio at all": lambda: b"",
}
OPTIONS = {
    "--vad energy": ["--vad", "energy"],
    "--vad with a segmentation model": ["--vad", "segmentation-3.0"],
    "windows of more than a minute": ["--window", "61"],
}


@pytest.mark.parametrize("fault", sorted(FAULTS | OPTIONS))
def test_faults(model_folder, fault):
    data = FAULTS.get(fault, bytes)()
    status, answers, errors = run(
        data, "--extractor", model_folder, *OPTIONS.get(fault, [])
    )
    assert PAGE[fault].is_said_in(errors), errors
    assert (status, answers) == (2, [])


def test_all_faults_of_the_page_are_tested():
    elsewhere = {
        "a terminal",
        "options of audio without --extractor",
        "what reads the announcements ends",
    }
    assert PAGE.keys() == FAULTS.keys() | OPTIONS.keys() | elsewhere


def test_a_terminal_is_refused(monkeypatch):
    stream = io.BytesIO()
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    with pytest.raises(ssahc.UsageError) as error:
        next(read_blocks(stream, 16000))
    assert PAGE["a terminal"].is_said_in(f"ssahc: error: {error.value}")


def test_options_of_audio_need_audio():
    _, _, errors = run(b"", "--window", 2)
    assert PAGE["options of audio without --extractor"].is_said_in(errors)
    assert StreamAudio(sample_rate=8000).is_expected


def test_a_model_of_other_x_vectors_is_refused(model_folder, tmp_path):
    write_model_dir(tmp_path, Model(mean=np.zeros(5), transform=np.eye(5)))
    _, _, errors = run(b"", "--extractor", model_folder, "--model-dir", tmp_path)
    assert "the model's mean is for 5 dimensions" in errors


def test_the_network_is_not_overwritten(model_folder):
    path = model_folder / "final.raw"
    _, _, errors = run(b"", "--extractor", model_folder, "--final-rttm", path)
    assert "final.raw: is read" in errors
