"""Regions of overlap, as detectors write them."""

import numpy as np
import pytest

from ssahc.core.errors import FormatError, UsageError
from ssahc.io.ark import ArchiveWriter
from ssahc.io.overlap import PosteriorOptions, read_overlap

LINE = "SPEAKER {} 1 {} {} <NA> <NA> {} <NA> <NA>\n".format


@pytest.fixture
def read(tmp_path):
    def read(text, name="x.rttm"):
        (tmp_path / name).write_text(text)
        return read_overlap(tmp_path / name)

    return read


def test_turns_of_overlap_are_the_regions(read):
    kaldi = LINE("r", 3, 1, "overlap") + LINE("r", 0, 5, "A") + LINE("s", 0, 5, "A")
    assert read(kaldi + LINE("r", 1, 1, "overlap")) == {
        "r": [(1.0, 2.0), (3.0, 4.0)],
        "s": [],
    }
    assert read(LINE("r", 3, 1, "OVERLAP")) == {"r": [(3.0, 4.0)]}
    assert read(LINE("r", 3, 1, "SPEAKER_00")) == {"r": [(3.0, 4.0)]}


def test_turns_of_speakers_overlap_where_two_of_them_do(read):
    turns = [
        *(("A", 0, 4), ("A", 3, 2), ("B", 4.5, 2.5), ("A", 7, 1)),
        *(("C", 6, 3), ("B", 6.75, 1)),
    ]
    text = "".join(LINE("r", start, length, name) for name, start, length in turns)
    assert read(text + LINE("s", 0, 5, "A")) == {
        "r": [(4.5, 5.0), (6.0, 8.0)],
        "s": [],
    }


def test_other_lists_and_faults(read):
    assert read("r 1 2.5 3\n", "x.uem") == {"r": [(2.5, 3.0)]}
    assert read("u r 2.5 3\n", "segments") == {"r": [(2.5, 3.0)]}
    with pytest.raises(FormatError, match=r"x\.rttm: holds no region of overlap"):
        read(LINE("r", 0, 5, "A") + LINE("r", 5, 5, "B"))
    with pytest.raises(FormatError, match=r"x\.rttm:2: expected a number"):
        read(LINE("r", 0, 5, "overlap") + LINE("r", "x", 5, "overlap"))


def test_frames_above_the_threshold_are_overlap(tmp_path, read):
    vectors = {
        "r": [0.5, 0.7, 0.1, 0.1, 0.49, 0.9, 1.0],
        "s": [0.2, 0.3, 0.0],
    }
    with ArchiveWriter(tmp_path / "p.ark", tmp_path / "p.scp") as writer:
        for name, vector in vectors.items():
            writer.write(name, np.array(vector, np.float32))
    expected = {"r": [(0.0, 0.02), (0.05, 0.07)], "s": []}
    for name in ("p.ark", "p.scp", f"scp:{tmp_path}/p.scp"):
        path = name if ":" in name else tmp_path / name
        assert read_overlap(path) == expected
    options = PosteriorOptions(overlap_threshold=0.25, overlap_frame_shift=1.0)
    assert read_overlap(tmp_path / "p.ark", options) == {
        "r": [(0.0, 2.0), (4.0, 7.0)],
        "s": [(1.0, 2.0)],
    }
    with pytest.raises(UsageError, match="--overlap-threshold is for probabilities"):
        read_overlap(tmp_path / "x.rttm", PosteriorOptions(overlap_threshold=0.6))
    for value in (1.5, np.nan):
        with ArchiveWriter(tmp_path / "p.ark", tmp_path / "p.scp") as writer:
            writer.write("bad", np.array([0.9, value], np.float32))
        with pytest.raises(FormatError, match=r"p\.ark: key 'bad': expected prob"):
            read_overlap(tmp_path / "p.ark")
