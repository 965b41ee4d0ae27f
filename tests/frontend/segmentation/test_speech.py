"""Speech detection by segmentation."""

from types import SimpleNamespace

import pytest
import soundfile

from ssahc.core.errors import DataError, UsageError
from ssahc.frontend.extraction import (
    ExtractionOptions,
    detect_speech,
    extract_recording,
)
from ssahc.frontend.feature_options import MfccOptions
from ssahc.frontend.recordings import Audio
from ssahc.frontend.segmentation.chunks import SegmentationOptions
from ssahc.frontend.silero import SileroOptions

VAD = ExtractionOptions(vad="segmentation-3.0")


@pytest.mark.usefixtures("segmenter")
def test_speech_is_found_at_any_rate_and_gaps_are_closed(golden):
    path = golden / "frontend" / "wav" / "trn06-8k.wav"
    regions = detect_speech(Audio("a", path, 8000), VAD, MfccOptions())
    lengths = regions[:, 1] - regions[:, 0]
    assert 12 < lengths.sum() <= 20
    assert lengths.min() >= VAD.regions.min_speech
    gaps = regions[1:, 0] - regions[:-1, 1]
    assert (gaps >= VAD.regions.min_silence).all()


@pytest.mark.usefixtures("segmenter")
def test_silence_is_told_with_another_way_to_detect_speech(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, [0.0] * 32000, 16000)
    extractor = SimpleNamespace(mfcc=None, sample_rate=16000)
    other_ways = "A lower --segmentation-threshold, --vad silero or --vad energy finds"
    with pytest.raises(DataError, match=f"no speech found.* {other_ways} more"):
        extract_recording(Audio("a", path, 16000), extractor, VAD)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"segmentation": SegmentationOptions(1.0), "vad": "silero"},
            "give --vad segmentation-3.0",
        ),
        ({"silero": SileroOptions(0.3), "vad": "segmentation-3.0"}, "silero-threshold"),
    ],
)
def test_options_of_another_detection_are_refused(options, said):
    with pytest.raises(UsageError, match=said):
        ExtractionOptions(**options)
