"""``ssahc demo --audio``: from a recorded conversation to a report, verb by verb."""

import sys
from contextlib import suppress
from pathlib import Path
from shlex import join
from typing import NamedTuple

import click

from ssahc.cli import diarize, report, score
from ssahc.cli.diarize_audio import XVECTORS
from ssahc.cli.overwrite import refuse_others
from ssahc.cli.runner import CONFIG
from ssahc.cli.tables import print_table
from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.extractors.installed import (
    INSTALLABLE,
    SMALL,
    find_file,
)
from ssahc.io.config import read_toml
from ssahc.io.rttm import read_rttm
from ssahc.report.figure import can_draw

# Half a minute of real conversation with its reference, in a package whose code is
# neither imported nor run. It may be distributed; what others have recorded may not be
# part of this project.
_PACKAGE, _SAMPLE = "pyannote", "audio/sample/sample"
# As the reference calls it.
_CHANNEL = "1"
_INSTALL = "pip install --no-deps pyannote.audio==4.0.7"


class Conversation(NamedTuple):
    """A recording and its reference."""

    audio: Path
    reference: Path


def find_conversation() -> Conversation | None:
    """Return the sample of pyannote.audio; None if that is not installed."""
    audio, reference = (find_file(_PACKAGE, _SAMPLE + end) for end in (".wav", ".rttm"))
    if audio is None or reference is None:
        return None
    return Conversation(audio, reference)


def find_extractor() -> str:
    """Return the first extractor whose weights are installed, or that of ssahc."""
    found = (name for name, model in INSTALLABLE.items() if model.find_weights())
    return next(found, SMALL)


def diarize_conversation(out_dir: Path) -> None:
    """Diarize and score a real conversation, and write a report on it, to `out_dir`.

    A UsageError is raised that says what to install if anything is missing, or if the
    folder holds another diarization.
    """
    conversation, extractor = find_conversation(), find_extractor()
    if conversation is None:
        raise UsageError(
            "--audio takes the recording of a package that is not installed: "
            f"{_INSTALL}"
        )
    _refuse_others(out_dir, conversation)
    options = ["--extractor", extractor, "--rttm-channel", _CHANNEL]
    _run(diarize.command, conversation.audio, out_dir, *options)
    (turns,) = read_rttm(out_dir / "rttm").turns.values()
    rows = [
        (f"{turn.start:.2f}", f"{turn.end:.2f}", str(turn.speaker))
        for turn in sorted(turns)
    ]
    print_table(("start", "end", "speaker"), rows)
    _run(score.command, conversation.reference, out_dir / "rttm")
    if can_draw():
        _run(report.command, out_dir, "--ref", conversation.reference)
    else:
        click.echo("\nFor a page with timelines: pip install 'ssahc[plots]'")


def _refuse_others(out_dir: Path, conversation: Conversation) -> None:
    """Raise a UsageError for a diarization of anything but the conversation."""
    earlier = None
    with suppress(FormatError):
        earlier = read_toml(out_dir / XVECTORS / CONFIG).get("audio")
    if earlier != str(conversation.audio):
        refuse_others(out_dir, ("labels", "rttm", CONFIG), "demo --audio")


def _run(verb: click.Command, *words: object) -> None:
    """Run a verb as typed, and exit as it does if it fails."""
    arguments = [str(word) for word in words]
    click.echo(f"\n$ ssahc {verb.name} {join(arguments)}")
    sys.stdout.flush()
    try:
        verb.main(arguments, prog_name=f"ssahc {verb.name}", standalone_mode=False)
    except SystemExit as stop:
        if stop.code:
            raise
