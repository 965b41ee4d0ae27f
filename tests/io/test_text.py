from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kaldi_tables import read_labels

from ssahc.core.errors import FormatError
from ssahc.core.types import Turn
from ssahc.io.files import read_fields
from ssahc.io.rttm import read_rttm, read_uem, write_rttm
from ssahc.io.text import (
    Segment,
    format_posterior,
    keep_likely,
    read_reco2num_spk,
    read_segments,
    read_speaker_posterior,
    read_spk2utt,
    read_utt2spk,
    write_labels,
)


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "table"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_tables_are_read(write):
    assert read_segments(write("u r 0.5 1e1\r\n\nv r 2 2\n")) == {
        "u": Segment("r", 0.5, 10.0),
        "v": Segment("r", 2.0, 2.0),
    }
    assert read_spk2utt(write("r u v\ns\n")) == {"r": ["u", "v"], "s": []}
    assert read_utt2spk(write("u\tr\nv r")) == {"u": "r", "v": "r"}
    assert read_reco2num_spk(write("r 2\n")) == {"r": 2}


@settings(max_examples=40)
@given(st.dictionaries(st.integers(1, 300), st.floats(1e-9, 1), min_size=1))
def test_probabilities_of_numbers_of_speakers_are_kept(tmp_path_factory, odds):
    """Those that tell, so that reading and writing them again changes nothing."""
    total = sum(odds.values())
    posterior = {number: value / total for number, value in odds.items()}
    line = format_posterior("r", keep_likely(posterior))
    path = tmp_path_factory.getbasetemp() / "speaker_posterior"
    path.write_text(line)
    read = read_speaker_posterior(path)["r"]
    assert format_posterior("r", keep_likely(read)) == line
    for number, value in posterior.items():
        assert abs(read.get(number, 0) - value) <= (5e-4 if number in read else 5e-3)
    assert max(posterior.values()) == max(posterior[number] for number in read)


def test_labels_are_written_as_kaldi_does(tmp_path, golden):
    source = golden / "ahc_random" / "labels_t0"
    labels = read_labels(source)
    write_labels(tmp_path / "labels", [(u, label - 1) for u, label in labels.items()])
    assert (tmp_path / "labels").read_bytes() == source.read_bytes()


def test_errors_name_file_and_line(write):
    turn = "SPEAKER r 0 0 1 <NA> <NA> A <NA>\n"
    for reader, text, message in (
        (read_segments, "u r 0 1\nv r x 1\n", "2: key 'v': expected a number for the"),
        (read_utt2spk, "u\n", "1: key 'u': expected 'utterance recording'"),
        (read_reco2num_spk, "r 0\n", "1: key 'r': expected a whole number"),
        (read_reco2num_spk, "r " + "9" * 5000, "expected a whole number"),
        (read_speaker_posterior, "r\n", "1: key 'r': expected 'recording number:"),
        (read_speaker_posterior, "r 1:0.5 0:0.5\n", "2:0.810, found '0:0.5'"),
        (read_speaker_posterior, "r 1:0.5 1:0.5\n", "2:0.810, found '1:0.5'"),
        (read_speaker_posterior, "r 1:0.5 2:nan\n", "2:0.810, found '2:nan'"),
        (read_rttm, turn.replace("0 1", "0 x"), "expected a number for the duration"),
        (read_rttm, turn + turn.replace("0 0", "1 0"), "'r' is on channel '1' here"),
        (read_uem, "r 0 1\n", "1: expected 'recording channel start end'"),
        (read_uem, "r 0 0 2\nr 0 1 3\n", "2: overlaps another span"),
    ):
        path = write(text)
        with pytest.raises(FormatError) as caught:
            reader(path)
        assert message in str(caught.value)
        assert str(caught.value).startswith(str(path))


def test_rttm_survives_a_round_trip(tmp_path):
    turns = {"b": [Turn(0, 1.25, "1"), Turn(1.25, 2, "2")], "a": [Turn(3, 4, "x")]}
    path = tmp_path / "rttm"
    write_rttm(path, turns, channel="1")
    text = path.read_text()
    assert text.startswith("SPEAKER a 1   3.000   1.000 <NA> <NA> x <NA> <NA>\n")
    # Lines of other types are skipped.
    path.write_text(f";; comment\nSPKR-INFO r 1 <NA> <NA> <NA> unknown A <NA>\n{text}")
    rttm = read_rttm(path)
    assert rttm.turns == turns
    assert rttm.channels == {"a": "1", "b": "1"}


@settings(deadline=None)
@given(st.lists(st.floats(1e-5, 3), min_size=1, max_size=20))
def test_turns_that_follow_each_other_do_not_overlap_once_written(lengths):
    times = np.cumsum([0.0004, *lengths])
    turns = [Turn(start, end, "a") for start, end in pairwise(times.tolist())]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rttm"
        write_rttm(path, {"r": turns})
        fields = [line.split() for line in path.read_text().splitlines()]
    spans = [(Decimal(line[3]), Decimal(line[3]) + Decimal(line[4])) for line in fields]
    assert all(start < end for start, end in spans)
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    whole = sum(float(end - start) for start, end in spans)
    assert whole == pytest.approx(times[-1] - times[0], abs=1e-3)


def test_uem_spans_are_sorted(write):
    uem = read_uem(write("; comment\nr 1 5 6\nr 1 0 2.5\nr 2 0 3\n"))
    assert uem == {"r": {"1": [(0.0, 2.5), (5.0, 6.0)], "2": [(0.0, 3.0)]}}


@pytest.mark.parametrize("odd", ["\u00a0", "\u2003", "\x1c", "\x1f"])
def test_only_ascii_white_space_splits(write, odd):
    fields = [f"a{odd}b", "c", "d"]
    line = f"a{odd}b\tc \x0c d"
    assert list(read_fields(write(line + "\r\n\n" + "x y"))) == [
        (1, line, fields),
        (3, "x y", ["x", "y"]),
    ]
    plain = line.replace(odd, "-")
    assert list(read_fields(write(plain))) == [(1, plain, ["a-b", "c", "d"])]
