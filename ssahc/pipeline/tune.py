"""Tuning of options by their error rates over a grid of values.

The network of a recording is trained once for all fusion weights. The recording is
clustered once for all thresholds, and cut at each of them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan
from typing import get_args

import numpy as np

from ssahc.backend.fusion import FusionOptions
from ssahc.backend.plda import PldaOptions
from ssahc.clustering.ahc import AhcOptions
from ssahc.core.errors import DataError, UsageError
from ssahc.core.options import build, flatten, list_options
from ssahc.core.types import (
    NO_MODEL,
    BriefRepr,
    Float32Array,
    FloatArray,
    Model,
    Recording,
)
from ssahc.core.validation import flag
from ssahc.learning.options import LearningOptions
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import prepare_recording
from ssahc.pipeline.options import LEARNING, DiarizeOptions, System, settle
from ssahc.resegmentation.options import ResegmentationOptions
from ssahc.scoring.der import Score
from ssahc.scoring.label_scorer import LabelScorer, score_thresholds

# Values to try of every option, by its name on the command line (_ for -).
Grid = Mapping[str, Sequence[float]]
# One value of every option of a grid.
Point = tuple[float, ...]
_THRESHOLD = "threshold"
_MERGING: tuple[System, ...] = ("cosine", "plda", *LEARNING)


def _of(options_class: type) -> list[str]:
    return [option.name for option in list_options(options_class)]


_RESEGMENTATION, _PLDA = _of(ResegmentationOptions), _of(PldaOptions)
# Options that clusterings without merges do not use.
_OF_MERGES = [_THRESHOLD, *_of(AhcOptions), *_RESEGMENTATION]
# Systems that use an option; all use the others.
_USERS: dict[str, tuple[System, ...]] = {
    "pca_dim": ("cosine", "spectral", *LEARNING),
    "device": LEARNING,
    **dict.fromkeys(_of(LearningOptions), LEARNING),
    **dict.fromkeys(_of(FusionOptions), ("ssahc+plda",)),
    **dict.fromkeys(_PLDA, ("plda", "ssahc+plda")),
    **dict.fromkeys(_OF_MERGES, _MERGING),
}


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(BriefRepr):
    """The scores of recordings over a grid.

    Attributes
    ----------
    names : tuple of str
        The options that were swept; a threshold is the last.
    scores : mapping
        Their values, in the same order, to the score there.
    """

    names: tuple[str, ...]
    scores: Mapping[Point, Score]

    def best(self) -> Point:
        """Return the values with the lowest error rate.

        Among several, take the middle value of the first option, then of the next among
        those that are left, and so on. A DataError is raised if nothing was scored.
        """
        # Sums of the same seconds in another order differ by their rounding.
        rates = {point: round(score.der, 9) for point, score in self.scores.items()}
        lowest = min(rates.values(), default=np.nan)
        if isnan(lowest):
            raise DataError(
                "no reference speech is left to tune on; check the references"
            )
        best = [point for point, rate in rates.items() if rate == lowest]
        for place in range(len(self.names)):
            values = sorted({point[place] for point in best})
            middle = values[len(values) // 2]
            best = [point for point in best if point[place] == middle]
        return best[0]

    def values(self, place: int) -> list[float]:
        """Return the values of one option, in the order of the grid."""
        return list(dict.fromkeys(point[place] for point in self.scores))

    def options_at(self, point: Point, options: DiarizeOptions) -> DiarizeOptions:
        """Return the options with the values of a point."""
        return _vary(options, dict(zip(self.names, point, strict=True)))


def _vary(options: DiarizeOptions, values: Mapping[str, float]) -> DiarizeOptions:
    return build(DiarizeOptions, {**flatten(options), **values})


def check_grid(grid: Grid, options: DiarizeOptions) -> None:
    """Raise a UsageError for a grid that cannot be swept by these settled options.

    It may be empty, or an option unknown, not used by the system, or out of range.
    """
    _check_names(grid, options)
    for name, values in grid.items():
        for value in values:
            _vary(options, {name: value})


def _check_names(
    grid: Grid, options: DiarizeOptions, *, has_scores: bool = False
) -> None:
    if not all(len(values) for values in (grid, *grid.values())):
        raise UsageError("there is nothing to sweep; give values of an option")
    known = _of(DiarizeOptions)
    for name in grid:
        if name not in known:
            raise UsageError(f"unknown option {name!r}; there are {', '.join(known)}")
        if (obstacle := _find_obstacle(name, options, has_scores)) is not None:
            cause, remedy = obstacle
            raise UsageError(
                f"{cause} does not use {flag(name)}, so there is nothing to sweep; "
                f"{remedy}"
            )


def _find_obstacle(
    name: str, options: DiarizeOptions, has_scores: bool
) -> tuple[str, str] | None:
    """Return which option makes another one useless, and what to do about it."""
    system, method = f"--system {options.system}", options.final_method()
    learning = options.learning
    users = _USERS.get(name, get_args(System))
    if options.system not in users:
        return system, f"use --system {' or '.join(users)}"
    if method != "ahc" and name in _OF_MERGES:
        return f"--final-clustering {method}", "use --final-clustering ahc"
    refines = options.resegmentation.resegmentation != "none"
    if name in _RESEGMENTATION and not refines:
        return "--resegmentation none", "use --resegmentation vb"
    if name in ("gamma", "gamma_step") and learning.loss != "ssa":
        return f"--loss {learning.loss}", "leave one of them out"
    merges = learning.clustering == "ahc" or learning.periods > 1
    if name == "init_threshold" and not merges:
        return f"--clustering {learning.clustering}", "leave one of them out"
    if has_scores and name in _PLDA:
        return f"{system} with ready-made PLDA scores", "leave out the scores"
    return None


def sweep_recording(
    recording: Recording,
    scorer: LabelScorer,
    grid: Grid,
    model: Model = NO_MODEL,
    options: DiarizeOptions = DiarizeOptions(),
    *,
    plda_scores: Float32Array | FloatArray | None = None,
) -> Sweep:
    """Score one recording with every combination of values of a grid.

    The scores are those that `diarize_recording` with the same options would get.

    Parameters
    ----------
    recording : Recording
    scorer : LabelScorer
        Of the windows of the recording.
    grid : mapping
        Option, by its name on the command line, to the values to try; for example
        ``{"fusion_weight": [0.3, 0.5], "threshold": [-0.1, 0.0, 0.1]}``.
    model : Model
        Mean, whitening and PLDA, each optional.
    options : DiarizeOptions
        All other options.
    plda_scores : (N, N) array, optional
        Scores that take the place of those of the model's PLDA.

    Returns
    -------
    Sweep

    Raises
    ------
    DataError
        If the recording, the model and the scores do not fit together.
    UsageError
        If the grid cannot be swept, or the system lacks what it needs.
    """
    has_scores = plda_scores is not None
    settled = settle(options, model, has_scores=has_scores)
    _check_names(grid, settled, has_scores=has_scores)
    diarize = prepare_recording(recording, model, plda_scores=plda_scores)
    # What is left open is settled at each point: what suits one system need not suit
    # another.
    return sweep_prepared(diarize, scorer, grid, options)


def sweep_prepared(
    diarize: Callable[[DiarizeOptions], Diarization],
    scorer: LabelScorer,
    grid: Grid,
    options: DiarizeOptions,
) -> Sweep:
    """Do as `sweep_recording`, with a function from `prepare_recording`, unchecked."""
    names = sorted(grid, key=_THRESHOLD.__eq__)
    others = [name for name in names if name != _THRESHOLD]
    scores: dict[Point, Score] = {}
    for point in product(*(grid[name] for name in others)):
        varied = _vary(options, dict(zip(others, point, strict=True)))
        if _THRESHOLD not in grid:
            scores[point] = scorer.score(diarize(varied).labels)
            continue
        cuts = _score_cuts(diarize, scorer, varied, grid[_THRESHOLD])
        scores |= {(*point, threshold): score for threshold, score in cuts.items()}
    return Sweep(tuple(names), scores)


def _score_cuts(
    diarize: Callable[[DiarizeOptions], Diarization],
    scorer: LabelScorer,
    options: DiarizeOptions,
    thresholds: Sequence[float],
) -> dict[float, Score]:
    """Score the labels of one recording at many thresholds."""
    result = diarize(_vary(options, {_THRESHOLD: thresholds[0]}))
    clustering = result.resegmentation or result.history
    if clustering is None:
        # Kaldi's further options steer the merges: each threshold has its own.
        return {
            threshold: scorer.score(
                diarize(_vary(options, {_THRESHOLD: threshold})).labels
            )
            for threshold in thresholds
        }
    return score_thresholds(
        clustering,
        scorer,
        thresholds,
        min_speakers=options.speakers.min_speakers,
        max_speakers=options.speakers.max_speakers,
    )


def pool_sweeps(sweeps: Iterable[Sweep]) -> Sweep:
    """Add up the scores of many recordings, point by point.

    Parameters
    ----------
    sweeps : iterable of Sweep
        Over one grid.

    Raises
    ------
    DataError
        If their grids differ.
    """
    first, *others = list(sweeps) or [Sweep((), {})]
    scores = dict(first.scores)
    for sweep in others:
        if sweep.names != first.names or sweep.scores.keys() != scores.keys():
            raise DataError("sweeps over different grids cannot be added up")
        for point, score in sweep.scores.items():
            scores[point] += score
    return Sweep(first.names, scores)


@dataclass(frozen=True, eq=False)
class Fold:
    """Some recordings with the values that are best for all others.

    `tuned` is the score of the others with these values, `held_out` that of the
    recordings.
    """

    recordings: tuple[str, ...]
    point: Point
    tuned: Score
    held_out: Score


def cross_validate(sweeps: Mapping[str, Sweep], num_folds: int) -> list[Fold]:
    """Score every recording with values that were chosen without it.

    Recordings are dealt to the folds in turn. A DataError is raised if there are fewer
    recordings than folds, or nothing of the others of a fold is scored.
    """
    if num_folds < 2:
        raise UsageError(f"there must be 2 folds or more, found {num_folds}")
    if len(sweeps) < num_folds:
        raise DataError(
            f"{num_folds} folds need as many recordings, found {len(sweeps)}"
        )
    names = list(sweeps)
    folds = []
    for first in range(num_folds):
        inside = names[first::num_folds]
        outside = sweeps.keys() - set(inside)
        held_out = pool_sweeps(sweeps[name] for name in inside)
        others = pool_sweeps(sweeps[name] for name in names if name in outside)
        point = others.best()
        folds.append(
            Fold(tuple(inside), point, others.scores[point], held_out.scores[point])
        )
    return folds
