"""The section of docs/reference/faults.md on tables and the ids in them."""

import os
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from fault_table import PAGE

from ssahc.core.errors import FormatError
from ssahc.io.ark import read_single
from ssahc.io.files import read_fields
from ssahc.io.rttm import write_rttm
from ssahc.io.text import read_segments
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings

ROWS = PAGE["Tables"]
TABLES = ("segments", "utt2spk", "spk2utt", "xvector.scp")


def segment(text):
    return lambda broken: broken.line("segments", text)


def everywhere(change):
    """Change all tables, byte by byte."""

    def hurt(broken):
        for name in TABLES:
            path = broken.x / name
            path.write_bytes(change(path.read_bytes()))

    return hurt


def shuffle(broken):
    for name in ("segments", "utt2spk", "xvector.scp"):
        lines = (broken.x / name).read_text().splitlines(keepends=True)
        np.random.default_rng(0).shuffle(lines)
        (broken.x / name).write_text("".join(lines))


def overlap(broken):
    path = broken.x / "segments"
    lines = [" ".join(line.split()[:2]) for line in path.read_text().splitlines()]
    path.write_text("".join(f"{line} 0 1.5\n" for line in lines))


def list_nothing(broken):
    for name in TABLES:
        broken.drop(f"x/{name}", broken.recording)
    broken.append("x/spk2utt", f"{broken.recording}\n")


def counts(text):
    """Give a table of numbers of speakers."""

    def hurt(broken):
        (broken.x / "reco2num_spk").write_text(text)
        return ["--reco2num-spk", broken.x / "reco2num_spk"]

    return hurt


def listed(text):
    def hurt(broken):
        (broken.folder / "list").write_text(text)
        return ["--recordings", "list"]

    return hurt


def in_milliseconds(broken):
    """Give all windows 1500 ms as if they were seconds."""
    path = broken.x / "segments"
    lines = [line.split() for line in path.read_text().splitlines()]
    text = [
        f"{key} {name} {row * 750} {row * 750 + 1500}\n"
        for row, (key, name, *_) in enumerate(lines)
    ]
    path.write_text("".join(text))


def missing(name):
    return lambda broken: (broken.x / name).unlink()


def emptied(name):
    return lambda broken: (broken.x / name).write_text("")


def replaced(make):
    """Put something else in place of a table."""

    def hurt(broken):
        (broken.x / "segments").unlink()
        make(broken.x / "segments")

    return hurt


def renamed(rename):
    """Give all recordings, and so their utterances, other names."""

    def hurt(broken):
        recordings = []
        for item in read_recordings(open_xvector_dir(broken.x)):
            utterances = (u.replace(item.id, rename(item.id)) for u in item.utterances)
            new = replace(item, id=rename(item.id), utterances=tuple(utterances))
            recordings.append(new)
            broken.names[new.id] = item.id
        write_xvector_dir(broken.x, recordings)
        (broken.x / "reco2num_spk").unlink()

    return hurt


ACCENTS = {
    "a000": unicodedata.normalize("NFC", "\u00e9"),
    "a001": unicodedata.normalize("NFD", "\u00e9"),
    "a002": "\u65e5\u672c",
}
MARKUP = "</script><script>alert(1)</script>"

