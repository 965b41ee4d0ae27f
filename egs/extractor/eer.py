"""Print the equal error rates of an extractor, by cosine and by PLDA.

    eer.py EXTRACTOR TRAIN TEST...

EXTRACTOR is one of ssahc, or "statistics", mean and standard deviation of the MFCC, or
"deviations", without the means, which networks are not given either. The model (mean,
whitening, PLDA) is estimated on windows of the speech in TRAIN. Trials are those of
ssahc score-extractor: full utterances, and 1.5 s in their middle.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from ssahc import Extractor, Model, embed, equal_error_rate, fit_model, score_trials
from ssahc.cli.labelled_speech import read_speech
from ssahc.core.types import Float32Array, FloatArray, IntArray
from ssahc.frontend.extractors.networks import FRAME_SHIFT, feature_source
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.learning.extractor.speech import LabelledSpeech
from ssahc.learning.extractor.trials import error_rate, limit_trials, middle_frames

# Seconds of the windows that the model is estimated on, and how many of a speaker.
_WINDOW, _WINDOWS = 2.0, 10


def statistics(*, has_means: bool) -> Extractor:
    """Return what embeds a window as the deviations of its MFCC, perhaps with means."""
    options = ExtractorNetworkOptions()
    count = 2 if has_means else 1

    def embed_frames(frames: Float32Array, ranges: IntArray) -> Float32Array:
        windows = [frames[first:last] for first, last in ranges.tolist()]
        rows = [[part.std(axis=0), part.mean(axis=0)][:count] for part in windows]
        return np.array(rows, np.float32).reshape(len(rows), -1)

    return Extractor(
        name="statistics",
        sample_rate=options.sample_rate,
        dim=count * options.feature_dim,
        frame_shift=FRAME_SHIFT,
        frame_length=options.mfcc.frame_length / 1000,
        overhang=0,
        context=0,
        lookahead=0,
        compute_features=feature_source(options),
        embed_frames=embed_frames,
    )


def fit(extractor: Extractor, speech: LabelledSpeech) -> Model:
    """Estimate mean, whitening and PLDA on windows of known speakers."""
    counts = Counter[str]()
    rows, speakers = [], []
    for speaker, signal in zip(speech.speakers, speech.signals, strict=True):
        seconds = len(signal) / extractor.sample_rate
        count = min(int(seconds / _WINDOW), _WINDOWS - counts[speaker])
        if count > 0:
            starts = np.linspace(0, seconds - _WINDOW, count)
            windows = np.stack([starts, starts + _WINDOW], axis=1)
            rows.append(extractor.embed(signal.astype(np.float32), windows))
            speakers += [speaker] * count
            counts[speaker] += count
    return fit_model(np.concatenate(rows), speakers)


def embed_both(
    extractor: Extractor, speech: LabelledSpeech
) -> tuple[FloatArray, FloatArray]:
    """Return embeddings (N, D) of utterances, and of the 1.5 s in their middles."""
    rows = []
    for signal in speech.signals:
        count = len(signal) / extractor.sample_rate / FRAME_SHIFT
        first, last = middle_frames(round(count), FRAME_SHIFT)
        frames = np.array([[0, count], [first, min(last, count)]])
        rows.append(extractor.embed(signal.astype(np.float32), frames * FRAME_SHIFT))
    full, short = np.array(rows, float).transpose(1, 0, 2)
    return full, short


def plda_error_rate(
    vectors: FloatArray, speakers: Sequence[str], model: Model
) -> float:
    """Return the equal error rate of all pairs by PLDA."""
    embedded = embed(vectors, model)
    trials = np.stack(np.triu_indices(len(vectors), 1), axis=1)
    counts = np.ones(len(vectors))
    scores = score_trials(embedded, counts, embedded, trials, model.plda)
    names = np.asarray(speakers)
    same = names[trials[:, 0]] == names[trials[:, 1]]
    return equal_error_rate(scores[same], scores[~same])[0]


def main(name: str, train: Path, tests: list[Path]) -> None:
    """Print a line for each folder and scoring."""
    if name in ("statistics", "deviations"):
        extractor = statistics(has_means=name == "statistics")
    else:
        extractor = Extractor.load(name)
    speech, _ = read_speech([train], extractor.sample_rate)
    model = fit(extractor, speech)
    for folder in tests:
        speech = limit_trials(read_speech([folder], extractor.sample_rate)[0])
        both = embed_both(extractor, speech)
        cosine = [error_rate(vectors, speech.speakers) for vectors in both]
        plda = [plda_error_rate(vectors, speech.speakers, model) for vectors in both]
        for scoring, rates in (("cosine", cosine), ("PLDA", plda)):
            percent = " ".join(f"{100 * rate:.2f}" for rate in rates)
            click.echo(f"{name} {folder} {scoring} {percent}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]])
