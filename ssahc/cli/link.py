"""``ssahc link``."""

import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from ssahc.cli.link_inputs import RTTM, Corpus, read_corpus, read_runs, rename_turns
from ssahc.cli.overwrite import read_earlier
from ssahc.cli.parsing import PATH, GroupedOption, Verb, options_of, resolve
from ssahc.cli.runner import CONFIG, nothing_done, print_faults
from ssahc.core.errors import UsageError, counted
from ssahc.core.types import IntArray
from ssahc.io.config import write_config
from ssahc.io.files import refuse_input
from ssahc.io.folders import staged_output
from ssahc.io.linked import LINKED, LinkedSpeaker, read_linked, write_linked
from ssahc.io.rttm import write_rttm
from ssahc.io.speakers import LATENT_FILES, speaker_key, write_latent
from ssahc.linking.link import PREFIX, Links, link_centroids
from ssahc.linking.options import LinkOptions

_FILES = (RTTM, LINKED, *LATENT_FILES)
# An option that only this verb keeps.
_MARK = "session_variance"

_logger = logging.getLogger("ssahc")


@click.command("link", cls=Verb)
@click.argument("runs", type=PATH, nargs=-1, required=True, metavar="RUN...")
@click.argument("out_dir", type=PATH)
@options_of(LinkOptions)
@click.option(
    "--add",
    cls=GroupedOption,
    group="Input and output",
    is_flag=True,
    help="Add recordings to those that OUT_DIR has. Names there stay as they are, also "
    "if they were changed in linked_speakers and rttm; new speakers join them, or get "
    "names of their own.",
)
def command(runs: tuple[Path, ...], out_dir: Path, add: bool, **given: Any) -> None:
    """Find the same speakers across recordings, and write OUT_DIR/rttm.

    RUN is an output folder of ssahc diarize --write-speakers; all have to be of one
    extractor and one model. In OUT_DIR/rttm, speakers of all recordings are called S1,
    S2, ..., and the same person has the same name in every recording, as far as its
    voice is known again. Speakers of one recording stay different people. Names that
    --enroll gave are kept: speakers of one such name are one person, those of two are
    two, and speakers without a name can be found to be one of them.
    OUT_DIR/linked_speakers lists who became whom, with a score. What was linked into
    OUT_DIR before is replaced, or added to with --add.

    Exit status: 0 if all recordings were linked; 1 if some could not be (each is named,
    and the others are written); 2 on wrong usage or if none could be linked (nothing is
    written).
    """
    earlier = read_earlier(out_dir, _FILES, "link", mark=_MARK)
    if add and not earlier:
        raise UsageError(
            f"{out_dir}: --add needs a folder that ssahc link has written; leave it out"
        )
    options = resolve(LinkOptions, given, config=out_dir / CONFIG if add else None)
    names = (*_FILES, CONFIG)
    for run in runs:
        for name in names:
            refuse_input(out_dir / name, [run / name], "choose another OUT_DIR")
    with staged_output(out_dir, names) as staging:
        known = read_corpus(out_dir) if add else None
        num_known = 0 if known is None else len(known)
        corpus, faults = read_runs(runs, known)
        print_faults(faults, len(faults) + len(corpus.turns))
        if len(corpus) == num_known:
            raise nothing_done()
        if earlier and not add:
            _refuse_loss(out_dir, corpus)
        labels, people = _number(corpus.names)
        links = link_centroids(
            corpus.matrix(),
            np.array(corpus.num_windows),
            corpus.recordings,
            corpus.space.psi,
            options,
            known=labels,
        )
        num_linked = len(set(corpus.names[:num_known]))
        people = _complete_names(people, num_linked, int(links.labels.max()) + 1)
        _write(staging, corpus, links, people, options)
    _summarize(corpus, links, num_known, out_dir)
    sys.exit(1 if faults else 0)


def _refuse_loss(out_dir: Path, corpus: Corpus) -> None:
    """Raise a UsageError if a folder has recordings that are not linked again."""
    linked = dict.fromkeys(one.recording for one in read_linked(out_dir / LINKED))
    if lost := [name for name in linked if name not in corpus.turns]:
        raise UsageError(
            f"{out_dir}: has {counted(len(lost), 'recording')} that would be lost, "
            f"such as {lost[0]!r}; --add keeps them, or choose another folder"
        )


def _number(names: Sequence[str | None]) -> tuple[IntArray, list[str]]:
    """Return the labels of names, -1 for those without, and the names by label."""
    people = list(dict.fromkeys(name for name in names if name is not None))
    number_of = {name: number for number, name in enumerate(people)}
    labels = [-1 if name is None else number_of[name] for name in names]
    return np.array(labels, np.int64), people


def _complete_names(people: Sequence[str], num_linked: int, total: int) -> list[str]:
    """Return names of all labels: those there are, and new ones."""
    # Numbers go on behind those of linked people who have been renamed since.
    numbers = [name.removeprefix(PREFIX) for name in people if name[:1] == PREFIX]
    last = max([num_linked, *(int(text) for text in numbers if text.isdecimal())])
    new = total - len(people)
    return [*people, *(f"{PREFIX}{last + 1 + number}" for number in range(new))]


def _write(
    folder: Path,
    corpus: Corpus,
    links: Links,
    people: Sequence[str],
    options: LinkOptions,
) -> None:
    names = [people[label] for label in links.labels.tolist()]
    turns = rename_turns(corpus, names)
    write_rttm(folder / RTTM, turns, channel=corpus.channels, with_confidence=True)
    rows = zip(
        corpus.recordings, corpus.speakers, names, links.ratios.tolist(), strict=True
    )
    write_linked(folder / LINKED, (LinkedSpeaker(*row) for row in rows))

    def list_latent() -> Iterator[tuple[str, Any, float]]:
        for recording, speaker, latent, num_windows in zip(
            corpus.recordings,
            corpus.speakers,
            corpus.latent,
            corpus.num_windows,
            strict=True,
        ):
            yield speaker_key(recording, speaker), latent, num_windows

    write_latent(folder, list_latent(), corpus.space)
    write_config(folder / CONFIG, options)


def _summarize(corpus: Corpus, links: Links, num_known: int, out_dir: Path) -> None:
    sizes = Counter(links.labels.tolist())
    several = sum(size > 1 for size in sizes.values())
    new = len(sizes.keys() - set(links.labels[:num_known].tolist()))
    people = "1 person" if len(sizes) == 1 else f"{len(sizes)} people"
    what = f", {new} of them new" if num_known else ""
    _logger.info(
        f"linked {counted(len(corpus), 'speaker')} of "
        f"{counted(len(corpus.turns), 'recording')}: {people}{what}, {several} in "
        f"several recordings; turns are in {out_dir / RTTM}"
    )
