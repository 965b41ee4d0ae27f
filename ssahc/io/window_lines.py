"""Windows of a stream as lines of JSON."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ssahc.core.errors import DataError
from ssahc.io.files import is_id
from ssahc.io.text import LONGEST

# Bytes; a line of a window of 10,000 dimensions has a few hundred thousand.
_LONGEST_LINE = 2**24
_EXPECTED = (
    'expected {"start": SECONDS, "end": SECONDS, "xvector": [...]}, {"time": SECONDS} '
    'or {"end": true}'
)


@dataclass(frozen=True)
class WindowLine:
    """A window of a recording, or if there is no x-vector, the time it has come to.

    With `is_last` it says that the recording has ended.
    """

    recording: str
    start: float
    end: float
    xvector: list[float] | None
    is_last: bool = False


def read_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield lines that are not empty and their numbers, as soon as they are complete.

    Of a line that goes on and on, the beginning is yielded, which `parse_line` refuses.
    """
    number, goes_on = 0, False
    while line := stream.readline(_LONGEST_LINE):
        is_rest, goes_on = goes_on, not line.endswith(b"\n")
        if is_rest:
            continue
        number += 1
        if line.strip():
            yield number, line


def is_name(recording: Any) -> bool:
    """Whether this can be the name of a recording: a word, in an RTTM as well."""
    return (
        isinstance(recording, str)
        and recording.split() == [recording]
        and is_id(recording)
    )


def parse_line(line: bytes, recording: str) -> WindowLine:
    """Return what a line says, of this recording if it names none.

    Keys that are not known are ignored. Raises a DataError for anything else.
    """
    if len(line) >= _LONGEST_LINE:
        raise DataError(
            f"found no end of line within {_LONGEST_LINE} bytes; send one window a line"
        )
    try:
        item = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        cut = "" if line.endswith(b"\n") else ", the stream was cut within this line"
        raise DataError(f"no JSON{cut} ({error}); {_EXPECTED}") from error
    if not isinstance(item, dict):
        raise DataError(f"found a {type(item).__name__}; {_EXPECTED}")
    recording = item.get("recording", recording)
    if not is_name(recording):
        raise DataError(
            f"a recording is named by a word, found {recording!r}; leave out spaces"
        )
    if item.get("end") is True and "xvector" not in item:
        return WindowLine(recording, 0.0, 0.0, None, is_last=True)
    if "time" in item and "xvector" not in item:
        time = _seconds(item, "time")
        return WindowLine(recording, time, time, None)
    values = item.get("xvector")
    if not isinstance(values, list) or not all(map(_is_number, values)):
        raise DataError(f"xvector must be a list of numbers; {_EXPECTED}")
    start, end = _seconds(item, "start"), _seconds(item, "end")
    return WindowLine(recording, start, end, [float(value) for value in values])


def _seconds(item: dict[str, Any], key: str) -> float:
    value = item.get(key)
    if value is None or not _is_number(value):
        raise DataError(f"{key} must be a number, found {value!r}; {_EXPECTED}")
    if value > LONGEST:
        raise DataError(
            f"expected seconds, found {value} for {key}, which is years; are these "
            "samples or milliseconds?"
        )
    return float(value)


def _is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 or value != value
