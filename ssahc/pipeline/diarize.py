"""One recording from x-vectors to speaker turns: the module that joins all stages."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from types import MappingProxyType

import numpy as np

from ssahc.backend.affinity import Affinity, ScoreMatrix, cosine_affinity
from ssahc.backend.fusion import fuse
from ssahc.backend.plda import PldaOptions, match_length, plda_affinity
from ssahc.backend.prepared import PreparedXvectors
from ssahc.backend.unsupervised import fit_unlabelled
from ssahc.clustering.ahc import has_factored_linkage, is_steered
from ssahc.clustering.merge_history import MergeHistory
from ssahc.clustering.stopping import Stop
from ssahc.core.constraints import CannotLink
from ssahc.core.errors import DataError, counted
from ssahc.core.model import check_model
from ssahc.core.types import (
    NO_MODEL,
    Float32Array,
    FloatArray,
    IntArray,
    Model,
    Progress,
    Recording,
    no_progress,
)
from ssahc.learning.options import LearningOptions
from ssahc.learning.ssa import Learned, LearningTask, learn_batch
from ssahc.pipeline.centroids import compute_centroids
from ssahc.pipeline.clustering import cluster_windows, prepare_windows, run_clustering
from ssahc.pipeline.confidence import estimate_confidence
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.log import log_evidence, log_learning, warn_of_excess
from ssahc.pipeline.memory_model import working_set
from ssahc.pipeline.options import LEARNING, DiarizeOptions, lacks_model, settle
from ssahc.resegmentation.options import ResegmentationOptions
from ssahc.resegmentation.resegment import Resegmentation
from ssahc.runtime.memory import check_room

_LearningKey = tuple[object, ...]

_logger = logging.getLogger(__name__)


def diarize_recording(
    recording: Recording,
    model: Model = NO_MODEL,
    options: DiarizeOptions = DiarizeOptions(),
    *,
    plda_scores: Float32Array | FloatArray | None = None,
    cannot_link: CannotLink | None = None,
    progress: Progress = no_progress,
) -> Diarization:
    """Say who speaks when in one recording.

    Parameters
    ----------
    recording : Recording
    model : Model
        Mean, whitening and PLDA, each optional. If there is a mean at most, the others
        are learned from the recording (`fit_unlabelled`), as far as it tells.
    options : DiarizeOptions
    plda_scores : (N, N) array, optional
        Scores that replace those of the model's PLDA.
    cannot_link : CannotLink, optional
        Windows that are different speakers: the VB-HMM avoids to join them, and they
        are negatives of each other when a network is trained by the loss ssa.
    progress : callable, optional
        Called with the step ("scoring", "learning", "clustering", "resegmenting"), how
        much of it is done, and how much there is.

    Returns
    -------
    Diarization

    Raises
    ------
    DataError
        If the recording, the model and the scores do not fit together.
    UsageError
        If options contradict each other or the system lacks an input.
    """
    warn_of_excess(recording.id, len(recording), options.speakers.stop())
    stages = _Stages(recording, model, plda_scores, progress, cannot_link)
    return stages.diarize(options)


def complete_model(
    model: Model, recordings: Iterable[Recording], *, has_scores: bool = False
) -> Model:
    """Learn from recordings what a model lacks if it has a mean at most.

    A model with more is returned as it is, and so is any with `has_scores`: PLDA scores
    that take its place.

    The mean of one recording alone is mostly the voice that speaks most in it. Its
    speakers are therefore looked for twice: the second time around the mean of those
    that were found at first, who count the same however much they say. A DataError is
    raised if there is no recording, or the mean does not fit.
    """
    if not lacks_model(model, has_scores=has_scores):
        return model
    recordings = iter(recordings)
    some = list(islice(recordings, 2))
    if len(some) != 1 or model.mean is not None:
        every = chain(some, recordings)
        return fit_unlabelled(every, mean=model.mean, strict=False)
    (first,) = some
    found = diarize_recording(first, fit_unlabelled([first], strict=False))
    voices = [
        first.xvectors[found.labels == speaker].mean(axis=0)
        for speaker in range(found.num_speakers)
    ]
    mean = np.mean(voices, axis=0, dtype=np.float64)
    return fit_unlabelled([first], mean=mean, strict=False)


def diarize_batch(
    recordings: Sequence[Recording],
    model: Model,
    options: Sequence[DiarizeOptions],
    cannot_link: Mapping[str, CannotLink] = MappingProxyType({}),
) -> list[Diarization]:
    """Say who speaks when in several recordings, their networks trained in batches.

    The answers are those of `diarize_recording`, but for the last bits of affinities; a
    GPU is faster this way. `cannot_link` maps ids of recordings to their windows that
    are different speakers. Options may differ in the number of speakers. An error in
    one recording ends all.
    """
    # All of a batch have the same loss, if any of them has such windows.
    none = CannotLink(np.zeros((0, 2), np.int64)) if cannot_link else None
    all_stages = [
        _Stages(recording, model, None, cannot_link=cannot_link.get(recording.id, none))
        for recording in recordings
    ]
    for one, its_options in zip(all_stages, options, strict=True):
        warn_of_excess(
            one.recording.id, len(one.recording), its_options.speakers.stop()
        )
    groups: dict[_LearningKey, list[tuple[_Stages, DiarizeOptions]]] = {}
    for one, its_options in zip(all_stages, options, strict=True):
        settled = one.settle(its_options)
        if settled.system in LEARNING:
            _, *shared = _learning_key(settled)
            groups.setdefault(tuple(shared), []).append((one, settled))
    for members in groups.values():
        _learn(members)
    return [
        one.diarize(its_options)
        for one, its_options in zip(all_stages, options, strict=True)
    ]


def prepare_recording(
    recording: Recording,
    model: Model = NO_MODEL,
    *,
    plda_scores: Float32Array | FloatArray | None = None,
    progress: Progress = no_progress,
) -> Callable[[DiarizeOptions], Diarization]:
    """Return a function that diarizes one recording with any options.

    The answers are those of `diarize_recording`, but what options have in common is
    computed once: PLDA scores, and what the network learns.
    """
    return _Stages(recording, model, plda_scores, progress).diarize


class _Stages:
    """The stages of one recording, and what they have computed so far."""

    def __init__(
        self,
        recording: Recording,
        model: Model,
        plda_scores: Float32Array | FloatArray | None,
        progress: Progress = no_progress,
        cannot_link: CannotLink | None = None,
    ) -> None:
        check_model(model)
        self.recording, self.progress = recording, progress
        if cannot_link is not None:
            cannot_link.check(len(recording))
        self.cannot_link = cannot_link
        self.given_model = model
        self.given_scores: ScoreMatrix | None = None
        if plda_scores is not None:
            self.given_scores = _score_matrix(plda_scores, len(recording))
        self.scores: dict[PldaOptions, Affinity] = {}
        # What the network has learned with the options of `_learning_key`.
        self.learned: dict[_LearningKey, Learned] = {}

    @cached_property
    def xvectors(self) -> PreparedXvectors:
        """The x-vectors as the model prepares them, which is completed first."""
        has_scores = self.given_scores is not None
        model = complete_model(
            self.given_model, [self.recording], has_scores=has_scores
        )
        return PreparedXvectors(self.recording.xvectors, model)

    def settle(self, options: DiarizeOptions) -> DiarizeOptions:
        """Return the options with a system, if there is room in memory for it."""
        has_scores = self.given_scores is not None
        options = settle(options, self.given_model, has_scores=has_scores)
        count, dim = self.recording.xvectors.shape
        needed = working_set(count, dim, options, has_scores=has_scores)
        check_room(
            needed, options.max_bytes(), f"the work on {counted(count, 'window')}"
        )
        return options

    def diarize(self, options: DiarizeOptions) -> Diarization:
        """Diarize the recording."""
        options = self.settle(options)
        learned = self._compute_affinity(options)
        return self._cluster(learned, options)

    def _compute_affinity(self, options: DiarizeOptions) -> Learned:
        """Compute the affinity of a system; no periods if it does not learn."""
        if options.system == "plda":
            return Learned(self._score(options.plda), ())
        if options.system not in LEARNING:
            return Learned(cosine_affinity(self.xvectors.project(options.pca_dim)), ())
        if options.system == "ssahc":
            return self._learn(options)
        scores, learned = self._score(options.plda), self._learn(options)
        return Learned(fuse(learned.affinity, scores, options.fusion), learned.periods)

    def _score(self, options: PldaOptions) -> Affinity:
        if self.given_scores is not None:
            return self.given_scores
        if self.xvectors.model.plda is None:
            raise AssertionError("settle lets nothing pass without a PLDA")
        if options not in self.scores:
            self.progress("scoring", 0, 1)
            plda = self.xvectors.model.plda
            vectors = match_length(self.xvectors.whitened, plda)
            scores = plda_affinity(vectors, plda, options)
            count, dim = vectors.shape
            kept = scores.features.shape[1]
            if 1 < count <= kept < dim:
                _logger.warning(
                    f"recording {self.recording.id!r}: the target energy keeps {kept} "
                    f"dimensions, but {count} windows vary in fewer: PLDA scores "
                    "depend on directions that are arbitrary, in Kaldi as well"
                )
            self.scores[options] = scores
            self.progress("scoring", 1, 1)
        return self.scores[options]

    def _learn(self, options: DiarizeOptions) -> Learned:
        key = _learning_key(options)
        if key not in self.learned:
            _learn([(self, options)], self.progress)
        return self.learned[key]

    def _cluster(self, learned: Learned, options: DiarizeOptions) -> Diarization:
        recording, affinity = self.recording, learned.affinity
        options = _without_steered_resegmentation(recording.id, affinity, options)
        resegments = options.resegmentation.resegmentation != "none"
        method = "vb" if resegments else options.final_method()
        if method in ("ahc", "vb") and has_factored_linkage(affinity):
            _logger.debug(
                f"recording {recording.id!r}: {counted(len(affinity), 'window')}, "
                "clustered without the matrix of all pairs"
            )
        clustering = run_clustering(
            prepare_windows(
                self.xvectors, recording.segments, affinity, method, self.cannot_link
            ),
            options.stop(),
            method,
            seed=options.learning.seed,
            cost=options.learning.cost() if options.system in LEARNING else None,
            ahc=options.ahc,
            resegmentation=options.resegmentation,
            progress=self.progress,
        )
        found = clustering.resegmentation
        if isinstance(found, Resegmentation):
            log_evidence(recording.id, found)
        elif found is not None:
            _logger.debug(
                f"recording {recording.id!r}, VBx starts from "
                f"{counted(found.num_clusters(options.stop()), 'cluster')}"
            )
        stop = options.stop()
        posterior = clustering.speaker_posterior(stop)
        return Diarization(
            recording.id,
            recording.utterances,
            recording.segments,
            clustering.labels,
            affinity,
            clustering.history,
            clustering.resegmentation,
            learned.periods,
            posterior,
            estimate_confidence(
                recording.segments, affinity, clustering, stop, posterior
            ),
            compute_centroids(self.xvectors, recording.segments, clustering.labels),
        )


def make_learning_task(
    recording: Recording,
    xvectors: PreparedXvectors,
    options: LearningOptions,
    num_speakers: int | None = None,
    cannot_link: CannotLink | None = None,
) -> LearningTask:
    """Return what the network of a recording is trained on."""

    def cluster(
        affinity: Affinity, stop: Stop, history: MergeHistory | None
    ) -> IntArray:
        method = options.clustering
        windows = prepare_windows(
            xvectors, recording.segments, affinity, method, cannot_link
        )
        return cluster_windows(
            windows,
            stop,
            method,
            history=history,
            seed=options.seed,
            cost=options.cost(),
        )

    return LearningTask(recording.id, xvectors, cluster, num_speakers, cannot_link)


def _without_steered_resegmentation(
    recording_id: str, affinity: Affinity, options: DiarizeOptions
) -> DiarizeOptions:
    """Return the options without a resegmentation that has no merges to start from."""
    steered = is_steered(affinity, options.speakers.stop(), options.ahc)
    if options.resegmentation.resegmentation == "none" or not steered:
        return options
    _logger.warning(
        f"recording {recording_id!r}: not resegmented, since max-spk-fraction or two "
        "passes (--first-pass-max-utterances) steer its merges; --threshold applies to "
        "affinities here"
    )
    none = ResegmentationOptions(resegmentation="none")
    return replace(options, resegmentation=none)


def _learning_key(options: DiarizeOptions) -> _LearningKey:
    """Return the options that learning depends on; a batch may differ in the first."""
    known = options.speakers.num_speakers
    return known, options.learning, options.pca_dim, options.device


def _learn(
    members: Sequence[tuple[_Stages, DiarizeOptions]], progress: Progress = no_progress
) -> None:
    """Train the networks of recordings with equal options, on a GPU in batches."""
    shared = members[0][1]
    tasks = [
        make_learning_task(
            stages.recording,
            stages.xvectors,
            options.learning,
            options.speakers.num_speakers,
            stages.cannot_link,
        )
        for stages, options in members
    ]
    found = learn_batch(
        tasks,
        shared.learning,
        pca_dim=shared.pca_dim,
        device=shared.device,
        progress=progress,
    )
    for (stages, options), learned in zip(members, found, strict=True):
        stages.learned[_learning_key(options)] = learned
        log_learning(stages.recording.id, learned)


def _score_matrix(scores: Float32Array | FloatArray, count: int) -> ScoreMatrix:
    if scores.shape != (count, count):
        raise DataError(
            f"PLDA scores must have one row and one column per window, {count} x "
            f"{count}, found {' x '.join(map(str, scores.shape))}; score these "
            "x-vectors again"
        )
    return ScoreMatrix(scores)
