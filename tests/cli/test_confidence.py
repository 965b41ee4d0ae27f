"""Confidence on the command line: files, the ninth field of RTTMs, calibration."""

import json

import pytest
from click.testing import CliRunner

import ssahc
from ssahc.cli import cli
from ssahc.core.types import Turn
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.io.text import read_confidence
from ssahc.io.xvector_writer import write_xvector_dir


def call(*arguments):
    result = CliRunner().invoke(cli, list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    """A run whose RTTM has confidences, and its reference."""
    path = tmp_path_factory.mktemp("confidence")
    items = corpus["a"].conversations
    write_xvector_dir(path / "x", [item.recording for item in items])
    write_model_dir(path / "model", corpus["b"].model)
    write_rttm(path / "ref", {item.recording.id: item.turns for item in items})
    model = f"--model-dir={path}/model"
    for out, more in (("out", ["--rttm-confidence"]), ("plain", [])):
        arguments = [path / "x", path / out, model, "--system=cosine", *more]
        assert call("diarize", *arguments)[0] == 0
    return path


def test_rttm_has_the_confidence_of_turns_if_asked_for(run, corpus):
    plain, rated = ((run / out / "rttm").read_text() for out in ("plain", "out"))
    fields = [line.split() for line in rated.splitlines()]
    bare = [[*line[:8], "<NA>", *line[9:]] for line in fields]
    assert bare == [line.split() for line in plain.splitlines()]
    options = ssahc.make_options(system="cosine")
    confidence = read_confidence(run / "out" / "confidence")
    assert confidence == read_confidence(run / "plain" / "confidence")
    for item in corpus["a"].conversations:
        recording = item.recording
        found = ssahc.diarize_recording(recording, corpus["b"].model, options)
        written = read_rttm(run / "out" / "rttm").turns[recording.id]
        for ours, theirs in zip(found.turns, written, strict=True):
            assert theirs.confidence == pytest.approx(ours.confidence, abs=2e-3)
        for name, value in zip(recording.utterances, found.window_confidence):
            assert confidence[name] == pytest.approx(value, abs=6e-4)


def test_a_resumed_run_writes_the_same(run, tmp_path):
    before = (run / "out" / "rttm").read_bytes()
    first, *_ = (run / "out" / "labels").read_text().splitlines()
    labels = (run / "out" / "labels").read_text()
    (run / "out" / "labels").write_text(labels.removeprefix(first + "\n"))
    arguments = [run / "x", run / "out", f"--model-dir={run}/model", "--system=cosine"]
    assert call("diarize", *arguments, "--rttm-confidence", "--resume")[0] == 0
    assert (run / "out" / "rttm").read_bytes() == before


def test_calibration_is_printed(run):
    hypothesis = run / "out" / "rttm"
    status, text, _ = call("score", run / "ref", hypothesis, "--calibration")
    assert status == 0
    assert "Expected calibration error" in text
    status, text, _ = call("score", run / "ref", hypothesis, "--calibration", "--json")
    found = json.loads(text)
    assert sum(one["seconds"] for one in found["bins"]) == pytest.approx(
        found["seconds"]
    )
    assert 0 <= found["calibration_error"] <= 1


def test_what_cannot_be_judged_is_said(run):
    plain, rated = run / "plain" / "rttm", run / "out" / "rttm"
    arguments = ["score", str(run / "ref"), str(plain), "--calibration"]
    found = CliRunner().invoke(cli, arguments)
    assert "ssahc diarize --rttm-confidence writes it" in str(found.exception)
    for more in (["--by", "speakers"], ["--summary"], ["--format", "csv"]):
        arguments = ["score", str(run / "ref"), str(rated), "--calibration", *more]
        assert isinstance(
            CliRunner().invoke(cli, arguments).exception, ssahc.UsageError
        )


@pytest.mark.parametrize(
    ("field", "confidence"),
    [
        ("0.25", 0.25),
        ("1", 1.0),
        ("<NA>", None),
        ("-3", None),
        ("7", None),
        ("x", None),
    ],
)
def test_other_ninth_fields_are_no_confidence(tmp_path, field, confidence):
    path = tmp_path / "rttm"
    path.write_text(f"SPEAKER a 1 0 1 <NA> <NA> s {field} <NA>\n")
    (turn,) = read_rttm(path).turns["a"]
    assert (turn, turn.confidence) == (Turn(0, 1, "s"), confidence)
    write_rttm(path, {"a": [turn]}, with_confidence=True)
    (again,) = read_rttm(path).turns["a"]
    assert again.confidence == confidence
