"""CAM++ of 3D-Speaker: densely connected time delay layers with context-aware masks.

Wang, Zheng, Chen, Cheng, Chen: CAM++: A Fast and Efficient Network for Speaker
Verification Using Context-Aware Masking (Interspeech 2023). Names of modules are those
of the published weights.
"""

from collections import OrderedDict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, relu

from ssahc.core.errors import FormatError
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.checkpoints import read_checkpoint, run_module
from ssahc.frontend.extractors.per_window import embed_windows
from ssahc.frontend.feature_options import FbankOptions
from ssahc.frontend.features import feature_blocks

_FEATURES = FbankOptions(sample_frequency=16000, num_mel_bins=80)
# Of 148 frames in a window of 1.5 s, those within the window alone: the last two of 150
# reach beyond it.
_OVERHANG = 2
_EMBEDDING = 192
# Channels of the two-dimensional convolutions at the front, and of the first layer.
_FRONT, _FIRST = 32, 128
_GROWTH, _BOTTLENECK = 32, 128
# Layers and dilation of each dense block.
_BLOCKS = ((12, 1), (24, 2), (16, 2))
# Frames (of 20 ms) that share a mask.
_SEGMENT = 100


def load_campplus(path: Path, device: str = "cpu") -> Extractor:
    """Load CAM++ (80 filterbank bins, 192 dimensions) from a checkpoint's weights.

    Raises a FormatError if the checkpoint is damaged or of another network.
    """
    weights = read_checkpoint(path)
    # Without parameters of its own, which would take as long as all else.
    with torch.device("meta"):
        network = _Campplus()
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise FormatError(
            "these are not the weights of CAM++ with 192 dimensions", path=path
        ) from error
    network = network.eval().to(device)
    return Extractor(
        name="campplus",
        sample_rate=round(_FEATURES.sample_frequency),
        dim=_EMBEDDING,
        frame_shift=_FEATURES.frame_shift / 1000,
        frame_length=_FEATURES.frame_length / 1000,
        overhang=_OVERHANG,
        context=0,
        lookahead=0,
        compute_features=partial(feature_blocks, options=_FEATURES),
        embed_frames=partial(
            embed_windows, network=partial(run_module, network, device), mean="window"
        ),
    )


