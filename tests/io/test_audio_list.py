import logging

import pytest

from ssahc.core.errors import FormatError
from ssahc.io.audio_list import AudioRecording, list_audio, read_channels


@pytest.fixture
def calls(tmp_path):
    """A folder of things that are named like audio, and other files."""
    folder = tmp_path / "calls"
    folder.mkdir()
    for name in ("b.WAV", "a 1.flac", "c.mp3", "notes.txt", "._c.mp3"):
        (folder / name).touch()
    return folder


def test_folder_of_audio(calls):
    assert list_audio(calls) == [
        AudioRecording("a_1", calls / "a 1.flac"),
        AudioRecording("b", calls / "b.WAV"),
        AudioRecording("c", calls / "c.mp3"),
    ]


def test_what_is_not_taken_of_a_folder_is_named(calls, caplog):
    (calls / "sub.d").mkdir()
    for name in ("a.m4a", "video.mp4", "e.AIFC", "n.nist", "s.snd"):
        (calls / name).touch()
    with caplog.at_level(logging.WARNING):
        names = [recording.path.name for recording in list_audio(calls)]
    assert names == ["a 1.flac", "b.WAV", "c.mp3", "e.AIFC", "n.nist", "s.snd"]
    (warning,) = caplog.messages
    assert "audio files: a.m4a, notes.txt, sub.d and 1 more; convert" in warning


def test_one_file(calls):
    assert list_audio(calls / "b.WAV") == [AudioRecording("b", calls / "b.WAV")]


def test_wav_scp_in_a_folder_goes_first(calls):
    (calls / "wav.scp").write_text("x c.mp3\n")
    expected = [AudioRecording("x", calls / "c.mp3")]
    for path in (calls, calls / "wav.scp", f"scp:{calls / 'wav.scp'}"):
        assert list_audio(type(calls)(path)) == expected


def test_paths_start_at_the_working_directory_else_at_the_scp(
    calls, tmp_path, monkeypatch, caplog
):
    scp = calls / "wav.scp"
    scp.write_text("r\tsub/a 1.flac \ns c.mp3\nt /gone/b.WAV\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a 1.flac").touch()
    (tmp_path / "c.mp3").touch()
    monkeypatch.chdir(tmp_path)
    with caplog.at_level(logging.WARNING):
        paths = [str(recording.path) for recording in list_audio(scp)]
    assert paths == ["sub/a 1.flac", "c.mp3", str(calls / "b.WAV")]
    assert "'/gone/b.WAV'" in caplog.text


FAULTS = {
    "x": "expected 'recording path', found 'x'",
    "x sph2pipe -f wav -c 1 a.sph |": "run 'sph2pipe -f wav -c 1 a.sph >x.wav' once",
    "x | touch owned": "is a pipe, which would run a shell",
    "x https://example.org/a.wav": "is a URL; download the file first",
    "x wav.ark:123": "is not a file of its own; store the audio in files",
    "x -": "is not a file of its own",
    "x gone.wav": "no audio file 'gone.wav' in the working directory or beside the scp",
    f"x {'a' * 300}.wav": "no audio file",
    "a c.mp3": "already in line 1; keep one of the two",
}


@pytest.mark.parametrize("line", FAULTS)
def test_faults_of_a_line_cost_only_that_recording(calls, line):
    (calls / "wav.scp").write_text(f"a b.WAV\n{line}\nz c.mp3\n")
    faults = []
    found = list_audio(calls, lambda key, error: faults.append((key, str(error))))
    assert [recording.id for recording in found] == ["a", "z"]
    ((key, message),) = faults
    assert message.startswith(f"{calls / 'wav.scp'}:2: key '{key}': ")
    assert FAULTS[line] in message


def test_faults_of_a_folder(calls, tmp_path):
    (calls / "c.wav").touch()
    with pytest.raises(FormatError, match=r"c.wav: has the id 'c' of c.mp3; rename"):
        list_audio(calls)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"neither wav\.scp nor audio files"):
        list_audio(tmp_path / "empty")
    (tmp_path / "empty" / "wav.scp").touch()
    with pytest.raises(FormatError, match="holds no recordings"):
        list_audio(tmp_path / "empty")
    with pytest.raises(FormatError, match="no such file or folder"):
        list_audio(tmp_path / "gone")


def test_channels_of_recordings(tmp_path):
    path = tmp_path / "reco2file_and_channel"
    path.write_text("r-A r A\nr-b r b\ns s 1\nt 2\n")
    assert read_channels(path) == {"r-A": 1, "r-b": 2, "s": 1, "t": 2}
    for line in ("u", "u u 0", "u u x y", "t 1", "u ab"):
        path.write_text(f"t 1\n{line}\n")
        with pytest.raises(FormatError, match=r"channel:2: expected 'recording file"):
            read_channels(path)
