"""Runs that are killed, within the process of the test."""

import shutil
from contextlib import contextmanager, suppress


class Killed(BaseException):
    """Ends a run as SIGKILL does, once `killed` has undone what followed it."""


@contextmanager
def killed(out):
    """Yield a function that kills the run that writes to a folder.

    Python runs what handles and cleans up after an exception; so the folder is put
    back to how it was when the run was killed.
    """
    snapshot = out.with_name(f"{out.name}-when-killed")

    def die():
        shutil.copytree(out, snapshot)
        raise Killed

    with suppress(Killed):
        yield die
    if snapshot.exists():
        shutil.rmtree(out, ignore_errors=True)
        snapshot.rename(out)
