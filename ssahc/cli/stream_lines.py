"""Windows that come on standard input as lines of JSON."""

from collections.abc import Iterable

from ssahc.cli.messages import say, say_error
from ssahc.cli.stream_input import INPUT
from ssahc.cli.stream_recordings import Recordings
from ssahc.core.errors import DataError, FormatError, counted
from ssahc.io.window_lines import parse_line


def take_lines(
    lines: Iterable[tuple[int, bytes]], recordings: Recordings, recording: str
) -> int:
    """Take lines and their numbers; return how many were skipped, each of them named.

    Lines that name no recording are of `recording`.
    """
    num_skipped = 0
    for number, line in lines:
        try:
            _take(line, recordings, recording)
        except DataError as error:
            num_skipped += 1
            fault = FormatError(f"{error} (skipped)", path=INPUT, line=number)
            say_error(str(fault))
    if num_skipped:
        say(f"skipped {counted(num_skipped, 'line')} of {INPUT}")
    return num_skipped


def _take(line: bytes, recordings: Recordings, recording: str) -> None:
    item = parse_line(line, recording)
    if item.is_last:
        recordings.end(item.recording)
    elif item.xvector is None:
        recordings.advance(item.recording, item.end)
    else:
        recordings.add(item.recording, [item.xvector], [[item.start, item.end]])
