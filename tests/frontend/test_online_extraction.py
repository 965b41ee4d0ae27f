"""Windows and x-vectors of audio that comes in blocks are those of its file."""

from functools import partial

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import ssahc
from ssahc.frontend import silero
from ssahc.frontend.extraction import ExtractionOptions, extract_audio
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.per_window import SLIDING, embed_windows
from ssahc.frontend.feature_options import FbankOptions
from ssahc.frontend.features import feature_blocks
from ssahc.frontend.online_extraction import OnlineExtractor
from ssahc.frontend.silero import SileroOptions
from ssahc.frontend.vad import RegionOptions

RATE = 8000
OPEN_SILERO = silero.open_silero


def make_extractor(*, mean, snip_edges):
    """An extractor whose embeddings are means and deviations over windows."""
    options = FbankOptions(num_mel_bins=5, sample_frequency=RATE, snip_edges=snip_edges)
    is_sliding = mean == "sliding"

    def embed(windows):
        return np.hstack([windows.mean(axis=1), windows.std(axis=1)])

    return Extractor(
        name="statistics",
        sample_rate=RATE,
        dim=10,
        frame_shift=0.01,
        frame_length=0.025,
        overhang=2 if snip_edges else 0,
        context=SLIDING.cmn_window if is_sliding else 0,
        lookahead=SLIDING.lookahead if is_sliding else 0,
        compute_features=partial(feature_blocks, options=options),
        embed_frames=partial(embed_windows, network=embed, mean=mean),
    )


class LoudIsSpeech:
    """In place of the network of silero-vad."""

    def run(self, _, inputs):
        power = np.square(inputs["input"]).mean(axis=1)
        return 1 / (1 + (0.05**2 / power)), inputs["h"], inputs["c"]


@pytest.fixture(scope="module", autouse=True)
def _loud_is_speech():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silero, "open_silero", LoudIsSpeech)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("audio") / "a.wav"


def make_samples(tenths, rate=RATE):
    """Loud and quiet noise in turn, of so many tenths of a second."""
    rng = np.random.default_rng(0)
    levels = np.where(np.arange(len(tenths)) % 2, 5000, 100)
    levels = np.repeat(levels, np.array(tenths, int) * rate // 10)
    return (levels * rng.normal(size=len(levels))).clip(-32768, 32767).astype("i2")


def extract_online(online, samples, sizes):
    found, at = [], 0
    while at < len(samples):
        size = sizes[len(found) % len(sizes)]
        found.append(online.add(samples[at : at + size]))
        at += size
    found.append(online.finish())
    return [np.concatenate(part) for part in zip(*found, strict=True)]


@settings(max_examples=15, deadline=None)
@given(
    tenths=st.lists(st.integers(1, 70), min_size=2, max_size=8),
    sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=4),
    mean=st.sampled_from(["none", "window", "sliding"]),
    snip_edges=st.booleans(),
    rate=st.sampled_from([RATE, 11025, 44100]),
    padding=st.sampled_from([0.0, 0.1]),
)
def test_all_is_as_of_the_file(path, tenths, sizes, mean, snip_edges, rate, padding):
    samples = make_samples(tenths, rate)
    extractor = make_extractor(mean=mean, snip_edges=snip_edges)
    extraction = ExtractionOptions(
        vad="silero", regions=RegionOptions(speech_padding=padding)
    )
    soundfile.write(path, samples, rate)
    online = OnlineExtractor(extractor, sample_rate=rate, extraction=extraction)
    sizes = [max(size, len(samples) // 50) for size in sizes]
    xvectors, segments = extract_online(online, samples, sizes)
    if len(segments) == 0:
        with pytest.raises(ssahc.DataError, match="no speech found"):
            extract_audio(path, extractor, options=extraction)
        return
    expected = extract_audio(path, extractor, options=extraction)
    assert online.seconds == len(samples) / rate
    assert segments.tolist() == expected.segments.tolist()
    np.testing.assert_allclose(xvectors, expected.xvectors, atol=2e-4)


def test_windows_come_when_their_frames_do():
    samples = make_samples([10, 100])
    came = {}
    for mean in ("window", "sliding"):
        extractor = make_extractor(mean=mean, snip_edges=True)
        online = OnlineExtractor(extractor)
        for start in range(0, len(samples), 400):
            for window in online.add(samples[start : start + 400])[1].tolist():
                came[mean, *window] = online.seconds - window[1]
    first, second = (0.992, 2.492), (1.742, 3.242)
    assert came["window", *first] < 0.1
    assert came["window", *second] < 0.1
    # The mean of 3 s around each frame.
    assert 1.45 <= came["sliding", *second] < 1.6


def test_memory_does_not_grow():
    online = OnlineExtractor(make_extractor(mean="sliding", snip_edges=False))
    held = []
    for tenths in ([20, 3], [600, 3], [3, 600], [8, 40] * 5):
        for block in np.array_split(make_samples(tenths), 50):
            online.add(block)
        held.append(len(online._frames._held) / RATE)
    assert max(held) < 12


def test_blocks_that_cannot_be_used_are_not_taken():
    samples = make_samples([10, 30, 10]).astype(np.float32)
    extractor = make_extractor(mean="none", snip_edges=True)
    online = OnlineExtractor(extractor)
    for block, message in [
        (np.full(3, np.nan), "sample 0 .* is NaN or infinite"),
        (np.full(3, 1e39), "sample 0 .* is NaN or infinite"),
        (np.zeros((3, 2)), "of one channel"),
        (["a"], "of one channel"),
    ]:
        with pytest.raises(ssahc.DataError, match=message):
            online.add(block)
    found = extract_online(online, samples, [5000])
    expected = extract_online(OnlineExtractor(extractor), samples, [5000])
    assert found[1].tolist() == expected[1].tolist()
    assert len(found[1]) == 4
    with pytest.raises(ssahc.UsageError, match="the audio has ended"):
        online.add(samples)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"extraction": ExtractionOptions(vad="energy")},
            "mean of the whole recording",
        ),
        ({"extraction": ExtractionOptions(vad="segmentation-3.0")}, "take chunks of"),
        ({"sample_rate": 10}, "Hz between 1000 and 768000, found 10"),
        ({"sample_rate": 44100.5}, "whole number of Hz"),
    ],
)
def test_what_a_stream_cannot_have_is_refused(values, message):
    with pytest.raises(ssahc.UsageError, match=message):
        OnlineExtractor(make_extractor(mean="none", snip_edges=True), **values)


@pytest.mark.skipif(not silero.has_silero(), reason="silero-vad is not installed")
def test_real_audio_and_network(test_data, monkeypatch):
    monkeypatch.setattr(silero, "open_silero", OPEN_SILERO)
    path = test_data / "data" / "ami_audio" / "ami_trn00.wav"
    extractor = Extractor.load("small")
    extraction = ExtractionOptions(vad="silero", silero=SileroOptions(0.5))
    expected = extract_audio(path, extractor, options=extraction)
    samples, rate = soundfile.read(path, dtype="int16")
    online = OnlineExtractor(extractor, sample_rate=rate, extraction=extraction)
    blocks = np.array_split(samples, 100)
    found = [online.add(block) for block in blocks]
    found.append(online.finish())
    xvectors, segments = map(np.concatenate, zip(*found, strict=True))
    assert segments.tolist() == expected.segments.tolist()
    scale = np.abs(expected.xvectors).max()
    np.testing.assert_allclose(xvectors, expected.xvectors, atol=1e-5 * scale)
