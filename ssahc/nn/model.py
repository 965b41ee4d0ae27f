"""The two-layer network of Singh & Ganapathy (Interspeech 2020), Section 3."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from ssahc.types import FloatArray


class TwoLayerNet(nn.Module):
    """Whitening with length normalisation, then a projection.

    ``y = W2 (sqrt(D) u / |u|)`` with ``u = W1 x + offset``. Both weights are learned,
    the offset (of an affine whitening) is not. At its start the network is exactly
    whitening, length normalisation and the recording's PCA.

    Parameters
    ----------
    whitening : (D, D) or (D, D + 1) array
        Start of W1, the offset in the last column if there is one.
    projection : (d, D) array
        Start of W2.
    """

    def __init__(self, whitening: FloatArray, projection: FloatArray) -> None:
        super().__init__()
        dim = whitening.shape[0]
        offset = whitening[:, dim:].sum(axis=1)
        self.whitening = nn.Parameter(_float32(whitening[:, :dim]))
        self.projection = nn.Parameter(_float32(projection))
        self.offset: Tensor
        self.register_buffer("offset", _float32(offset))

    def forward(self, centered: Tensor) -> Tensor:
        """Embed centred x-vectors.

        Parameters
        ----------
        centered : (N, D) tensor

        Returns
        -------
        (N, d) tensor
            Rows of unit length: their dot products are the affinities.
        """
        whitened = normalize(torch.addmm(self.offset, centered, self.whitening.T))
        # The factor sqrt(D) of the length normalisation cancels in the unit rows.
        return normalize(whitened @ self.projection.T)


def _float32(array: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
