"""``ssahc stream``: windows on standard input, speakers on standard output."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

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


def test_a_clock_announces_what_is_due():
    status, answers, _ = run([*make_lines([0]), {"time": 2.0}, {"time": 1}])
    assert status == 0
    assert [item["correction"] for item in answers] == [False]


GOOD = list(make_lines(SPEAKERS))
FAULTS = {
    "no JSON": '{"start": 1,\n',
    "found a list": "[1, 2]\n",
    "xvector must be a list of numbers": {"start": 9.0, "end": 10.5},
    "end must be a number, found 'x'": {**GOOD[-1], "end": "x"},
    "holds NaN": {**GOOD[-1], "xvector": [math.nan] * 6},
    "4 dimensions, those before 6": {**GOOD[-1], "xvector": [1.0] * 4},
    "one column or more": {**GOOD[-1], "xvector": []},
    "in order of time": GOOD[2],
    "named by a word": {**GOOD[-1], "recording": "a b"},
    "list of numbers;": '{"start": 1, "end": 2, "xvector": [1' + "0" * 400 + "]}\n",
    "time must be a number": {"time": True},
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_faulty_line_is_named_and_skipped(message):
    good = GOOD[:5]
    status, answers, errors = run([*good[:4], FAULTS[message], "\n", good[4]])
    assert status == 1
    assert f"standard input:5: {message}" in errors or message in errors
    assert "standard input:5: " in errors
    assert "skipped 1 line of standard input" in errors
    assert answers == run(good)[1]


def test_a_stream_that_is_cut_within_a_line_ends_with_what_came():
    text = text_of(GOOD[:5])
    status, answers, errors = run([text[:-10]])
    assert status == 1
    assert "standard input:5: no JSON, the stream was cut within this line" in errors
    assert {item["window"] for item in answers} == {0, 1, 2, 3}


@pytest.mark.parametrize("items", [[], ["\n"], ["\xff\x00"], [{"time": 3.0}]])
def test_a_stream_without_windows_is_an_error(items):
    status, answers, errors = run(items)
    assert (status, answers) == (2, [])
    assert "standard input: no windows" in errors


def test_a_folder_that_is_missing_is_told_before_the_stream(tmp_path):
    result = CliRunner().invoke(command, ["--final-rttm", str(tmp_path / "no" / "x")])
    assert isinstance(result.exception, ssahc.UsageError)
    assert "there is no such folder" in str(result.exception)
