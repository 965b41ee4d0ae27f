"""``ssahc fit``."""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from ssahc.backend.training import TrainingOptions, check_adaptation, fit_model
from ssahc.backend.unsupervised import fit_unlabelled
from ssahc.cli.parsing import PATH, Verb, config_option, options_of, resolve
from ssahc.cli.runner import print_errors, print_faults, track
from ssahc.core.errors import DataError, UsageError, counted
from ssahc.core.options import Options
from ssahc.core.types import Fault, FloatArray, Model, Recording
from ssahc.core.validation import changed_fields
from ssahc.io.folders import staged_output
from ssahc.io.labelled import read_labelled, read_xvectors
from ssahc.io.model import METRIC, MODEL_FILES, ModelFormat, write_model_dir
from ssahc.io.xvectors import open_xvector_dir, read_recordings

_logger = logging.getLogger("ssahc")


@dataclass(frozen=True)
class FitConfig(Options, group="Input and output"):
    """All options of ``ssahc fit``.

    Parameters
    ----------
    whiten_from : Path, optional
        X-vector folder to estimate mean and whitening from instead of XVECTOR_DIR, such
        as recordings like those to be diarized; only its xvector.scp is read.
    adapt_to : Path, optional
        X-vector folder without labels to adapt the PLDA to, as ivector-adapt-plda does;
        only its xvector.scp is read.
    unsupervised : bool
        Estimate the model from recordings without labels: XVECTOR_DIR is a folder to be
        diarized whose segments are sliding windows; neighbouring windows show the
        variation within a speaker.
    file_format : {"kaldi", "text", "binary"}
        Format of the model's files: as Kaldi's programs write them (mean.vec as text,
        the others binary), or all text, or all binary.
    training : TrainingOptions
    """

    whiten_from: Path | None = None
    adapt_to: Path | None = None
    unsupervised: bool = False
    file_format: ModelFormat = "kaldi"
    training: TrainingOptions = field(default_factory=TrainingOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        is_changed = self.training != TrainingOptions()
        if self.unsupervised and (self.whiten_from or self.adapt_to or is_changed):
            raise UsageError(
                "--unsupervised estimates the whole model from XVECTOR_DIR; leave out "
                "--whiten-from, --adapt-to and the options of the PLDA's training"
            )
        check_adaptation(self.training, adapts=self.adapt_to is not None)


@click.command("fit", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.argument("model_dir", type=PATH)
@options_of(FitConfig)
@config_option
def command(
    xvector_dir: Path, model_dir: Path, config: Path | None, **given: Any
) -> None:
    """Train a model on XVECTOR_DIR: MODEL_DIR/mean.vec, transform.mat and plda.

    XVECTOR_DIR holds xvector.scp and utt2spk, with a speaker for each x-vector. Mean,
    whitening and PLDA equal those of ivector-mean, est-pca and ivector-compute-plda.
    With --unsupervised, XVECTOR_DIR is a folder to be diarized, without labels.

    Exit status: 0 if all x-vectors were used; 1 if some are broken (each is named, and
    the model is estimated from the others); 2 on wrong usage or if none can be used
    (nothing is written).
    """
    run = resolve(FitConfig, given, config=config)
    if (model_dir / METRIC).exists():
        raise UsageError(
            f"{model_dir}: holds the network of ssahc train-metric (metric.ark), which "
            "belongs to the model there; choose another folder"
        )
    with staged_output(model_dir, MODEL_FILES) as folder:
        fit = _fit_unlabelled if run.unsupervised else _fit_labelled
        model, faults = fit(xvector_dir, run)
        try:
            write_model_dir(folder, model, file_format=run.file_format)
        except DataError as error:
            raise DataError(f"{error}{_suspects(run.training)}") from error
    sys.exit(1 if faults else 0)


def _fit_labelled(xvector_dir: Path, run: FitConfig) -> tuple[Model, int]:
    """Return a model trained on known speakers, and the number of broken x-vectors."""
    labelled, faults = read_labelled(xvector_dir)
    sources: dict[str, FloatArray] = {}
    for name in ("whiten_from", "adapt_to"):
        folder = getattr(run, name)
        if folder is not None:
            found = read_xvectors(folder)
            sources[name] = found.xvectors
            faults += found.faults
    print_errors(faults)
    model = fit_model(
        labelled.xvectors, labelled.speakers, options=run.training, **sources
    )
    count, voices = len(labelled.utterances), len(set(labelled.speakers))
    _logger.info(
        "trained on %s of %s", counted(count, "x-vector"), counted(voices, "speaker")
    )
    return model, len(faults)


def _suspects(training: TrainingOptions) -> str:
    """Name the changed options, which may have made the model unusable."""
    changed = [f"{flag} {value:g}" for flag, value in changed_fields(training).items()]
    return f", or without {' and '.join(changed)}" if changed else ""


def _fit_unlabelled(xvector_dir: Path, run: FitConfig) -> tuple[Model, int]:
    """Return a model of unlabelled recordings, and the number of broken recordings."""
    folder = open_xvector_dir(xvector_dir)
    total = len(folder.utterances.keys() | folder.unlisted.keys())
    recordings: list[Recording] = []
    faults: list[Fault] = []
    for item in track(read_recordings(folder), total, "reading"):
        if isinstance(item, Fault):
            faults.append(item)
        else:
            recordings.append(item)
    print_faults(faults, total)
    model = fit_unlabelled(recordings)
    plural = "" if len(recordings) == 1 else "s"
    _logger.info("trained on %d unlabelled recording%s", len(recordings), plural)
    return model, len(faults)
