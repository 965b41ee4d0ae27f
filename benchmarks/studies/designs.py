"""Designs of metric learning, and the error rates that they lead to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.support.halves import CALLHOME, Halves, Item, make_scorer, read_shaped
from benchmarks.support.sets import simulated
from ssahc import (
    DiarizeOptions,
    LossOptions,
    MetricOptions,
    Model,
    SpeakerOptions,
    diarize_recording,
    make_options,
    train_metric,
)
from ssahc.backend.plda_training import train_plda
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.core.types import FloatArray
from ssahc.simulation.conversations import SimulateOptions, simulate_training

Corpus = Literal["callhome_shaped", "simulated"]
# How a design is used: learned for each recording, or once, alone and learned on.
Way = Literal["each", "once", "once+each"]
# A window is of a speaker who fills so much of it, if all others have less than this.
_FILLS, _OTHERS = 0.8, 0.1
# Of callhome_shaped, one recording in so many is enough to choose by.
_SUBSET = 5


@dataclass(frozen=True)
class Design:
    """One point of the space."""

    loss: str
    sampling: str = "random"
    margin: str = "fixed"
    triplets: str = "expected"
    triplet_form: str = "authors"

    @property
    def draws(self) -> bool:
        """Whether what a recording learns depends on a seed."""
        return self.names[1] in ("all", "random", "distance-weighted")

    @property
    def names(self) -> tuple[str, str, str]:
        """Loss, sampling and margin, as tables name them."""
        if self.loss == "ssa" and self.triplets == "expected":
            return f"ssa, {self.triplet_form}", "expected", ""
        of_tuples = self.loss in ("ssa", "triplet", "quadruplet")
        has_margin = self.loss in ("triplet", "quadruplet")
        return (
            *(self.loss, self.sampling if of_tuples else ""),
            self.margin if has_margin else "",
        )

    def for_recordings(self, seed: int) -> DiarizeOptions:
        """Return what learns by this design for each recording."""
        return plain(
            loss=self.loss,
            sampling=self.sampling,
            margin=self.margin,
            triplets=self.triplets,
            triplet_form=self.triplet_form,
            seed=seed,
        )

    def for_training(self, seed: int) -> MetricOptions:
        """Return what learns by this design once."""
        return MetricOptions(
            loss=self.loss,
            triplets=self.triplets,
            triplet_form=self.triplet_form,
            objective=LossOptions(sampling=self.sampling, margin=self.margin),
            seed=seed,
            patience=3,
        )


def plain(**values: object) -> DiarizeOptions:
    """Return options of clustering by what was learned, and of nothing after it."""
    return make_options(system="ssahc", resegmentation="none", **values)


def list_designs() -> list[Design]:
    mined = ("semi-hard", "hard", "distance-weighted")
    margins = ("fixed", "adaptive", "adaptive-floored")
    designs = [Design("ssa"), Design("ssa", triplet_form="paper")]
    designs += [Design("ssa", one, triplets="sampled") for one in ("random", *mined)]
    for loss, samplings in (
        ("triplet", ("all", "random", *mined)),
        ("quadruplet", ("random", *mined)),
    ):
        designs += [
            Design(loss, one, margin) for one in samplings for margin in margins
        ]
    others = (
        *("contrastive", "center", "congenerous-cosine", "softmax", "am-softmax"),
        *("aam-softmax", "prototypical", "angular-prototypical", "ge2e"),
    )
    return [*designs, *map(Design, others)]


# ---- data --------------------------------------------------------------------------


@cache
def read(corpus: Corpus, data: Path, seed: int = 0) -> Halves:
    if corpus == "callhome_shaped":
        return read_shaped(data)
    return simulated(recordings=10)(data, seed)


def take(
    corpus: Corpus, data: Path, seed: int = 0, *, whole: bool
) -> list[tuple[str, Item]]:
    """Return recordings with their half; of callhome_shaped every fifth, or all."""
    step = 1 if whole or corpus == "simulated" else _SUBSET
    halves = read(corpus, data, _drawn_by(corpus, seed))
    return [(half, item) for half in halves for item in halves[half][::step]]


def _drawn_by(corpus: Corpus, seed: int) -> int:
    """Return the seed that drew a corpus."""
    return seed if corpus == "simulated" else 0


def label_windows(items: Sequence[Item]) -> tuple[FloatArray, list[str]]:
    """Return the x-vectors of windows of one speaker alone, and who that is."""
    xvectors, speakers = [], []
    for item in items:
        starts, ends = item.recording.segments.T
        names = sorted({turn.speaker for turn in item.turns})
        talked = np.zeros((len(starts), len(names)))
        for turn in item.turns:
            shared = np.minimum(ends, turn.end) - np.maximum(starts, turn.start)
            talked[:, names.index(turn.speaker)] += np.maximum(shared, 0.0)
        shares = talked / (ends - starts)[:, None]
        most = shares.max(axis=1)
        alone = (most > _FILLS) & (shares.sum(axis=1) - most < _OTHERS)
        xvectors.append(item.recording.xvectors[alone])
        chosen = talked.argmax(axis=1)[alone]
        speakers += [f"{item.recording.id}-{names[place]}" for place in chosen]
    return np.concatenate(xvectors), speakers


def labelled_for(
    corpus: Corpus, data: Path, seed: int, half: str
) -> tuple[FloatArray, list[str]]:
    """Return labelled x-vectors for a metric with which a half is diarized."""
    if corpus == "callhome_shaped":
        return label_windows(read(corpus, data)[CALLHOME[half]])
    training = simulate_training(SimulateOptions(seed=seed))
    return training.xvectors, list(training.speakers)


def base_models(corpus: Corpus, data: Path, seed: int) -> Mapping[str, Model]:
    halves = read(corpus, data, _drawn_by(corpus, seed))
    return {half: items[0].model for half, items in halves.items()}


# ---- measuring ---------------------------------------------------------------------


def error_times(
    items: Iterable[tuple[str, Item]],
    options: DiarizeOptions,
    models: Mapping[str, Model],
    *,
    told: bool = True,
) -> FloatArray:
    """Return, for each recording, the time in error and that scored (R, 2).

    Parameters
    ----------
    items : iterable of (str, Item)
        Recordings with their half.
    options : DiarizeOptions
    models : mapping
        Half to the model that its recordings are diarized with.
    told : bool
        Whether the number of speakers is known.
    """
    times = []
    for half, item in items:
        if told:
            known = SpeakerOptions(num_speakers=item.count)
            options = replace(options, speakers=known)
        found = diarize_recording(item.recording, models[half], options)
        score = make_scorer(item).score(found.labels)
        times.append((score.missed + score.false_alarm + score.confusion, score.scored))
    return np.array(times)


def measure_clustering(
    data: Path, options: DiarizeOptions
) -> tuple[FloatArray, FloatArray]:
    """Return times with the number of speakers known and estimated, on the subset."""
    items = take("callhome_shaped", data, whole=False)
    models = base_models("callhome_shaped", data, 0)
    known, estimated = (
        error_times(items, options, models, told=told) for told in (True, False)
    )
    return known, estimated


def train(corpus: Corpus, data: Path, options: MetricOptions) -> dict[str, Model]:
    """Return the models of both halves with a metric."""
    return {
        half: train_metric(
            *labelled_for(corpus, data, options.seed, half),
            model=model,
            options=options,
        ).model
        for half, model in base_models(corpus, data, options.seed).items()
    }


def measure(
    corpus: Corpus, data: Path, design: Design, seed: int, *, whole: bool, once: bool
) -> dict[Way, FloatArray]:
    """Return what a design makes of the recordings, by how it is used."""
    items = take(corpus, data, seed, whole=whole)
    if not once:
        models = base_models(corpus, data, seed)
        return {"each": error_times(items, design.for_recordings(seed), models)}
    models = train(corpus, data, design.for_training(seed))
    return {
        "once": error_times(items, plain(max_steps=0), models),
        "once+each": error_times(items, plain(), models),
    }


def measure_start(
    corpus: Corpus, data: Path, seed: int, *, whole: bool
) -> dict[str, FloatArray]:
    """Return what is reached without metric learning, by name."""
    items = take(corpus, data, seed, whole=whole)
    models = base_models(corpus, data, seed)
    relabelled = {
        half: fit_anew(model, *labelled_for(corpus, data, seed, half))
        for half, model in models.items()
    }
    return {
        f"{name}, {learning}": error_times(items, options, given)
        for name, given in (
            ("PLDA of the model", models),
            ("PLDA of the labelled x-vectors", relabelled),
        )
        for learning, options in (("alone", plain(max_steps=0)), ("SSA", plain()))
    }


def fit_anew(model: Model, xvectors: FloatArray, speakers: list[str]) -> Model:
    """Return a model with a PLDA that was trained on these x-vectors."""
    vectors = whiten_and_normalize(center(xvectors, model.mean), model)
    return replace(model, plda=train_plda(vectors, speakers))
