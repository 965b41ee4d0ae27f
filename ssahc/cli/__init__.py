"""The command line: each verb parses, reads, calls the library, and writes."""

import logging
import os
import signal
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from ssahc.cli.messages import say, say_error
from ssahc.core.errors import SsahcError
from ssahc.runtime.memory import lack_of_memory

VERBS = {
    "check": "Check an x-vector folder and a model without running.",
    "cluster": "Cluster ready-made score matrices, as Kaldi's agglomerative-cluster.",
    "demo": "Simulate, diarize and score a small corpus; needs no data.",
    "diarize": "Diarize an x-vector folder: who speaks when, as RTTM.",
    "fit": "Train mean, whitening and PLDA on x-vectors.",
    "plot": "Pictures: affinities, timelines with errors, error rates.",
    "report": "One HTML page on a run: error rates, timelines, affinities, settings.",
    "score": "Diarization error rate of an RTTM, equal to md-eval's.",
    "simulate": "Make x-vector folders of synthetic conversations.",
    "train-metric": "Train a network on x-vectors of known speakers, to start from.",
    "tune": "Find the threshold and other options that serve a folder best.",
    "verify": "Speaker verification: scores, EER and minDCF of a list of trials.",
}

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR = 2


class _ToStderr(logging.Handler):
    """Writes to what is standard error now: a progress bar may have taken its place."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


class _Verbs(click.Group):
    """Loads the module of a verb only when that verb is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = import_module(
            f"ssahc.cli.{name.replace('-', '_')}"
        ).command
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))


@click.group(
    cls=_Verbs,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(package_name="ssahc")
def cli() -> None:
    """Say who speaks when, from Kaldi x-vectors.

    Self-supervised agglomerative hierarchical clustering (Singh & Ganapathy,
    Interspeech 2020) with PLDA fusion; reads and writes Kaldi's files.
    """
    logger = logging.getLogger("ssahc")
    logger.handlers = [_ToStderr()]
    logger.setLevel(logging.INFO)


def main() -> None:
    """Run the command line; exit 2 with one line on errors that the user can mend."""
    # One recording's matrices are small: threads cost more than they bring (24 against
    # 10 CPU seconds on 250 calls). The user's own setting wins.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Pictures are files: no window is opened, whatever is set for other programs.
    os.environ["MPLBACKEND"] = "agg"
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        # Names that a terminal cannot show must not end a run.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # As batch systems stop a job: what is done is kept, nothing half-made is left.
    for number in _STOPS:
        # nohup, and shells that put a job aside, have it ignore some of them.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        sys.exit(cli(prog_name="ssahc", standalone_mode=False))
    except click.UsageError as error:
        verb = error.ctx.command_path if error.ctx else "ssahc"
        _fail(f"{error.format_message()} See '{verb} --help'.")
    except click.Abort:
        _fail("interrupted", 130)
    except SsahcError as error:
        _fail(str(error))
    except MemoryError as error:
        _fail(lack_of_memory(error))
    except OSError as error:
        # A disk that fills up, a file that vanishes: nothing that a traceback explains.
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")


def _open_closed() -> None:
    """Open what is closed: the next file, a result, would take standard error's place.

    What is closed stays without a reader.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(handle)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def _stop(number: int, frame: Any) -> NoReturn:
    # Once is enough: what is done is being put in order.
    for other in _STOPS:
        signal.signal(other, _ignore)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    _fail(f"stopped by {signal.Signals(number).name}", 128 + number)


def _ignore(number: int, frame: Any) -> None:
    pass


def _fail(message: str, status: int = 2) -> NoReturn:
    say_error(message)
    sys.exit(status)
