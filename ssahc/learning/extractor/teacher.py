"""Embeddings of another extractor, from which one learns besides its labels.

Labels say which voices differ, and a few hundred speakers teach little about others.
Embeddings of an extractor that has heard many thousands also say how much voices differ
(knowledge distillation; Hinton et al., 2015).
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.learning.extractor.augmentation import change_speed
from ssahc.learning.extractor.drawing import ChunkDrawer, Chunks

# Speech that the teacher embeds as one, in seconds.
PIECE = 3.0


class TeacherEmbeddings:
    """Embeddings of every 3 s of each speaker's speech, at every speed.

    Parameters
    ----------
    embeddings : (N, D) array
        As `embed_pieces` yields them, stacked.
    drawer : ChunkDrawer
    sample_rate : int
    device : str
    """

    def __init__(
        self,
        embeddings: Float32Array,
        drawer: ChunkDrawer,
        sample_rate: int,
        device: str,
    ) -> None:
        self._size = round(PIECE * sample_rate)
        centered = embeddings - embeddings.mean(axis=0)
        self._embeddings = torch.from_numpy(centered).to(device)
        self._speeds = np.array(drawer.speeds)
        self._counts = count_pieces(drawer, sample_rate)
        firsts = np.cumsum(self._counts) - self._counts.ravel()
        self._firsts = firsts.reshape(self._counts.shape)

    def of(self, chunks: Chunks) -> Tensor:
        """Return the embeddings (B, D) of the pieces in the middles of chunks."""
        key = chunks.speeds, chunks.members
        pieces = chunks.middles // np.round(self._size * self._speeds[chunks.speeds])
        rows = self._firsts[key] + pieces.astype(np.int64)
        return self._embeddings[torch.from_numpy(rows).to(self._embeddings.device)]

    def of_classes(self) -> Tensor:
        """Return the mean embedding (K, D) of every speaker, at every speed."""
        pieces = torch.split(self._embeddings, self._counts.ravel().tolist())
        return torch.stack([own.mean(dim=0) for own in pieces])


def embed_pieces(
    embed: Callable[[Float32Array, FloatArray], Float32Array],
    drawer: ChunkDrawer,
    sample_rate: int,
) -> Iterator[Float32Array]:
    """Embed the speech of every speaker, at every speed, 3 s at a time.

    `embed` takes samples and windows, as an extractor does. Speech that ends within a
    piece goes on at its beginning. Yields embeddings (n, D) of a speaker.
    """
    size = round(PIECE * sample_rate)
    for speed, counts in zip(
        drawer.speeds, count_pieces(drawer, sample_rate), strict=True
    ):
        for member, count in enumerate(counts.tolist()):
            stream = drawer.stream(member).astype(np.float32)
            pieces = np.resize(stream, (count, round(size * speed)))
            samples = change_speed(torch.from_numpy(pieces), size).numpy().ravel()
            starts = PIECE * np.arange(count)
            windows = np.stack([starts, starts + PIECE], axis=1)
            yield embed(samples, windows)


def count_pieces(drawer: ChunkDrawer, sample_rate: int) -> IntArray:
    """Return how many pieces each speed (rows) has of each speaker (columns)."""
    sizes = np.array([drawer.size_of(member) for member in range(len(drawer.speakers))])
    pieces = [round(round(PIECE * sample_rate) * speed) for speed in drawer.speeds]
    return np.stack([-(-sizes // size) for size in pieces])
