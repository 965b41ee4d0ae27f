"""``ssahc import``."""

import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import nothing_done, print_faults, track
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.types import Fault, Recording, suspect_unit
from ssahc.io.folders import staged_output
from ssahc.io.npz import read_npz
from ssahc.io.xvector_writer import FILES, write_xvector_dir
from ssahc.runtime.memory import lack_of_memory

_logger = logging.getLogger("ssahc")


@click.command("import", cls=Verb)
@click.argument("npz", type=PATH, nargs=-1, required=True)
@click.argument("out_dir", type=PATH)
def command(npz: Sequence[Path], out_dir: Path) -> None:
    """Write numpy's .npz files as an x-vector folder.

    Each NPZ is a recording, whose id is the name of the file. It holds the arrays
    xvectors (N, D) and segments (N, 2), start and end of every window in seconds, and
    optionally utterances (N,), the ids of the windows. OUT_DIR is a folder for diarize,
    check and all other verbs.

    Exit status: 0 if all files were written; 1 if some could not be used (each is
    named); 2 on wrong usage or if all failed (nothing is written).
    """
    _refuse_one_name(npz)
    faults: list[Fault] = []
    with staged_output(out_dir, FILES) as folder:
        for name in FILES:
            if (out_dir / name).exists():
                raise UsageError(
                    f"{out_dir}: holds {name} already; choose another folder, or "
                    "remove it first"
                )
        write_xvector_dir(folder, _read(npz, faults))
        print_faults(faults, len(npz))
        if len(faults) == len(npz):
            raise nothing_done()
    _logger.info("wrote %d recordings to %s", len(npz) - len(faults), out_dir)
    sys.exit(1 if faults else 0)


def _refuse_one_name(paths: Sequence[Path]) -> None:
    """Raise a UsageError if two files would become recordings of one id."""
    first: dict[str, Path] = {}
    for path in paths:
        if first.setdefault(path.stem, path) != path:
            raise UsageError(
                f"{first[path.stem]} and {path} would both become recording "
                f"{path.stem!r}; rename one"
            )


def _read(paths: Sequence[Path], faults: list[Fault]) -> Iterator[Recording]:
    """Yield the recordings; add the faults of the others to a list."""
    for path in track(paths, len(paths), "importing"):
        try:
            recording = read_npz(path)
        except (DataError, FormatError) as error:
            faults.append(Fault(path.stem, str(error)))
        except MemoryError as error:
            faults.append(Fault(path.stem, lack_of_memory(error)))
        else:
            if warning := suspect_unit(recording.segments):
                _logger.warning(f"{path}: {warning}")
            yield recording