class _Campplus(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = _Front()
        layers: dict[str, nn.Module] = {
            "tdnn": _FirstLayer(_FRONT * _FEATURES.num_mel_bins // 8)
        }
        channels = _FIRST
        for number, (depth, dilation) in enumerate(_BLOCKS, start=1):
            layers[f"block{number}"] = _DenseBlock(channels, depth, dilation)
            channels += depth * _GROWTH
            layers[f"transit{number}"] = _Transit(channels)
            channels //= 2
        layers["out_nonlinear"] = _Activation(channels)
        layers["dense"] = _Dense(2 * channels)
        self.xvector = nn.Sequential(OrderedDict(layers))

    def forward(self, windows: Tensor) -> Tensor:
        return self.xvector(self.head(windows.transpose(1, 2)))


class _Front(nn.Module):
    """Two-dimensional residual convolutions, by which frequencies become fewer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _convolve(1, 1)
        self.bn1 = nn.BatchNorm2d(_FRONT)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = _convolve(_FRONT, 2)
        self.bn2 = nn.BatchNorm2d(_FRONT)

    def forward(self, features: Tensor) -> Tensor:
        images = relu(self.bn1(self.conv1(features[:, None])))
        images = self.layer2(self.layer1(images))
        return relu(self.bn2(self.conv2(images))).flatten(1, 2)


class _Residual(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolve(_FRONT, stride)
        self.bn1 = nn.BatchNorm2d(_FRONT)
        self.conv2 = _convolve(_FRONT, 1)
        self.bn2 = nn.BatchNorm2d(_FRONT)
        self.shortcut = nn.Sequential()
        if stride > 1:
            narrow = nn.Conv2d(_FRONT, _FRONT, 1, (stride, 1), bias=False)
            self.shortcut = nn.Sequential(narrow, nn.BatchNorm2d(_FRONT))

    def forward(self, images: Tensor) -> Tensor:
        inner = relu(self.bn1(self.conv1(images)))
        return relu(self.bn2(self.conv2(inner)) + self.shortcut(images))


def _convolve(channels: int, stride: int) -> nn.Conv2d:
    """Return a 3 x 3 convolution that keeps every `stride`-th frequency."""
    return nn.Conv2d(channels, _FRONT, 3, (stride, 1), padding=1, bias=False)


# ---- time delay layers -------------------------------------------------------------
# From here on, frames are (channels, windows, time): for a layer that sees one frame at
# a time, a single matrix product computes all windows.


class _Activation(nn.Module):
    """Batch normalisation and rectifier."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.batchnorm = nn.BatchNorm1d(channels)

    def forward(self, frames: Tensor) -> Tensor:
        normalised = self.batchnorm(frames.reshape(1, len(frames), -1))
        return normalised.relu_().view(frames.shape)


def _combine(layer: nn.Conv1d, frames: Tensor) -> Tensor:
    """Apply a layer that sees one frame at a time."""
    combined = layer.weight[:, :, 0] @ frames.reshape(len(frames), -1)
    if layer.bias is not None:
        combined += layer.bias[:, None]
    return combined.view(-1, *frames.shape[1:])


class _FirstLayer(nn.Module):
    """Take (windows, channels, time), and keep every other frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, _FIRST, 5, 2, padding=2, bias=False)
        self.nonlinear = _Activation(_FIRST)

    def forward(self, features: Tensor) -> Tensor:
        return self.nonlinear(self.linear(features).transpose(0, 1).contiguous())


class _DenseBlock(nn.ModuleDict):
    """Layers that each add channels to those of all layers before."""

    def __init__(self, channels: int, depth: int, dilation: int) -> None:
        super().__init__(
            {
                f"tdnnd{number + 1}": _DenseLayer(channels + number * _GROWTH, dilation)
                for number in range(depth)
            }
        )

    def forward(self, frames: Tensor) -> Tensor:
        channels = len(frames)
        added = len(self) * _GROWTH
        together = torch.cat([frames, frames.new_empty(added, *frames.shape[1:])])
        for layer in self.values():
            together[channels : channels + _GROWTH] = layer(together[:channels])
            channels += _GROWTH
        return together


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _Activation(channels)
        self.linear1 = nn.Conv1d(channels, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _Activation(_BOTTLENECK)
        self.cam_layer = _MaskedLayer(dilation)

    def forward(self, frames: Tensor) -> Tensor:
        narrow = _combine(self.linear1, self.nonlinear1(frames))
        return self.cam_layer(self.nonlinear2(narrow))


class _MaskedLayer(nn.Module):
    """A time delay layer, masked by what is around: of the window and of 2 s in it."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(
            _BOTTLENECK, _GROWTH, 3, dilation=dilation, bias=False
        )
        self.linear1 = nn.Conv1d(_BOTTLENECK, _BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(_BOTTLENECK // 2, _GROWTH, 1)

    def forward(self, frames: Tensor) -> Tensor:
        overall = frames.mean(-1, keepdim=True)
        around = overall + avg_pool1d(frames, _SEGMENT, _SEGMENT, ceil_mode=True)
        masks = _combine(self.linear2, _combine(self.linear1, around).relu_())
        masks = masks.sigmoid_().repeat_interleave(_SEGMENT, dim=-1)
        return self._delay(frames) * masks[..., : frames.shape[-1]]

    def _delay(self, frames: Tensor) -> Tensor:
        """Add the three taps of the layer; beyond a window there is silence."""
        taps = self.linear_local.weight.permute(2, 0, 1).reshape(-1, _BOTTLENECK)
        products = taps @ frames.reshape(_BOTTLENECK, -1)
        before, now, after = products.view(3, _GROWTH, *frames.shape[1:])
        (step,) = self.linear_local.dilation
        now[..., step:] += before[..., :-step]
        now[..., :-step] += after[..., step:]
        return now


class _Transit(nn.Module):
    """Halve the number of channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.nonlinear = _Activation(channels)
        self.linear = nn.Conv1d(channels, channels // 2, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        return _combine(self.linear, self.nonlinear(frames))


class _Dense(nn.Module):
    """Mean and standard deviation over time, and the embedding (windows, 192)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, _EMBEDDING, 1, bias=False)
        self.nonlinear = nn.ModuleDict(
            {"batchnorm": nn.BatchNorm1d(_EMBEDDING, affine=False)}
        )

    def forward(self, frames: Tensor) -> Tensor:
        statistics = torch.cat([frames.mean(-1), frames.std(-1)])
        return self.nonlinear["batchnorm"](_combine(self.linear, statistics).T)
