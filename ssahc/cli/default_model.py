"""The model for x-vectors of audio, if none is given."""

import logging
from pathlib import Path
from typing import Literal

from ssahc.cli.audio_inputs import AudioOptions, model_folder
from ssahc.cli.inputs import ModelFiles
from ssahc.core.errors import counted
from ssahc.io.model import MEAN, PLDA, TRANSFORM

DefaultModel = Literal["auto", "extractor", "recordings"]

# As many recordings tell more about themselves than a general model of their extractor
# does (docs/results/real.md).
_ENOUGH = 4

_logger = logging.getLogger("ssahc")


def choose_model(
    default: DefaultModel, audio: AudioOptions, folder: Path, num_recordings: int
) -> ModelFiles:
    """Return the extractor's model, as extraction has left it, or none; and say so.

    Parameters
    ----------
    default : {"auto", "extractor", "recordings"}
    audio : AudioOptions
    folder : Path
        Of the x-vectors.
    num_recordings : int
        That a model would be learned from.
    """
    files = list_model(folder)
    is_general = model_folder(audio) is None and files != ModelFiles()
    if not is_general:
        return ModelFiles() if default == "recordings" else files
    if default == "recordings" or (default == "auto" and num_recordings >= _ENOUGH):
        files = ModelFiles()
    if default == "auto":
        general = f"the general model of {audio.extractor}"
        learned = "a model learned from the audio"
        takes, flag, other = general, "recordings", learned
        if files == ModelFiles():
            takes, flag, other = learned, "extractor", general
        _logger.info(
            f"{counted(num_recordings, 'recording')}: {takes} is used "
            f"(--default-model {flag}: {other})"
        )
    return files


def list_model(folder: Path) -> ModelFiles:
    """Return the model files that extraction has left in the folder of x-vectors."""
    paths = {"mean": MEAN, "transform": TRANSFORM, "plda": PLDA}
    parts = {name: folder / file for name, file in paths.items()}
    return ModelFiles(**{name: path for name, path in parts.items() if path.exists()})
