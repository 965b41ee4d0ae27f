import os
import struct

import numpy as np
import pytest
import soundfile

from ssahc.core.errors import FormatError
from ssahc.io.audio import audio_blocks, inspect_audio, read_audio

RATE = 8000
SAMPLES = np.random.default_rng(5).normal(0, 3000, 3 * RATE).clip(-32768, 32767).round()


def write(path, samples=SAMPLES, **kwargs):
    soundfile.write(path, samples / 32768, RATE, **kwargs)
    return path


# Encoding, and the largest error that it makes, relative to the loudest sample.
KINDS = {
    "a.wav": ({"subtype": "PCM_16"}, 0),
    "b.wav": ({"subtype": "PCM_U8"}, 0.022),
    "c.wav": ({"subtype": "PCM_24"}, 0),
    "d.wav": ({"subtype": "PCM_32"}, 0),
    "e.wav": ({"subtype": "FLOAT"}, 0),
    "f.wav": ({"subtype": "DOUBLE"}, 0),
    "g.wav": ({"subtype": "ULAW"}, 0.04),
    "h.wav": ({"subtype": "ALAW"}, 0.04),
    "i.sph": ({"format": "NIST", "subtype": "ULAW"}, 0.04),
    "j.flac": ({}, 0),
    "k.ogg": ({}, None),
    "l.mp3": ({}, None),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_the_scale_of_16_bits(tmp_path, name):
    kwargs, error = KINDS[name]
    path = write(tmp_path / name, **kwargs)
    samples, rate = read_audio(path)
    assert (rate, samples.dtype) == (RATE, np.float32)
    assert inspect_audio(path) == (RATE, 1, len(SAMPLES))
    assert len(samples) == len(SAMPLES)
    if error is None:
        assert np.std(samples) == pytest.approx(3000, rel=0.2)
    else:
        loudest = np.abs(SAMPLES).max()
        np.testing.assert_allclose(samples, SAMPLES, rtol=0, atol=error * loudest)


def test_channels(tmp_path):
    stereo = np.column_stack([SAMPLES, 100 + 0 * SAMPLES])
    path = write(tmp_path / "x.wav", stereo)
    assert inspect_audio(path).num_channels == 2
    for channel, expected in ((1, SAMPLES), (2, 100), (None, (SAMPLES + 100) / 2)):
        assert np.array_equal(
            read_audio(path, channel=channel)[0], 0 * SAMPLES + expected
        )


def test_long_files_come_in_blocks(tmp_path):
    path = write(tmp_path / "x.flac", np.tile(SAMPLES, 10))
    blocks = list(audio_blocks(path))
    assert max(map(len, blocks)) == 65536 < sum(map(len, blocks)) == 10 * len(SAMPLES)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF])
def test_length_that_a_pipe_did_not_know_is_no_fault(tmp_path, size):
    path = write(tmp_path / "x.wav")
    data = path.read_bytes()
    path.write_bytes(data.replace(data[40:44], struct.pack("<I", size), 1))
    assert np.array_equal(read_audio(path)[0], SAMPLES)


# ---- faults ------------------------------------------------------------------------


def damaged(folder, name, change, **kwargs):
    path = write(folder / name, **kwargs)
    path.write_bytes(change(path.read_bytes()))
    return path


def with_length(data, seconds):
    return data[:40] + struct.pack("<I", seconds * RATE * 2) + data[44:]


FAULTS = {
    "empty file": (lambda f: damaged(f, "x.wav", lambda d: b""), "is empty"),
    "0 s": (lambda f: damaged(f, "x.wav", lambda d: with_length(d, 0)[:44]), "no samp"),
    "half a wav": (
        lambda f: damaged(f, "x.wav", lambda d: d[: len(d) // 2]),
        "its header says 3.0 s, 1.5 s are there",
    ),
    "24 h header": (
        lambda f: damaged(f, "x.wav", lambda d: with_length(d, 86400)),
        "its header says 86400.0 s, 3.0 s are there",
    ),
    "no rate": (
        lambda f: damaged(f, "x.wav", lambda d: d[:24] + b"\xff\xff\xff\x7f" + d[28:]),
        "its header says 2147483647 samples a second",
    ),
    "half a sph": (
        lambda f: damaged(f, "x.sph", lambda d: d[: len(d) // 2], format="NIST"),
        "its header says 3.0 s, 1.5 s are there",
    ),
    "half a flac": (
        lambda f: damaged(f, "x.flac", lambda d: d[: len(d) // 2]),
        "damaged or truncated",
    ),
    "half an mp3": (
        lambda f: damaged(f, "x.mp3", lambda d: d[: len(d) // 2]),
        "its header says 3.0 s",
    ),
    "ogg without its end": (
        lambda f: damaged(f, "x.ogg", lambda d: d[:-99]),
        "truncated: only ",
    ),
    "shortened sph": (
        lambda f: damaged(
            f, "x.sph", lambda d: d.replace(b"-s3 pcm", b"-s3 xyz"), format="NIST"
        ),
        "convert it with sph2pipe",
    ),
    "video": (
        lambda f: damaged(f, "x.wav", lambda d: b"\0\0\0 ftypisom\0\0\2\0" + d),
        "not audio of a kind that can be read",
    ),
    "text": (
        lambda f: damaged(f, "x.mp3", lambda d: b"call: hello\n" * 99),
        "not audio of a kind that can be read",
    ),
    "MATLAB": (
        lambda f: damaged(f, "x.wav", lambda d: d, format="MAT5", subtype="DOUBLE"),
        "is a MAT5 file, expected audio",
    ),
    "folder": (lambda f: f, "is a directory, expected a file"),
    "missing": (lambda f: f / "x.wav", "no such file"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_file_that_cannot_be_read_is_named_before_it_is_decoded(tmp_path, kind, capfd):
    make, message = FAULTS[kind]
    path = make(tmp_path)
    with pytest.raises(FormatError) as caught:
        read_audio(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert capfd.readouterr().out == ""
    # Of a compressed file, only its end tells.
    if kind not in ("half a flac", "half an mp3"):
        with pytest.raises(FormatError):
            inspect_audio(path)


def test_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.wav")
    with pytest.raises(FormatError, match="it is a pipe"):
        inspect_audio(tmp_path / "x.wav")


def test_missing_channel(tmp_path):
    path = write(tmp_path / "x.wav")
    for channel in (2, 0, -1):
        with pytest.raises(FormatError, match=rf"x.wav: has no channel {channel}, on"):
            inspect_audio(path, channel=channel)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"sample 9000 \(at 1.125 s\) is NaN or infinite"),
        (np.inf, r"sample 9000 \(at 1.125 s\) is NaN or infinite"),
        (20000.0, r"sample 9000 .* is 20000, where full scale is 1: was 16-bit"),
    ],
)
def test_nan_and_samples_far_over_full_scale_are_refused(tmp_path, value, message):
    samples = SAMPLES / 32768
    samples[9000] = value
    soundfile.write(tmp_path / "x.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(FormatError, match=message):
        read_audio(tmp_path / "x.wav")
