"""``ssahc diarize --overlap``: second speakers where a detector has found overlap."""

import pytest
from fault_table import PAGE

from ssahc.io.rttm import read_rttm
from ssahc.pipeline.second_speakers import add_second_speakers

ROWS = PAGE["Overlap"]
LINE = "SPEAKER {} 1 {} {} <NA> <NA> {} <NA> <NA>\n".format
# Fault, regions, further options, recordings done.
ALL = ["a000", "a001", "a002"]
CASES = {
    "a malformed line of --overlap": (LINE("a001", "x", 1, "overlap"), ()),
    "`--overlap` without overlap": (LINE("a001", 0, 1, "A") + LINE("b", 0, 1, "B"), ()),
    "options of posteriors without posteriors": (
        LINE("a001", 0, 1, "overlap"),
        ("--overlap-threshold", 0.6),
    ),
    "regions of overlap of other recordings": (LINE("z", 0, 1, "overlap"), ()),
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
    assert (status, "needs --extractor" in said) == (2, True)


@pytest.mark.parametrize("fault", ROWS)
def test_faults_are_named(diarize, folder, monkeypatch, fault):
    monkeypatch.chdir(folder)
    text, options = CASES[fault]
    (folder / "o.rttm").write_text(text)
    status, said, done = diarize("--overlap", "o.rttm", *options)
    assert ROWS[fault].is_said_in(said), said
    survives = ROWS[fault].survives == "everything (a warning)"
    assert (status, done) == ((0, ALL) if survives else (2, []))
