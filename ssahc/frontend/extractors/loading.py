"""Finding out what kind of model a path or a name is."""

from dataclasses import replace
from pathlib import Path

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.model import input_dims
from ssahc.core.types import Model
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.installed import (
    INSTALLABLE,
    SMALL,
    SMALL_FOLDER,
    general_model,
    has_name,
    weights_of,
)
from ssahc.frontend.extractors.networks.options import OPTIONS
from ssahc.io.model import MEAN, PLDA, TRANSFORM, read_model

_ONNX = "model.onnx"


def load_extractor(model: Path | str, device: str) -> Extractor:
    """Load the extractor of a path or a name; see `Extractor.load`."""
    path = Path(model)
    if model == SMALL:
        return replace(load_extractor(SMALL_FOLDER, device), name=SMALL)
    if has_name(model):
        extractor = _load_installed(str(model), device)
        general = general_model(str(model))
        if general is None:
            return extractor
        return replace(extractor, model=_read_model(general, extractor.dim))
    if path.is_dir():
        extractor = _load_folder(path, device)
        return replace(extractor, model=_read_model(path, extractor.dim))
    if path.suffix == ".onnx":
        # Named before the recipe that would be beside it.
        if not path.exists():
            raise FormatError("no such file; check the path", path=path)
        from ssahc.frontend.extractors.onnx import load_onnx

        return load_onnx(path, device)
    if path.exists():
        raise FormatError(
            "expected a folder with final.raw and mfcc.conf of Kaldi, or a file .onnx; "
            "of a Kaldi model, give the folder",
            path=path,
        )
    names = ", ".join([SMALL, *INSTALLABLE])
    raise UsageError(f"{model}: no such model; give a path, or one of {names}")


def _load_installed(name: str, device: str) -> Extractor:
    path = weights_of(name)
    if name == "campplus":
        from ssahc.frontend.extractors.campplus import load_campplus

        return load_campplus(path, device)
    from ssahc.frontend.extractors.resemblyzer import load_resemblyzer

    return load_resemblyzer(path, device)


def _load_folder(folder: Path, device: str) -> Extractor:
    if (folder / _ONNX).exists():
        from ssahc.frontend.extractors.onnx import load_onnx

        return load_onnx(folder / _ONNX, device)
    if (folder / OPTIONS).exists():
        from ssahc.frontend.extractors.networks.loading import load_network

        return load_network(folder, device)
    from ssahc.frontend.extractors.kaldi_nnet3 import load_kaldi

    return load_kaldi(folder, device)


def _read_model(folder: Path, dim: int) -> Model:
    """Read what a folder has of ``mean.vec``, ``transform.mat`` and ``plda``."""
    names = {"mean": MEAN, "transform": TRANSFORM, "plda": PLDA}
    lacking = [name for name in names.values() if not (folder / name).exists()]
    if PLDA not in lacking and lacking:
        raise FormatError(
            "a PLDA is trained on centred and whitened x-vectors; put "
            f"{' and '.join(lacking)} of the same model beside it, or remove it",
            path=folder / PLDA,
        )
    model = read_model(
        **{part: folder / name for part, name in names.items() if name not in lacking}
    )
    for part, found in input_dims(model, dim).items():
        if found != dim:
            raise FormatError(
                f"is for {found} dimensions, the network gives {dim}; take both from "
                "one model",
                path=folder / names[part],
            )
    return model
