"""``ssahc diarize AUDIO``: x-vectors, their model, and speakers at the same time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ssahc.cli.audio_inputs import (
    check_dims,
    complete_options,
    load_extractor,
    open_audio,
    settle_segmentation,
)
from ssahc.cli.default_model import DefaultModel, choose_model
from ssahc.cli.diarize_config import AllOptions, DiarizeConfig
from ssahc.cli.enrollment import Enrollment, embed_enrollment
from ssahc.cli.extraction import extract_into
from ssahc.cli.inputs import Inputs, ModelFiles, open_inputs, open_source
from ssahc.cli.overlap import Chunks, Regions, plan_segmentation
from ssahc.cli.resume import is_interrupted
from ssahc.core.constraints import CannotLink
from ssahc.core.options import flatten
from ssahc.core.types import Fault
from ssahc.frontend.extraction import detect_as_segmented
from ssahc.frontend.segmentation.different_windows import find_different_windows
from ssahc.io.folders import refuse_links
from ssahc.io.text import times_of
from ssahc.io.xvectors import XvectorDir
from ssahc.runtime.executor import RunningOptions

# Where the x-vectors of audio are kept in OUT_DIR.
XVECTORS = "xvectors"


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run that has x-vectors, those of audio if it started there, and what it needs.

    Chunks are those of --segmentation, by recording; `failed` are recordings without
    x-vectors, and `regions` are those of --overlap. `stored` are the options by which
    the run can be repeated from audio, if it started there, but for those of `run`;
    `seconds` are the lengths of audio, where they are known and used; `enrollment` has
    the people of --enroll.
    """

    run: DiarizeConfig
    inputs: Inputs
    chunks: Mapping[str, Chunks]
    failed: list[Fault]
    regions: Regions = field(default_factory=Regions)
    stored: AllOptions | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    enrollment: Enrollment | None = None

    def to_store(self, run: DiarizeConfig) -> DiarizeConfig | AllOptions:
        """Return the options of config.toml, of a run whose options are settled.

        Of audio they say where its model is from, not where a copy is.
        """
        if self.stored is None:
            return run
        if self.stored.default_model != "auto":
            run = replace(run, files=ModelFiles())
        return replace(self.stored, diarize=run)


def prepare_audio(
    options: AllOptions,
    given: Sequence[Mapping[str, Any]],
    inputs: Inputs,
    out_dir: Path,
    running: RunningOptions,
    *,
    resume: bool,
    enrollment: Enrollment | None = None,
) -> PreparedRun:
    """Extract x-vectors into OUT_DIR, unless an earlier run has, and choose a model.

    `given` are options that were set, by a config file and on the command line. What
    cannot be used is named before any audio is read.
    """
    run = options.diarize
    extractor = load_extractor(options.audio, run.method.device)
    check_dims(inputs.model, extractor)
    audio = options.audio
    if run.overlap.segmentation is not None:
        segmentation = settle_segmentation(run.overlap.segmentation)
        run = replace(run, overlap=replace(run.overlap, segmentation=segmentation))
        if audio.segments is None:
            extraction = detect_as_segmented(audio.extraction, segmentation)
            audio = replace(audio, extraction=extraction)
    audio = complete_options(audio, given, extractor)
    if enrollment is not None:
        enrollment = embed_enrollment(enrollment, extractor, audio.extraction)
    segment = plan_segmentation(run, audio)
    is_interrupted(out_dir, resume=resume)
    refuse_links(out_dir, [XVECTORS])
    folder = out_dir / XVECTORS
    failed = extract_into(
        folder,
        audio,
        extractor,
        running,
        device=run.method.device,
        resume=resume,
        reuse=True,
    )
    run = replace(run, source=replace(run.source, xvector_dir=folder))
    source = open_source(run.source)
    names = source.utterances.keys()
    stored = AllOptions(run, audio)
    if not flatten(run.files):
        # Of those that failed nothing is learned. If more succeed when a run is
        # resumed, its model may be another one, and the resumption is refused.
        files = choose_model(options.default_model, audio, folder, len(names))
        run = replace(run, files=files)
        chosen: DefaultModel = "extractor" if flatten(files) else "recordings"
        stored = replace(stored, default_model=chosen)
        inputs = open_inputs(run.files, run.tables, run.method.speakers)
    chunks = segment(running, names)
    fewest = {name: found.fewest for name, found in chunks.items()}
    inputs = replace(inputs, speakers_of=replace(inputs.speakers_of, fewest=fewest))
    if run.overlap.cannot_link:
        inputs = replace(inputs, cannot_link=_find_different(chunks, source))
    seconds = {}
    if run.overlap.overlap is not None:
        found = open_audio(audio).recordings
        seconds = {item.id: item.seconds for item in found if item.seconds is not None}
    return PreparedRun(
        run,
        inputs,
        chunks,
        failed,
        stored=stored,
        seconds=seconds,
        enrollment=enrollment,
    )


def _find_different(
    chunks: Mapping[str, Chunks], source: XvectorDir
) -> dict[str, CannotLink]:
    """Return the windows of recordings that are of different speakers."""
    return {
        name: find_different_windows(
            found.segmentation, times_of(source.segments, source.utterances[name])
        )
        for name, found in chunks.items()
    }
