"""Saving figures, and refusing early what could not be saved."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from ssahc.core.errors import UsageError, printable
from ssahc.io.files import atomic_write, check_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FORMATS = (".png", ".svg", ".pdf")
_LONGEST = 40
_INSTALL = "pip install 'ssahc[plots]'"

_logger = logging.getLogger(__name__)


def can_draw() -> bool:
    """Whether matplotlib is there; where it is not, a warning says so."""
    if find_spec("matplotlib") is None:
        _logger.warning("no picture: matplotlib is missing; %s", _INSTALL)
        return False
    return True


def check_picture(path: Path, inputs: Iterable[Path | None]) -> None:
    """Refuse what could not be drawn before anything is read.

    Parameters
    ----------
    path : Path
    inputs : iterable of Path or None
        As for `check_output`.

    Raises
    ------
    UsageError
        If matplotlib is missing, the suffix names no known format, or the file could
        not be written or is an input.
    """
    if find_spec("matplotlib") is None:
        raise UsageError(f"pictures need matplotlib: {_INSTALL}")
    if path.suffix not in _FORMATS:
        raise UsageError(
            f"{path}: a picture's name ends in {', '.join(_FORMATS)}, found "
            f"{path.suffix or 'no suffix'!r}"
        )
    check_output(path, inputs)


@contextmanager
def plain_style() -> Iterator[None]:
    """Draw as matplotlib does by itself, whatever is set for other pictures.

    A matplotlibrc, of the working directory even, may ask for LaTeX, which need not be
    there.
    """
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def save(figure: "Figure", path: Path) -> None:
    """Save a figure in the format that the suffix names."""
    with atomic_write(path, "wb") as file:
        file.write(encode(figure, path.suffix[1:]))


def encode(figure: "Figure", kind: str, *, dpi: int = 120) -> bytes:
    """Return a figure as the bytes of a file of this format."""
    file = BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks becomes boxes: no reason to worry.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        # Where room is made for marks, there may be more of them: only the second
        # drawing has room for these.
        figure.draw_without_rendering()
        figure.savefig(file, format=kind, dpi=dpi)
    return file.getvalue()


def label(name: str) -> str:
    """Return a name as matplotlib should draw it: short, and else as `as_drawn`."""
    shown = printable(name)
    if len(shown) > _LONGEST:
        shown = f"{shown[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}"
    return as_drawn(shown)


def as_drawn(name: str) -> str:
    """Return a name as matplotlib should draw it: not as a formula, and escaped.

    What does not print is not XML, so that no program would open the SVG; and of what
    is not UTF-8, matplotlib can draw nothing.
    """
    return printable(name).replace("$", r"\$")
