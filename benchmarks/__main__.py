"""Run a benchmark by its name: ``python -m benchmarks NAME [ARGUMENTS]``."""

import argparse
import ast
import importlib
import sys
from pathlib import Path

BENCHMARKS = (
    *("table1", "callhome", "speed", "scoring", "accuracy", "ablation", "real"),
    *("linking", "names", "interrupt"),
)
STUDIES = (
    *("fit", "pieces", "metric_learning", "soak", "memory", "segments"),
    *("embeddings", "kinds", "confidence", "online", "online_limits"),
    "online_audio",
)


def summary(module: str) -> str:
    """Return the first line of a module's docstring, without importing the module."""
    path = Path(__file__).parent / f"{module.replace('.', '/')}.py"
    return (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]


def list_benchmarks() -> str:
    """Return every benchmark with the first line of its docstring."""
    lines = ["benchmarks:"]
    lines += [f"  {name:15} {summary(name)}" for name in BENCHMARKS]
    lines += ["", "studies:"]
    lines += [f"  {name:15} {summary(f'studies.{name}')}" for name in STUDIES]
    return "\n".join(lines)


def main() -> None:
    """Import the benchmark that is asked for, parse its arguments and run it."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        usage="%(prog)s NAME [ARGUMENTS]",
        description=list_benchmarks(),
        epilog="'%(prog)s NAME --help' describes a benchmark and its arguments.",
        formatter_class=formatter,
    )
    parser.add_argument(
        "name",
        choices=(*BENCHMARKS, *STUDIES),
        metavar="NAME",
        help="a benchmark or a study",
    )
    name = parser.parse_args(sys.argv[1:2]).name
    module = importlib.import_module(
        f"benchmarks.{name}" if name in BENCHMARKS else f"benchmarks.studies.{name}"
    )
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=formatter,
    )
    module.add_arguments(parser)
    module.main(parser.parse_args(sys.argv[2:]))


if __name__ == "__main__":
    main()
