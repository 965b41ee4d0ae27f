"""Encoders of wav2vec 2.0 and its kind, which learn from speech without labels.

Baevski, Zhou, Mohamed, Auli: wav2vec 2.0: a framework for self-supervised learning of
speech representations (NeurIPS 2020). HuBERT and WavLM have the same shape. The network
is that of the transformers library. It stays as it is; what is learned is a weighted
sum of its layers, as in SUPERB (Yang et al., Interspeech 2021).
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssahc.core.errors import FormatError, UsageError
from ssahc.frontend.segmentation.encoder import Encoder
from ssahc.io.files import open_regular, unreadable

_CONFIG = "config.json"
# Weights, or the list of the files that have them.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# Kinds of networks, and the classes of transformers for them.
_MODELS = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
# Serves pre-training alone; some files lack it.
_UNUSED = "masked_spec_embed"
# As in transformers.
_EPSILON = 1e-7
_INSTALL = "pip install 'ssahc[wav2vec]'"


class Wav2Vec(Encoder):
    """A weighted sum of the layers of a network that stays as it is.

    Chunks are normalized to mean 0 and variance 1. A frame depends on the whole chunk;
    `receptive_field` is what its convolutions see.

    Parameters
    ----------
    model : PreTrainedModel
        Of transformers.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: nn.Module = model.requires_grad_(False).eval()
        config = model.config
        self.config: str = config.to_json_string()
        self.dim = config.hidden_size
        self.frame_shift = self.receptive_field = 1
        shapes = zip(config.conv_kernel, config.conv_stride, strict=True)
        for kernel, stride in shapes:
            self.receptive_field += (kernel - 1) * self.frame_shift
            self.frame_shift *= stride
        self.grid = self.frame_shift
        # The first "layer" is the input of the transformer.
        self.layer_logits = nn.Parameter(torch.zeros(config.num_hidden_layers + 1))

    def train(self, mode: bool = True) -> "Wav2Vec":
        """Train the sum; the network's layers are always evaluated."""
        super().train(mode)
        self.model.eval()
        return self

    def forward(self, chunks: Tensor) -> Tensor:
        """Return frames (B, dim, T) of chunks (B, S)."""
        centred = chunks - chunks.mean(dim=-1, keepdim=True)
        power = centred.square().mean(dim=-1, keepdim=True)
        normalized = centred * (power + _EPSILON).rsqrt()
        with torch.no_grad():
            outputs = self.model(normalized, output_hidden_states=True)
            layers = torch.stack(outputs.hidden_states)
        shares = self.layer_logits.softmax(dim=0)
        frames = (shares[:, None, None, None] * layers).sum(dim=0)
        return frames.transpose(1, 2)

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return frames (B, dim, T) of the chunks of a stretch (S,), one by one."""
        chunks = stretch.unfold(0, size, step)
        return torch.cat([self(chunk[None]) for chunk in chunks])


def find_wav2vec(folder: Path) -> list[Path]:
    """Return the files of an encoder: its configuration, and its weights.

    Instead of weights in several files, the list of these files is returned.

    Raises
    ------
    FormatError
        If ``config.json`` or ``model.safetensors`` is missing, or the configuration is
        that of a network of another kind.
    """
    config = folder / _CONFIG
    _read_kind(config)
    weights = [path for name in _WEIGHTS if (path := folder / name).is_file()]
    if not weights:
        raise FormatError(
            "no such file; weights are read from safetensors alone, so convert others "
            "by transformers' save_pretrained",
            path=folder / _WEIGHTS[0],
        )
    return [config, *weights]


def read_wav2vec(folder: Path) -> Wav2Vec:
    """Read an encoder from a folder of transformers, nothing else, and no pickle.

    Raises
    ------
    FormatError
        If files are missing, damaged, or of a network of another kind.
    UsageError
        If transformers is not installed.
    """
    config, *_ = find_wav2vec(folder)
    kind = _read_kind(config)
    model_class = getattr(require_transformers(), f"{_MODELS[kind]}Model")
    try:
        with _silent():
            model, found = model_class.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    # What transformers raises on broken files is not documented.
    except Exception as error:
        raise FormatError(
            f"cannot be read by transformers ({_brief(error)})", path=folder
        ) from error
    missing = sorted(set(found["missing_keys"]) - {_UNUSED})
    if missing:
        raise FormatError(
            f"lacks {len(missing)} weights of a {kind} network, such as {missing[0]}",
            path=folder,
        )
    return Wav2Vec(model.float())


def make_wav2vec(config: str) -> Wav2Vec:
    """Return an encoder of random weights, of its configuration as JSON.

    A ValueError is raised if it is none.
    """
    values = json.loads(config)
    name = _MODELS[_kind(values)]
    library = require_transformers()
    try:
        shape = getattr(library, f"{name}Config").from_dict(values)
        return Wav2Vec(getattr(library, f"{name}Model")(shape))
    # What transformers raises is not documented.
    except Exception as error:
        raise ValueError(_brief(error)) from error


def _read_kind(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return _kind(json.loads(file.read()))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(
            f"expected a configuration whose model_type is one of {', '.join(_MODELS)}",
            path=path,
        ) from error


def _kind(config: Any) -> str:
    kind = config.get("model_type") if isinstance(config, dict) else None
    if kind not in _MODELS:
        raise ValueError(f"unknown model_type {kind!r}")
    return str(kind)


def require_transformers() -> Any:
    """Return the library; UsageError if it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise UsageError(
            f"--encoder wav2vec needs the package transformers; {_INSTALL}"
        ) from error
    return transformers


@contextmanager
def _silent() -> Iterator[None]:
    """Have transformers show no progress, and no warning of weights without use."""
    logging = require_transformers().utils.logging
    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
