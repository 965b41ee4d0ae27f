"""The x-vectors of one recording as each stage of the pipeline needs them."""

from dataclasses import dataclass
from functools import cached_property

from ssahc.backend.plda import speaker_space
from ssahc.backend.preprocess import center, principal_directions, whiten_and_normalize
from ssahc.core.types import FloatArray, Model


@dataclass(frozen=True, eq=False)
class PreparedXvectors:
    """X-vectors (N, D) of one recording: centred, whitened, and in the speaker space.

    Whitened and latent vectors are computed when they are first used, and then kept:
    all stages share them. If dimensions disagree, access raises a DataError.
    """

    xvectors: FloatArray
    model: Model

    def __len__(self) -> int:
        return len(self.xvectors)

    @property
    def centered(self) -> FloatArray:
        """X-vectors minus the model's mean, or without one their own (N, D)."""
        # A subtraction is cheaper than to keep its result.
        return center(self.xvectors, self.model.mean)

    @cached_property
    def whitened(self) -> FloatArray:
        """Whitened or projected x-vectors, rows of length sqrt(d) (N, d)."""
        return whiten_and_normalize(self.centered, self.model)

    @property
    def latent(self) -> FloatArray:
        """X-vectors whose variance within speakers is 1 in all directions (N, d)."""
        return self._speaker_space[0]

    @property
    def psi(self) -> FloatArray:
        """Variance between speakers along each latent dimension (d,)."""
        return self._speaker_space[1]

    @cached_property
    def _speaker_space(self) -> tuple[FloatArray, FloatArray]:
        return speaker_space(self.whitened, self.model)

    def project(self, dim: int) -> FloatArray:
        """Return whitened x-vectors (N, dim) along up to `dim` principal directions.

        With a `dim` of 0 they stay as they are.
        """
        if dim == 0:
            return self.whitened
        return self.whitened @ principal_directions(self.whitened, dim).T
