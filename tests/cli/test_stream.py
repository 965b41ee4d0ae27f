"""``ssahc stream``: windows on standard input, speakers on standard output."""

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fault_table import read_page

import ssahc
from ssahc.cli.stream import command


def make_lines(speakers, **more):
    rng = np.random.default_rng(0)
    voices = 6 * rng.normal(size=(2, 6))
    for number, speaker in enumerate(speakers):
        vector = voices[speaker] + rng.normal(size=6)
        yield {
            "start": 0.75 * number,
            "end": 0.75 * number + 1.5,
            "xvector": vector.tolist(),
            **more,
        }


def text_of(items):
    return "".join(
        item if isinstance(item, str) else json.dumps(item) + "\n" for item in items
    )


def run(items, *options):
    result = CliRunner().invoke(command, list(options), input=text_of(items))
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    return result.exit_code, answers, result.stderr


SPEAKERS = [0] * 6 + [1] * 6


def test_speakers_are_printed_and_the_final_turns_written(tmp_path):
    first = list(make_lines(SPEAKERS, recording="a"))
    second = list(make_lines(SPEAKERS[::-1], recording="b"))
    mixed = [item for pair in zip(first, second) for item in pair]
    rttm = tmp_path / "final.rttm"
    status, answers, errors = run(mixed, "--final-rttm", str(rttm))
    assert (status, errors) == (0, "")
    assert {item["recording"] for item in answers} == {"a", "b"}
    said = {
        item["window"]: item["speaker"] for item in answers if item["recording"] == "a"
    }
    offline = ssahc.diarize(
        np.float32([item["xvector"] for item in first]),
        [[item["start"], item["end"]] for item in first],
    )
    pairs = set(zip(said.values(), offline.labels.tolist()))
    assert len(said) == 12
    assert len(pairs) == offline.num_speakers
    turns = ssahc.read_rttm(rttm).turns
    assert [turn.end for turn in turns["a"]] == [turn.end for turn in offline.turns]


def test_answers_come_while_the_stream_goes_on():
    process = subprocess.Popen(
        [sys.executable, "-m", "ssahc", "stream", "--latency", "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdin.write(text_of(make_lines([0])))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["speaker"] == "1"
        process.stdin.close()
        assert process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_stream_as_the_end_of_input_does(tmp_path, number):
    rttm = tmp_path / "final.rttm"
    process = subprocess.Popen(
        [sys.executable, "-m", "ssahc", "stream", "--final-rttm", str(rttm)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdin.write(text_of(make_lines([0] * 5)))
        process.stdin.flush()
        said = [process.stdout.readline()]
        process.send_signal(number)
        answers, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "ssahc: interrupted: what has come is diarized" in errors
    windows = [json.loads(line)["window"] for line in [*said, *answers.splitlines()]]
    assert sorted(windows) == list(range(len(windows)))
    assert list(ssahc.read_rttm(rttm).turns) == ["recording"]


def test_a_clock_announces_what_is_due():
    status, answers, _ = run([*make_lines([0]), {"time": 2.0}, {"time": 1}])
    assert status == 0
    assert [item["correction"] for item in answers] == [False]


def test_recordings_end_one_by_one(tmp_path):
    first, second = (list(make_lines(SPEAKERS, recording=name)) for name in "ab")
    rttm = tmp_path / "final.rttm"
    items = [*first, *second[:6], {"recording": "a", "end": True}, *second[6:]]
    status, answers, errors = run(items, "--final-rttm", str(rttm))
    assert (status, errors) == (0, "")
    assert set(ssahc.read_rttm(rttm).turns) == {"a", "b"}
    said = {name: [] for name in "ab"}
    for place, item in enumerate(answers):
        said[item["recording"]].append(place)
    assert said["a"][-1] < said["b"][-1]
    _, alone, _ = run(first)
    assert [answers[place] for place in said["a"]] == alone


GOOD = list(make_lines(SPEAKERS))
PAGE = read_page()["Streams"]
FAULTS = {
    "a line that is no JSON": '{"start": 1,\n',
    "a stream that is cut within a line": json.dumps(GOOD[5])[:-10],
    "a line that is no object": "[1, 2]\n",
    "a window without an x-vector": {"start": 9.0, "end": 10.5},
    "a line without an end": "1" * 2**25 + "\n",
    "a number that no float can hold": '{"xvector": [1' + "0" * 400 + "]}\n",
    "a time that is no number": {**GOOD[5], "end": "x"},
    "a NaN in an x-vector": {**GOOD[5], "xvector": [math.nan] * 6},
    "a window of another dimension": {**GOOD[5], "xvector": [1.0] * 4},
    "an empty x-vector": {**GOOD[5], "xvector": []},
    "a window out of order": GOOD[2],
    "a window in samples": {**GOOD[5], "start": 60000, "end": 84000},
    "a time that is years": {**GOOD[5], "start": 0, "end": 7.2e8},
    "a recording with a space in its name": {**GOOD[5], "recording": "a b"},
    "a window of a recording that has ended": GOOD[5],
    "the end of a recording without windows": {"recording": "empty", "end": True},
    "no windows at all": "\n",
}


@pytest.mark.parametrize("fault", PAGE)
def test_a_faulty_line_is_named_and_skipped(fault):
    good = [] if fault == "no windows at all" else GOOD[:5]
    if fault == "a window of a recording that has ended":
        good = [*GOOD[:4], {"end": True}]
    status, answers, errors = run([*good, FAULTS[fault]])
    assert PAGE[fault].is_said_in(errors), errors
    if good:
        assert status == 1
        assert "standard input:6: " in errors
        assert "skipped 1 line of standard input" in errors
        count = sum("xvector" in item for item in good)
        assert {item["window"] for item in answers} == set(range(count))
    else:
        assert (status, answers) == (2, [])


def test_the_stream_goes_on_after_a_faulty_line():
    status, answers, _ = run([*GOOD[:4], GOOD[2], "rubbish\n", GOOD[4]])
    assert status == 1
    assert answers == run(GOOD[:5])[1]


@pytest.mark.parametrize("items", [[], ["\n"], ["\xff\x00"], [{"time": 3.0}]])
def test_a_stream_without_windows_is_an_error(items):
    status, answers, errors = run(items)
    assert (status, answers) == (2, [])
    assert "standard input: no windows" in errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--final-rttm", "no/final.rttm"], "no: no such folder"),
        (["--final-rttm", "."], "is a folder"),
        (["--final-rttm", "sealed/final.rttm"], "sealed: cannot write there"),
        (["--final-rttm", "plda", "--plda", "plda"], "plda: is read"),
        (["--recording", "my call"], "--recording must be one word"),
    ],
)
def test_what_would_fail_later_is_told_before_the_stream(
    tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: path != Path("sealed"))
    Path("sealed").mkdir()
    Path("plda").touch()
    result = CliRunner().invoke(command, options)
    assert isinstance(result.exception, ssahc.UsageError)
    assert message in str(result.exception)


def test_a_line_may_say_more_than_is_needed():
    assert run([{**item, "time": 0.0} for item in GOOD[:5]]) == run(GOOD[:5])
