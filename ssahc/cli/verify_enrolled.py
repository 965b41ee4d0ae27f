"""Trials of ``ssahc verify --scoring enroll``, scored as by ``diarize --enroll``."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssahc.backend.prepared import PreparedXvectors
from ssahc.cli.default_model import list_model
from ssahc.cli.diarize_audio import XVECTORS
from ssahc.cli.enrollment import (
    group_sessions,
    read_sessions,
    refuse_other_extractor,
    stored_extractor,
)
from ssahc.cli.inputs import ModelFiles, load_model
from ssahc.cli.learned_model import LEARNED_MODEL
from ssahc.cli.runner import CONFIG, warn_of
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.turns import list_speakers
from ssahc.core.types import FloatArray, IntArray, Model, Recording
from ssahc.io.labelled import read_xvectors
from ssahc.io.linked import LINKED
from ssahc.io.rttm import read_rttm
from ssahc.io.speakers import (
    LATENT_FILES,
    StoredSpeakers,
    identify_model,
    read_speakers,
    speaker_key,
)
from ssahc.io.text import read_spk2utt
from ssahc.io.trials import Trials
from ssahc.io.xvectors import SCP, SEGMENTS, UTT2SPK
from ssahc.linking.identify import default_threshold, measure_voices, score_voices
from ssahc.linking.voices import Voices
from ssahc.pipeline.identification import measure_enrolled

_RTTM = "rttm"
# Pairs of test speakers and enrolled people, whose scores take 8 bytes each.
_MOST_PAIRS = 100_000_000


# What is read of a folder if it is there.
INPUTS = (SCP, UTT2SPK, SEGMENTS, CONFIG, _RTTM, *LATENT_FILES)


@dataclass(frozen=True, eq=False)
class EnrolledScores:
    """Scores of trials, NaN if missing, and rows of what was compared, -1 if missing.

    `rows` (K, 2) are those of enrolled people and of tests; `kind` is what tests are.
    `threshold` is that of ``ssahc diarize --enroll`` for so many people.
    """

    scores: FloatArray
    rows: IntArray
    kind: str
    threshold: float
    faults: Sequence[FormatError | str]


@dataclass(frozen=True, eq=False)
class _Tests:
    """Test speakers: row by name, voices, and the recordings they were heard in."""

    kind: str
    rows: Mapping[str, int]
    voices: Voices
    recordings: Sequence[str]
    faults: Sequence[FormatError | str]


def score_enrolled(
    source: Path,
    trials: Trials,
    model_files: ModelFiles,
    enroll_dir: Path | None,
    spk2utt: Path | None,
) -> EnrolledScores:
    """Score trials of enrolled people and speakers of a run, or single x-vectors.

    What scores of different people are is learned from all speakers of the source and
    all enrolled people, as in diarization, whether there are trials of them or not.
    """
    run = None if (source / SCP).exists() else read_speakers(source)
    if enroll_dir is None and (run is not None or spk2utt is None):
        raise UsageError(
            "--scoring enroll needs people: give --enroll-dir with "
            f"{UTT2SPK}, or --enroll-spk2utt"
        )
    model = load_model(model_files) if run is None else _load(source, run, model_files)
    if model.mean is None:
        raise UsageError("--scoring enroll needs a model with a mean; give --model-dir")
    folder = source if enroll_dir is None else enroll_dir
    extractor = stored_extractor(source) if run is None else run.space.extractor
    refuse_other_extractor(folder, source, extractor)
    enrolled = _read_enrolled(folder, spk2utt)
    people = measure_enrolled(enrolled, model)
    tests = _read_utterances(source, model) if run is None else _list_run(source, run)
    if len(people) * len(tests.recordings) > _MOST_PAIRS:
        raise DataError(
            f"{source}: {len(tests.recordings)} {tests.kind}s and {len(people)} people "
            f"are more than {_MOST_PAIRS:,} pairs, which --scoring enroll needs all "
            "of; verify parts of them"
        )
    row_of = {name: row for row, name in enumerate(enrolled)}
    found = score_voices(tests.voices, tests.recordings, people)
    first = np.array([row_of.get(name, -1) for name in trials.enrolled])
    second = np.array([tests.rows.get(name, -1) for name in trials.tests])
    rows = np.column_stack([first[trials.pairs[:, 0]], second[trials.pairs[:, 1]]])
    is_there = (rows >= 0).all(axis=1)
    scores = np.full(len(trials), np.nan)
    scores[is_there] = found.scores[rows[is_there, 1], rows[is_there, 0]]
    threshold = default_threshold(len(people))
    return EnrolledScores(scores, rows, tests.kind, threshold, tests.faults)


def find_models(source: Path) -> list[ModelFiles]:
    """Return the models that a run has kept, the learned one first."""
    return [list_model(source / name) for name in (LEARNED_MODEL, XVECTORS)]


def _load(source: Path, run: StoredSpeakers, files: ModelFiles) -> Model:
    """Return the model of a run: that which is given, learned, or the extractor's."""
    if files == ModelFiles():
        kept = find_models(source)
        files = next((model for model in kept if model != files), files)
    model = load_model(files)
    if identify_model(model) != run.space.model:
        raise UsageError(
            f"{source}: was diarized with another model; give it with --model-dir"
        )
    return model


