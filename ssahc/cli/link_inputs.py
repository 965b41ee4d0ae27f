"""What ``ssahc link`` reads: the speakers of runs, and those linked before."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ssahc.core.errors import FormatError, UsageError, counted
from ssahc.core.turns import list_speakers
from ssahc.core.types import Fault, FloatArray, Turn
from ssahc.io.linked import LINKED, read_linked
from ssahc.io.rttm import read_rttm
from ssahc.io.speakers import (
    SpeakerSpace,
    StoredSpeakers,
    read_speakers,
    speaker_key,
)
from ssahc.linking.link import PREFIX

RTTM = "rttm"

_logger = logging.getLogger("ssahc")


@dataclass(eq=False)
class Corpus:
    """The speakers of many recordings.

    One row each: `recordings`, `speakers` (names in the recording), `names` (in all
    recordings, of those who are linked or enrolled; else None), `latent` and
    `num_windows`. `turns` are those of recordings, with names of the recording, and
    `channels` their channels.
    """

    space: SpeakerSpace
    # Where the space was read from.
    origin: Path
    turns: dict[str, Sequence[Turn]] = field(default_factory=dict)
    channels: dict[str, str] = field(default_factory=dict)
    recordings: list[str] = field(default_factory=list)
    speakers: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    latent: list[FloatArray] = field(default_factory=list)
    num_windows: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.speakers)

    def add(
        self,
        recording: str,
        names: Mapping[str, str | None],
        turns: Sequence[Turn],
        channel: str,
        stored: StoredSpeakers,
    ) -> None:
        """Add a recording; `names` maps its speakers to what they are called."""
        self.turns[recording], self.channels[recording] = turns, channel
        for speaker, name in names.items():
            row = stored.rows[speaker_key(recording, speaker)]
            self.recordings.append(recording)
            self.speakers.append(speaker)
            self.names.append(name)
            self.latent.append(stored.latent[row])
            self.num_windows.append(float(stored.num_windows[row]))

    def matrix(self) -> FloatArray:
        """Return the means of all speakers (M, d)."""
        return np.array(self.latent).reshape(-1, len(self.space.psi))


def read_runs(
    runs: Sequence[Path], corpus: Corpus | None
) -> tuple[Corpus, list[Fault]]:
    """Read the speakers of runs of ``ssahc diarize``; add them to those of a corpus.

    Returns the recordings that cannot be linked, too: those with a speaker whose mean
    cannot be used, and those that are there already. Raises a FormatError or UsageError
    if a run cannot be used at all, or is in another space.
    """
    faults: list[Fault] = []
    if len({run.resolve() for run in runs}) < len(runs):
        raise UsageError("a run is given twice; give each once")
    for run in runs:
        if (run / LINKED).exists():
            raise UsageError(
                f"{run}: was written by ssahc link; give runs of ssahc diarize"
            )
        stored = read_speakers(run)
        rttm = read_rttm(run / RTTM)
        if not rttm.turns:
            _logger.warning(f"{run / RTTM}: holds no turn (left out)")
        _logger.debug(
            f"{run}: {counted(len(stored.rows), 'speaker')} of "
            f"{counted(len(rttm.turns), 'recording')}"
        )
        if corpus is None:
            corpus = Corpus(stored.space, run)
        _check_space(run, stored.space, corpus)
        if corpus.space.extractor is None:
            # The first one that is known is what others are compared with.
            corpus.space, corpus.origin = stored.space, run
        for recording, its_turns in rttm.turns.items():
            speakers = list_speakers(its_turns)
            reason = _find_fault(run, recording, speakers, stored, corpus)
            if reason is None:
                channel = rttm.channels[recording]
                names = {speaker: _given_name(run, speaker) for speaker in speakers}
                corpus.add(recording, names, its_turns, channel, stored)
            else:
                faults.append(Fault(recording, reason))
    if corpus is None:
        raise AssertionError("there is a run at least")
    return corpus, faults


def _given_name(run: Path, speaker: str) -> str | None:
    """Return the name that --enroll gave to a speaker; others have numbers."""
    if speaker.startswith(PREFIX) and speaker[len(PREFIX) :].isdecimal():
        raise UsageError(
            f"{run}: enrolled {speaker!r} has a name as ssahc link gives them; enroll "
            f"this person under another, such as 'spk{speaker}'"
        )
    return None if speaker.isdecimal() else speaker


def _find_fault(
    run: Path,
    recording: str,
    speakers: Sequence[str],
    stored: StoredSpeakers,
    corpus: Corpus,
) -> str | None:
    """Return why a recording cannot be linked; None if it can."""
    if recording in corpus.turns:
        return f"{run}: this id is linked already; a new recording needs another one"
    for speaker in speakers:
        key = speaker_key(recording, speaker)
        if key in stored.faults:
            return stored.faults[key]
        if key not in stored.rows:
            return (
                f"{run}: has turns of speaker {speaker!r}, but no mean of {key!r}; "
                "diarize again with --write-speakers"
            )
    return None


def _check_space(run: Path, space: SpeakerSpace, corpus: Corpus) -> None:
    """Raise a UsageError if speakers are in another space than those of a corpus."""
    expected = corpus.space
    extractors = {one.extractor for one in (space, expected)} - {None}
    if len(extractors) > 1:
        raise UsageError(
            f"{run}: x-vectors are of extractor {space.extractor}, those of "
            f"{corpus.origin} of {expected.extractor}; extract all with one"
        )
    if space.model != expected.model or space.psi.shape != expected.psi.shape:
        raise UsageError(
            f"{run}: was diarized with another model than {corpus.origin}, so that "
            "speakers cannot be compared; diarize all with one --model-dir, such as "
            f"{corpus.origin}/learned_model if there is one"
        )


def read_corpus(folder: Path) -> Corpus:
    """Read what ``ssahc link`` has written.

    Raises a FormatError if its files do not belong together.
    """
    stored = read_speakers(folder)
    rttm = read_rttm(folder / RTTM)
    corpus = Corpus(stored.space, folder)
    by_recording: dict[str, dict[str, str]] = {}
    for one in read_linked(folder / LINKED):
        key = speaker_key(one.recording, one.speaker)
        if key not in stored.rows:
            reason = stored.faults.get(key, f"no mean of {key!r} is there")
            raise FormatError(f"{reason}; link anew, without --add", path=folder)
        by_recording.setdefault(one.recording, {})[one.speaker] = one.name
    if other := sorted(by_recording.keys() ^ rttm.turns.keys()):
        raise FormatError(
            f"recording {other[0]!r} is in {RTTM} or {LINKED} alone; change both, or "
            "link anew, without --add",
            path=folder,
        )
    for recording, names in by_recording.items():
        own = {name: speaker for speaker, name in names.items()}
        theirs = rttm.turns[recording]
        if unknown := sorted({turn.speaker for turn in theirs} - own.keys()):
            raise FormatError(
                f"recording {recording!r} has speaker {unknown[0]!r}, which "
                f"{LINKED} does not list; rename speakers in both files",
                path=folder / RTTM,
            )
        channel = rttm.channels[recording]
        corpus.add(recording, names, _rename(theirs, own), channel, stored)
    return corpus


def rename_turns(corpus: Corpus, names: Sequence[str]) -> dict[str, list[Turn]]:
    """Return the turns of a corpus with the names (M,) of its speakers."""
    of_recording: dict[str, dict[str, str]] = {name: {} for name in corpus.turns}
    for recording, speaker, name in zip(
        corpus.recordings, corpus.speakers, names, strict=True
    ):
        of_recording[recording][speaker] = name
    return {
        recording: _rename(turns, of_recording[recording])
        for recording, turns in corpus.turns.items()
    }


def _rename(turns: Sequence[Turn], names: dict[str, str]) -> list[Turn]:
    return [replace(turn, speaker=names[turn.speaker]) for turn in turns]
