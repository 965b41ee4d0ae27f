"""Errors are one line, and can be sent from one process to another."""

import pickle
from pathlib import Path

from ssahc.core.errors import DataError, FormatError, UsageError


def test_errors_survive_pickling():
    for error in (
        DataError("of 'a' is all zero"),
        UsageError("a\nline end"),
        FormatError("expected a number", path="./x/segments"),
        FormatError("expected a\tnumber", path=Path("a\nb"), line=3),
        FormatError("is no matrix", path="xvector.ark", key="a b", line=0),
    ):
        arrived = pickle.loads(pickle.dumps(error))
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
        assert vars(arrived) == vars(error)
        assert str(arrived).isprintable()


def test_messages_start_with_file_line_and_key():
    error = FormatError("expected a number", path="segments", line=3, key="a")
    assert str(error) == "segments:3: key 'a': expected a number"
    assert (error.path, error.line, error.key) == (Path("segments"), 3, "a")
