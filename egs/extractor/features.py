"""Write the MFCC of voices as a data folder of Kaldi, for train-extractor --features.

    features.py VOICES OUT

VOICES has a folder of audio files for each speaker. OUT gets feats.scp, feats.ark and
utt2spk: features of ssahc's networks, of speech without its pauses. A training on audio
computes them anew in every step.
"""

import sys
from collections import Counter
from pathlib import Path

import click
import numpy as np

from ssahc.cli.labelled_speech import read_speech
from ssahc.frontend.extractors.networks import feature_source
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.io.ark import ArchiveWriter
from ssahc.simulation.audio.voices import condense

_FULL_SCALE = 32768


def main(voices: Path, out: Path) -> None:
    """Write the folder."""
    options = ExtractorNetworkOptions()
    rate = options.sample_rate
    speech, faults = read_speech(
        [voices], rate, trim=lambda samples: _FULL_SCALE * condense(samples, rate)
    )
    for fault in faults:
        click.echo(f"{fault.recording}: {fault.reason}", err=True)
    source, counts = feature_source(options), Counter[str]()
    out.mkdir(parents=True, exist_ok=True)
    utt2spk = []
    with ArchiveWriter(out / "feats.ark", out / "feats.scp") as archive:
        for speaker, signal in zip(speech.speakers, speech.signals, strict=True):
            name = f"{speaker}-{counts[speaker]:04d}"
            counts[speaker] += 1
            archive.write(name, np.concatenate([*source([signal])]))
            utt2spk.append(f"{name} {speaker}\n")
    (out / "utt2spk").write_text("".join(utt2spk))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
