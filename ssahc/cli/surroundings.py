"""What may lie in the working directory, which libraries read there unasked."""

from pathlib import Path

from ssahc.core.errors import UsageError
from ssahc.io.files import open_regular, unreadable
from ssahc.runtime.jit import refuse_settings

_MATPLOTLIBRC = Path("matplotlibrc")


def check_working_directory() -> None:
    """Refuse what would set libraries up otherwise, or keep them from being loaded.

    Raises
    ------
    UsageError
        If there is a file that sets numba up, or one of matplotlib's that is no UTF-8.
    FormatError
        If the latter cannot be read.
    """
    refuse_settings()
    if not _MATPLOTLIBRC.exists():
        return
    try:
        with open_regular(_MATPLOTLIBRC) as file:
            file.read().decode()
    except OSError as error:
        raise unreadable(_MATPLOTLIBRC, error) from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{_MATPLOTLIBRC}: matplotlib, which is loaded for scores and pictures, "
            "cannot read this file in the working directory, since it is not UTF-8; "
            "convert it (iconv), or run elsewhere"
        ) from error
