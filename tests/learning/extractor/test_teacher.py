"""Embeddings of the extractor from which another one learns."""

import numpy as np
import pytest

from ssahc.learning.extractor.drawing import ChunkDrawer
from ssahc.learning.extractor.options import (
    ExtractorTrainingOptions,
    SpeechAugmentationOptions,
)
from ssahc.learning.extractor.speech import LabelledSpeech
from ssahc.learning.extractor.teacher import TeacherEmbeddings, embed_pieces

RATE, SPEED = 100, 0.2


@pytest.mark.parametrize("has_speakers_of_speeds", [True, False])
def test_chunks_get_the_embedding_of_the_speech_around_their_middle(
    has_speakers_of_speeds,
):
    # Each sample says where it is, so that a mean says where a piece is.
    lengths = {"a": [800, 450], "b": [130], "c": [900]}
    speakers = [name for name, own in lengths.items() for _ in own]
    starts = np.array([0, 800, 5000, 8000])
    sizes = [length for own in lengths.values() for length in own]
    signals = [
        np.arange(start, start + size, dtype=np.int16)
        for start, size in zip(starts, sizes, strict=True)
    ]
    speech = LabelledSpeech(list("0123"), speakers, signals)
    drawer = ChunkDrawer(
        speech,
        ExtractorTrainingOptions(speakers_per_batch=3, min_chunk=0.5),
        SpeechAugmentationOptions(
            speed_change=SPEED, speed_speakers=has_speakers_of_speeds
        ),
    )

    def embed(samples, windows):
        pieces = [samples[round(RATE * a) : round(RATE * b)] for a, b in windows]
        return np.array([[piece.mean(), 1] for piece in pieces], np.float32)

    found = [*embed_pieces(embed, drawer, RATE)]
    assert [len(own) for own in found] == [5, 1, 3, 6, 1, 4, 4, 1, 3]
    stacked = np.concatenate(found)
    teacher = TeacherEmbeddings(stacked, drawer, RATE, "cpu")
    mean = stacked[:, 0].mean()
    classes = teacher.of_classes().numpy()[:, 0] + mean
    np.testing.assert_allclose(classes, [own[:, 0].mean() for own in found], rtol=1e-4)
    generator = np.random.default_rng(0)
    for _ in range(50):
        chunks = drawer.draw(120, generator)
        taught = teacher.of(chunks).numpy()[:, 0] + mean
        for rows, part in zip(chunks.rows, chunks.parts, strict=True):
            for row, chunk in zip(rows, part, strict=True):
                # Pieces that go on at the beginning of the speech are left out.
                middle = float(chunk[len(chunk) // 2])
                stream = drawer.stream(chunks.members[row])
                size = len(chunk) * 300 / 120
                if middle - stream[0] < len(stream) // size * size:
                    assert abs(taught[row] - middle) <= size / 2 + 1
