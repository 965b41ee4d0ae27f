"""Audio, and a network for it."""

import shutil

import pytest
import soundfile
from linked_runs import LinkedRuns


@pytest.fixture(scope="session")
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
    samples, rate = soundfile.read(golden / "frontend/wav/trn06-8k.wav", dtype="int16")
    (tmp_path / "calls").mkdir()
    for number in range(3):
        part = samples[6 * rate * number :][: 6 * rate]
        soundfile.write(f"calls/call{number}.wav", part, rate)
    return tmp_path / "calls"


@pytest.fixture
def extract(ssahc_here, model_folder):
    def run(audio, out, *options, extractor=model_folder):
        result = ssahc_here("extract", audio, out, "--extractor", extractor, *options)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""
        return result.returncode, result.stderr

    return run


@pytest.fixture
def runs(ssahc_here, tmp_path, monkeypatch):
    """Two runs of two recordings with four voices, and a way to link."""
    monkeypatch.chdir(tmp_path)
    return LinkedRuns(tmp_path, ssahc_here)
