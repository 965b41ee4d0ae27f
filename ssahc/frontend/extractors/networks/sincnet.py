"""X-vectors of raw audio: band-pass filters that are learned, then a TDNN.

Coria, Bredin, Ghannay, Rosset: A comparison of metric learning loss functions for
end-to-end speaker verification (SLSP 2020).
"""

from torch import Tensor, nn

from ssahc.frontend.extractors.networks.network import (
    EmbeddingNetwork,
    pool_frames,
    pooled_dim,
)
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.networks.tdnn import WIDENING, FrameLevel
from ssahc.frontend.segmentation.sincnet import SincNet


class SincNetwork(EmbeddingNetwork):
    """SincNet, whose frames of 17 ms the layers of the x-vector network take."""

    def __init__(self, options: ExtractorNetworkOptions) -> None:
        super().__init__(options)
        self.encoder = SincNet(options.sample_rate)
        # What follows undoes it; its gradient would be a third of the filters' work.
        self.encoder.wav_norm1d.requires_grad_(False)
        width = options.pooled_width or WIDENING * options.width
        self.frame_level = FrameLevel(self.encoder.dim, options.width, width)
        pooled = pooled_dim(width, options.pooling)
        self.embedding = nn.Linear(pooled, options.embedding_dim)
        samples = self.encoder.receptive_field
        samples += (FrameLevel.context - 1) * self.encoder.frame_shift
        self.fewest_frames = -(-samples // options.samples_per_frame)

    def forward(self, frames: Tensor) -> Tensor:
        """Return embeddings (B, D) of frames (B, T, F), rows of samples."""
        outputs = self.frame_level(self.encoder(frames.flatten(1)))
        embeddings: Tensor = self.embedding(pool_frames(outputs, self.options.pooling))
        return embeddings
