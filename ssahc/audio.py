"""One audio file: `ssahc.diarize_audio`."""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from numpy.typing import ArrayLike

from ssahc.core.errors import UsageError
from ssahc.core.types import Model, Progress, no_progress
from ssahc.frontend.extraction import (
    ExtractionOptions,
    detect_as_segmented,
    extract_recording,
    open_audio_file,
    segment_recording,
    settle_detection,
)
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.installed import SMALL
from ssahc.frontend.segmentation import Segmenter
from ssahc.frontend.segmentation.different_windows import find_different_windows
from ssahc.pipeline.arrays import diarize, take_options
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.keywords import DiarizeKeywords
from ssahc.pipeline.options import DiarizeOptions
from ssahc.pipeline.overlap import (
    SecondSpeakerOptions,
    add_overlap,
    fewest_speakers,
)
from ssahc.pipeline.turn_changes import move_changes


def diarize_audio(
    path: Path | str,
    extractor: Extractor | Path | str = SMALL,
    *,
    segments: ArrayLike | Path | str | None = None,
    channel: int | None = None,
    extraction: ExtractionOptions = ExtractionOptions(),
    segmentation: Segmenter | Path | str | None = None,
    cannot_link: bool = True,
    second_speakers: SecondSpeakerOptions = SecondSpeakerOptions(),
    model: Model | None = None,
    overlap: ArrayLike | None = None,
    options: DiarizeOptions | None = None,
    progress: Progress = no_progress,
    preset: str | None = None,
    **values: Unpack[DiarizeKeywords],
) -> Diarization:
    """Say who speaks when in an audio file, as ``ssahc diarize`` does.

    Parameters
    ----------
    path, segments, channel, extraction
        As `extract_audio` takes them.
    extractor : Extractor, Path or str
        From `Extractor.load`, or what that takes: a name such as "campplus", a Kaldi
        model folder, or an ONNX file. By default a small model of ssahc.
    segmentation : Segmenter, Path or str, optional
        From `Segmenter.load`, or what that takes, such as "segmentation-3.0"; its name
        or path also detects speech by default. Changes of speaker are where it hears
        them, turns get second speakers where it hears two at once, and there are no
        fewer speakers than it hears.
    cannot_link : bool
        Take windows of different local speakers of a chunk for different speakers.
    second_speakers : SecondSpeakerOptions
        How long second speakers speak and pause at least.
    model : Model, optional
        By default the extractor's; what is lacking is learned from the recording, with
        an empty `Model` all of it.
    overlap, options, progress, preset, **values
        As `diarize` takes them, such as ``num_speakers=2``.

    Raises
    ------
    DataError, FormatError, UsageError
        As `extract_audio`, `Extractor.load`, `Segmenter.load` and `diarize`; if both
        segmentation and overlap are given.
    """
    options = take_options(options, preset, values)
    if not isinstance(extractor, Extractor):
        extractor = Extractor.load(extractor)
    audio = open_audio_file(path, segments=segments, channel=channel)
    segmenter = segmentation
    if isinstance(segmenter, Path | str):
        if audio.speech is None:
            extraction = detect_as_segmented(extraction, segmenter)
        segmenter = Segmenter.load(segmenter)
    if segmenter is not None and overlap is not None:
        raise UsageError("segmentation finds overlap; leave out overlap")
    if audio.speech is None:
        extraction = settle_detection(extraction, extractor)
    recording = extract_recording(audio, extractor, extraction)
    chunks = different = None
    if segmenter is not None:
        chunks, alone = segment_recording(audio, segmenter, extraction.segmentation)
        speakers = options.speakers.at_least(fewest_speakers(alone))
        options = replace(options, speakers=speakers)
        if cannot_link:
            different = find_different_windows(chunks, recording.segments)
    found = diarize(
        recording.xvectors,
        recording.segments,
        model=extractor.model if model is None else model,
        recording_id=recording.id,
        utterances=recording.utterances,
        overlap=overlap,
        cannot_link=different,
        options=options,
        progress=progress,
    )
    if chunks is None:
        return found
    single = move_changes(found.exclusive_turns, chunks)
    together = add_overlap(single, chunks, second_speakers)
    return replace(found, single=tuple(single), overlapping=tuple(together))
