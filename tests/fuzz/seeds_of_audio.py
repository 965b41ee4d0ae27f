"""The seeds that are audio, lists of it, and options of its features."""

import struct
import tempfile
from pathlib import Path

import numpy as np
import soundfile


def make_seeds(join):
    """Return reader to inputs by name; `join` makes an input of several files."""
    return {
        "audio": audio(),
        "audio-list": lists(join),
        "conf": confs(),
        "speech": speech(),
    }


def encoded(samples, **kind):
    """Return an audio file, which is short."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        soundfile.write(path, samples, 8000, **kind)
        return path.read_bytes()


def audio():
    """Return audio files."""
    tone = 0.5 * np.sin(np.arange(400) / 5)
    stereo = np.column_stack([tone, tone[::-1]])
    wav = encoded(tone, format="WAV")
    floats = encoded(tone, format="WAV", subtype="FLOAT")
    nan = struct.pack("<f", np.nan)
    return {
        "good-wav": wav,
        "good-stereo": encoded(stereo, format="WAV", subtype="PCM_24"),
        "good-float": floats,
        "good-alaw": encoded(tone, format="WAV", subtype="ALAW"),
        "good-flac": encoded(stereo, format="FLAC"),
        "good-mp3": encoded(np.tile(tone, 4), format="MP3"),
        "good-sphere": encoded(stereo, format="NIST", subtype="ULAW"),
        "good-aiff": encoded(tone, format="AIFF"),
        "good-length-not-known": wav[:40] + b"\xff\xff\xff\xff" + wav[44:],
        "bad-empty": b"",
        "bad-truncated": encoded(np.tile(tone, 9), format="WAV")[:900],
        "bad-a-day": wav[:40] + struct.pack("<I", 86400 * 16000) + wav[44:],
        "bad-no-samples": encoded(tone[:0], format="WAV"),
        "bad-nan": floats[:-4] + nan,
        "bad-loud": floats[:-4] + struct.pack("<f", 1e4),
        "bad-video": b"\0\0\0 ftypisom\0\0\2\0isomiso2avc1mp41" + wav,
        "bad-matlab": encoded(tone, format="MAT5"),
    }


def lists(join):
    """Return ``wav.scp`` files, an audio file, and channels."""
    return {
        "good-list": join(b"r1 x.wav\nr2\tx.wav \n", b""),
        "good-with-channels": join(b"r1 x.wav\n", b"", b"r1 f A\nr2 f 2\nr3 1\n"),
        "bad-empty": b"",
        "bad-pipe": b"r1 sph2pipe -f wav x.sph |\n",
        "bad-missing": b"r1 y.wav\n",
        "bad-twice": join(b"r1 x.wav\nr1 x.wav\n", b""),
        "bad-archive": b"r1 x.ark:3\n",
        "bad-url": b"r1 https://example.org/x.wav\n",
        "bad-long-name": b"r1 " + b"x" * 300 + b"\n",
        "bad-channel": join(b"r1 x.wav\n", b"", b"r1 f 0\n"),
    }


def confs():
    """Return conf files."""
    return {
        "good-mfcc": b"--num-ceps=20 # more\n--use-energy\n--snip-edges=false\n",
        "good-fbank": b"--num-mel-bins=40\n--use-log-fbank=true\n--window-type=sine\n",
        "good-vad": b"--vad-energy-threshold=5.5\n--vad-frames-context=2\n",
        "good-cmvn": b"--cmn-window=300\n--center=true\n",
        "good-without-effect": b"# nothing\n--debug-mel=yes\n",
        "bad-unknown": b"--num-cepstra=20\n",
        "bad-no-option": b"num-ceps=20\n",
        "bad-number": b"--num-ceps=1e1\n",
        "bad-range": b"--low-freq=9000\n",
        "bad-infinite": b"--frame-length=inf\n",
        "bad-not-utf8": b"--window-type=\xff\n",
    }


def speech():
    """Return regions of speech."""
    turn = b"SPEAKER r1 1 0.00 1.50 <NA> <NA> A <NA> <NA>\n"
    return {
        "good-turns": turn + turn.replace(b"0.00", b"1.25").replace(b" A ", b" B "),
        "good-spans": b"r1 1 0 10\nr1 1 10 20\nr2 1 0 5\n",
        "good-segments": b"u1 r1 0.00 1.50\nu2 r1 0.75 2.25\n",
        "bad-empty": b"",
        "bad-no-length": turn.replace(b"1.50", b"0.00"),
        "bad-order": b"r1 1 10 0\n",
    }
