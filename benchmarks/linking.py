"""Error rates across recordings of speakers that are linked, and the cost of linking.

DATA holds callhome_shaped, callhome_model and real. The recordings of callhome_shaped
are cut into pieces, which are diarized and linked as recordings of their own, each half
with the other half's model; the prompts are diarized without a model. A name stands for
one person: speakers of callhome_shaped are called by their recording and their name.
Error rates are md-eval's (-1 -c 0.25). With --halves, the first half of the recordings
is linked first, and the others are added.

With --sizes, as many speakers are drawn of the PLDA in callhome_model, four a
recording and ten a person, and linked; with --recall, the pairs that the index of
neighbours finds are compared with those that the search in blocks finds.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ssahc import (
    Recording,
    Turn,
    open_xvector_dir,
    read_model_dir,
    read_recordings,
    read_rttm,
    write_rttm,
    write_xvector_dir,
)
from ssahc.core.types import Plda
from ssahc.linking.candidates import find_candidates
from ssahc.linking.link import link_centroids
from ssahc.linking.options import LinkOptions
from ssahc.linking.voices import Voices

HALVES = {"callhome1": "callhome2", "callhome2": "callhome1"}
PROMPTS = ("prompts_campp", "prompts_resem")


def cut(recording: Recording, turns: list[Turn], seconds: float):
    """Yield pieces of a recording, by the centres of windows, and their turns."""
    pieces = (recording.segments.mean(axis=1) // seconds).astype(int)
    for piece in np.unique(pieces):
        rows = np.flatnonzero(pieces == piece)
        start, end = piece * seconds, (piece + 1) * seconds
        cropped = [
            Turn(
                max(turn.start, start),
                min(turn.end, end),
                f"{recording.id}:{turn.speaker}",
            )
            for turn in turns
            if turn.start < end and turn.end > start
        ]
        if cropped:
            utterances = tuple(recording.utterances[row] for row in rows)
            vectors = recording.segments[rows], recording.xvectors[rows]
            yield (
                Recording(f"{recording.id}_{piece:03d}", utterances, *vectors),
                cropped,
            )


def write_pieces(source: Path, folder: Path, seconds: float) -> None:
    """Write the pieces of a folder of recordings as another one."""
    references = read_rttm(source / "ref.rttm").turns
    pieces = [
        piece
        for recording in read_recordings(open_xvector_dir(source))
        if isinstance(recording, Recording)
        for piece in cut(recording, references[recording.id], seconds)
    ]
    write_xvector_dir(folder, [recording for recording, _ in pieces])
    turns = {recording.id: turns for recording, turns in pieces}
    write_rttm(folder / "ref.rttm", turns, channel="1")


def run(*arguments: object) -> str:
    """Run ssahc as a user does; return what it prints."""
    command = [sys.executable, "-m", "ssahc", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def diarize(source: Path, folder: Path, *options: object, halves: bool) -> None:
    """Diarize and link a folder of recordings."""
    given = ("--write-speakers", "--rttm-channel", 1, "-q", *options)
    linked = folder / "linked"
    if not halves:
        run("diarize", source, folder / "run", *given)
        run("link", folder / "run", linked, "-q")
        return
    names = sorted(open_xvector_dir(source).utterances)
    middle = len(names) // 2
    for number, part in enumerate((names[:middle], names[middle:])):
        table = folder / f"list{number}"
        table.write_text("".join(f"{name}\n" for name in part))
        model = ()
        if number and "--model-dir" not in given:
            model = ("--model-dir", folder / "run0" / "learned_model")
        out = folder / f"run{number}"
        run("diarize", source, out, *given, *model, "--recordings", table)
        run("link", *(["--add"] if number else []), out, linked, "-q")


def list_sets(
    data: Path, folder: Path, seconds: float, wanted: Sequence[str]
) -> Iterator[tuple]:
    """Yield name, folder of x-vectors, and options of each set."""
    for half in filter(wanted.__contains__, HALVES):
        pieces = folder / f"pieces_{half}"
        write_pieces(data / "callhome_shaped" / half, pieces, seconds)
        model = data / "callhome_model" / HALVES[half]
        yield f"{half}, pieces of {seconds:g} s", pieces, ("--model-dir", model)
    for name in filter(wanted.__contains__, PROMPTS):
        yield name, data / "real" / name, ()


def score(reference: Path, hypothesis: Path) -> tuple[float, dict[str, float]]:
    """Return the DER within recordings, and what is said of all at once."""
    options = ("--across", "--summary", "--json", "--collar", 0.25)
    found = json.loads(run("score", reference, hypothesis, *options))
    return found["pooled"]["der"], found["across"]


def draw(count: int, plda: Plda):
    """Draw means, numbers of windows, recordings and people of speakers."""
    rng = np.random.default_rng(0)
    people, recordings, dim = count // 10, count // 4, len(plda.psi)
    who = np.concatenate(
        [rng.choice(people, 4, replace=False) for _ in range(recordings)]
    )
    windows = np.exp(rng.normal(2.5, 1, len(who))).clip(0.5)
    voices = rng.standard_normal((people, dim)) * np.sqrt(plda.psi)
    latent = rng.standard_normal((len(who), dim))
    # In place, since a million speakers take a gigabyte.
    for latent_row, number, person in zip(latent, windows, who, strict=True):
        latent_row *= np.sqrt(0.3 * plda.psi + 1 / number)
        latent_row += voices[person]
    names = [f"r{number}" for number in range(recordings) for _ in range(4)]
    return latent, windows, names, who


def measure(count: int, plda: Plda) -> None:
    """Draw and link speakers; print CPU seconds, memory so far, and what was found."""
    latent, windows, names, who = draw(count, plda)
    start = time.process_time()
    links = link_centroids(latent, windows, names, plda.psi)
    seconds = time.process_time() - start
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    purity, coverage = (
        _share_of_largest(links.labels, who),
        _share_of_largest(who, links.labels),
    )
    print(
        f"{len(who):8} speakers: {seconds:7.1f} CPU s, {megabytes:6.0f} MiB, "
        f"{links.labels.max() + 1} people found of {len(np.unique(who))}, "
        f"purity {purity:.2f} %, coverage {coverage:.2f} %",
        flush=True,
    )


def _share_of_largest(labels: np.ndarray, others: np.ndarray) -> float:
    """Return the share of speakers, in %, with the most frequent other label."""
    pairs, counts = np.unique(
        np.column_stack([labels, others]), axis=0, return_counts=True
    )
    largest = np.zeros(labels.max() + 1, int)
    np.maximum.at(largest, pairs[:, 0], counts)
    return 100 * largest.sum() / len(labels)


def measure_recall(count: int, plda: Plda) -> None:
    """Print which pairs that blocks find the index finds, and how long both take."""
    latent, windows, _, who = draw(count, plda)
    options = LinkOptions()
    voices = Voices.measure(latent, windows, plda.psi, options.session_variance)
    found = []
    for most_in_blocks in (count, 0):
        start = time.process_time()
        pairs, ratios = find_candidates(
            voices,
            np.arange(count),
            options.threshold,
            options.neighbours,
            most_in_blocks=most_in_blocks,
        )
        seconds = time.process_time() - start
        pairs = np.sort(pairs[ratios > options.threshold], axis=1)
        same = who[pairs[:, 0]] == who[pairs[:, 1]]
        keys = pairs[:, 0].astype(np.int64) * count + pairs[:, 1]
        found.append((keys, keys[same], seconds))
    (every, true, by_blocks), (some, some_true, by_index) = found
    print(
        f"{count:8} speakers: blocks {by_blocks:.1f} CPU s, {len(every)} pairs above "
        f"the threshold, {len(true)} of one person; index {by_index:.1f} CPU s, "
        f"{100 * np.isin(every, some).mean():.1f} % of these pairs, "
        f"{100 * np.isin(true, some_true).mean():.2f} % of those of one person",
        flush=True,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--sets", nargs="+", help="halves and prompts; default: all")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of pieces")
    parser.add_argument("--halves", action="store_true", help="link in two steps")
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of speakers")
    parser.add_argument(
        "--recall", action="store_true", help="compare the searches, with --sizes"
    )


def main(arguments: argparse.Namespace) -> None:
    data = arguments.data.resolve()
    if arguments.sizes:
        plda = read_model_dir(data / "callhome_model" / "callhome1").plda
        for count in arguments.sizes:
            (measure_recall if arguments.recall else measure)(count, plda)
        return
    print(
        "| set | within, DER % | across, DER % | ratio | purity | coverage | people |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wanted = arguments.sets or (*HALVES, *PROMPTS)
        for name, source, options in list_sets(data, folder, arguments.seconds, wanted):
            out = folder / name.replace(" ", "_")
            out.mkdir()
            diarize(source, out, *options, halves=arguments.halves)
            within, across = score(source / "ref.rttm", out / "linked" / "rttm")
            print(
                f"| {name} | {within:.2f} | {across['der']:.2f} | "
                f"{across['der'] / within:.2f} | {across['purity']:.1f} | "
                f"{across['coverage']:.1f} | {across['num_found']} of "
                f"{across['num_reference']} |",
                flush=True,
            )
