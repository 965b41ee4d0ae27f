"""Checks that a model can be computed with, wherever it comes from."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from ssahc.core.errors import DataError
from ssahc.core.types import LARGEST, EmbeddingNet, FloatArray, Model, Plda

_SINGULAR = 1e-12
_PLDA_AGAIN = "train the PLDA again"


def check_model(model: Model) -> None:
    """Raise a DataError for an unusable part of a model, or parts that do not fit."""
    for part, fault in find_faults(model):
        raise DataError(f"the model's {part}: {fault}")


def transform_dim(transform: FloatArray, dim: int | None) -> int:
    """Return the dimension of the vectors that a transform (d, D) or (d, D + 1) is for.

    The last column of the second is an offset. By its shape alone a transform may be
    either: it is for `dim` dimensions if it can be, otherwise as if it were square.
    """
    rows, columns = transform.shape
    if dim is not None and rows <= dim and columns - dim in (0, 1):
        return dim
    return rows if columns == rows + 1 else columns


def input_dims(model: Model, dim: int) -> dict[str, int]:
    """Return the dimensions of the x-vectors that a mean and a transform are for.

    `dim` is that of the x-vectors at hand; see `transform_dim`.
    """
    dims = {}
    if model.mean is not None:
        dims["mean"] = len(model.mean)
    if model.transform is not None:
        dims["transform"] = transform_dim(model.transform, dim)
    return dims


def find_mismatches(model: Model) -> Iterator[tuple[str, int, str, int]]:
    """Yield a part and its dimension, and one it does not fit and the dimension there.

    Mean, transform and embedding network are for x-vectors; a PLDA is for what the
    transform gives, or for x-vectors if there is none.
    """
    given: dict[str, int] = {}
    if model.mean is not None:
        given["mean"] = len(model.mean)
    dim = given.get("mean")
    groups = [given]
    if model.transform is not None:
        given["transform"] = transform_dim(model.transform, dim)
        groups.append({"transform": len(model.transform)})
    if model.plda is not None:
        groups[-1]["plda"] = len(model.plda.mean)
    if model.metric is not None:
        given["metric"] = transform_dim(model.metric.whitening, dim)
    for dims in groups:
        first = next(iter(dims), "")
        for part, found in dims.items():
            if found != dims[first]:
                yield part, found, first, dims[first]


def find_faults(model: Model, *, thorough: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the unusable parts of a model ("mean", "plda", ...), and what is wrong.

    `thorough` is that of `find_plda_fault`.
    """
    checks: dict[str, Callable[[Any], str | None]] = {
        "mean": find_mean_fault,
        "transform": find_transform_fault,
        "plda": partial(find_plda_fault, thorough=thorough),
        "metric": find_metric_fault,
    }
    faults = [
        (part, fault)
        for part, check in checks.items()
        if (value := getattr(model, part)) is not None
        and (fault := check(value)) is not None
    ]
    yield from faults
    if not faults:
        for part, dim, other, expected in find_mismatches(model):
            yield part, f"is for {dim} dimensions, the {other} for {expected}"


def find_mean_fault(mean: FloatArray) -> str | None:
    """Return what is wrong with a mean; None if nothing is."""
    if mean.ndim != 1:
        return f"expected a vector, found {_shape(mean)}"
    if not _is_finite(mean):
        return f"{_infinite()}; make it again"
    return None


def find_transform_fault(transform: FloatArray) -> str | None:
    """Return what is wrong with a whitening transform; None if nothing is."""
    rows, *columns = transform.shape or (0,)
    if len(columns) != 1 or not 0 < rows <= columns[0]:
        return (
            "expected a matrix of no more rows than columns (D x D, or d x D of LDA; "
            f"one column more is an offset), found {_shape(transform)}"
        )
    if not _is_finite(transform):
        return f"{_infinite()}; make it again"
    if not transform.any():
        return "is all zero; estimate it again"
    return None


def find_plda_fault(plda: Plda, *, thorough: bool = False) -> str | None:
    """Return what is wrong with a PLDA; a singular transform only if `thorough`."""
    shapes = plda.mean.shape, plda.transform.shape, plda.psi.shape
    rows = plda.psi.size
    if shapes != ((plda.mean.size,), (rows, plda.mean.size), (rows,)) or rows == 0:
        return (
            f"parts disagree: mean of {_shape(plda.mean)}, transform "
            f"{_shape(plda.transform)}, psi {_shape(plda.psi)}; {_PLDA_AGAIN}"
        )
    if not all(map(_is_finite, (plda.mean, plda.transform, plda.psi))):
        return f"{_infinite()}; {_PLDA_AGAIN}"
    if plda.psi.min() < 0 or (
        thorough and np.linalg.cond(plda.transform) > 1 / _SINGULAR
    ):
        return f"psi is negative or the transform singular; {_PLDA_AGAIN} on more data"
    return None


def find_metric_fault(metric: EmbeddingNet) -> str | None:
    """Return what is wrong with an embedding network; None if nothing is."""
    hidden = (matrix for layer in metric.hidden for matrix in layer)
    matrices = (metric.whitening, *hidden, metric.projection)
    if any(matrix.ndim != 2 or matrix.size == 0 for matrix in matrices):
        return "expected matrices; train again"
    if not all(map(_is_finite, matrices)):
        return f"{_infinite()}; train again"
    return None


def _is_finite(values: FloatArray) -> bool:
    return bool((np.abs(values) < LARGEST).all())


def _infinite() -> str:
    return f"holds NaN, infinity or a value beyond {LARGEST:g}"


def _shape(values: FloatArray) -> str:
    return " x ".join(map(str, values.shape)) or "a single number"