FAULTS = {
    "a negative time": segment("{key} a001 -1 1"),
    "an end before its start": segment("{key} a001 2 1"),
    "a segment without length": segment("{key} a001 1 1"),
    "a time that is NaN": segment("{key} a001 0 nan"),
    "a time that is infinite": segment("{key} a001 0 1e400"),
    "a time that is no number": segment("{key} a001 0 1,5"),
    "a number as Python alone writes it": segment("{key} a001 0 1_0"),
    "times in samples or milliseconds": segment("{key} a001 0 1e9"),
    "an end of -1": segment("{key} a001 0 -1"),
    "a channel in a fifth field": lambda b: b.line("segments", "{key} a001 0 1.5 0"),
    "a recording on two channels": segment("{key} a001 0 1 0\nextra a001 0 1 1"),
    "windows of 1500 s": in_milliseconds,
    "a field too few": segment("{key} a001 0"),
    "an id with a space": segment("a {key} a001 0 1"),
    "an utterance twice": segment("{key} a001 0 1\n{key} a001 1 2"),
    "an utterance without a segment": lambda b: b.drop("x/segments", b.utterance),
    "a segment of another recording": segment("{key} a000 0 1"),
    "a segment that no recording lists": lambda b: b.append(
        "x/segments", "extra a001 0.0 1.0\n"
    ),
    "segments in any order": shuffle,
    "windows of one time": overlap,
    "a recording without utterances": list_nothing,
    "an utterance listed twice": lambda b: b.edit(
        "x/spk2utt", b.utterance, f"{b.utterance} {b.utterance}"
    ),
    "a recording twice": lambda b: b.append("x/spk2utt", "a000 x\n"),
    "tables that disagree": lambda b: b.edit("x/utt2spk", " a000", " a002"),
    "tables of speakers": lambda b: b.edit("x/utt2spk", " a", " spk-a", -1),
    "a recording without a number of speakers": counts("a000 2\na002 2\n"),
    "no number of speakers": counts("a000 2\na001 two\na002 2\n"),
    "more speakers than windows": counts("a000 2\na001 999\na002 2\n"),
    "a list of recordings that are not there": listed("nobody\n"),
    "an empty list of recordings": listed(""),
    "no segments": missing("segments"),
    "no utt2spk": missing("utt2spk"),
    "no spk2utt": missing("spk2utt"),
    "an empty segments": emptied("segments"),
    "an empty utt2spk": emptied("utt2spk"),
    "an empty spk2utt": emptied("spk2utt"),
    "a named pipe in place of a table": replaced(os.mkfifo),
    "a device in place of a table": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a folder in place of a table": replaced(os.mkdir),
    "tabs between fields": everywhere(lambda data: data.replace(b" ", b"\t")),
    "line ends of Windows": everywhere(lambda data: data.replace(b"\n", b"\r\n")),
    "blank lines": everywhere(lambda data: data.replace(b"\n", b"\n \n")),
    "no line end at the end": everywhere(lambda data: data[:-1]),
    "a byte order mark": everywhere(lambda data: b"\xef\xbb\xbf" + data),
    "zero bytes": lambda b: b.append("x/segments", bytes(100)),
    "text in Latin-1": everywhere(lambda data: data.replace(b"a001", b"\xe4001")),
    "ids in any script": renamed(ACCENTS.get),
    "ids with white space of Unicode": renamed(lambda name: f"\u00a0{name}\u2028x"),
    "ids of 10,000 characters": renamed(lambda name: name * 2500),
    "ids like paths": renamed(lambda name: f"../../{name}"),
    "ids like markup": renamed(lambda name: f"{MARKUP}{name}"),
    "ids that a terminal would obey": renamed(lambda name: f"\x1b[2J{name}"),
    "ids that start as a comment": renamed(lambda name: f";;{name}"),
}
# Faults of options that check does not have.
UNCHECKED = (
    "a list of recordings that are not there",
    "an empty list of recordings",
)


@pytest.mark.parametrize("fault", ROWS)
def test_fault_is_handled_as_documented(as_the_page_says, fault):
    as_the_page_says(ROWS[fault], FAULTS[fault], checked=fault not in UNCHECKED)


def test_harmless_differences_do_not_change_results(broken, diarize):
    assert diarize()[0] == 0
    for fault in ("segments in any order", "tabs between fields"):
        FAULTS[fault](broken)
    assert diarize(out="again")[0] == 0
    for name in ("rttm", "labels"):
        same = {(broken.folder / out / name).read_bytes() for out in ("out", "again")}
        assert len(same) == 1


