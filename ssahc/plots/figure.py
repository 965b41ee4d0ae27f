"""Saving figures, and refusing early what could not be saved."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ssahc.errors import UsageError
from ssahc.io.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = (".png", ".svg", ".pdf")


def check_picture(path: Path) -> None:
    """Refuse what could not be drawn before anything is computed.

    Raises
    ------
    UsageError
        If matplotlib or the folder is missing, or the suffix names no known format.
    """
    if find_spec("matplotlib") is None:
        raise UsageError("pictures need matplotlib: pip install 'ssahc[plots]'")
    if path.suffix not in _FORMATS:
        raise UsageError(
            f"{path}: a picture's name ends in {', '.join(_FORMATS)}, found "
            f"{path.suffix or 'no suffix'!r}"
        )
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such folder; create it first")


def save(figure: "Figure", path: Path) -> None:
    """Save a figure in the format that the suffix names."""
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=path.suffix[1:], dpi=120)
