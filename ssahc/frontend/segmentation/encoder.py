"""What the encoders of segmentation networks have in common."""

from torch import Tensor, nn


class Encoder(nn.Module):
    """Turns samples into frames.

    Frame t depends on `receptive_field` samples from t * `frame_shift` on. A call gives
    frames (B, dim, T) of chunks (B, S).

    Attributes
    ----------
    dim : int
        Of a frame.
    grid : int
        Samples: chunks whose distance is a multiple of it can share computations.
    frame_shift, receptive_field : int
        Samples.
    """

    dim: int
    grid: int
    frame_shift: int
    receptive_field: int

    def slide(self, stretch: Tensor, size: int, step: int) -> Tensor:
        """Return frames (B, dim, T) of the chunks of `size` samples of a stretch (S,).

        `step`, the samples from one chunk to the next, is a multiple of `grid`.
        """
        frames: Tensor = self(stretch.unfold(0, size, step))
        return frames
