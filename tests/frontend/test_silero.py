"""Speech detection by silero-vad."""

import numpy as np
import pytest
import soundfile

from ssahc.core.errors import UsageError
from ssahc.frontend import silero
from ssahc.frontend.extraction import ExtractionOptions, detect_speech
from ssahc.frontend.feature_options import MfccOptions
from ssahc.frontend.recordings import Audio
from ssahc.frontend.silero import SileroOptions, open_silero, silero_vad


@pytest.fixture
def samples(golden):
    """5 s of speech at 16 kHz, every sample taken twice, and 1 s of silence."""
    wav = golden / "frontend" / "wav" / "trn06-8k.wav"
    speech = soundfile.read(wav, frames=40000, start=40000, dtype="int16")[0]
    return np.concatenate([np.repeat(speech, 2), np.zeros(16000)]).astype(np.float32)


@pytest.fixture
def weights():
    try:
        open_silero()
    except UsageError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("weights")
def test_speech_is_found_however_the_audio_is_cut(samples, tmp_path):
    whole = silero_vad([samples])
    assert len(whole) == -(-len(samples) // 512)
    assert whole[:156].mean() > 0.5
    assert not whole[-25:].any()
    blocks = np.split(samples, [1, 600, 20000, 20001])
    np.testing.assert_array_equal(silero_vad(blocks), whole)
    assert silero_vad([]).shape == (0,)
    soundfile.write(tmp_path / "a.wav", samples.astype("int16"), 16000)
    audio = Audio("a", tmp_path / "a.wav", 16000)
    regions = detect_speech(audio, ExtractionOptions(vad="silero"), MfccOptions())
    assert regions[-1, 1] <= 5.2


def test_speech_ends_below_the_threshold_at_which_it_starts():
    found = np.array([0.1, 0.4, 0.6, 0.4, 0.3, 0.4, 0.5, 0.36, 0.34])
    decided = silero._decide(found, SileroOptions(silero_threshold=0.5), False)
    assert decided.astype(int).tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(silero, "find_file", lambda *_: None)
    with pytest.raises(UsageError, match=r"pip install 'ssahc\[vad\]'"):
        open_silero()
