"""``ssahc diarize`` on audio, and ``ssahc.diarize_audio``."""

import shutil

import fault_table
import numpy as np
import pytest
import soundfile

import ssahc
from ssahc.cli import diarize_audio
from ssahc.cli.extract_journal import ExtractJournal
from ssahc.cli.inputs import ModelFiles
from ssahc.core.types import Model, Plda
from ssahc.frontend.extractors.installed import INSTALLABLE
from ssahc.io.model import write_model_dir


def names(folder):
    return {path.name for path in folder.iterdir()}


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
    assert names(one / "xvectors") == names(calls.parent / "x")
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


def test_the_options_of_a_run_repeat_it(
    calls, ssahc_here, model_folder, tmp_path, monkeypatch
):
    folder = tmp_path / "model"
    shutil.copytree(model_folder, folder)
    plda = Plda(np.zeros(12), np.eye(12), np.linspace(9, 0.5, 12))
    write_model_dir(folder, Model(np.zeros(12), np.eye(12), plda))
    home, options = tmp_path / "home", ("--window", 2, "--threshold", 3)
    for default in ("extractor", "recordings"):
        monkeypatch.chdir(tmp_path)
        model = ("--extractor", "model", "--default-model", default)
        assert ssahc_here("diarize", calls, home, *model, *options).returncode == 0
        rttm, config = (home / "rttm").read_bytes(), home / "config.toml"
        # From anywhere: from audio again, or from the x-vectors that are there.
        monkeypatch.chdir(folder)
        for number, source in enumerate((calls, home / "xvectors")):
            out = tmp_path / f"{default}{number}"
            done = ssahc_here("diarize", source, out, "--config", config)
            assert done.returncode == 0, done.stderr
            assert (out / "rttm").read_bytes() == rttm
        assert (tmp_path / f"{default}0" / "config.toml").read_text() == (
            config.read_text().replace(str(home), str(tmp_path / f"{default}0"))
        )
        assert ssahc_here("report", home, "--no-affinities").returncode == 0
    # A model on the command line takes the place of that one.
    given = ("--config", config, "--model-dir", folder)
    assert ssahc_here("diarize", calls, tmp_path / "third", *given).returncode == 0
    assert "plda" in (tmp_path / "third" / "config.toml").read_text()
    # It is not resumed from x-vectors, of which it knows nothing.
    done = ssahc_here("diarize", home / "xvectors", home, "--resume")
    assert (done.returncode, "not given now" in done.stderr) == (2, True)


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


def test_a_recording_without_speech_neither_counts_nor_hinders_resuming(
    calls, ssahc_here, model_folder, monkeypatch
):
    soundfile.write(calls / "silent.wav", np.zeros(16000), 8000)
    counts = []

    def choose(default, audio, folder, count):
        counts.append(count)
        return ModelFiles()

    monkeypatch.setattr(diarize_audio, "choose_model", choose)
    command = ("diarize", calls, "out", "--extractor", model_folder)
    assert ssahc_here(*command).returncode == 1
    folder = calls.parent / "out" / "xvectors"
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    done = ssahc_here(*command, "--resume")
    assert done.returncode == 1, done.stderr
    assert "silent.wav: no speech found" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    # Of its four recordings, one may not help to learn a model.
    assert counts == [3, 3]


def test_audio_without_an_extractor_takes_the_small_one(calls, ssahc_here):
    # A folder of its name is not taken for it.
    done = ssahc_here("diarize", "calls/call0.wav", "small", "--num-speakers", 2)
    assert done.returncode == 0, done.stderr
    assert "larger ones make fewer errors: " in done.stderr
    assert 'extractor = "small"' in (calls.parent / "small" / "config.toml").read_text()
    rttm = (calls.parent / "small" / "rttm").read_text()
    found = ssahc.diarize_audio(calls / "call0.wav", num_speakers=2)
    ssahc.write_rttm("rttm", found)
    assert (calls.parent / "rttm").read_text() == rttm


def test_audio_and_x_vectors_are_told_apart(calls, ssahc_here, model_folder):
    for words, fault in (
        (("gone.wav", "out"), "gone.wav: no such file or folder"),
        (("gone", "out", "--window", 2), "gone: no such file or folder"),
        (("x", "out", "--window", 2), "--window is for audio"),
        (("x", "out", "--extractor", model_folder), "holds x-vectors, not audio"),
        (("calls", "calls", "--extractor", model_folder), "holds the audio"),
    ):
        (calls.parent / "x").mkdir(exist_ok=True)
        (calls.parent / "x" / "xvector.scp").touch()
        done = ssahc_here("diarize", *words)
        assert (done.returncode, fault in done.stderr) == (2, True), done.stderr


def test_a_wrong_model_is_named_before_extraction(
    calls, ssahc_here, model_folder, tmp_path
):
    write_model_dir(tmp_path / "other", Model(np.zeros(7), np.eye(7)))
    command = ("diarize", calls, "out", "--extractor", model_folder, "--model-dir")
    gone, other = (ssahc_here(*command, model) for model in ("gone", "other"))
    row = fault_table.PAGE["Audio"]["a model of other x-vectors than the extractor's"]
    assert row.is_said_in(other.stderr), other.stderr
    assert "gone: no such folder" in gone.stderr
    assert gone.returncode == other.returncode == 2
    assert not (calls.parent / "out").exists()


def test_models_are_listed_with_the_command_that_installs_them(ssahc_here):
    done = ssahc_here("models")
    assert done.returncode == 0
    for model in INSTALLABLE.values():
        assert model.install in done.stdout


def test_python_gives_what_the_command_line_gives(calls, ssahc_here, model_folder):
    path = calls / "call1.wav"
    extractor = ssahc.Extractor.load(model_folder)
    command = ("diarize", path, "out", "--extractor", model_folder)
    done = ssahc_here(*command, "--num-speakers", 2)
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
