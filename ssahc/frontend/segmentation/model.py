"""Segmentation networks: an encoder of audio, an LSTM, and a head for the speakers.

Bredin, Laurent: End-to-end speaker segmentation for overlap-aware resegmentation
(Interspeech 2021).
"""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, log_softmax, logsigmoid

from ssahc.core.types import Float32Array
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.encoder import Encoder
from ssahc.frontend.segmentation.logmel import LogMel
from ssahc.frontend.segmentation.network_options import NetworkOptions
from ssahc.frontend.segmentation.powerset import BoolArray, speaker_sets
from ssahc.frontend.segmentation.sincnet import SincNet


class SegmentationNet(nn.Module):
    """What is said of the speakers in each frame of a chunk.

    Frame t depends on `encoder.receptive_field` samples from t * `encoder.frame_shift`
    on. Of a powerset head, C log-probabilities of the sets of speakers are returned; of
    a multi-label one, C logits of the speakers.

    Parameters
    ----------
    options : NetworkOptions
    """

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        self.options = options
        self.encoder = _make_encoder(options)
        width = options.lstm_dim
        self.lstm = nn.LSTM(
            self.encoder.dim,
            width,
            options.lstm_layers,
            batch_first=True,
            bidirectional=True,
        )
        self.linear = nn.ModuleList(
            [nn.Linear(2 * width, width), nn.Linear(width, width)]
        )
        is_powerset = options.head == "powerset"
        num_outputs = len(sets_of(options)) if is_powerset else options.chunk_speakers
        self.classifier = nn.Linear(width, num_outputs)

    def forward(self, chunks: Tensor) -> Tensor:
        """Return (B, T, C) of chunks (B, S), samples from -1 to 1."""
        return self.classify(self.encode(chunks))

    def encode(self, chunks: Tensor) -> Tensor:
        """Return the outputs (B, T, 2 * lstm_dim) of the LSTM for chunks (B, S)."""
        return self._run_lstm(self.encoder(chunks))

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return (B, T, C) of the chunks of `size` samples of a stretch (S,).

        Equals `forward` of every chunk up to rounding, but computes what chunks share
        once. `step`, the samples from one chunk to the next, is a multiple of
        `encoder.grid`.
        """
        return self.classify(self._run_lstm(self.encoder.slide(stretch, size, step)))

    def _run_lstm(self, frames: Tensor) -> Tensor:
        hidden: Tensor
        hidden, _ = self.lstm(frames.transpose(1, 2))
        return hidden

    def classify(self, hidden: Tensor) -> Tensor:
        """Return what `forward` does, of outputs of the LSTM."""
        for layer in self.linear:
            hidden = leaky_relu(layer(hidden))
        outputs: Tensor = self.classifier(hidden)
        if self.options.head == "multilabel":
            return outputs
        return log_softmax(outputs, dim=-1)


def _make_encoder(options: NetworkOptions) -> Encoder:
    if options.encoder == "sincnet":
        return SincNet(options.sample_rate)
    return LogMel(options.sample_rate)


def sets_of(options: NetworkOptions) -> BoolArray:
    """Return the sets of speakers (C, K) that a network tells apart."""
    at_once = options.at_once
    if options.head == "multilabel":
        at_once = options.chunk_speakers
    return speaker_sets(options.chunk_speakers, at_once)


def set_probabilities(logits: Tensor, sets: Tensor, threshold: float) -> Tensor:
    """Return log-probabilities (..., C) of sets of independent speakers.

    Logits (..., K) are shifted, so that speakers whose probability is the threshold get
    one of 0.5.
    """
    shifted = logits - float(np.log(threshold) - np.log1p(-threshold))
    active = sets.to(logits.dtype)
    return logsigmoid(shifted) @ active.T + logsigmoid(-shifted) @ (1 - active).T


def as_segmenter(
    network: SegmentationNet, device: str, threshold: float = 0.5
) -> Segmenter:
    """Return a network as a model; it is moved to the device, and evaluated.

    The threshold is that of a multi-label network.
    """
    options, encoder = network.options, network.encoder
    return Segmenter(
        sets=sets_of(options),
        run=partial(_run, network.eval().to(device), device, threshold),
        sample_rate=options.sample_rate,
        chunk=round(options.chunk * options.sample_rate),
        frame_shift=encoder.frame_shift,
        receptive_field=encoder.receptive_field,
    )


def _run(
    network: SegmentationNet,
    device: str,
    threshold: float,
    stretch: Float32Array,
    size: int,
    step: int,
) -> Float32Array:
    with torch.inference_mode():
        outputs = network.slide(torch.from_numpy(stretch).to(device), size, step)
        if network.options.head == "multilabel":
            sets = torch.from_numpy(sets_of(network.options)).to(device)
            outputs = set_probabilities(outputs, sets, threshold)
    return np.asarray(outputs.cpu().numpy(), np.float32)
