import numpy as np
import pytest

from ssahc.core.errors import DataError
from ssahc.frontend.windows import (
    WindowOptions,
    frame_ranges,
    uniform_windows,
    window_names,
)


def test_subsegments_and_frames_equal_kaldis(kaldi):
    ((segment, _, start, end),) = kaldi.read_lines("segments")
    region = float(start), float(end)
    windows = uniform_windows(*region)
    frames = frame_ranges(windows, 0.01, len(kaldi.read("mfcc")))
    names = window_names(segment, *region)
    lines = [
        [name, kaldi.name, f"{first:.3f}", f"{last:.3f}"]
        for name, (first, last) in zip(names, windows)
    ]
    assert lines == kaldi.read_lines("subsegments")
    expected = [[int(x) for x in line[2:]] for line in kaldi.read_lines("frames")]
    assert frames.tolist() == expected


@pytest.mark.parametrize(
    ("end", "options", "expected"),
    [
        (14, WindowOptions(4, 2, 0.5), [(10, 14)]),
        (12, WindowOptions(4, 2, 0.5), [(10, 12)]),
        (15, WindowOptions(4, 2, 0.5), [(10, 14), (12, 15)]),
        # Less than 2.5 s are left after the second window: it is moved back.
        (16.3, WindowOptions(4, 2, 2.5), [(10, 14), (12, 16), (12.3, 16.3)]),
        (12, WindowOptions(4, 2, 2.5, hard_min=True), []),
        (15, WindowOptions(4, 2, 1.5, constant_duration=False), [(10, 15)]),
        (
            20,
            WindowOptions(4, 3, 1, constant_duration=False),
            [(10, 14), (13, 17), (16, 20)],
        ),
        # A period beyond the window leaves gaps, in the recipe's PLDA training data.
        (21, WindowOptions(3, 10, 1.5, hard_min=True), [(10, 13), (18, 21)]),
        (19, WindowOptions(3, 10, 1.5, hard_min=True), [(10, 13)]),
        (10.0004, WindowOptions(), []),
    ],
)
def test_windows_of_a_region(end, options, expected):
    windows = uniform_windows(10, end, options)
    assert windows.tolist() == [list(map(float, window)) for window in expected]
    assert len(window_names("r", 10, end, options)) == len(expected)


def test_frames_stay_within_the_recording():
    windows = np.array([[0, 0.004], [0.101, 0.25], [0.9, 2], [3, 4]])
    ranges = frame_ranges(windows, 0.01, 100)
    assert ranges.tolist() == [[0, 1], [10, 25], [90, 100], [100, 100]]


def test_impossible_regions_are_refused():
    for start, end in ((2, 1), (-1, 1), (0, np.inf), (np.nan, 1)):
        with pytest.raises(DataError, match="0 <= start <= end"):
            uniform_windows(start, end)
