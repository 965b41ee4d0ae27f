"""The binary or text half of an nnet3 model: components and their parameters.

A component is read as a list of fields, ``<Name> value``: over the years, Kaldi's
programs have written some in other orders and with other training statistics.
"""

import re
from collections.abc import Callable, Mapping
from io import BytesIO

import numpy as np

from ssahc.core.nnet3 import (
    Affine,
    Component,
    LogSoftmax,
    Normalization,
    Relu,
    StatisticsExtraction,
    StatisticsPooling,
)
from ssahc.core.types import LARGEST, FloatArray
from ssahc.io.files import to_number
from ssahc.io.objects import Kind, as_double, read_header, read_text, refuse_rest

MARK = b"\0B"
_TOKEN = re.compile(rb"\s*<([^<>\s]{1,100})>\s*")
_NAME = re.compile(rb"[^\s<>]{1,1000}")
_LARGEST_DIM = 1_000_000
# Fields that are integers; in binary they look like floats.
_INTEGERS = (
    *("Dim", "BlockDim", "InputDim", "InputPeriod", "OutputPeriod"),
    *("LeftContext", "RightContext", "NumLogCountFeatures", "NumComponents"),
)

_Value = int | float | bool | np.ndarray
_Fields = Mapping[str, _Value]


def read_components(
    data: bytes, place: int, needed: set[str]
) -> dict[str, Component | None]:
    """Read the components that are needed, by name; the others are skipped.

    `place` is where ``<NumComponents>`` starts. Raises a ValueError or an EOFError.
    """
    is_binary = data.startswith(MARK)
    _, place = _read_token(data, place)
    count, place = _read_value(data, place, "NumComponents", is_binary)
    components: dict[str, Component | None] = {}
    for _ in range(int(_number(count))):
        place = _expect_token(data, place, "ComponentName")
        word = _NAME.match(data, place)
        if word is None:
            raise _no_token(data, place)
        name = word[0].decode("latin-1")
        kind, place = _read_token(data, word.end())
        if name in needed and kind not in _KINDS:
            supported = ", ".join(_KINDS)
            raise ValueError(
                f"component {name!r} is of the type {kind}, which is not supported; "
                f"these are: {supported}"
            )
        if name in needed:
            fields, place = _read_fields(data, place, f"/{kind}", is_binary)
            try:
                components[name] = _KINDS[kind](fields)
            except KeyError as error:
                raise ValueError(f"<{error.args[0]}> is missing in {name!r}") from error
            except ValueError as error:
                raise ValueError(f"component {name!r}: {error}") from error
        else:
            place = _skip_component(data, place, kind)
    place = _expect_token(data, place, "/Nnet3")
    refuse_rest(BytesIO(data[place:]), len(data) - place)
    for name in sorted(needed - components.keys()):
        raise ValueError(f"the component {name[:40]!r} is missing, and a node needs it")
    return components


def _skip_component(data: bytes, place: int, kind: str) -> int:
    closing = f"</{kind}>".encode("latin-1")
    end = data.find(closing, place)
    if end < 0:
        raise _truncated(f"{closing.decode('latin-1')} is missing")
    return end + len(closing)


def _read_affine(fields: _Fields) -> Affine:
    weight = _array(fields, "Params" if "Params" in fields else "LinearParams", 2)
    bias = (
        np.zeros(len(weight)) if "Params" in fields else _array(fields, "BiasParams", 1)
    )
    if weight.size == 0 or bias.shape != weight.shape[:1]:
        raise ValueError(f"a matrix {weight.shape} does not fit a bias of {bias.size}")
    return Affine(weight.astype(np.float32), bias.astype(np.float32))


