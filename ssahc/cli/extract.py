"""``ssahc extract``."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

import click

from ssahc.cli.audio_inputs import (
    AUDIO_CONFLICTS,
    AudioOptions,
    complete_options,
    load_extractor,
    refuse_xvectors,
)
from ssahc.cli.extraction import extract_into
from ssahc.cli.parsing import (
    PATH,
    GroupedOption,
    Verb,
    config_option,
    options_of,
    resolve,
    running_options,
    take_running,
)
from ssahc.frontend.extractors.installed import SMALL
from ssahc.io.config import read_config
from ssahc.runtime.device import Device

_logger = logging.getLogger("ssahc")


@click.command("extract", cls=Verb)
@click.argument("audio", type=PATH)
@click.argument("out_dir", type=PATH)
@options_of(AudioOptions, without={"audio"})
@click.option(
    "--device",
    cls=GroupedOption,
    group="Execution",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="Where the extractor runs; auto: on a GPU if there is one.  [default: auto]",
)
@running_options
@click.option(
    "--resume",
    cls=GroupedOption,
    group="Execution",
    is_flag=True,
    help="Keep the x-vectors in OUT_DIR of an earlier run with the same options, "
    "finished or interrupted, and process the remaining recordings.",
)
@config_option
def command(
    audio: Path,
    out_dir: Path,
    device: Device,
    resume: bool,
    config: Path | None,
    **given: Any,
) -> None:
    """Extract x-vectors of AUDIO into OUT_DIR, an x-vector folder as Kaldi's.

    AUDIO is a wav.scp, a folder of audio files, or one file. OUT_DIR gets xvector.scp,
    xvector.ark, segments, utt2spk and spk2utt, for ssahc diarize; mean.vec,
    transform.mat and plda of the model folder, if it has them; and config.toml.

    Exit status: 0 if all recordings were processed; 1 if some failed (the others are
    written); 2 on wrong usage or if all failed (nothing is written). What an
    interrupted run has done is kept in OUT_DIR/.unfinished for --resume.
    """
    start = time.monotonic()
    refuse_xvectors(audio, out_dir)
    running = take_running(given)
    given["audio"] = audio
    options = resolve(
        AudioOptions,
        given,
        config=config,
        displaces=AUDIO_CONFLICTS,
        base={"extractor": SMALL},
    )
    stored = [] if config is None else [read_config(config, AudioOptions)]
    extractor = load_extractor(options, device)
    options = complete_options(options, [*stored, given], extractor)
    faults = extract_into(
        out_dir, options, extractor, running, device=device, resume=resume
    )
    seconds = time.monotonic() - start
    _logger.info(f"x-vectors are in {out_dir} after {seconds:.1f} s")
    sys.exit(1 if faults else 0)
