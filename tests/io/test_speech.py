import pytest

from ssahc.core.errors import FormatError
from ssahc.io.speech import read_speech


@pytest.fixture
def speech(tmp_path):
    def read(name, text):
        (tmp_path / name).write_text(text)
        regions = read_speech(tmp_path / name)
        return {key: [tuple(region) for region in regions[key]] for key in regions}

    return read


def test_rttm_is_the_time_in_which_anybody_speaks(speech):
    line = "SPEAKER r1 1 {} {} <NA> <NA> {} <NA> <NA>\n".format
    turns = line(3.5, 1, "B") + line(1, 2, "A") + line(3, 0.25, "B") + line(4, 1, "A")
    assert speech("x.rttm", turns + line(9, 0, "A")) == {
        "r1": [
            ("r1-00001000-00003250", 1.0, 3.25),
            ("r1-00003500-00005000", 3.5, 5.0),
        ]
    }


def test_uem(speech):
    assert speech("all.UEM", "r2 1 5 6\nr2 2 0 5.5\nr1 1 0 1.0004\n") == {
        "r2": [("r2-00000000-00006000", 0.0, 6.0)],
        "r1": [("r1-00000000-00001000", 0.0, 1.0)],
    }


def test_segments_keep_their_ids(speech):
    assert speech("segments", "b r 2 3\na r 0.5 2.5\nc r 4 4\n") == {
        "r": [("a", 0.5, 2.5), ("b", 2.0, 3.0)]
    }


def test_nothing_is_a_fault(speech):
    for name in ("x.rttm", "x.uem", "segments"):
        with pytest.raises(FormatError, match=rf"{name}: holds no region"):
            speech(name, "")
    with pytest.raises(FormatError, match="segments:1: "):
        speech("segments", "SPEAKER r1 1 0 1 <NA> <NA> A <NA> <NA>\n")