def _read_batchnorm(fields: _Fields) -> Normalization:
    dim, block = _dim(fields, "Dim"), _dim(fields, "BlockDim")
    mean, variance = _array(fields, "StatsMean", 1), _array(fields, "StatsVar", 1)
    count = float(_number(fields["Count"]))
    if not count > 0 or mean.size == 0:
        raise ValueError(
            "the batch normalisation has no statistics (count 0), and Kaldi would draw "
            "random ones: the network was not trained; give one that was"
        )
    if dim % block or not mean.size == variance.size == block:
        raise ValueError(
            f"{dim} dimensions in blocks of {block} do not fit statistics of "
            f"{mean.size} and {variance.size}"
        )
    epsilon, target = _number(fields["Epsilon"]), _number(fields["TargetRms"])
    if not 0 < epsilon < LARGEST or not 0 < target < LARGEST:
        raise ValueError(f"invalid epsilon {epsilon:g} or target RMS {target:g}")
    repeats = dim // block
    return Normalization(
        np.tile(mean, repeats), np.tile(variance, repeats), count, epsilon, target
    )


def _read_extraction(fields: _Fields) -> StatisticsExtraction:
    periods = _integer(fields, "InputPeriod"), _integer(fields, "OutputPeriod")
    if periods != (1, 1):
        raise ValueError(
            f"statistics of periods {periods} are not supported, (1, 1) is"
        )
    # Kaldi spells it so.
    return StatisticsExtraction(
        _dim(fields, "InputDim"), bool(fields["IncludeVarinance"])
    )


def _read_pooling(fields: _Fields) -> StatisticsPooling:
    if _integer(fields, "InputPeriod") != 1:
        raise ValueError("statistics of a period other than 1 are not supported")
    context = _integer(fields, "LeftContext"), _integer(fields, "RightContext")
    counts = _integer(fields, "NumLogCountFeatures")
    floor = _number(fields["VarianceFloor"])
    if min(context) < 0 or not 0 <= counts <= 1000 or not 0 <= floor < LARGEST:
        raise ValueError(f"invalid context {context}, counts {counts} or floor {floor}")
    return StatisticsPooling(
        _dim(fields, "InputDim"), *context, counts, bool(fields["OutputStddevs"]), floor
    )


_KINDS: dict[str, Callable[[_Fields], Component | None]] = {
    "NaturalGradientAffineComponent": _read_affine,
    "AffineComponent": _read_affine,
    "FixedAffineComponent": _read_affine,
    "LinearComponent": _read_affine,
    "RectifiedLinearComponent": lambda fields: Relu(_dim(fields, "Dim")),
    "BatchNormComponent": _read_batchnorm,
    "StatisticsExtractionComponent": _read_extraction,
    "StatisticsPoolingComponent": _read_pooling,
    "LogSoftmaxComponent": lambda fields: LogSoftmax(_dim(fields, "Dim")),
    "NoOpComponent": lambda fields: None,
}


# ---- fields ------------------------------------------------------------------------


def _read_fields(
    data: bytes, place: int, closing: str, is_binary: bool
) -> tuple[dict[str, _Value], int]:
    """Read the fields of a component up to its closing token."""
    fields: dict[str, _Value] = {}
    while True:
        name, place = _read_token(data, place)
        if name == closing:
            return fields, place
        if data[place : place + 1] == b"<":
            continue
        fields[name], place = _read_value(data, place, name, is_binary)


def _read_token(data: bytes, place: int) -> tuple[str, int]:
    match = _TOKEN.match(data, place)
    if match is None:
        raise _no_token(data, place)
    return match[1].decode("latin-1"), match.end()


def _expect_token(data: bytes, place: int, name: str) -> int:
    found, end = _read_token(data, place)
    if found != name:
        raise ValueError(f"expected <{name}> at byte {place}, found <{found}>")
    return end


def _no_token(data: bytes, place: int) -> Exception:
    rest = data[place : place + 24]
    # A token that the end of the file cuts.
    if len(rest.lstrip()) < 24 and b">" not in rest:
        return _truncated("it ends within a component")
    return ValueError(f"expected a token such as <Dim> at byte {place}, found {rest!r}")


