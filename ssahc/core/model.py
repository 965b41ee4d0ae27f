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


def dimensions(model: Model) -> dict[str, int]:
    """Return the dimension of x-vectors that each given part is for."""
    arrays = {
        "mean": model.mean,
        "transform": model.transform,
        "plda": None if model.plda is None else model.plda.mean,
        "metric": None if model.metric is None else model.metric.whitening,
    }
    given = {part: array for part, array in arrays.items() if array is not None}
    return {part: len(np.atleast_1d(array)) for part, array in given.items()}


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
    dims = dimensions(model)
    for part, dim in dims.items():
        fault = checks[part](getattr(model, part))
        first = next(iter(dims))
        if fault is None and dim != dims[first]:
            fault = f"is for {dim} dimensions, the {first} for {dims[first]}"
        if fault is not None:
            yield part, fault


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
    if rows == 0 or columns not in ([rows], [rows + 1]):
        return (
            "expected a square matrix, or one column more for an offset, found "
            f"{_shape(transform)}"
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
