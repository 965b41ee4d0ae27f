"""``python -m benchmarks interrupt``, with runs that are forks of one process.

They are killed as other processes are, but need not import and compile first.
"""

import os
import sys
from multiprocessing import get_context
from pathlib import Path
from subprocess import TimeoutExpired

import numpy as np

from ssahc import api
from ssahc.cli import main

# Behind the installed package: the sources are there, too.
sys.path.append(str(Path(__file__).parents[2]))

from benchmarks import __main__ as benchmarks
from benchmarks import interrupt


class Fork(get_context("fork").Process):
    """A run of the command line, with the methods of `subprocess.Popen`."""

    def run(self):
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        main()

    def wait(self, timeout=None):
        self.join(timeout)
        if self.exitcode is None:
            raise TimeoutExpired(self.name, timeout)
        return self.exitcode

    def poll(self):
        return self.exitcode

    @property
    def returncode(self):
        return self.exitcode


def start(*command):
    sys.argv = ["ssahc", *map(str, command)]
    run = Fork()
    run.start()
    return run


if __name__ == "__main__":
    windows = np.random.default_rng(0).standard_normal((9, 4))
    api.diarize(windows, np.column_stack([np.arange(9.0), np.arange(9.0) + 1]))
    interrupt.start = start
    benchmarks.main()
