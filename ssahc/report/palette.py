"""Colours that all pictures share, told apart by colour-blind readers too."""

from ssahc.scoring.error_spans import ErrorKind

# Okabe & Ito's, "Color Universal Design" (2008), without black.
_SPEAKERS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7"),
    *("#56B4E9", "#D55E00", "#F0E442"),
)
# Those above, and as many darker ones.
DISTINCT_COLORS = 2 * len(_SPEAKERS)
# Unlike those of speakers, and to be seen on white and on black.
ERROR_COLORS: dict[ErrorKind, str] = {
    "missed": "#7A7A7A",
    "false alarm": "#999933",
    "confusion": "#B5326E",
}
UNSCORED = "#BBBBBB"


def speaker_color(lane: int) -> str:
    """Return the colour of a speaker as #RRGGBB.

    Parameters
    ----------
    lane : int
        Place of the speaker, counted from 0. Every seven places the colours come again,
        darker; from the 15th on they repeat.
    """
    turn, place = divmod(lane, len(_SPEAKERS))
    color = _SPEAKERS[place]
    if turn % 2 == 0:
        return color
    parts = (int(color[start : start + 2], 16) * 11 // 20 for start in (1, 3, 5))
    return "#" + "".join(f"{part:02X}" for part in parts)
