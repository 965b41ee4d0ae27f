"""A model folder: ``mean.vec``, ``transform.mat``, ``plda``."""

from pathlib import Path

import numpy as np

from ssahc.errors import FormatError
from ssahc.io.ark import read_single, write_single
from ssahc.io.files import make_folder
from ssahc.io.plda import read_plda, write_plda
from ssahc.types import FloatArray, Model

MEAN, TRANSFORM, PLDA = "mean.vec", "transform.mat", "plda"


def read_model(
    *,
    mean: Path | None = None,
    transform: Path | None = None,
    plda: Path | None = None,
) -> Model:
    """Read the parts of a model and check that they fit together.

    Raises
    ------
    FormatError
        If a file is unreadable or its dimension disagrees with the others.
    """
    mean_vector = None if mean is None else _finite(read_single(mean, "vector"), mean)
    matrix = None
    if transform is not None:
        matrix = _finite(read_single(transform, "matrix"), transform)
        rows, columns = matrix.shape
        if rows == 0 or columns not in (rows, rows + 1):
            raise FormatError(
                "expected a square matrix, or one column more for an offset, "
                f"found {rows} x {columns}",
                path=transform,
            )
        if mean_vector is not None and len(mean_vector) != rows:
            raise FormatError(
                f"is for {rows} dimensions, but {mean} has {len(mean_vector)}; "
                "take both from one model",
                path=transform,
            )
    model = Model(mean_vector, matrix, None if plda is None else read_plda(plda))
    if model.plda is not None:
        dim = len(model.plda.mean)
        for path, part in ((mean, mean_vector), (transform, matrix)):
            if part is not None and len(part) != dim:
                raise FormatError(
                    f"is for {dim} dimensions, but {path} has {len(part)}; "
                    "take both from one model",
                    path=plda or "",
                )
    return model


def read_model_dir(folder: Path, **instead: Path | None) -> Model:
    """Read the parts that a model folder holds; ``plda`` may be missing.

    Parameters
    ----------
    folder : Path
    **instead : Path, optional
        A file to read in place of the folder's, by part: mean, transform, plda.

    Raises
    ------
    FormatError
        If the folder has none of the three files, or see `read_model`.
    """
    parts = {"mean": MEAN, "transform": TRANSFORM, "plda": PLDA}
    found = {
        part: folder / name for part, name in parts.items() if (folder / name).exists()
    }
    if not found:
        raise FormatError(
            f"expected a folder with {MEAN}, {TRANSFORM} and (for PLDA) {PLDA}, "
            "found none of them",
            path=folder,
        )
    found.update({part: path for part, path in instead.items() if path is not None})
    return read_model(**found)


def write_model_dir(folder: Path, model: Model) -> None:
    """Write the parts of a model: the mean as text, the others binary (as Kaldi)."""
    make_folder(folder)
    if model.mean is not None:
        write_single(folder / MEAN, model.mean.astype(np.float32), binary=False)
    if model.transform is not None:
        write_single(folder / TRANSFORM, model.transform.astype(np.float32))
    if model.plda is not None:
        write_plda(folder / PLDA, model.plda)


def _finite(values: np.ndarray, path: Path) -> FloatArray:
    if not np.isfinite(values).all():
        raise FormatError("holds NaN or infinity; make the file again", path=path)
    return values.astype(np.float64)
