"""``ssahc diarize --overlap``: second speakers where a detector has found overlap."""

import numpy as np
import pytest
from fault_table import PAGE

from ssahc.cli.overlap import Regions
from ssahc.io.ark import ArchiveWriter
from ssahc.io.rttm import read_rttm
from ssahc.io.xvectors import open_xvector_dir
from ssahc.pipeline.second_speakers import add_second_speakers

ROWS = PAGE["Overlap"]
LINE = "SPEAKER {} 1 {} {} <NA> <NA> {} <NA> <NA>\n".format
# Fault, regions, further options, recordings done.
ALL = ["a000", "a001", "a002"]
SHIFTED = "posteriors with another `--overlap-frame-shift`"
CASES = {
    "a malformed line of --overlap": (LINE("a001", "x", 1, "overlap"), ()),
    "`--overlap` without overlap": (LINE("a001", 0, 1, "A") + LINE("b", 0, 1, "B"), ()),
    "options of posteriors without posteriors": (
        LINE("a001", 0, 1, "overlap"),
        ("--overlap-threshold", 0.6),
    ),
    "regions of overlap of other recordings, too": (
        LINE("z", 0, 1, "overlap") + LINE("a001", 0, 1, "overlap"),
        (),
    ),
    "regions of overlap of other recordings only": (LINE("z", 0, 1, "overlap"), ()),
    "`--overlap` beside `--segmentation`": ("", ("--segmentation", "x")),
    "`--overlap` beside `--exclusive`": (
        "",
        ("--segmentation", "x", "--exclusive"),
    ),
}


def test_second_speakers_are_in_the_rttm_alone(diarize, folder):
    regions = {"a000": [(5.0, 9.0), (20.0, 21.5)], "a002": [(3.25, 30.0)]}
    lines = [
        LINE(name, start, end - start, "overlap")
        for name, own in regions.items()
        for start, end in own
    ]
    (folder / "overlap.rttm").write_text("".join(lines))
    counts = ("--reco2num-spk", folder / "x" / "reco2num_spk")
    assert diarize(*counts, out="alone")[0] == 0
    status, _, _ = diarize(*counts, "--overlap", folder / "overlap.rttm")
    assert status == 0
    alone = read_rttm(folder / "alone" / "rttm").turns
    found = read_rttm(folder / "out" / "rttm").turns
    for name in ALL:
        expected = add_second_speakers(alone[name], regions.get(name, ()))
        assert [(t.speaker, round(t.start, 3), round(t.end, 3)) for t in expected] == [
            (t.speaker, round(t.start, 3), round(t.end, 3)) for t in found[name]
        ]
    assert found["a001"] == alone["a001"]
    assert len(found["a002"]) > len(alone["a002"])
    labels = [(folder / out / "labels").read_text() for out in ("alone", "out")]
    assert labels[0] == labels[1]
    # The options of the run have it, and other options in place of it displace it.
    config = folder / "out" / "config.toml"
    assert "overlap.rttm" in config.read_text()
    status, said, _ = diarize("--config", config, "--segmentation", "x", out="third")
    assert (status, "for audio, not for x-vectors" in said) == (2, True)


@pytest.mark.parametrize("fault", sorted(ROWS.keys() - {SHIFTED}))
def test_faults_are_named(diarize, folder, monkeypatch, fault):
    monkeypatch.chdir(folder)
    text, options = CASES[fault]
    (folder / "o.rttm").write_text(text)
    status, said, done = diarize("--overlap", "o.rttm", *options)
    assert ROWS[fault].is_said_in(said), said
    survives = ROWS[fault].survives == "everything (a warning)"
    assert (status, done) == ((0, ALL) if survives else (2, []))


def test_posteriors_of_another_length_are_refused(diarize, folder, monkeypatch):
    monkeypatch.chdir(folder)
    source = open_xvector_dir(folder / "x")
    ends = {
        name: max(source.segments[one][2] for one in source.utterances[name])
        for name in ALL
    }
    # The last frames may lack, and there may be silence behind the last window.
    seconds = {"a000": ends["a000"] - 1.9, "a001": ends["a001"] / 10, "a002": 9999}
    with ArchiveWriter(folder / "p.ark", folder / "p.scp") as writer:
        for name, length in seconds.items():
            writer.write(name, np.full(round(100 * length), 0.7, np.float32))
    status, said, done = diarize("--overlap", "p.ark")
    assert ROWS[SHIFTED].is_said_in(said), said
    assert (status, done) == (1, ["a000", "a002"])
    # Audio says more.
    regions = Regions(folder / "p.ark", {}, seconds)
    found = regions.find_misfits(source, {"a002": 9000.0, "a000": ends["a000"]})
    assert [fault.recording for fault in found] == ["a001", "a002"]
