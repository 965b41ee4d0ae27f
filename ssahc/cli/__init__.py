"""The command line: each verb parses, reads, calls the library, and writes."""

import logging
import os
import signal
import sys
from importlib import import_module
from io import TextIOWrapper
from keyword import iskeyword
from typing import Any, NoReturn

import click

from ssahc.cli.groups import VerbGroup
from ssahc.cli.messages import say, say_error
from ssahc.core.errors import SsahcError
from ssahc.runtime.memory import lack_of_memory

VERB_GROUPS = {
    "Diarization": {
        "diarize": "Diarize audio or an x-vector folder: who speaks when.",
        "stream": "Diarize audio or x-vectors while they come.",
        "extract": "Extract x-vectors of audio into a folder to diarize.",
        "link": "Find the same speakers across recordings.",
        "score": "Score an RTTM: diarization error rate, as by md-eval.",
        "report": "Write an HTML page on a run: error rates, timelines.",
        "plot": "Draw affinities, errors, error rates, or confidence.",
        "tune": "Tune the threshold and other options on labelled data.",
        "cluster": "Cluster score matrices, as Kaldi does.",
    },
    "Models": {
        "models": "List extractors by name, and how to install them.",
        "fit": "Estimate mean, whitening and PLDA from x-vectors.",
        "train-metric": "Train an embedding network on labelled x-vectors.",
        "train-extractor": "Train an extractor of x-vectors on labelled speech.",
        "score-extractor": "Print the equal error rates of an extractor.",
        "train-segmentation": "Train a network that finds who speaks when in chunks.",
        "score-segmentation": "Score such a network: errors within chunks.",
        "export-segmentation": "Write such a network as an ONNX file.",
        "export-extractor": "Write a trained extractor for Kaldi, or as an ONNX file.",
        "verify": "Score speaker verification trials: EER and minDCF.",
    },
    "Data": {
        "demo": "Simulate, diarize and score a small corpus.",
        "import": "Make an x-vector folder of numpy's .npz files.",
        "simulate": "Simulate conversations as x-vector folders.",
        "simulate-audio": "Simulate recordings of conversations, of single voices.",
        "check": "Check an x-vector folder and a model without diarizing.",
    },
}
VERBS = {name: text for group in VERB_GROUPS.values() for name, text in group.items()}

_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STDERR = 2


class _ToStderr(logging.Handler):
    """Writes to the current standard error, which a progress bar may replace."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())


class _Verbs(VerbGroup):
    """Loads the module of a verb only when the verb is run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the command line, which may set another level of the log."""
        logger = logging.getLogger("ssahc")
        logger.handlers = [_ToStderr()]
        logger.setLevel(logging.INFO)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        # No module can be called import.
        module = name.replace("-", "_") + "_" * iskeyword(name)
        command: click.Command = import_module(f"ssahc.cli.{module}").command
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        width = max(map(len, VERBS))
        for title, verbs in VERB_GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), verbs[name]) for name in verbs])


@click.group(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(None, "-V", "--version", package_name="ssahc")
def cli() -> None:
    """Speaker diarization of audio, x-vectors and other speaker embeddings.

    Self-supervised agglomerative hierarchical clustering (Singh & Ganapathy,
    Interspeech 2020) with PLDA fusion. Reads and writes Kaldi's files.
    """


def main() -> None:
    """Run the command line; exit with 2 and one line on errors caused by user input."""
    # A recording's matrices are small: threads cost more than they gain (24 instead of
    # 10 CPU seconds on 250 calls). The user's setting takes precedence.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Pictures are files: never open a window.
    os.environ["MPLBACKEND"] = "agg"
    _open_closed()
    for stream in (sys.stdout, sys.stderr):
        # Names that a terminal cannot show must not stop a run.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Batch systems stop jobs by signals: keep results, leave no partial files.
    for number in _STOPS:
        # nohup and background jobs ignore some of them.
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
        # For a full disk or a vanished file, a traceback explains nothing.
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}")
    finally:
        # Results are stored; a signal now must not print a traceback.
        for number in _STOPS:
            if signal.getsignal(number) in (_stop, _ignore):
                signal.signal(number, signal.SIG_DFL)


def _open_closed() -> None:
    """Open closed standard streams on the null device.

    Otherwise the next file to be opened, a result, would become standard error.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(handle)
    if sys.stdin is None:
        sys.stdin = open(os.devnull)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def _stop(number: int, frame: Any) -> NoReturn:
    # Ignore further signals while results are stored.
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
