"""Saving matplotlib figures, and checks before anything is computed for them."""

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
_MAX_LABEL = 40
_INSTALL = "pip install 'ssahc[plots]'"

_logger = logging.getLogger(__name__)


def can_draw() -> bool:
    """Whether matplotlib can be used; warns if not."""
    if find_spec("matplotlib") is None:
        _logger.warning("no figure: matplotlib is missing; %s", _INSTALL)
        return False
    try:
        _load_matplotlib()
    except UsageError as error:
        _logger.warning("no figure: %s", error)
        return False
    return True


def _load_matplotlib() -> None:
    """Import matplotlib; UsageError if it cannot decode a matplotlibrc."""
    log = logging.getLogger("matplotlib")
    # What it logs about this file is of no use: its values are not used.
    log.disabled = True
    try:
        import matplotlib  # noqa: F401
    except UnicodeDecodeError as error:
        raise UsageError(
            "matplotlibrc: this file, in the working directory or where matplotlib "
            f"keeps its settings, is not UTF-8 ({error}); correct or remove it"
        ) from error
    finally:
        log.disabled = False


def require_libraries(*names: str) -> None:
    """Raise a UsageError if a library for figures or reports is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise UsageError(f"figures and reports need {name}: {_INSTALL}")


def check_picture(path: Path, inputs: Iterable[Path | None]) -> None:
    """Raise a UsageError early for a figure that could not be drawn or written."""
    require_libraries("matplotlib")
    if path.suffix not in _FORMATS:
        raise UsageError(
            f"{path}: the name of a figure ends in {', '.join(_FORMATS)}, found "
            f"{path.suffix or 'no suffix'!r}"
        )
    check_output(path, inputs)


@contextmanager
def plain_style() -> Iterator[None]:
    """Use matplotlib's defaults, not the user's, which may ask for LaTeX."""
    _load_matplotlib()
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


def save(figure: "Figure", path: Path) -> None:
    """Save a figure in the format that the suffix names: .png, .svg or .pdf."""
    with atomic_write(path, "wb") as file:
        file.write(encode(figure, path.suffix[1:]))


def encode(figure: "Figure", kind: str, *, dpi: int = 120) -> bytes:
    """Return a figure as the bytes of a file of this format."""
    file = BytesIO()
    with warnings.catch_warnings():
        # Characters that the font lacks are drawn as boxes.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        # The constrained layout may change the number of ticks; only a second drawing
        # has room for the labels of new ones.
        figure.draw_without_rendering()
        figure.savefig(file, format=kind, dpi=dpi)
    return file.getvalue()


def label(name: str) -> str:
    """Return a name shortened, and escaped as by `as_drawn`."""
    shown = printable(name)
    if len(shown) > _MAX_LABEL:
        shown = f"{shown[: _MAX_LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"
    return as_drawn(shown)


def as_drawn(name: str) -> str:
    """Return a name that matplotlib draws literally.

    Dollar signs would start formulas, control characters make invalid SVG, and
    matplotlib cannot draw lone surrogates.
    """
    return printable(name).replace("$", r"\$")
