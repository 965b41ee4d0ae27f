import numpy as np
import pytest

from ssahc.core.errors import DataError
from ssahc.core.types import Fault, Recording
from ssahc.io.ark import ArchiveWriter
from ssahc.io.check import find_problems
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings


@pytest.fixture
def recordings(corpus):
    return [item.recording for item in corpus["a"].conversations]


@pytest.fixture
def folder(recordings, tmp_path):
    write_xvector_dir(tmp_path / "x", recordings)
    return tmp_path / "x"


def read_all(folder):
    return list(read_recordings(open_xvector_dir(folder)))


def same(first, second):
    assert first.id == second.id
    assert first.utterances == second.utterances
    np.testing.assert_allclose(first.segments, second.segments)
    np.testing.assert_allclose(first.xvectors, second.xvectors, rtol=1e-6)


def vectors_of(recordings):
    return {
        utterance: vector
        for recording in recordings
        for utterance, vector in zip(recording.utterances, recording.xvectors)
    }


def test_recordings_may_be_spread_over_archives(folder, recordings):
    # As extract_xvectors.sh, which writes an archive per job.
    vectors = vectors_of(recordings)
    lines = []
    for job in range(3):
        name, scp = f"xvector.{job}.ark", folder / f"{job}.scp"
        with ArchiveWriter(folder / name, scp) as archive:
            for utterance in list(vectors)[job::3]:
                archive.write(utterance, vectors[utterance])
        lines += scp.read_text().splitlines()
    (folder / "xvector.scp").write_text("\n".join(sorted(lines)) + "\n")
    found = {recording.id: recording for recording in read_all(folder)}
    for recording in recordings:
        same(found[recording.id], recording)
    # Without one of them no recording is complete.
    (folder / "xvector.1.ark").unlink()
    assert all(isinstance(item, Fault) for item in read_all(folder))


def test_broken_vectors_cost_only_their_recording(folder, recordings):
    # Recordings take turns in the archive, and two vectors of the second are broken.
    vectors = vectors_of(recordings)
    with ArchiveWriter(folder / "xvector.ark", folder / "xvector.scp") as archive:
        for utterance in sorted(vectors, key=lambda name: name.rpartition("-")[2]):
            archive.write(utterance, vectors[utterance].astype(np.float32))
    data = bytearray((folder / "xvector.ark").read_bytes())
    broken = recordings[1].utterances[3], recordings[1].utterances[5]
    for utterance, at, byte in zip(broken, (3, 9), b"X\x01", strict=True):
        data[data.index(utterance.encode()) + len(utterance) + at] = byte
    (folder / "xvector.ark").write_bytes(data)
    found = read_all(folder)
    (fault,) = (item for item in found if isinstance(item, Fault))
    assert fault.recording == recordings[1].id
    assert f"xvector.ark: key {broken[0]!r}: expected a vector (FV/DV)" in fault.reason
    sound = {item.id: item for item in found if isinstance(item, Recording)}
    for recording in (*recordings[:1], *recordings[2:]):
        same(sound.pop(recording.id), recording)
    assert not sound


def test_select_keeps_the_named_recordings(folder, recordings):
    tables = open_xvector_dir(folder)
    names = [recording.id for recording in recordings]
    assert tables.select(names) is tables
    some = tables.select(names[1:])
    assert list(some.utterances) == names[1:]
    assert set(some.entries) == set(vectors_of(recordings[1:]))
    with pytest.raises(DataError, match="has no recording 'x'"):
        tables.select([*names, "x"])


def test_unusable_recordings_are_refused():
    for utterances, segments, xvectors, message in (
        ((), np.zeros((0, 2)), np.zeros((0, 3)), "no x-vectors"),
        (("a",), np.zeros((2, 2)), np.ones((1, 3)), r"found \(2, 2\)"),
        (("a",), np.zeros((1, 2)), np.ones((2, 3)), r"and \(2, 3\)"),
        (("a",), np.zeros((1, 2)), np.ones((1, 0)), "one column or more"),
        (("a",), np.zeros((1, 2)), np.full((1, 3), np.nan), "of 'a' holds NaN"),
        (("a",), np.zeros((1, 2)), np.zeros((1, 3)), "of 'a' is all zero"),
    ):
        with pytest.raises(DataError, match=message):
            Recording("r", utterances, segments, xvectors)


def test_written_times_keep_all_their_digits(tmp_path):
    times = [[0.0004, 1.5004], [0.75, 3]]
    recording = Recording.from_arrays("r", np.eye(2), times)
    write_xvector_dir(tmp_path, [recording])
    assert read_all(tmp_path)[0].segments.tolist() == times
    assert "r-0000001 r 0.750 3.000\n" in (tmp_path / "segments").read_text()


def test_ids_that_no_table_can_hold_are_not_written(tmp_path):
    def named(name, *utterances):
        return Recording.from_arrays(name, np.eye(1), [[0, 1]], utterances)

    for recordings, message in (
        ([named("a b", "u")], "without white space, found 'a b'"),
        ([named("a", "")], "without white space, found ''"),
        ([named("a", "u"), named("b", "u")], "window 'u' is there twice"),
        ([named("a", "u"), named("a", "v")], "recording 'a' is there twice"),
    ):
        with pytest.raises(DataError, match=message):
            write_xvector_dir(tmp_path / "x", recordings)
        assert list((tmp_path / "x").iterdir()) == []


def test_times_in_milliseconds_are_noticed(tmp_path, caplog):
    write_xvector_dir(
        tmp_path, [Recording.from_arrays("r", np.eye(2), [[0, 1500]] * 2)]
    )
    open_xvector_dir(tmp_path)
    find_problems(tmp_path)
    assert len(caplog.messages) == 2
    for message in caplog.messages:
        assert message.startswith(
            f"{tmp_path}/segments: the median window lasts 1500 s"
        )
