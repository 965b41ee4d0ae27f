"""The two-layer network of Singh & Ganapathy (Interspeech 2020), Section 3."""

from dataclasses import dataclass
from typing import Any

from ssahc.backend.preprocess import SHORTEST

# A numpy array or a torch tensor.
Tensor = Any


@dataclass(frozen=True, eq=False)
class Network:
    """Whitening with length normalisation, then a projection, for B recordings.

    ``y = W2 h / |W2 h|`` with ``h = u / |u|`` and ``u = W1 x + offset``. The factor
    sqrt(D') of the length normalisation cancels in the unit rows y. W1 (B, D', D) and
    W2 (B, d, D') are learned, the offset (B, 1, D') of an affine whitening is not.
    """

    whitening: Tensor
    offset: Tensor
    projection: Tensor

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        """What is learned: W1 and W2."""
        return self.whitening, self.projection

    def run(self, inputs: Tensor) -> "Pass":
        """Embed centred x-vectors (B, N, D)."""
        mapped = inputs @ self.whitening.swapaxes(-1, -2)
        mapped += self.offset
        length = _lengths(mapped)
        mapped /= length
        projected = mapped @ self.projection.swapaxes(-1, -2)
        unit_length = _lengths(projected)
        projected /= unit_length
        return Pass(self, inputs, mapped, length, projected, unit_length)


@dataclass(frozen=True, eq=False)
class Pass:
    """Activations of a forward pass, kept for the gradients.

    These are the inputs x (B, N, D), h and the length of u (B, N, 1), y and the length
    of W2 h. The dot products of the unit rows y (B, N, d) are the affinities.
    """

    network: Network
    inputs: Tensor
    normalized: Tensor
    length: Tensor
    unit: Tensor
    unit_length: Tensor

    def before_scaling(self, gradient: Tensor) -> Tensor:
        """Return the gradient of W2 h, given that of y (B, N, d)."""
        return _through_scaling(gradient, self.unit, self.unit_length)

    def gradients(self, projected: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of W1 and W2, given that of W2 h (B, N, d)."""
        normalized = projected @ self.network.projection
        mapped = _through_scaling(normalized, self.normalized, self.length)
        return (
            mapped.swapaxes(-1, -2) @ self.inputs,
            projected.swapaxes(-1, -2) @ self.normalized,
        )


def _lengths(rows: Tensor) -> Tensor:
    return ((rows * rows).sum(axis=-1, keepdims=True) ** 0.5).clip(min=SHORTEST)


def _through_scaling(gradient: Tensor, unit: Tensor, length: Tensor) -> Tensor:
    """Return the gradient of rows that were scaled to length 1, given that after."""
    along = (gradient * unit).sum(axis=-1, keepdims=True)
    return (gradient - along * unit) / length
