"""What verbs read besides x-vectors: the model, scores, numbers of speakers."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from math import sqrt
from pathlib import Path
from typing import Any

from ssahc.backend.plda import fitting_length
from ssahc.cli.runner import track
from ssahc.core.constraints import CannotLink
from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.options import Options, flatten, list_options
from ssahc.core.types import Model, Plda, Recording
from ssahc.io.ark import Array
from ssahc.io.config import read_toml
from ssahc.io.files import strip_rspecifier
from ssahc.io.model import MODEL_FILES, read_model, read_model_dir
from ssahc.io.scores import ScoreTable, open_scores, read_scores
from ssahc.io.text import read_names, read_reco2min_max, read_reco2num_spk
from ssahc.io.xvectors import XvectorDir, open_xvector_dir, read_recordings
from ssahc.learning.losses.options import DISPLACED_BY_LOSS
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import (
    complete_model,
    diarize_batch,
    diarize_recording,
)
from ssahc.pipeline.options import (
    LEARNING,
    DiarizeOptions,
    SpeakerOptions,
    System,
    lacks_model,
    uses_plda,
)
from ssahc.resegmentation.options import DISPLACED_BY_RESEGMENTATION

_EXACT = {"reco2num_spk", "num_speakers"}
_BOUNDS = {"min_speakers", "max_speakers"}
_ESTIMATED = {"threshold", "reco2min_max"} | _BOUNDS
_OF_MERGES = {
    "threshold",
    "resegmentation",
    "loop_prob",
    "max_spk_fraction",
    "first_pass_max_utterances",
}
# Options that a given option, or value, replaces if they are from a config file or a
# preset, because they conflict with it: an exact number of speakers with a threshold,
# bounds and other exact numbers; bounds per recording with bounds for all; PLDA scores
# with a PLDA; clusterings without merges with the options of merges; and a
# resegmentation or a loss with the options it does not use.
CONFLICTS = {
    "reco2num_spk": {"num_speakers"} | _ESTIMATED,
    "num_speakers": {"reco2num_spk"} | _ESTIMATED,
    "threshold": _EXACT,
    "min_speakers": _EXACT | {"reco2min_max"},
    "max_speakers": _EXACT | {"reco2min_max"},
    "reco2min_max": _EXACT | _BOUNDS,
    "plda": {"plda_scores"},
    "plda_scores": {"plda"},
    "system=spectral": {"final_clustering"} | _OF_MERGES,
    "final_clustering=kmeans": _OF_MERGES,
    "final_clustering=xmeans": _OF_MERGES,
    "final_clustering=spectral": _OF_MERGES,
    "final_clustering=vb": {"resegmentation", "loop_prob"},
    **DISPLACED_BY_RESEGMENTATION,
    **DISPLACED_BY_LOSS,
}

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class Source(Options, group="Input and output"):
    """Which recordings are read.

    Parameters
    ----------
    xvector_dir : Path, optional
        X-vector folder, as written by extract_xvectors.sh.
    recordings : Path, optional
        File that lists the recordings to read in the first field of each line, such as
        a part of spk2utt. Default: all.
    """

    xvector_dir: Path | None = None
    recordings: Path | None = None


@dataclass(frozen=True)
class ModelFiles(Options, group="Input and output"):
    """Files of the model.

    Parameters
    ----------
    model_dir : Path, optional
        Folder with mean.vec, transform.mat and optionally plda and metric.ark.
    mean : Path, optional
        Global mean, instead of the model folder's.
    transform : Path, optional
        Whitening transform, instead of the model folder's.
    plda : Path, optional
        PLDA, instead of the model folder's.
    metric : Path, optional
        Embedding network of ssahc train-metric, for ssahc and ssahc+plda, instead of
        the model folder's.
    plda_scores : Path, optional
        Archive or scp of Kaldi score matrices, used instead of a PLDA.
    """

    model_dir: Path | None = None
    mean: Path | None = None
    transform: Path | None = None
    plda: Path | None = None
    metric: Path | None = None
    plda_scores: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plda is not None and self.plda_scores is not None:
            raise UsageError("--plda-scores replaces a PLDA; leave out --plda")


@dataclass(frozen=True)
class SpeakerTables(Options, group="Speakers"):
    """Tables of the number of speakers in each recording.

    Parameters
    ----------
    reco2num_spk : Path, optional
        Kaldi's table of known numbers of speakers: "recording count" lines. Used
        instead of --num-speakers.
    reco2min_max : Path, optional
        Table of bounds on the estimated number of speakers: "recording min max" lines.
    """

    reco2num_spk: Path | None = None
    reco2min_max: Path | None = None


@dataclass(frozen=True)
class SpeakersOf:
    """Options on the number of speakers: one for all recordings, or a table.

    `fewest` has numbers of speakers that recordings have for certain; they are bounds
    on estimated numbers, within the bounds that are given.
    """

    everywhere: SpeakerOptions
    table: Mapping[str, SpeakerOptions] | None = None
    path: Path | None = None
    fewest: Mapping[str, int] = field(default_factory=dict)

    def __call__(self, recording: str) -> SpeakerOptions:
        """Return the options of a recording; DataError if a table lacks it."""
        return self._given(recording).at_least(self.fewest.get(recording, 1))

    def _given(self, recording: str) -> SpeakerOptions:
        if self.table is None:
            return self.everywhere
        if recording not in self.table:
            raise DataError(
                f"{self.path}: does not list this recording; add a line for it"
            )
        return self.table[recording]


def warn_of_other_system(given: Mapping[str, Any], config: Path | None) -> None:
    """Warn of values in a config file that were chosen for another system.

    They are used all the same. None in `given` means "not on the command line".
    """
    system = given["system"]
    stored = {} if config is None else read_toml(config)
    if system is None:
        _warn_of_no_model(given, stored, config)
        return
    there = stored.get("system", system)
    if there == system or system == "spectral":
        return
    # Thresholds have the unit of the affinity that a system clusters, and only systems
    # that learn are resegmented by default.
    names = ["threshold"]
    if (there in LEARNING) != (system in LEARNING):
        names.append("resegmentation")
    kept = [name for name in names if name in stored and given.get(name, "") is None]
    for name in kept:
        _logger.warning(
            f"{name} {stored[name]} is from {config}, where it goes with --system "
            f"{there}; --{name} sets it for {system}"
        )


def _warn_of_no_model(
    given: Mapping[str, Any], stored: Mapping[str, Any], config: Path | None
) -> None:
    """Warn of a system that a config file has for want of a model, if there is one."""
    models = ("model_dir", "plda", "transform")
    was_run = {"xvector_dir", "system"} <= stored.keys()
    had_none = was_run and not any(name in stored for name in models)
    if had_none and any(given.get(name) is not None for name in models):
        _logger.warning(
            f"system {stored['system']} is from {config}, a run without a model; "
            "--system sets another (by default ssahc+plda for a PLDA of speakers)"
        )


def open_source(source: Source) -> XvectorDir:
    """Read the tables of the x-vector folder, restricted to the listed recordings."""
    if source.xvector_dir is None:
        raise AssertionError("every verb that reads x-vectors is given their folder")
    folder = open_xvector_dir(source.xvector_dir)
    if source.recordings is None:
        return folder
    names = read_names(source.recordings)
    if not names:
        raise FormatError("lists no recording", path=source.recordings)
    return folder.select(names)


def refuse_same_folder(out_dir: Path, xvector_dir: Path) -> None:
    """Raise a UsageError if the output would be among the x-vectors."""
    if out_dir.exists() and xvector_dir.exists() and out_dir.samefile(xvector_dir):
        raise UsageError(f"{out_dir}: holds the x-vectors; choose another OUT_DIR")


def read_speakers(tables: SpeakerTables, speakers: SpeakerOptions) -> SpeakersOf:
    """Return the number of speakers of each recording, from a table if one is given."""
    if tables.reco2num_spk is not None:
        says = "--reco2num-spk gives exact numbers of speakers"
        _refuse_beside(says, _ESTIMATED, tables, speakers)
        if speakers.num_speakers is not None:
            _logger.warning("--num-speakers is not used: %s", says)
        path = strip_rspecifier(tables.reco2num_spk)[1]
        exact = read_reco2num_spk(path)
        rows = {name: SpeakerOptions(count) for name, count in exact.items()}
        return SpeakersOf(speakers, rows, path)
    if tables.reco2min_max is not None:
        says = "--reco2min-max gives bounds on the number of speakers"
        _refuse_beside(says, _BOUNDS | {"num_speakers"}, tables, speakers)
        path = strip_rspecifier(tables.reco2min_max)[1]
        rows = {
            name: replace(speakers, min_speakers=fewest, max_speakers=most)
            for name, (fewest, most) in read_reco2min_max(path).items()
        }
        return SpeakersOf(speakers, rows, path)
    return SpeakersOf(speakers)


def _refuse_beside(
    says: str, names: set[str], tables: SpeakerTables, speakers: SpeakerOptions
) -> None:
    given = flatten(tables) | flatten(speakers)
    wrong = [
        option.flag
        for options_class in (SpeakerTables, SpeakerOptions)
        for option in list_options(options_class)
        if option.name in names and given.get(option.name) not in (None, option.default)
    ]
    if wrong:
        raise UsageError(f"{says}; leave out {' and '.join(wrong)}")


@dataclass(frozen=True, eq=False)
class Inputs:
    """The model, scores and numbers of speakers to diarize with."""

    model: Model
    plda_scores: ScoreTable | None
    speakers_of: SpeakersOf
    # Whether the model, which was not given, was learned from the recordings.
    is_learned: bool = False
    # Windows of recordings that are of different speakers.
    cannot_link: Mapping[str, CannotLink] = field(default_factory=dict)

    def diarize(self, recording: Recording, options: DiarizeOptions) -> Diarization:
        """Diarize a recording, with its number of speakers from the tables."""
        self.check_dim(recording)
        options = replace(options, speakers=self.speakers_of(recording.id))
        scores = self.scores_of(recording, options.system)
        return diarize_recording(
            recording,
            self.model,
            options,
            plda_scores=scores,
            cannot_link=self.cannot_link.get(recording.id),
        )

    def check_dim(self, recording: Recording) -> None:
        """Raise a DataError if a learned model is not one for a recording."""
        mean, dim = self.model.mean, recording.xvectors.shape[1]
        if self.is_learned and mean is not None and len(mean) != dim:
            raise DataError(
                f"x-vectors have {dim} dimensions, those that the model was learned "
                f"from have {len(mean)}; extract all with one network"
            )

    def diarize_batch(
        self, recordings: Sequence[Recording], options: DiarizeOptions
    ) -> list[Diarization]:
        """Diarize several recordings at once; only without ready-made scores."""
        each = [
            replace(options, speakers=self.speakers_of(recording.id))
            for recording in recordings
        ]
        return diarize_batch(recordings, self.model, each, self.cannot_link)

    def scores_of(self, recording: Recording, system: System | None) -> Array | None:
        """Read the PLDA scores of a recording; None if the system does not use them."""
        if self.plda_scores is None or not uses_plda(system):
            return None
        return read_scores(self.plda_scores, recording.id, recording.utterances)


def learn_model(inputs: Inputs, folder: XvectorDir) -> Inputs:
    """Learn from the recordings of a folder what the model lacks, if anything."""
    model, has_scores = inputs.model, inputs.plda_scores is not None
    if not lacks_model(model, has_scores=has_scores):
        return inputs
    total = len(folder.utterances.keys() | folder.unlisted.keys())
    items = track(read_recordings(folder), total, "learning a model")
    recordings = (item for item in items if isinstance(item, Recording))
    first = next(recordings, None)
    if first is None:
        # Diarization will say why.
        return inputs
    learned = complete_model(model, chain([first], recordings))
    return replace(inputs, model=learned, is_learned=True)


def open_inputs(
    files: ModelFiles, tables: SpeakerTables, speakers: SpeakerOptions
) -> Inputs:
    """Read the model and the tables, and find the scores."""
    return Inputs(
        load_model(files),
        None if files.plda_scores is None else open_scores(files.plda_scores),
        read_speakers(tables, speakers),
    )


def find_inputs(*options: Source | ModelFiles | SpeakerTables) -> list[Path]:
    """Return the files that the options name, and those a model folder may hold."""
    paths = []
    for part in options:
        for name, value in flatten(part).items():
            path = strip_rspecifier(value)[1]
            if name == "model_dir":
                paths += [path / file for file in MODEL_FILES]
            elif name != "xvector_dir":
                paths.append(path)
    return paths


def load_model(options: ModelFiles) -> Model:
    """Read the model; single files override those of the model folder."""
    single = {
        name: getattr(options, name) for name in ("mean", "transform", "plda", "metric")
    }
    if options.model_dir is None:
        model = read_model(**single)
    else:
        model = read_model_dir(options.model_dir, **single)
    if model.plda is not None:
        _tell_length(model.plda)
    return model


def _tell_length(plda: Plda) -> None:
    length, dim = fitting_length(plda), len(plda.mean)
    if length != sqrt(dim):
        _logger.warning(
            f"the PLDA was trained on x-vectors of length {length:.3g}, not "
            f"sqrt({dim}); diarization scales them to that"
        )
