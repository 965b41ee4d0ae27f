"""A model folder: ``mean.vec``, ``transform.mat``, ``plda``, ``metric.ark``."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np

from ssahc.errors import DataError, FormatError, UsageError
from ssahc.io.ark import as_double, read_single, write_single
from ssahc.io.folders import make_folder
from ssahc.io.metric import read_metric, write_metric
from ssahc.io.plda import find_fault, read_plda, write_plda
from ssahc.types import LARGEST, FloatArray, Model

MEAN, TRANSFORM, PLDA, METRIC = MODEL_FILES = (
    *("mean.vec", "transform.mat", "plda", "metric.ark"),
)
ModelFormat = Literal["kaldi", "text", "binary"]


def read_model(
    *,
    mean: Path | None = None,
    transform: Path | None = None,
    plda: Path | None = None,
    metric: Path | None = None,
) -> Model:
    """Read the parts of a model and check that they fit together.

    Raises
    ------
    FormatError
        If a file is unreadable or its dimension disagrees with the others.
    UsageError
        If there is a PLDA but no mean or no transform, or a metric but no mean: they
        were trained on vectors that were centred and, for the PLDA, whitened.
    """
    if plda is not None and (mean is None or transform is None):
        raise UsageError(
            f"{plda}: a PLDA is trained on centred and whitened x-vectors; give "
            "--mean and --transform as well, or a --model-dir"
        )
    if metric is not None and mean is None:
        raise UsageError(
            f"{metric}: a metric is trained on centred x-vectors; give --mean as well, "
            "or a --model-dir"
        )
    parts: dict[Path, int] = {}
    mean_vector = matrix = model_plda = model_metric = None
    if mean is not None:
        mean_vector = as_double(read_single(mean, "vector"))
        _refuse(_find_infinite(mean_vector), mean)
        parts[mean] = len(mean_vector)
    if transform is not None:
        matrix = as_double(read_single(transform, "matrix"))
        _refuse(_find_infinite(matrix), transform)
        rows, columns = matrix.shape
        if rows == 0 or columns not in (rows, rows + 1):
            raise FormatError(
                "expected a square matrix, or one column more for an offset, "
                f"found {rows} x {columns}",
                path=transform,
            )
        _refuse(_find_zero(matrix), transform)
        parts[transform] = rows
    if plda is not None:
        model_plda = read_plda(plda)
        parts[plda] = len(model_plda.mean)
    if metric is not None:
        model_metric = read_metric(metric)
        parts[metric] = len(model_metric.whitening)
    for (path, dim), (other, expected) in pairwise(parts.items()):
        if dim != expected:
            raise FormatError(
                f"is for {expected} dimensions, but {path} for {dim}; "
                "take both from one model",
                path=other,
            )
    return Model(mean_vector, matrix, model_plda, model_metric)


def read_model_dir(folder: Path | str, **instead: Path | None) -> Model:
    """Read a model folder; its ``plda`` and its ``metric.ark`` may be missing.

    Parameters
    ----------
    folder : Path or str
    **instead : Path, optional
        A file to read in place of the folder's, by part: mean, transform, plda,
        metric.

    Raises
    ------
    FormatError
        If the folder or a part of it is missing, or see `read_model`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FormatError(
            f"no such folder; expected one with {MEAN}, {TRANSFORM} and, for PLDA, "
            f"{PLDA}",
            path=folder,
        )
    parts: dict[str, Path | None] = {
        "mean": folder / MEAN,
        "transform": folder / TRANSFORM,
        "plda": folder / PLDA if (folder / PLDA).exists() else None,
        "metric": folder / METRIC if (folder / METRIC).exists() else None,
    }
    parts.update({part: path for part, path in instead.items() if path is not None})
    return read_model(**parts)


def write_model_dir(
    folder: Path | str, model: Model, *, file_format: ModelFormat = "kaldi"
) -> None:
    """Write the parts of a model.

    Parameters
    ----------
    folder : Path or str
        Made if missing.
    model : Model
    file_format : {"kaldi", "text", "binary"}
        As Kaldi's programs do by default (the mean as text, the others binary), or all
        of one kind; a metric is always binary.

    Raises
    ------
    DataError
        If `read_model_dir` would refuse what is to be written; then nothing is.
    """
    folder = Path(folder)
    for name, fault in _find_faults(model):
        raise DataError(f"{name}: {fault}")
    make_folder(folder)
    binary = file_format != "text"
    if model.mean is not None:
        mean = model.mean.astype(np.float32)
        write_single(folder / MEAN, mean, binary=file_format == "binary")
    if model.transform is not None:
        transform = model.transform.astype(np.float32)
        write_single(folder / TRANSFORM, transform, binary=binary)
    if model.plda is not None:
        write_plda(folder / PLDA, model.plda, binary=binary)
    if model.metric is not None:
        write_metric(folder / METRIC, model.metric)


def _find_faults(model: Model) -> Iterator[tuple[str, str]]:
    """Yield parts of a model that nothing can be computed with, and why."""
    if model.mean is not None and (fault := _find_infinite(model.mean)):
        yield MEAN, fault
    matrix = model.transform
    if matrix is not None and (fault := _find_infinite(matrix) or _find_zero(matrix)):
        yield TRANSFORM, fault
    if model.plda is not None and (fault := find_fault(model.plda)):
        yield PLDA, fault


def _find_infinite(values: FloatArray) -> str | None:
    if (np.abs(values) < LARGEST).all():
        return None
    return f"holds NaN, infinity or a value beyond {LARGEST:g}; make the file again"


def _find_zero(matrix: FloatArray) -> str | None:
    return None if matrix.any() else "is all zero; estimate it again"


def _refuse(fault: str | None, path: Path) -> None:
    if fault is not None:
        raise FormatError(fault, path=path)
