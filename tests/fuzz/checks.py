"""What must hold for whatever a reader accepts, and for its errors."""

import re

import numpy as np

# What Kaldi's readers take for a number; float() takes more, such as 1_000.
_NUMBER = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FIELD = re.compile(rb"[^ \t\r\f\v]+")


class Unsound(AssertionError):
    """A reader accepted what it should refuse, or lost something."""


def require(holds, what):
    """Raise `Unsound` unless it holds."""
    if not holds:
        raise Unsound(what)


def check_array(array, rank, size):
    """Check an array that came from a file of `size` bytes."""
    require(array.dtype in (np.float32, np.float64), f"dtype {array.dtype}")
    require(array.ndim == rank, f"{array.ndim} axes, not {rank}")
    # Compressed matrices have one byte per element, text has two.
    require(array.nbytes <= 8 * size, f"{array.nbytes} bytes from a file of {size}")


def check_finite(array):
    """Check that there is no NaN and no infinity."""
    require(np.isfinite(array).all(), "NaN or infinity")


def check_key(key):
    """Check that a key is one word to Kaldi."""
    require(isinstance(key, str) and key, f"key {key!r}")
    require(not re.search("[ \t\r\n\f\v\0]", key), f"key {key!r} is no single word")


def check_number(text, value):
    """Check that a number is plainly written, and read as it is written."""
    require(_NUMBER.fullmatch(text), f"{text!r} was taken for a number")
    require(value == float(text), f"{text!r} became {value!r}")


def same(one, other):
    """Whether two arrays are equal, including NaN and precision."""
    return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=True)


def as_written(array):
    """Return an array as it is after it was written in float32 and read again."""
    return array.astype("f4").astype(float)


def check_same(ones, others):
    """Check that two tables have the same keys, arrays and faults."""
    require(list(ones) == list(others), f"keys {list(ones)} and {list(others)}")
    for key, one in ones.items():
        pair = (one, others[key])
        faults = [not isinstance(item, np.ndarray) for item in pair]
        require(all(faults) or (not any(faults) and same(*pair)), f"{key!r}: {pair}")


def split_lines(path):
    """Return the fields of each line that is not blank, split naively on its bytes."""
    lines = (_FIELD.findall(line) for line in path.read_bytes().split(b"\n"))
    return [fields for fields in lines if fields]


def check_message(error):
    """Check that an error is one printable line."""
    text = str(error)
    require(text.strip() and text.isprintable(), f"error {text!r}")
