"""The model that a run of ``ssahc diarize`` has learned, if none was given."""

import os
from dataclasses import replace
from pathlib import Path

from ssahc.cli.inputs import Inputs, learn_model
from ssahc.core.errors import UsageError
from ssahc.io.model import MEAN, PLDA, TRANSFORM, read_model_dir, write_model_dir
from ssahc.io.xvectors import XvectorDir
from ssahc.pipeline.options import lacks_model

# Its folder in OUT_DIR, and its files there.
LEARNED_MODEL = "learned_model"
LEARNED_FILES = tuple(f"{LEARNED_MODEL}/{name}" for name in (MEAN, TRANSFORM, PLDA))
# Options that give a model, or scores in its place.
GIVEN_MODELS = {"model_dir", "transform", "plda", "metric", "plda_scores"}


def refuse_other_model(out_dir: Path) -> None:
    """Raise a UsageError if something of another origin is in the model's place."""
    if os.path.lexists(out_dir / LEARNED_MODEL):
        raise UsageError(
            f"{out_dir / LEARNED_MODEL}: is not of a completed run of ssahc diarize; "
            "choose another folder, or move it away"
        )


def complete_inputs(
    inputs: Inputs, folder: XvectorDir, unfinished: Path, earlier: Path | None
) -> Inputs:
    """Learn what the model lacks, if anything, and keep it among the unfinished files.

    A resumed run goes on with the model that it, or the `earlier` run, has learned.
    """
    if not lacks_model(inputs.model, has_scores=inputs.plda_scores is not None):
        return inputs
    for place in (unfinished, *(() if earlier is None else (earlier,))):
        # Only a run that was killed while it moved its files has left a part of them.
        if all((place / name).exists() for name in LEARNED_FILES):
            model = read_model_dir(place / LEARNED_MODEL)
            completed = replace(inputs, model=model, is_learned=True)
            break
    else:
        completed = learn_model(inputs, folder)
    if completed is not inputs:
        # Binary, so that it is read back exactly.
        kept = unfinished / LEARNED_MODEL
        write_model_dir(kept, completed.model, file_format="binary")
    return completed
