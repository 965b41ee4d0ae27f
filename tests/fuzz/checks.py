"""What must be true of whatever a reader accepts, and of how it refuses."""

import re
from collections.abc import Mapping

import numpy as np

# What Kaldi's readers take for a number; float() takes more, such as 1_000.
_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FIELD = re.compile(rb"[^ \t\r\f\v]+")


class Unsound(AssertionError):
    """A reader let something through that it should have refused, or lost something."""


def require(holds, what):
    """Raise `Unsound` unless it holds."""
    if not holds:
        raise Unsound(what)


def check_array(array, rank, size):
    """Check an array that came from a file of `size` bytes."""
    require(array.dtype in (np.float32, np.float64), f"dtype {array.dtype}")
    require(array.ndim == rank, f"{array.ndim} axes, not {rank}")
    # A compressed matrix has a byte an element, text two.
    require(array.nbytes <= 8 * size, f"{array.nbytes} bytes from a file of {size}")


def check_finite(array):
    """Check that values are measurements."""
    require(np.isfinite(array).all(), "NaN or infinity")


def check_key(key):
    """Check that a key is one word, as Kaldi's tables split."""
    require(isinstance(key, str) and key, f"key {key!r}")
    require(not re.search("[ \t\r\n\f\v\0]", key), f"key {key!r} is no single word")


def check_number(text, value):
    """Check that a number is plainly written and came out as it is written."""
    require(_NUMBER.fullmatch(text), f"{text!r} was taken for a number")
    require(value == float(text), f"{text!r} became {value!r}")


def same(one, other):
    """Whether two arrays are the same, NaN and precision included."""
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)


def check_same(ones, others):
    """Check that two tables have the same keys and the same arrays."""
    require(list(ones) == list(others), f"keys {list(ones)} and {list(others)}")
    for key, one in ones.items():
        pair = (one, others[key])
        faults = [not isinstance(item, np.ndarray) for item in pair]
        require(all(faults) or (not any(faults) and same(*pair)), f"{key!r}: {pair}")


def split_lines(data):
    """Split a table naively, on its bytes: the fields of each line that has some."""
    lines = (_FIELD.findall(line) for line in data.split(b"\n"))
    return [fields for fields in lines if fields]


def check_keys(table: Mapping, lines):
    """Check that a table holds the first fields of these lines, in their order."""
    keys = [fields[0].decode() for fields in lines]
    require(list(table) == keys, f"keys {list(table)}, but the lines start {keys}")
    for key in table:
        check_key(key)


def check_message(error):
    """Check that an error is one line that a terminal shows as it is."""
    text = str(error)
    require(text.strip() and text.isprintable(), f"error {text!r}")
