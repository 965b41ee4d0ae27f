"""X-vectors of raw audio: band-pass filters that are learned, then a TDNN.

Coria, Bredin, Ghannay, Rosset: A comparison of metric learning loss functions for
end-to-end speaker verification (SLSP 2020). They, and Ravanelli and Bengio, put
convolutions of rectified filter outputs behind the filters. Here these are log
energies, as in MFCC: in the first hours of training, networks learn far more from them.
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, conv1d

from ssahc.frontend.extractors.networks.network import (
    BatchNorm,
    EmbeddingNetwork,
    pool_frames,
    pooled_dim,
)
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.frontend.extractors.networks.tdnn import WIDENING, FrameLevel
from ssahc.frontend.sinc_filters import NUM_BANDS, SincFilters

# Energies of a frame of 10 ms, of which the mean is taken.
_ENERGIES = 4
# Of samples between -1 and 1; below it is silence.
_LEAST_ENERGY = 1e-10


class SincNetwork(EmbeddingNetwork):
    """The x-vector network on log energies of band-pass filters, every 10 ms."""

    def __init__(self, options: ExtractorNetworkOptions) -> None:
        super().__init__(options)
        filters = SincFilters(options.sample_rate)
        # Others are in its place when it is exported.
        self.filters: nn.Module = filters
        self.stride = options.samples_per_frame // _ENERGIES
        self.norm = BatchNorm(NUM_BANDS)
        width = options.pooled_width or WIDENING * options.width
        self.frame_level = FrameLevel(NUM_BANDS, options.width, width)
        pooled = pooled_dim(width, options.pooling)
        self.embedding = nn.Linear(pooled, options.embedding_dim)
        samples = filters.kernel + self.stride * (_ENERGIES * FrameLevel.context - 1)
        self.fewest_frames = -(-samples // options.samples_per_frame)

    def forward(self, frames: Tensor) -> Tensor:
        """Return embeddings (B, D) of frames (B, T, F), rows of samples."""
        energies = self._log_energies(frames.flatten(1))
        if self.options.mean == "window":
            energies = energies - energies.mean(dim=2, keepdim=True)
        outputs = self.frame_level(self.norm(energies))
        embeddings: Tensor = self.embedding(pool_frames(outputs, self.options.pooling))
        return embeddings

    def _log_energies(self, samples: Tensor) -> Tensor:
        """Return log energies (B, C, T) of the bands of samples (B, S)."""
        cosines, sines = (
            conv1d(samples[:, None], phase[:, None], stride=self.stride)
            for phase in self.filters().chunk(2)
        )
        # Of both phases: the envelope.
        energies = avg_pool1d(cosines.square() + sines.square(), _ENERGIES)
        return energies.clamp(min=_LEAST_ENERGY).log()