def _read_enrolled(
    folder: Path, spk2utt: Path | None
) -> Mapping[str, Sequence[Recording]]:
    """Return the x-vectors of people, by their names."""
    if spk2utt is None:
        return read_sessions(folder)
    found = read_xvectors(folder)
    warn_of(f"{folder}: left out", [str(fault) for fault in found.faults])
    row_of = {utterance: row for row, utterance in enumerate(found.utterances)}
    pairs = [
        (utterance, name)
        for name, utterances in read_spk2utt(spk2utt).items()
        for utterance in utterances
    ]
    missing = [utterance for utterance, _ in pairs if utterance not in row_of]
    warn_of(f"{spk2utt}: left out utterances without an x-vector", missing)
    owners = [(row_of[one], name) for one, name in pairs if one in row_of]
    return group_sessions(folder, found.utterances, found.xvectors, owners)


def _list_run(folder: Path, stored: StoredSpeakers) -> _Tests:
    """Return the speakers of a run, by their recording and name."""
    if (folder / LINKED).exists():
        raise UsageError(f"{folder}: is of ssahc link; give the runs that were linked")
    speakers = [
        (recording, speaker)
        for recording, turns in read_rttm(folder / _RTTM).turns.items()
        for speaker in list_speakers(turns)
    ]
    recording_of = {speaker_key(*speaker): speaker[0] for speaker in speakers}
    # Keys tell all of them apart, as these names, which are those of the RTTM, may not.
    names = Counter("-".join(speaker) for speaker in speakers)
    rows = {
        "-".join(speaker): stored.rows[speaker_key(*speaker)]
        for speaker in speakers
        if names["-".join(speaker)] == 1 and speaker_key(*speaker) in stored.rows
    }
    return _Tests(
        f"speaker of {folder}",
        rows | dict(stored.rows),
        measure_voices(stored.latent, stored.num_windows, stored.space.psi),
        # A speaker without turns is alone in its recording.
        [recording_of.get(key, key) for key in stored.rows],
        list(stored.faults.values()),
    )


def _read_utterances(folder: Path, model: Model) -> _Tests:
    """Return x-vectors, each of which is a speaker; in a recording of its own."""
    found = read_xvectors(folder)
    prepared = PreparedXvectors(found.xvectors, model)
    return _Tests(
        "test utterance",
        {utterance: row for row, utterance in enumerate(found.utterances)},
        measure_voices(prepared.latent, np.ones(len(prepared)), prepared.psi),
        found.utterances,
        found.faults,
    )
