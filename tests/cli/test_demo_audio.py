"""``ssahc demo --audio``, on a recording of this project in place of another's."""

import re
import shutil

from ssahc.cli import demo_audio
from ssahc.cli.demo_audio import Conversation

TURN = "SPEAKER call 1 {} {} <NA> <NA> {} <NA> <NA>\n"


def test_a_conversation_goes_from_the_file_to_a_report(
    golden, model_folder, ssahc_here, monkeypatch, tmp_path
):
    audio, reference = tmp_path / "call.wav", tmp_path / "call.rttm"
    shutil.copy(golden / "frontend" / "wav" / "trn06-8k.wav", audio)
    reference.write_text(TURN.format(0, 9, "a") + TURN.format(9, 11, "b"))
    conversation = Conversation(audio, reference)
    monkeypatch.setattr(demo_audio, "find_conversation", lambda: conversation)
    monkeypatch.setattr(demo_audio, "find_extractor", lambda: str(model_folder))
    done = ssahc_here("demo", "--audio", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    verbs = re.findall(r"^\$ ssahc (\w+)", done.stdout, re.MULTILINE)
    assert verbs == ["diarize", "score", "report"]
    assert re.search(r"^start +end +speaker$", done.stdout, re.MULTILINE)
    assert re.search(r"^pooled +[\d.]+ ", done.stdout, re.MULTILINE)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "call" in page
    # Its own results are replaced, those of other audio are not.
    assert ssahc_here("demo", "--audio", "out", cwd=tmp_path).returncode == 0
    other = conversation._replace(audio=shutil.copy(audio, tmp_path / "other.wav"))
    with monkeypatch.context() as patch:
        patch.setattr(demo_audio, "find_conversation", lambda: other)
        done = ssahc_here("demo", "--audio", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "out: holds labels that no completed run of ssahc demo" in done.stderr
    # What a verb finds wrong ends the demo.
    audio.unlink()
    done = ssahc_here("demo", "--audio", "out", cwd=tmp_path)
    assert (done.returncode, "call.wav" in done.stderr) == (2, True)
    assert "ssahc score" not in done.stdout


def test_what_is_missing_is_told_with_the_commands_that_install_it(
    ssahc_here, monkeypatch, tmp_path
):
    monkeypatch.setattr(demo_audio, "find_file", lambda *_: None)
    done = ssahc_here("demo", "--audio", cwd=tmp_path)
    assert done.returncode == 2
    assert re.search("pip install .*pyannote.audio==", done.stderr)
    assert list(tmp_path.iterdir()) == []
