"""Embedding networks as ONNX files, with a TOML file that describes their features."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import Options, build
from ssahc.core.types import Float32Array
from ssahc.core.validation import Interval
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.per_window import SLIDING, Mean, embed_windows
from ssahc.frontend.feature_options import FbankOptions, MfccOptions, WindowType
from ssahc.frontend.features import feature_blocks, sample_rows, to_unit_scale
from ssahc.frontend.onnx_session import open_session, run_session
from ssahc.io.config import read_config

# A recipe of this name is for all models in its folder that have none of their own.
_SHARED_RECIPE = "model.toml"
# Frames, to find the dimension of embeddings with.
_TRIALS = (100, 150)
# Seconds.
_FRAME_SHIFT, _FRAME_LENGTH = 0.01, 0.025


@dataclass(frozen=True)
class OnnxRecipe(Options):
    """Features of an ONNX model, and its inputs and outputs.

    Parameters
    ----------
    sample_rate : int
        Of the audio, in Hz.
    features : str
        Of Kaldi, of 25 ms every 10 ms: log mel filterbank (fbank) or mfcc; or rows of
        the samples themselves, 10 ms each (samples).
    num_mel_bins : int
        Number of filters.
    num_ceps : int, optional
        Number of cepstra; by default num_mel_bins. MFCC only.
    low_freq, high_freq : float
        Range of the filters in Hz; a high_freq of 0 or less counts from the Nyquist
        frequency.
    window_type : str
        Window of a frame: povey (3D-Speaker, Kaldi), hamming (WeSpeaker), ...
    snip_edges : bool
        Compute only frames that lie within the audio, as by default in Kaldi; else
        audio is reflected at its ends.
    mean : str
        Mean to subtract: of the window, of 3 s around each frame (sliding, as VBx), or
        none.
    scale : str
        Samples are up to 32768 (int16) or up to 1 (unit).
    input, output : str
        Needed if the model has several.
    """

    sample_rate: Annotated[int, Interval(ge=1000, le=1_000_000)] = 16000
    features: Literal["fbank", "mfcc", "samples"] = "fbank"
    num_mel_bins: Annotated[int, Interval(ge=3, le=10_000)] = 80
    num_ceps: Annotated[int, Interval(ge=1)] | None = None
    low_freq: Annotated[float, Interval(ge=0)] = 20.0
    high_freq: float = 0.0
    window_type: WindowType = "povey"
    snip_edges: bool = True
    mean: Mean = "window"
    scale: Literal["int16", "unit"] = "int16"
    input: str | None = None
    output: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features == "samples" and self.sample_rate % 100:
            raise UsageError(
                f"features are samples of 10 ms, no whole number of them at "
                f"{self.sample_rate} Hz"
            )

    @property
    def dim(self) -> int:
        """Dimension of a frame."""
        if self.features == "samples":
            return self.sample_rate // 100
        is_mfcc = self.features == "mfcc"
        return (self.num_ceps or self.num_mel_bins) if is_mfcc else self.num_mel_bins

    def frames(self) -> MfccOptions | FbankOptions:
        """Return the options of MFCC or of a filterbank."""
        shared: dict[str, Any] = {
            "sample_frequency": self.sample_rate,
            "num_mel_bins": self.num_mel_bins,
            "low_freq": self.low_freq,
            "high_freq": self.high_freq,
            "window_type": self.window_type,
            "snip_edges": self.snip_edges,
        }
        if self.features == "mfcc":
            return MfccOptions(num_ceps=self.dim, **shared)
        return FbankOptions(**shared)


def load_onnx(path: Path, device: str = "cpu") -> Extractor:
    """Load an ONNX model; its recipe is the TOML file of its name, or ``model.toml``.

    The model takes (B, T, F) or (B, F, T) float32 features, and gives (B, D).

    Raises
    ------
    FormatError
        If the model or the recipe is missing, damaged, or they do not fit.
    UsageError
        If onnxruntime is not installed.
    """
    recipe = _read_recipe(path)
    network = _open_network(path, recipe, device)
    dims = set()
    for length in _TRIALS:
        trial = np.zeros((1, length, recipe.dim), np.float32)
        dims.add(_run(network, path, trial).shape[1])
    if len(dims) > 1:
        raise FormatError(
            f"output {network.output!r} grows with the window, so it is no "
            "embedding; name another as output in the TOML file",
            path=path,
        )
    return Extractor(
        name=str(path),
        sample_rate=recipe.sample_rate,
        dim=dims.pop(),
        frame_shift=_FRAME_SHIFT,
        frame_length=_FRAME_LENGTH,
        overhang=_overhang(recipe),
        context=SLIDING.cmn_window if recipe.mean == "sliding" else 0,
        lookahead=SLIDING.lookahead if recipe.mean == "sliding" else 0,
        compute_features=partial(_compute_features, recipe=recipe),
        embed_frames=partial(
            embed_windows, network=partial(_run, network, path), mean=recipe.mean
        ),
    )


def _overhang(recipe: OnnxRecipe) -> int:
    """Return how many frames from the end of a window reach beyond it."""
    if recipe.features == "samples" or not recipe.snip_edges:
        return 0
    options = recipe.frames()
    extra = options.samples_per_frame - options.samples_per_shift
    return -(-extra // options.samples_per_shift)


def _read_recipe(path: Path) -> OnnxRecipe:
    own, shared = path.with_suffix(".toml"), path.with_name(_SHARED_RECIPE)
    place = own if own.exists() or not shared.exists() else shared
    if not place.exists():
        raise FormatError(
            "no such file; it describes the features of the ONNX model beside it, such "
            "as 'sample_rate = 16000' and 'num_mel_bins = 80'",
            path=place,
        )
    values = read_config(place, OnnxRecipe)
    if "sample_rate" not in values:
        raise FormatError("sample_rate is missing, such as 16000", path=place)
    try:
        recipe = build(OnnxRecipe, values)
        recipe.frames()
    except UsageError as error:
        raise FormatError(str(error), path=place) from error
    return recipe


def _compute_features(blocks: Any, *, recipe: OnnxRecipe) -> Any:
    if recipe.scale == "unit":
        blocks = to_unit_scale(blocks)
    if recipe.features == "samples":
        return sample_rows(blocks, recipe.sample_rate)
    return feature_blocks(blocks, recipe.frames())


# ---- the network -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Network:
    """A session, and how features go into it.

    `is_transposed` for (B, F, T); `takes_one` if the batch is fixed to one window.
    """

    session: Any
    input: str
    output: str
    is_transposed: bool
    takes_one: bool


def _open_network(path: Path, recipe: OnnxRecipe, device: str) -> _Network:
    session = open_session(path, device)
    given = _choose(session.get_inputs(), recipe.input, "input", path)
    output = _choose(session.get_outputs(), recipe.output, "output", path)
    others = [one.name for one in session.get_inputs() if one.name != given.name]
    if others:
        raise FormatError(
            f"needs the inputs {', '.join(others)} besides {given.name}, which is not "
            "supported; export it with features as the only input",
            path=path,
        )
    shape, dim = list(given.shape), recipe.dim
    fixed = [size if isinstance(size, int) else None for size in shape]
    if len(shape) != 3 or (dim not in fixed[1:] and fixed[1:] != [None, None]):
        raise FormatError(
            f"takes an input of shape {shape}, expected (batch, frames, {dim}) or "
            f"(batch, {dim}, frames); correct the features (num_mel_bins), or export "
            "it again",
            path=path,
        )
    is_transposed = fixed[1] == dim and fixed[2] != dim
    frames = fixed[2 if is_transposed else 1]
    if frames is not None:
        raise FormatError(
            f"takes windows of {frames} frames only; export it with a dynamic axis",
            path=path,
        )
    return _Network(session, given.name, output.name, is_transposed, fixed[0] == 1)


def _choose(found: Any, name: str | None, what: str, path: Path) -> Any:
    """Return the input or output of a name, or the only one."""
    chosen = [one for one in found if name in (None, one.name)]
    if len(chosen) != 1:
        names = ", ".join(one.name for one in found)
        raise FormatError(
            f"the model's {what}s are {names}; name one as '{what}' in the TOML file"
            + (f" in place of {name!r}" if name is not None else ""),
            path=path,
        )
    return chosen[0]


def _run(network: _Network, path: Path, windows: Float32Array) -> Float32Array:
    """Return embeddings (B, D) of windows (B, T, F)."""
    if network.is_transposed:
        windows = np.ascontiguousarray(windows.transpose(0, 2, 1))
    batches = np.split(windows, len(windows)) if network.takes_one else [windows]
    outputs = []
    for batch in batches:
        inputs = {network.input: batch}
        output = run_session(network.session, path, network.output, inputs)
        outputs.append(output.reshape(len(batch), -1))
    return np.concatenate(outputs)
