"""The space of simulated x-vectors: a PLDA, seen through what an extractor does."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ssahc.core.errors import UsageError
from ssahc.core.types import FloatArray, IntArray, Model, Plda
from ssahc.simulation.options import SimulateOptions

# Difference of mean and whitening of the two halves, in standard deviations.
_HALF_MISMATCH = 0.1


@dataclass(frozen=True, eq=False)
class Space:
    """A space of x-vectors: ``x = mean + coloring @ plda.transform^-1 @ latent``.

    The coloring is the inverse of the whitening, the PLDA that of whitened x-vectors.
    Elements of x are dimensions `alive` of the x-vector, the others are 0; a ReLU and a
    scaling to length 1 may follow.
    """

    mean: FloatArray
    coloring: FloatArray
    plda: Plda
    alive: IntArray
    options: SimulateOptions

    @cached_property
    def _mixing(self) -> FloatArray:
        return self.coloring @ np.linalg.inv(self.plda.transform)

    def embed(self, latent: FloatArray) -> FloatArray:
        """Return the x-vectors (N, dim) of latent vectors (N, latent_dim).

        Raises a UsageError if a ReLU leaves nothing of one.
        """
        vectors = self.mean + latent @ self._mixing.T
        if self.options.relu:
            vectors = np.maximum(vectors, 0)
            if not vectors.any(axis=1).all():
                raise UsageError(
                    "--relu leaves nothing of an x-vector; give a larger --dim, fewer "
                    "--dead-dims or a smaller --mean-scale"
                )
        if self.options.unit_length:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return self._spread(vectors)

    def model(self) -> Model:
        """Return the model that drew the x-vectors, if they are linear in it."""
        whitening: FloatArray = np.linalg.inv(self.coloring).astype(np.float64)
        return Model(self._spread(self.mean), self._spread(whitening), self.plda)

    def _spread(self, alive: FloatArray) -> FloatArray:
        """Return elements (..., latent_dim) at their dimensions (..., dim)."""
        if self.options.dead_dims == 0:
            return alive
        spread = np.zeros((*alive.shape[:-1], self.options.dim))
        spread[..., self.alive] = alive
        return spread


def draw_space(options: SimulateOptions, generator: np.random.Generator) -> Space:
    """Draw the space of a corpus.

    As in a PLDA of telephone x-vectors, psi has one strong direction, then decays.
    The principal directions are those of all x-vectors or, if the variance of speakers
    is given, of the x-vectors of one speaker.
    """
    dim, share = options.latent_dim, options.speaker_variance
    psi = 2.2 / (1 + np.arange(dim) / 8) ** options.speaker_decay
    psi[0] = 6.0
    if share is not None:
        psi *= share / psi.mean()
    rotation = np.linalg.qr(generator.standard_normal((dim, dim)))[0]
    plda = Plda(np.zeros(dim), np.sqrt(1 + psi)[:, None] * rotation.T, psi)
    mean = options.mean_scale * generator.standard_normal(dim)
    coloring = np.linalg.qr(generator.standard_normal((dim, dim)))[0]
    coloring *= np.exp(0.5 * options.anisotropy * generator.standard_normal(dim))
    if share is not None:
        coloring = coloring @ (rotation * np.sqrt(1 + psi)) @ rotation.T
    alive = np.arange(options.dim)
    if options.dead_dims > 0:
        child = generator.spawn(1)[0]
        alive = np.sort(child.permutation(options.dim)[:dim])
    return Space(mean, coloring, plda, alive, options)


def shift_space(space: Space, generator: np.random.Generator) -> Space:
    """Return the space with mean and coloring changed a little."""
    dim = len(space.mean)
    change = generator.standard_normal((dim, dim + 1)) * (_HALF_MISMATCH / np.sqrt(dim))
    coloring = space.coloring @ (np.eye(dim) + change[:, 1:])
    mean = space.mean + space.coloring @ change[:, 0] * np.sqrt(dim)
    return Space(mean, coloring, space.plda, space.alive, space.options)
