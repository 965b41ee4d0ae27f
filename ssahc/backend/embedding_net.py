"""The network of a metric that is trained once.

As `ssahc.learning`, the lines here run on numpy arrays and on torch tensors.
"""

from math import sqrt
from typing import Any

from ssahc.core.errors import DataError
from ssahc.core.types import FloatArray, Metric

# A numpy array or a torch tensor.
Tensor = Any

# Rows shorter than this are not scaled up.
_SHORTEST = 1e-12


def apply_metric(centered: FloatArray, metric: Metric) -> FloatArray:
    """Return what a metric makes of x-vectors, not scaled to length 1.

    Parameters
    ----------
    centered : (N, D) array
        Minus the mean that belongs to the metric.
    metric : Metric

    Returns
    -------
    (N, d) array

    Raises
    ------
    DataError
        If dimensions disagree.
    """
    dim = len(metric.whitening)
    if centered.shape[1] != dim:
        raise DataError(
            f"x-vectors have {centered.shape[1]} dimensions, the metric has {dim}; "
            "use the model that belongs to the extractor"
        )
    return run_layers(centered, layers_of(metric))


def layers_of(metric: Metric) -> list[FloatArray]:
    """Return the weights of a metric, from its input to its output."""
    hidden = [weights for layer in metric.hidden for weights in layer]
    return [metric.whitening, *hidden, metric.projection]


def as_metric(layers: list[FloatArray]) -> Metric:
    """Return the metric with these weights; the inverse of `layers_of`."""
    whitening, *hidden, projection = layers
    return Metric(whitening, _pairs(hidden), projection)


def run_layers(inputs: Tensor, layers: list[Tensor]) -> Tensor:
    """Run the network on centred x-vectors (N, D)."""
    whitening, *hidden, projection = layers
    mapped = _affine(inputs, whitening)
    # Limited before the root, whose gradient at 0 is none.
    square = (mapped * mapped).sum(axis=1)[:, None].clip(min=_SHORTEST**2)
    mapped = mapped * (sqrt(mapped.shape[1]) / square**0.5)
    for inner, outer in _pairs(hidden):
        mapped = mapped + _affine(mapped, inner).clip(min=0.0) @ outer.T
    return mapped @ projection.T


def _pairs(hidden: list[Tensor]) -> tuple[tuple[Tensor, Tensor], ...]:
    return tuple(zip(hidden[::2], hidden[1::2], strict=True))


def _affine(inputs: Tensor, weights: Tensor) -> Tensor:
    """Apply weights of which a column beyond the inputs' is an offset."""
    dim = inputs.shape[1]
    return inputs @ weights[:, :dim].T + weights[:, dim:].sum(axis=1)
