"""Segmentation networks as ONNX files.

The file says itself what it takes and gives, in its metadata, by the keys that
sherpa-onnx uses: files of ``ssahc export-segmentation`` and pyannote's segmentation-3.0
as sherpa-onnx has it are the same. Input are chunks (N, 1, S), samples from -1 to 1,
and output log-probabilities (N, T, C) of the sets of a powerset.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ssahc.core.errors import FormatError
from ssahc.core.types import Float32Array
from ssahc.frontend.onnx_session import open_session, run_session
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.powerset import BoolArray, speaker_sets

# Frames to try a model with.
_TRIAL = 3
# What the metadata may say, at most.
_LARGEST = {
    "sample_rate": 1_000_000,
    "window_size": 10_000_000,
    "receptive_field_size": 1_000_000,
    "receptive_field_shift": 1_000_000,
    "num_speakers": 8,
    "powerset_max_classes": 8,
    "num_classes": 256,
}


@dataclass(frozen=True)
class OnnxMetadata:
    """What an ONNX file says of its network; times are in samples.

    Parameters
    ----------
    sample_rate : int
        Of the audio, in Hz.
    window_size : int
        Of a chunk.
    receptive_field_size, receptive_field_shift : int
        That a frame depends on, and from one frame to the next.
    num_speakers : int
        Local speakers.
    powerset_max_classes : int
        Speakers who are active at the same time, at most.
    num_classes : int
        Sets of speakers.
    """

    sample_rate: int
    window_size: int
    receptive_field_size: int
    receptive_field_shift: int
    num_speakers: int
    powerset_max_classes: int
    num_classes: int

    @property
    def sets(self) -> BoolArray:
        """The sets of speakers (C, K)."""
        return speaker_sets(self.num_speakers, self.powerset_max_classes)


def load_onnx(path: Path, device: str = "cpu") -> Segmenter:
    """Load a segmentation model from an ONNX file, and try it.

    Raises
    ------
    FormatError
        If the file is missing, damaged, or no segmentation network of this kind.
    UsageError
        If onnxruntime is not installed, or cannot use the device.
    """
    session = open_session(path, device)
    metadata = _read_metadata(session.get_modelmeta().custom_metadata_map, path)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise FormatError(f"takes {names}, expected chunks of audio alone", path=path)
    run = partial(_run, session, path, inputs[0].name, outputs[0].name)
    field, shift = metadata.receptive_field_size, metadata.receptive_field_shift
    size = field + (_TRIAL - 1) * shift
    found = run(np.zeros(size, np.float32), size, size).shape
    expected = (1, _TRIAL, metadata.num_classes)
    if found != expected:
        raise FormatError(
            f"gives shape {found} for {size} samples, expected {expected} by its "
            "metadata; export it again",
            path=path,
        )
    return Segmenter(
        sets=metadata.sets,
        run=run,
        sample_rate=metadata.sample_rate,
        chunk=metadata.window_size,
        frame_shift=shift,
        receptive_field=field,
    )


def _read_metadata(found: Mapping[str, str], path: Path) -> OnnxMetadata:
    values: dict[str, int] = {}
    for key, largest in _LARGEST.items():
        text = found.get(key)
        if text is None:
            raise FormatError(
                f"its metadata has no {key}, so it is no segmentation network of ssahc "
                "export-segmentation or sherpa-onnx",
                path=path,
            )
        # No more digits than int takes.
        number = int(text) if text.isdecimal() and len(text) < 10 else 0
        if not 1 <= number <= largest:
            raise FormatError(
                f"metadata {key}: expected 1 to {largest}, found {text[:20]!r}",
                path=path,
            )
        values[key] = number
    metadata = OnnxMetadata(**values)
    if metadata.powerset_max_classes > metadata.num_speakers:
        raise FormatError(
            f"metadata powerset_max_classes: expected {metadata.num_speakers}, the "
            f"num_speakers, at most, found {metadata.powerset_max_classes}",
            path=path,
        )
    if len(metadata.sets) != metadata.num_classes:
        raise FormatError(
            f"metadata num_classes: expected {len(metadata.sets)}, found "
            f"{metadata.num_classes}",
            path=path,
        )
    if metadata.receptive_field_size > metadata.window_size:
        raise FormatError(
            "metadata window_size: expected no less than receptive_field_size "
            f"{metadata.receptive_field_size}, found {metadata.window_size}",
            path=path,
        )
    return metadata


def _run(
    session: Any,
    path: Path,
    given: str,
    output: str,
    stretch: Float32Array,
    size: int,
    step: int,
) -> Float32Array:
    """Return log-probabilities (B, T, C) of the chunks of a stretch (S,)."""
    starts = range(0, len(stretch) - size + 1, step)
    found = [
        # One by one, which is as fast on a CPU, and takes least memory.
        run_session(session, path, output, {given: stretch[None, None, s : s + size]})
        for s in starts
    ]
    logits = np.concatenate(found)
    # Nothing changes if the softmax is in the network.
    normalized: Float32Array = logits - np.logaddexp.reduce(
        logits, axis=-1, keepdims=True
    )
    return normalized
