"""Readers of audio, of lists of it, and of options of its features."""

from contextlib import suppress
from dataclasses import fields

import numpy as np
from checks import check_key, require, split_lines
from fuzz_text import _check_on_fault

from ssahc.core.errors import FormatError
from ssahc.frontend.cmvn import SlidingCmvnOptions
from ssahc.frontend.features import FbankOptions, MfccOptions
from ssahc.frontend.vad import EnergyVadOptions
from ssahc.io.audio import audio_blocks, inspect_audio, read_audio
from ssahc.io.audio_list import list_audio, read_channels, read_wav_scp
from ssahc.io.kaldi_conf import read_conf
from ssahc.io.overlap import read_overlap
from ssahc.io.speech import read_speech


def read_audio_files(folder, size):
    """Read an audio file as a whole, and its channels one by one."""
    path = folder / "x"
    info = inspect_audio(path)
    rate, num_channels, expected = info
    samples, found_rate = read_audio(path)
    require(found_rate == rate > 0, f"rates {found_rate} and {rate}")
    require(samples.dtype == np.float32 and samples.ndim == 1, "not float32 samples")
    require(
        len(samples) > 0 and np.isfinite(samples).all(), "no samples, or no numbers"
    )
    if expected is not None:
        require(abs(len(samples) - expected) <= 0.1 * rate, f"{len(samples)} samples")
    try:
        inspect_audio(path, channel=num_channels + 1)
        require(False, "a channel too many")
    except FormatError:
        pass
    if num_channels <= 2:
        channels = [
            np.concatenate(list(audio_blocks(path, channel=channel)))
            for channel in range(1, num_channels + 1)
        ]
        mean = np.mean(channels, axis=0)
        require(np.allclose(mean, samples, 1e-4, 1e-2), "the channels differ from all")


def read_audio_lists(folder, size):
    """Read wav.scp, and channels if there are any."""
    path = folder / "wav.scp"
    lines = split_lines(path)
    fault, found = None, []
    try:
        found = list_audio(path)
    except FormatError as error:
        fault = error
    require(fault or found == list_audio(folder), "the folder has another list")
    for recording in found:
        check_key(recording.id)
        require(recording.path.exists(), f"{recording}")
    _check_on_fault(read_wav_scp, path, lines, fault)
    if (folder / "reco2file_and_channel").exists():
        channels = read_channels(folder / "reco2file_and_channel")
        require(
            len(channels) == len(split_lines(folder / "reco2file_and_channel")), "lost"
        )
        require(all(channel >= 1 for channel in channels.values()), f"{channels}")
    if fault is not None:
        raise fault


def _read_overlap(path):
    """Read regions of overlap; there may be none where there is speech."""
    with suppress(FormatError):
        for regions in read_overlap(path).values():
            require(all(start <= end for start, end in regions), f"{regions}")


def read_speech_regions(folder, size):
    """Read regions of speech in each of the three forms; at least one must do."""
    faults, data = [], (folder / "x").read_bytes()
    for name in ("x.rttm", "x.uem", "segments"):
        (folder / name).write_bytes(data)
        try:
            speech = read_speech(folder / name)
        except FormatError as error:
            faults.append(error)
            continue
        names = [region.name for regions in speech.values() for region in regions]
        require(len(set(names)) == len(names) > 0, f"ids {names}")
        _read_overlap(folder / name)
        for recording, regions in speech.items():
            check_key(recording)
            starts = [region.start for region in regions]
            require(starts == sorted(starts), f"{starts}")
            require(all(0 <= r.start < r.end < np.inf for r in regions), f"{regions}")
    (folder / "x.ark").write_bytes(data)
    _read_overlap(folder / "x.ark")
    if len(faults) == 3:
        raise faults[0]


_OPTIONS = (MfccOptions, FbankOptions, EnergyVadOptions, SlidingCmvnOptions)


def read_confs(folder, size):
    """Read a conf file of every program that has one; at least one must take it."""
    faults = []
    for options_class in _OPTIONS:
        try:
            options = read_conf(folder / "x.conf", options_class)
        except FormatError as error:
            faults.append(error)
            continue
        lines = (
            f"--{field.name.replace('_', '-')}={getattr(options, field.name)}\n"
            for field in fields(options)
        )
        (folder / "again.conf").write_text("".join(lines))
        again = read_conf(folder / "again.conf", options_class)
        require(again == options, f"{options} became {again}")
    if len(faults) == len(_OPTIONS):
        raise faults[0]
