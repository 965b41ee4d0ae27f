"""A model folder: ``mean.vec``, ``transform.mat``, ``plda``, ``metric.ark``."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.model import (
    find_faults,
    find_mean_fault,
    find_mismatches,
    find_transform_fault,
)
from ssahc.core.types import FloatArray, Model
from ssahc.io.ark import read_single, write_single
from ssahc.io.embedding_net import read_metric, write_metric
from ssahc.io.folders import make_folder
from ssahc.io.objects import as_double
from ssahc.io.plda import read_plda, write_plda

MEAN, TRANSFORM, PLDA, METRIC = "mean.vec", "transform.mat", "plda", "metric.ark"
MODEL_FILES = (MEAN, TRANSFORM, PLDA, METRIC)
# By the attribute of a `Model`.
_FILES = {"mean": MEAN, "transform": TRANSFORM, "plda": PLDA, "metric": METRIC}
ModelFormat = Literal["kaldi", "text", "binary"]


def read_model(
    *,
    mean: Path | None = None,
    transform: Path | None = None,
    plda: Path | None = None,
    metric: Path | None = None,
) -> Model:
    """Read the parts of a model and check that they fit together.

    Raises a FormatError if a file is unreadable or dimensions disagree; a UsageError if
    a PLDA has no mean or no transform, or a metric no mean: they were trained on
    vectors that were centred and, for the PLDA, whitened.
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
    parts = {"mean": mean, "transform": transform, "plda": plda, "metric": metric}
    paths = {part: path for part, path in parts.items() if path is not None}
    model = Model(**{part: _READERS[part](path) for part, path in paths.items()})
    for part, dim, other, expected in find_mismatches(model):
        raise FormatError(
            f"is for {dim} dimensions, but {paths[other]} for {expected}; "
            "take both from one model",
            path=paths[part],
        )
    return model


def _read_mean(path: Path) -> FloatArray:
    mean = as_double(read_single(path, "vector"))
    if fault := find_mean_fault(mean):
        raise FormatError(fault, path=path)
    return mean


def _read_transform(path: Path) -> FloatArray:
    transform = as_double(read_single(path, "matrix"))
    if fault := find_transform_fault(transform):
        raise FormatError(fault, path=path)
    return transform


_READERS: dict[str, Callable[[Path], Any]] = {
    "mean": _read_mean,
    "transform": _read_transform,
    "plda": read_plda,
    "metric": read_metric,
}


def read_model_dir(folder: Path | str, **instead: Path | None) -> Model:
    """Read a model folder; its ``plda`` and its ``metric.ark`` may be missing.

    Parameters
    ----------
    folder : Path or str
    **instead : Path, optional
        A file to read instead of the folder's, by part: mean, transform, plda, metric.

    Raises
    ------
    FormatError, UsageError
        If the folder or a part of it is missing, or as `read_model`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FormatError(
            f"no such folder; expected one with {MEAN}, {TRANSFORM} and, for PLDA, "
            f"{PLDA}",
            path=folder,
        )
    parts: dict[str, Path | None] = {
        part: folder / name
        for part, name in _FILES.items()
        if part in ("mean", "transform") or (folder / name).exists()
    }
    parts |= {part: path for part, path in instead.items() if path is not None}
    return read_model(**parts)


def write_model_dir(
    folder: Path | str, model: Model, *, file_format: ModelFormat = "kaldi"
) -> None:
    """Write the parts of a model and replace those in the folder.

    Parameters
    ----------
    folder : Path or str
        Created if missing.
    model : Model
    file_format : {"kaldi", "text", "binary"}
        By default as Kaldi's programs: the mean as text, the others binary. A metric is
        always binary.

    Raises
    ------
    DataError
        If `read_model_dir` would refuse the model; then nothing is written.
    UsageError
        If the folder has a PLDA or a metric, and the model has none.
    """
    folder = Path(folder)
    for name, fault in _find_faults(model):
        raise DataError(f"{name}: {fault}")
    for part, name in _FILES.items():
        if getattr(model, part) is None and (folder / name).exists():
            raise UsageError(
                f"{folder / name}: is of another model, and would be read with this "
                "one; remove it, or choose another folder"
            )
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
    """Yield the files that `read_model_dir` would refuse or miss, and why."""
    for part, fault in find_faults(model, thorough=True):
        yield _FILES[part], fault
    for part in ("mean", "transform"):
        if getattr(model, part) is None:
            yield _FILES[part], "is missing, and a model folder needs it"
