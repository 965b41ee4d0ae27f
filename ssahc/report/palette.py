"""Colours of all figures, distinguishable to colour-blind readers."""

from ssahc.scoring.error_spans import ErrorKind
from ssahc.scoring.overlap_spans import OverlapKind

# Okabe & Ito, "Color Universal Design" (2008), without black.
_SPEAKERS = "#0072B2 #E69F00 #009E73 #CC79A7 #56B4E9 #D55E00 #F0E442".split()
# The colours above, and a darker shade of each.
DISTINCT_COLORS = 2 * len(_SPEAKERS)
# Different from speaker colours, and visible on white and on black.
ERROR_COLORS: dict[ErrorKind, str] = {
    "missed": "#7A7A7A",
    "false alarm": "#999933",
    "confusion": "#B5326E",
}
# Of overlap in reference and hypothesis; what is wrong has the colours of errors.
OVERLAP_COLORS: dict[OverlapKind, str] = {
    "found": "#7B5BD6",
    "missed": ERROR_COLORS["missed"],
    "false alarm": ERROR_COLORS["false alarm"],
}
UNSCORED = "#BBBBBB"


def speaker_color(index: int) -> str:
    """Return the colour of a speaker, counted from 0, as #RRGGBB.

    Those from 7 to 13 repeat the first in a darker shade; from 14 on colours repeat.
    """
    turn, place = divmod(index, len(_SPEAKERS))
    color = _SPEAKERS[place]
    if turn % 2 == 0:
        return color
    parts = (int(color[start : start + 2], 16) * 11 // 20 for start in (1, 3, 5))
    return "#" + "".join(f"{part:02X}" for part in parts)
