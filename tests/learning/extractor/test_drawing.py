"""Chunks of the speech of speakers, trials, and who is held out."""

import re
import tomllib
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from ssahc.core.errors import DataError
from ssahc.learning.extractor.drawing import ChunkDrawer, draw_lengths
from ssahc.learning.extractor.options import (
    NO_AUGMENTATION,
    ExtractorTrainingOptions,
    SpeechAugmentationOptions,
)
from ssahc.learning.extractor.speech import LabelledSpeech, hold_out
from ssahc.learning.extractor.trials import error_rate, limit_trials
from ssahc.scoring.detection import equal_error_rate


def test_chunks_are_parts_of_the_endless_speech_of_their_speaker():
    lengths = {"a": [3, 50], "b": [7], "c": [1, 2, 4]}
    names, speakers, signals, endless, value = [], [], [], {}, 0
    for speaker, own in lengths.items():
        for length in own:
            names.append(f"{speaker}{length}")
            speakers.append(speaker)
            signals.append(np.arange(value, value + length, dtype=np.int16))
            value += length
        endless[speaker] = np.concatenate(signals[-len(own) :])
    speech = LabelledSpeech(names, speakers, signals)
    options = ExtractorTrainingOptions(speakers_per_batch=2, utterances_per_speaker=3)
    drawer = ChunkDrawer(speech, options, NO_AUGMENTATION)
    generator, seen = np.random.default_rng(0), set()
    for _ in range(50):
        chunks = drawer.draw(20, generator)
        assert sorted(Counter(chunks.classes.tolist()).values()) == [3, 3]
        (part,) = chunks.parts
        for row, member in zip(part, chunks.classes):
            stream = endless["abc"[member]]
            first = np.flatnonzero(stream == row[0])[0]
            np.testing.assert_array_equal(
                row, np.resize(np.roll(stream, -first), len(row))
            )
            seen.add(int(row[0]))
    assert len(seen) > 0.8 * value


def test_an_epoch_has_its_hours_in_chunks_of_all_lengths():
    options = ExtractorTrainingOptions(epoch_hours=2.0)
    lengths = np.array(draw_lengths(options, 32, np.random.default_rng(0)))
    assert 2 <= lengths.sum() * 32 / 360_000 < 2.1
    assert lengths.min() < 170
    assert lengths.max() > 380
    assert (lengths[:, None] >= 150).all()
    assert (lengths <= 400).all()


def test_whole_speakers_are_held_out():
    speakers = list("aabbccdde")
    chosen = hold_out(speakers, 0.4, seed=0)
    assert len(chosen) == 2
    assert chosen < set("abcd")
    assert hold_out(speakers, 0, seed=0) == set()
    with pytest.raises(DataError, match=r"2 speakers .* found 1"):
        hold_out("aabc", 0.1, seed=0)


def test_trials_are_of_all_speakers_with_two_utterances():
    speakers = ["x"] * 40 + ["y"] * 7 + ["alone"]
    rows = [str(row) for row in range(len(speakers))]
    kept = limit_trials(LabelledSpeech(rows, speakers, rows))
    assert Counter(kept.speakers) == {"x": 20, "y": 7}
    assert kept.names[:3] == ["0", "2", "4"]
    speakers = np.repeat([f"s{number}" for number in range(100)], 15).tolist()
    kept = limit_trials(LabelledSpeech(speakers, speakers, speakers))
    assert set(Counter(kept.speakers).values()) == {10}


def test_the_error_rate_is_of_all_pairs_without_the_mean():
    generator = np.random.default_rng(0)
    speakers = [*"aabbccdd"]
    vectors = np.repeat(generator.normal(size=(4, 5)), 2, axis=0)
    vectors += 0.8 * generator.normal(size=vectors.shape) + 10
    centered = vectors - vectors.mean(axis=0)
    scores = {True: [], False: []}
    for first in range(8):
        for second in range(first):
            a, b = centered[first], centered[second]
            cosine = a @ b / np.sqrt(a @ a * (b @ b))
            scores[speakers[first] == speakers[second]].append(cosine)
    expected = equal_error_rate(scores[True], scores[False])[0]
    assert error_rate(vectors, speakers) == pytest.approx(expected)


def test_the_documented_augmentation_is_the_default():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "extractors.md"
    (listed,) = re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.M | re.S)
    assert tomllib.loads(listed) == asdict(SpeechAugmentationOptions())
