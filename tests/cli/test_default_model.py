"""The model for x-vectors of audio, if none is given."""

import logging

import fault_table
import numpy as np
import pytest

from ssahc import read_model_dir
from ssahc.cli.audio_inputs import AudioOptions, find_model
from ssahc.cli.default_model import choose_model
from ssahc.cli.inputs import ModelFiles
from ssahc.core.types import Model, Plda
from ssahc.frontend.extractors.installed import general_model
from ssahc.io.model import write_model_dir
from ssahc.pipeline.options import knows_no_speakers

PAGE = fault_table.PAGE["Audio"]


@pytest.fixture
def folder(tmp_path):
    """A folder of x-vectors with the model of their extractor."""
    plda = Plda(np.zeros(3), np.eye(3), np.ones(3))
    write_model_dir(tmp_path / "x", Model(np.zeros(3), np.eye(3), plda))
    return tmp_path / "x"


@pytest.mark.parametrize(
    ("default", "count", "is_given"),
    [
        ("auto", 1, True),
        ("auto", 3, True),
        ("auto", 4, False),
        ("extractor", 4, True),
        ("recordings", 1, False),
    ],
)
def test_few_recordings_take_the_general_model(
    folder, caplog, default, count, is_given
):
    with caplog.at_level(logging.INFO, "ssahc"):
        files = choose_model(default, AudioOptions(extractor="campplus"), folder, count)
    expected = ModelFiles(
        mean=folder / "mean.vec",
        transform=folder / "transform.mat",
        plda=folder / "plda",
    )
    assert files == (expected if is_given else ModelFiles())
    # Said only where it was not asked for.
    assert len(caplog.messages) == (default == "auto")
    assert all("campplus" in message for message in caplog.messages)


def test_a_model_beside_the_network_is_taken_for_any_number(folder, caplog, tmp_path):
    audio = AudioOptions(extractor=str(tmp_path))
    assert choose_model("auto", audio, folder, 99) != ModelFiles()
    assert choose_model("recordings", audio, folder, 1) == ModelFiles()
    assert caplog.messages == []


def test_campplus_has_a_general_model():
    model = read_model_dir(general_model("campplus"))
    assert model.mean.shape == (192,)
    assert model.transform.shape[1] == 192
    assert knows_no_speakers(model)
    assert find_model(AudioOptions(extractor="resemblyzer")) is None


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ("--model-dir m --extractor campplus", "`--default-model` beside a model"),
        ("", "`--default-model` beside x-vectors"),
        (
            "--extractor resemblyzer",
            "`--default-model extractor` of one without a model",
        ),
    ],
)
def test_default_models_that_cannot_be_are_refused(ssahc_here, tmp_path, words, fault):
    command = ("diarize", "a", tmp_path / "out", *words.split())
    done = ssahc_here(*command, "--default-model", "extractor")
    assert done.returncode == 2
    assert PAGE[fault].is_said_in(done.stderr), done.stderr
