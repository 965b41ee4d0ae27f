"""``ssahc demo``."""

from pathlib import Path
from typing import get_args

import click

from ssahc.cli.overwrite import refuse_others
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import CONFIG, track, write_results
from ssahc.cli.simulate import refuse_what_is_not_simulated, write_corpus
from ssahc.cli.tables import print_table
from ssahc.core.types import Fault, Turn
from ssahc.io.folders import (
    lock_folder,
    make_folder,
    move_tree,
    refuse_links,
    staging_folder,
)
from ssahc.io.model import read_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_reco2num_spk
from ssahc.io.xvectors import SCP, open_xvector_dir, read_recordings
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import diarize_recording
from ssahc.pipeline.options import DiarizeOptions, SpeakerOptions, System
from ssahc.report.figure import can_draw
from ssahc.scoring.der import Score, score_corpus
from ssahc.scoring.error_spans import find_errors
from ssahc.scoring.regions import ScoringOptions
from ssahc.simulation.conversations import simulate_corpus
from ssahc.simulation.options import SimulateOptions

_SYSTEMS: tuple[System, ...] = get_args(System)
_HALVES = {"a": "b", "b": "a"}
# The recording in the figure.
_DRAWN = "a000"
_CORPUS = SimulateOptions(recordings=6)


@click.command("demo", cls=Verb)
@click.argument("out_dir", metavar="[OUT]", type=PATH, required=False)
@click.option(
    "--audio",
    is_flag=True,
    help="Diarize half a minute of real conversation instead, which other packages "
    "bring along.",
)
def command(out_dir: Path | None, audio: bool) -> None:
    """Simulate, diarize and score a small corpus; needs no data.

    OUT (default: ssahc-demo) gets the corpus, an rttm of every system, and a figure.
    None of it is real speech: the table shows that everything works, not how well.

    With --audio, a real conversation goes from the file to OUT/report.html (default:
    ssahc-demo-audio), by the commands that are shown.
    """
    if audio:
        from ssahc.cli.demo_audio import diarize_conversation

        diarize_conversation(out_dir or Path("ssahc-demo-audio"))
        return
    out_dir = out_dir or Path("ssahc-demo")
    with lock_folder(out_dir) as unfinished:
        refuse_what_is_not_simulated(out_dir, _HALVES)
        _refuse_others(out_dir)
        with staging_folder(unfinished) as folder:
            picture = _show(folder)
            move_tree(folder, out_dir)
    if picture is not None:
        click.echo(f"\nCorpus, RTTMs and the figure {picture} are in {out_dir}/")
    click.echo(
        f"\nTo do the same by hand, for one half and one system:\n"
        f"  ssahc diarize {out_dir}/a {out_dir}/mine --model-dir {out_dir}/model/b\n"
        f"  ssahc score {out_dir}/a/ref.rttm {out_dir}/mine/rttm\n"
        f"  ssahc report {out_dir}/mine --ref {out_dir}/a/ref.rttm"
    )


def _refuse_others(out_dir: Path) -> None:
    """Raise a UsageError if there are files that an earlier demo did not write."""
    names = [_name(system, known) for system in _SYSTEMS for known in (True, False)]
    refuse_links(out_dir, names)
    is_earlier = (out_dir / "a" / SCP).exists()
    results = () if is_earlier else ("labels", "rttm")
    for name in names:
        refuse_others(out_dir / name, (*results, CONFIG), "demo")
    if not is_earlier:
        refuse_others(out_dir, (f"{_DRAWN}.png",), "demo")


def _show(out_dir: Path) -> str | None:
    """Write corpus, results and a figure, whose name is returned; print a table."""
    write_corpus(out_dir, simulate_corpus(_CORPUS))
    known: dict[System, dict[str, Diarization]] = {}
    rates: list[list[str]] = []
    reference: dict[str, list[Turn]] = {}
    for half in _HALVES:
        reference |= read_rttm(out_dir / half / "ref.rttm").turns
    for system in track(_SYSTEMS, len(_SYSTEMS), "diarizing"):
        known[system] = _run(out_dir, system, known_speakers=True)
        estimated = _run(out_dir, system, known_speakers=False)
        both = (_rate(reference, run) for run in (known[system], estimated))
        rates.append([system, *both])
    title = "Simulated conversations: DER %, collar 0.25 s, overlap not scored"
    print_table(("system", "known speakers", "estimated"), rates, title=title)
    return _draw(out_dir, known, reference)


def _run(
    out_dir: Path, system: System, *, known_speakers: bool
) -> dict[str, Diarization]:
    """Diarize both halves, each with the other's model, and write the results."""
    results: dict[str, Diarization] = {}
    for half, other in _HALVES.items():
        model = read_model_dir(out_dir / "model" / other)
        counts = read_reco2num_spk(out_dir / half / "reco2num_spk")
        for item in read_recordings(open_xvector_dir(out_dir / half)):
            if isinstance(item, Fault):
                raise RuntimeError(f"simulated {item.recording}: {item.reason}")
            speakers = SpeakerOptions(counts[item.id] if known_speakers else None)
            options = DiarizeOptions(system=system, speakers=speakers)
            results[item.id] = diarize_recording(item, model, options)
    folder = out_dir / _name(system, known_speakers)
    make_folder(folder)
    write_results(
        folder,
        [pair for result in results.values() for pair in result.labelled_utterances],
        {name: result.turns for name, result in results.items()},
        channel="0",
    )
    return results


def _name(system: System, known_speakers: bool) -> str:
    return f"{system}-{'known' if known_speakers else 'estimated'}"


def _rate(reference: dict[str, list[Turn]], results: dict[str, Diarization]) -> str:
    hypothesis = {name: result.turns for name, result in results.items()}
    return f"{sum(score_corpus(reference, hypothesis).values(), Score()).der:.2f}"


def _draw(
    out_dir: Path,
    results: dict[System, dict[str, Diarization]],
    reference: dict[str, list[Turn]],
) -> str | None:
    """Draw a recording; return the name of the figure, if matplotlib is installed."""
    if not can_draw():
        return None
    from ssahc.report.affinity import save_affinities

    picture, turns = f"{_DRAWN}.png", reference[_DRAWN]
    drawn = {system: found[_DRAWN] for system, found in results.items()}
    affinities = {str(system): result.affinity for system, result in drawn.items()}
    # The spectral system clusters the cosine affinities.
    del affinities["spectral"]
    save_affinities(
        out_dir / picture,
        f"{_DRAWN} (simulated)",
        drawn["ssahc"].segments,
        turns,
        affinities,
        hypotheses={
            system: find_errors(turns, result.turns, ScoringOptions())
            for system, result in drawn.items()
        },
    )
    return picture
