"""Names of ``ssahc diarize --enroll``: right ones, false ones, and those missed.

Each FOLDER holds the x-vectors of recordings in ``recordings``, those of enrolled
people in ``enrolled`` (with ``utt2spk``), and the reference ``ref.rttm``. The
recordings are diarized with --model-dir, or a model that is learned from them, and
their speakers are named at the default threshold and at those of --thresholds. A
speaker stands for the person of the reference that it shares most time with, one to
one in each recording; "others" are speakers of people who are not enrolled, or of
nobody.

With --alone N, each recording is taken alone, with N people drawn from the enrolled
ones, in half of the draws one of those who speak. The model should be a general one
then, as for fewer than four recordings.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.support.tables import show
from ssahc import read_model_dir, read_rttm
from ssahc.cli.enrollment import open_enrollment
from ssahc.core.turns import list_speakers
from ssahc.core.types import FloatArray, IntArray, Turn
from ssahc.io.speakers import read_speakers, speaker_key
from ssahc.linking.identify import default_threshold, identify_voices, measure_voices
from ssahc.linking.voices import Voices
from ssahc.pipeline.identification import measure_enrolled

# Draws of people for each recording that is taken alone.
DRAWS = 5
HEADING = (
    *("set", "enrolled people", "threshold", "speakers who are enrolled", "right"),
    *("another's", "missed", "others", "of these named"),
)


@dataclass(frozen=True)
class Corpus:
    """Found speakers, who they are (None for nobody), and enrolled people."""

    speakers: Voices
    recordings: Sequence[str]
    who: Sequence[str | None]
    people: Voices
    names: Sequence[str]

    def select(self, rows: IntArray, people: IntArray) -> "Corpus":
        """Return some of the speakers and some of the people."""
        return Corpus(
            self.speakers[rows],
            [self.recordings[row] for row in rows],
            [self.who[row] for row in rows],
            self.people[people],
            [self.names[person] for person in people],
        )


def read_corpus(folder: Path, model_dir: Path | None, work: Path) -> Corpus:
    """Diarize the recordings of a folder; return what there is to be named."""
    given = () if model_dir is None else ("--model-dir", model_dir)
    command = ("diarize", folder / "recordings", work, "--write-speakers", "-q", *given)
    subprocess.run([sys.executable, "-m", "ssahc", *map(str, command)], check=True)
    model = read_model_dir(model_dir or work / "learned_model")
    stored = read_speakers(work)
    enrolled = open_enrollment(folder / "enrolled", of_audio=False).recordings
    references = read_rttm(folder / "ref.rttm").turns
    recordings, who, rows = [], [], []
    for recording, turns in read_rttm(work / "rttm").turns.items():
        matched = match(references.get(recording, []), turns)
        for speaker, name in matched.items():
            recordings.append(recording)
            who.append(name)
            rows.append(stored.rows[speaker_key(recording, speaker)])
    voices = measure_voices(
        stored.latent[rows], stored.num_windows[rows], stored.space.psi
    )
    people = measure_enrolled(enrolled, model)
    return Corpus(voices, recordings, who, people, list(enrolled))


def match(reference: Sequence[Turn], found: Sequence[Turn]) -> dict[str, str | None]:
    """Return the person of the reference that each found speaker stands for."""
    speakers, people = list_speakers(found), list_speakers(reference)
    shared = np.zeros((len(speakers), len(people)))
    for one in found:
        for other in reference:
            time = min(one.end, other.end) - max(one.start, other.start)
            place = speakers.index(one.speaker), people.index(other.speaker)
            shared[place] += max(time, 0.0)
    matched: dict[str, str | None] = dict.fromkeys(speakers)
    for i, j in zip(*linear_sum_assignment(-shared), strict=True):
        if shared[i, j] > 0:
            matched[speakers[i]] = people[j]
    return matched


def count(corpus: Corpus, threshold: float | None) -> FloatArray:
    """Return how many are right, another's and missed; others, and these named."""
    counts = np.zeros(5, int)
    found = identify_voices(
        corpus.speakers, corpus.recordings, corpus.people, threshold
    )
    for name, person, is_named in zip(
        corpus.who, found.people, found.is_named, strict=True
    ):
        if name not in corpus.names:
            counts[3] += 1
            counts[4] += is_named
        elif not is_named:
            counts[2] += 1
        else:
            counts[0 if corpus.names[person] == name else 1] += 1
    return counts


def draw_alone(corpus: Corpus, number: int) -> Iterator[Corpus]:
    """Yield recordings alone, with so many people."""
    rng = np.random.default_rng(0)
    recordings = np.array(corpus.recordings)
    for recording in dict.fromkeys(corpus.recordings):
        rows = np.flatnonzero(recordings == recording)
        heard = [
            corpus.names.index(corpus.who[row])
            for row in rows
            if corpus.who[row] in corpus.names
        ]
        for _ in range(DRAWS):
            people = rng.permutation(len(corpus.names))[:number]
            if heard and rng.random() < 1 / 2 and not set(heard) & set(people):
                people[0] = rng.choice(heard)
            yield corpus.select(rows, people)


def measure(
    name: str, corpora: Mapping[str, Sequence[Corpus]], thresholds: Sequence[float]
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a set, by number of people and by threshold."""
    for people, parts in corpora.items():
        for threshold in (None, *thresholds):
            counts = sum(count(part, threshold) for part in parts)
            used = threshold or default_threshold(len(parts[0].names))
            label = f"{used:.2f}" if threshold else f"default, {used:.2f}"
            cells = [counts[:3].sum(), *counts]
            yield name, people, label, *map(str, cells)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--model-dir", type=Path, help="default: learned")
    parser.add_argument("--thresholds", type=float, nargs="+", default=[])
    parser.add_argument("--alone", type=int, nargs="+", metavar="N")


def main(arguments: argparse.Namespace) -> None:
    rows = []
    for folder in arguments.folders:
        with tempfile.TemporaryDirectory() as work:
            corpus = read_corpus(folder, arguments.model_dir, Path(work) / "run")
        corpora = {str(len(corpus.names)): [corpus]}
        if arguments.alone:
            corpora = {
                f"{number}, alone": list(draw_alone(corpus, number))
                for number in arguments.alone
            }
        rows += measure(folder.name, corpora, arguments.thresholds)
    show(rows, HEADING, text=3)