@pytest.mark.parametrize("number", ["1_0", "\u0661", "0x10", "1d3"])
def test_numbers_only_python_reads_are_refused(tmp_path, number):
    (tmp_path / "segments").write_text(f"u r 0 {number}\n")
    with pytest.raises(FormatError, match="expected a number for the end"):
        read_segments(tmp_path / "segments")
    (tmp_path / "mean.vec").write_text(f" [ 1 {number} ]\n")
    with pytest.raises(FormatError, match="expected numbers"):
        read_single(tmp_path / "mean.vec", "vector")


def test_process_substitution_of_the_shell_is_read(tmp_path):
    read, write = os.pipe()
    os.write(write, b"u r 0 1\n")
    os.close(write)
    try:
        ((_, _, fields),) = read_fields(type(tmp_path)(f"/dev/fd/{read}"))
    finally:
        os.close(read)
    assert fields == ["u", "r", "0", "1"]


def test_many_malformed_lines_are_counted(broken, check, diarize):
    broken.append("x/segments", "".join(f"u{n} r x 1\n" for n in range(5000)))
    status, _, lines = check(broken.x)
    assert status == 2
    assert len(lines) == 1001
    assert lines[-1] == "ssahc: error: 5000 problems, of which 1000 are listed"
    status, errors, _ = diarize()
    assert (status, len(errors.splitlines())) == (2, 1)


# ---- hostile ids -------------------------------------------------------------------

COSINE = ("--system", "cosine")
ODD = f"../../{MARKUP}\x1b[2J%s{{0}}"


@pytest.fixture
def reference(corpus, broken):
    """RTTM of the recordings, renamed to hostile ids."""
    renamed(lambda name: ODD + name)(broken)
    new = {old: name for name, old in broken.names.items()}
    items = corpus["a"].conversations
    turns = {
        new[item.recording.id]: [
            replace(t, speaker=ODD + t.speaker) for t in item.turns
        ]
        for item in items
    }
    write_rttm(broken.folder / "ref", turns)
    return broken.folder / "ref"


def test_hostile_ids_are_harmless_to_every_verb(
    broken, reference, ssahc_here, monkeypatch, tmp_path
):
    # As on a terminal, where click leaves escape sequences in what it prints.
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda *_: False)
    x, out, name = broken.x, tmp_path / "out", f"{ODD}a001"
    before = set(tmp_path.parent.rglob("*"))
    for arguments in (
        ["diarize", x, out, "--write-scores", *COSINE],
        ["cluster", out / "scores.scp", x / "spk2utt", tmp_path / "clustered"],
        ["tune", x, reference, tmp_path / "tuned", "--thresholds", "0,1", *COSINE],
        ["fit", x, tmp_path / "fitted", "--unsupervised"],
        ["score", reference, out / "rttm", "--format", "markdown"],
        ["report", out, "--ref", reference, "--affinities", 1],
        ["plot", "affinity", x, name, reference, tmp_path / "a.png", *COSINE],
        ["plot", "timeline", reference, out / "rttm", name, tmp_path / "times.svg"],
        ["check", x],
    ):
        result = ssahc_here(*arguments)
        assert result.returncode == 0, result.stderr
        assert "\x1b" not in result.stdout + result.stderr
    broken.drop("x/segments", f"{name}-")
    result = ssahc_here("diarize", x, tmp_path / "less", *COSINE)
    assert result.returncode == 1
    assert "\x1b" not in result.stderr
    assert r"\x1b[2J" in result.stderr
    new = set(tmp_path.parent.rglob("*")) - before
    tops = {path.relative_to(tmp_path).parts[0] for path in new}
    files = {"a.png", "times.svg"}
    assert tops == {"out", "clustered", "tuned", "fitted", "less"} | files
    assert not any("a00" in path.name for path in new)
    page = (out / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "<script" not in (tmp_path / "times.svg").read_text()
