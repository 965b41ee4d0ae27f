"""Windows of a stream are those of the recording, as soon as they are certain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.frontend.online_segments import OnlineSegments
from ssahc.frontend.vad import RegionOptions, speech_regions
from ssahc.frontend.windows import WindowOptions, uniform_windows
from ssahc.io.speech import unite_spans

SHIFT = 0.032
LENGTHS = st.one_of(st.integers(1, 12), st.integers(1, 120))


def cut_whole(is_speech, regions, windows):
    found = speech_regions(is_speech, SHIFT, regions)
    speech = unite_spans("", map(tuple, found.tolist()))
    cut = [uniform_windows(start, end, windows) for _, start, end in speech]
    return np.concatenate([np.zeros((0, 2)), *cut])


@st.composite
def window_options(draw):
    window = draw(st.sampled_from([0.5, 1.5, 2.0]))
    hard_min = draw(st.booleans())
    shares = [0.25, 0.5, 1.0] + [1.5] * hard_min
    period = window * draw(st.sampled_from(shares))
    least = draw(st.sampled_from([0.0, 0.3, 0.5, 3.0]))
    return WindowOptions(window, period, least, hard_min, draw(st.booleans()))


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(LENGTHS, max_size=12),
    starts_with_speech=st.booleans(),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    regions=st.builds(
        RegionOptions,
        min_silence=st.sampled_from([0.0, 0.032, 0.3, 2.0]),
        min_speech=st.sampled_from([0.0, 0.25, 2.0]),
        speech_padding=st.sampled_from([0.0, 0.016, 0.1, 0.1234567, 1.0]),
    ),
    windows=window_options(),
)
def test_they_are_those_of_the_recording(
    runs, starts_with_speech, sizes, regions, windows
):
    is_speech = np.repeat((np.arange(len(runs)) + starts_with_speech) % 2 > 0, runs)
    online = OnlineSegments(SHIFT, regions, windows)
    found, earliest, at = [], 0.0, 0
    while at < len(is_speech) or not sizes:
        size = sizes[len(found) % len(sizes)] or 1
        new = online.add(is_speech[at : at + size])
        at += size
        assert (new[:, 0] >= earliest).all()
        earliest = online.earliest
        found.append(new)
    last = online.finish()
    assert (last[:, 0] >= earliest).all()
    whole = cut_whole(is_speech, regions, windows)
    assert np.concatenate([np.zeros((0, 2)), *found, last]).tolist() == whole.tolist()


def test_they_come_as_soon_as_they_are_certain():
    online = OnlineSegments(0.1, RegionOptions(), WindowOptions())
    came = {}
    # 4 s of speech from second 1 on.
    for frame in range(80):
        for window in online.add(np.array([10 <= frame < 50])).tolist():
            came[tuple(window)] = round((frame + 1) / 10, 1)
    # A window is the last one until there is more speech; the last one waits for
    # --min-silence.
    assert came == {
        (1.0, 2.5): 2.6,
        (1.75, 3.25): 3.3,
        (2.5, 4.0): 4.1,
        (3.25, 4.75): 4.8,
        (4.0, 5.0): 5.3,
    }
    # In silence, nothing is waited for.
    assert online.earliest == pytest.approx(8.0, abs=2e-3)
