"""``ssahc import``: numpy's files as an x-vector folder."""

import numpy as np
import pytest

import ssahc

X = np.repeat(np.eye(3), 4, axis=0) + np.random.default_rng(0).normal(0, 0.1, (12, 3))
TIMES = np.arange(12)[:, None] + [0, 1.0]


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("meeting.npz", xvectors=X, segments=TIMES)
    return tmp_path


def test_an_imported_recording_is_diarized_as_in_python(ssahc_here, files):
    names = [f"w{row}" for row in range(12)]
    np.savez_compressed("b.npz", xvectors=X[::-1], segments=TIMES, utterances=names)
    done = ssahc_here("import", "meeting.npz", "b.npz", "x")
    assert (done.returncode, done.stdout) == (0, "")
    assert "wrote 2 recordings to x" in done.stderr
    assert ssahc_here("check", "x").returncode == 0
    assert ssahc_here("diarize", "x", "out", "--num-speakers", 3).returncode == 0
    # Of both recordings, kept by the run.
    learned = {"model": ssahc.read_model_dir("out/learned_model"), "num_speakers": 3}
    first = ssahc.diarize(X, TIMES, recording_id="meeting", **learned)
    second = ssahc.diarize(X[::-1], TIMES, recording_id="b", **learned)
    ssahc.write_rttm("rttm", {"meeting": first.turns, "b": second})
    assert (files / "out" / "rttm").read_text() == (files / "rttm").read_text()
    assert "w11 3 \n" in (files / "out" / "labels").read_text()


def test_unusable_files_are_named_and_the_others_written(ssahc_here, files):
    good = (files / "meeting.npz").read_bytes()
    (files / "cut.npz").write_bytes(good[:500])
    (files / "text.npz").write_text("hello")
    (files / "empty.npz").touch()
    np.savez("pickled.npz", xvectors=np.array([{}]), segments=TIMES)
    np.savez("other.npz", embeddings=X, segments=TIMES)
    np.savez("short.npz", xvectors=X, segments=TIMES[1:])
    np.savez("two words.npz", xvectors=X, segments=TIMES)
    np.savez("numbers.npz", xvectors=X, segments=TIMES, utterances=np.arange(12))
    np.savez("samples.npz", xvectors=X, segments=1e8 * TIMES)
    np.save("single.npy", X)
    damaged = "is damaged, or holds pickled objects"
    faults = {
        "cut.npz": damaged,
        "text.npz": damaged,
        "empty.npz": damaged,
        "pickled.npz": damaged,
        "other.npz": "found 'embeddings', 'segments'",
        "short.npz": "12 utterances need segments of shape (12, 2)",
        "two words.npz": "ids must not have white space",
        "numbers.npz": "utterances must be a vector of text",
        "samples.npz": "are these samples or milliseconds?",
        "single.npy": "found 'a single array'",
        "missing.npz": "no such file",
    }
    done = ssahc_here("import", *faults, "meeting.npz", "x")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(faults) + 1
    for line, (name, fault) in zip(lines, faults.items(), strict=False):
        assert f"{name}: " in line
        assert fault in line
    assert list(ssahc.open_xvector_dir("x").utterances) == ["meeting"]
    assert ssahc_here("import", *faults, "none").returncode == 2
    assert not (files / "none").exists()


def test_nothing_is_overwritten_or_confused(ssahc_here, files):
    assert ssahc_here("import", "meeting.npz", "x").returncode == 0
    (files / "sub").mkdir()
    np.savez("sub/meeting.npz", xvectors=X, segments=TIMES)
    for arguments, message in (
        (("meeting.npz", "x"), "x: holds xvector.ark already"),
        (("meeting.npz", "sub/meeting.npz", "y"), "would both become recording"),
        (("meeting.npz",), "Missing argument"),
    ):
        done = ssahc_here("import", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr
    # The other verbs say how to read such a file.
    assert "ssahc import" in ssahc_here("diarize", "meeting.npz", "out").stderr