def _truncated(what: str) -> EOFError:
    return EOFError(f"truncated: {what}; copy the file again")


def _read_value(
    data: bytes, place: int, name: str, is_binary: bool
) -> tuple[_Value, int]:
    """Read a number, a truth value, a vector or a matrix."""
    return (_read_binary if is_binary else _read_word)(data, place, name)


def _read_binary(data: bytes, place: int, name: str) -> tuple[_Value, int]:
    kind = data[place : place + 3]
    if kind in (b"FV ", b"DV ", b"FM ", b"DM "):
        return _read_array(data, place, "vector" if kind[1:2] == b"V" else "matrix")
    if kind[:1] in (b"T", b"F"):
        return kind[:1] == b"T", place + 1
    size = kind[0] if kind else 0
    end = place + 1 + size
    if size in (4, 8) and end < len(data):
        layout = "<i4" if name in _INTEGERS and size == 4 else f"<f{size}"
        return np.frombuffer(data, layout, 1, place + 1).item(), end
    if end >= len(data):
        raise _truncated("it ends within a component")
    raise ValueError(f"<{name}> at byte {place} is of an unknown kind: {kind!r}")


def _read_array(data: bytes, place: int, kind: Kind) -> tuple[np.ndarray, int]:
    """Read a vector or matrix; only the whole file has a binary mark, its parts not."""
    head = BytesIO(MARK + data[place : place + 32])
    header = read_header(head, len(MARK) + len(data) - place, kind)
    if header is None or header.is_compressed:
        raise ValueError(f"unexpected {kind} at byte {place}")
    place += head.tell() - len(MARK)
    count = header.payload // header.width
    values = np.frombuffer(data, f"<f{header.width}", count, place)
    return values.reshape(header.dims), place + header.payload


def _read_word(data: bytes, place: int, name: str) -> tuple[_Value, int]:
    if data[place : place + 1] == b"[":
        end = data.find(b"]", place) + 1
        if end == 0:
            raise _truncated(f"the ']' of <{name}> is missing")
        return read_text(BytesIO(data[place:end]), "matrix"), end
    word = _NAME.match(data, place)
    if word is None:
        raise _no_token(data, place)
    if word[0] in (b"T", b"F"):
        return word[0] == b"T", word.end()
    text = word[0].decode("latin-1")
    if name in _INTEGERS and re.fullmatch("-?[0-9]{1,9}", text):
        return int(text), word.end()
    return to_number(text), word.end()


def _number(value: _Value) -> float:
    if isinstance(value, np.ndarray) or isinstance(value, bool):
        raise ValueError(f"expected a number, found {value!r:.40}")
    return value


def _integer(fields: _Fields, name: str) -> int:
    value = _number(fields[name])
    if not isinstance(value, int):
        raise ValueError(f"expected an integer <{name}>, found {value:g}")
    return value


def _dim(fields: _Fields, name: str) -> int:
    dim = _integer(fields, name)
    if not 0 < dim <= _LARGEST_DIM:
        raise ValueError(f"invalid <{name}> {dim}")
    return dim


def _array(fields: _Fields, name: str, ndim: int) -> FloatArray:
    """Return a vector (`ndim` 1) or matrix (2), which must be finite."""
    values = fields[name]
    if not isinstance(values, np.ndarray):
        raise ValueError(f"expected a vector or matrix <{name}>, found {values}")
    values = as_double(values)
    # In text, a vector is a matrix of one row.
    if ndim == 1 and values.ndim == 2 and len(values) <= 1:
        values = values.ravel()
    if values.ndim != ndim:
        raise ValueError(f"<{name}> has {values.ndim} axes, expected {ndim}")
    if not (np.abs(values) < LARGEST).all():
        raise ValueError(f"<{name}> holds NaN, infinity or a value beyond {LARGEST:g}")
    return values
