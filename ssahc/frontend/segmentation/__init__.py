"""Segmentation: which speakers of a chunk of audio are active in each of its frames."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ssahc.core.errors import UsageError
from ssahc.core.types import BriefRepr, Float32Array
from ssahc.frontend.extractors.installed import SEGMENTERS, weights_of
from ssahc.frontend.segmentation.powerset import BoolArray
from ssahc.runtime.device import Device, has_gpu

# What train-segmentation writes, in its folder.
NETWORK = "segmentation.npz"
# The suffix of what export-segmentation writes.
ONNX = ".onnx"


@dataclass(frozen=True, eq=False, repr=False)
class Segmenter(BriefRepr):
    """A model that finds the speakers of chunks of audio, frame by frame.

    Parameters
    ----------
    sets : (C, K) bool array
        Local speakers in each class; see `ssahc.frontend.segmentation.powerset`.
    run : callable
        Takes a stretch of samples (S,), from -1 to 1, the size of a chunk, and the
        samples from one chunk to the next; gives log-probabilities (B, T, C).
    sample_rate : int
        Of the audio that it takes, in Hz.
    chunk : int
        Samples of a chunk.
    frame_shift : int
        Samples from one frame to the next.
    receptive_field : int
        Samples that a frame depends on; it stands for the time around their centre.
    """

    sets: BoolArray
    run: Callable[[Float32Array, int, int], Float32Array] = field(repr=False)
    sample_rate: int
    chunk: int
    frame_shift: int
    receptive_field: int

    @classmethod
    def load(cls, model: Path | str, *, device: Device = "auto") -> "Segmenter":
        """Load a segmentation model.

        Parameters
        ----------
        model : Path or str
            The name of a model from an installed package, ``segmentation-3.0``; a
            checkpoint of its weights, such as pyannote's ``pytorch_model.bin``; what
            ``ssahc train-segmentation`` wrote, the folder or its ``segmentation.npz``;
            or an ONNX file of ``ssahc export-segmentation`` or of sherpa-onnx.
        device : {"auto", "cpu", "cuda"}
            Where networks are computed; by default on a GPU if there is one, but ONNX
            files on the CPU.

        Raises
        ------
        FormatError
            If a file is missing, damaged, or of another network.
        UsageError
            If there is no such model or device, or its weights are not installed.
        """
        path = find_network(model)
        if path.suffix == ONNX:
            from ssahc.frontend.segmentation.onnx import load_onnx

            # onnxruntime has another package for GPUs, which few have.
            return load_onnx(path, "cuda" if device == "cuda" else "cpu")
        # Here, since torch takes seconds to load.
        from ssahc.frontend.segmentation.loading import load_segmenter

        return load_segmenter(path, "cuda" if has_gpu(device) else "cpu")


def find_network(model: Path | str) -> Path:
    """Return the file of a segmentation model; see `Segmenter.load`."""
    path = Path(model)
    if str(model) in SEGMENTERS and not path.exists():
        path = weights_of(str(model))
    is_folder = path.is_dir()
    if is_folder:
        path /= NETWORK
    if not path.is_file():
        found = f"has no {NETWORK}" if is_folder else "no such segmentation model"
        raise UsageError(
            f"{model}: {found}; give a folder of ssahc train-segmentation, the file of "
            f"a network, or a name: {', '.join(SEGMENTERS)}"
        )
    return path
