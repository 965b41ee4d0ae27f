"""Semi-real recordings: times, levels and bytes are as the tables say."""

import csv
import sys

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose

from benchmarks.__main__ import main as benchmarks
from benchmarks.support.acoustics import room_response
from benchmarks.support.voices import LEVEL, RATE, Supply, Voice, read_speech
from ssahc import read_rttm

# One pure tone for each voice, in Hz, so that a spectrum tells who speaks.
TONES = {f"v{place}": 400 + 250 * place for place in range(6)}
SNR = 20.0
TURNS = """\
SPEAKER talk 1 0.50 3.00 <NA> <NA> A <NA> <NA>
SPEAKER talk 1 4.00 2.00 <NA> <NA> B <NA> <NA>
SPEAKER talk 1 5.50 4.00 <NA> <NA> C <NA> <NA>
SPEAKER talk 1 11.00 1.50 <NA> <NA> A <NA> <NA>
SPEAKER talk 1 13.00 0.40 <NA> <NA> D <NA> <NA>
"""


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """A folder of voices, each a tone in two files, at 8 and at 16 kHz."""
    folder = tmp_path_factory.mktemp("voices")
    for name, frequency in TONES.items():
        (folder / name / "more").mkdir(parents=True)
        for rate, place in ((16_000, "a.wav"), (8_000, "more/b.flac")):
            time = np.arange(7 * rate) / rate
            tone = 0.1 * np.sin(2 * np.pi * frequency * time)
            soundfile.write(folder / name / place, tone * (time > 1), rate)
    (folder / "v0" / "empty.wav").touch()
    return folder


@pytest.fixture
def make(voices, tmp_path, monkeypatch):
    """Run the study with a name for its output."""

    def run(name, *words):
        command = ["benchmarks", "semi_real", voices, tmp_path / name, *words]
        monkeypatch.setattr(sys, "argv", [str(word) for word in command])
        benchmarks()
        return tmp_path / name

    return run


def read_tables(folder):
    with (folder / "conditions.csv").open() as file:
        conditions = {row["recording"]: row for row in csv.DictReader(file)}
    uem = [line.split() for line in (folder / "all.uem").read_text().splitlines()]
    lengths = {recording: float(end) for recording, _, _, end in uem}
    return read_rttm(folder / "ref.rttm").turns, conditions, lengths


def loudness(samples, rate, frequency):
    """Return the amplitude of a tone in each frame of 50 ms."""
    width = rate // 20
    frames = samples[: len(samples) // width * width].reshape(-1, width)
    wave = np.exp(-2j * np.pi * frequency * np.arange(width) / rate)
    return 2 * np.abs(frames @ wave) / width


@pytest.mark.parametrize("condition", ["telephone", "room"])
def test_each_voice_is_heard_in_its_turns_and_noise_is_as_asked(
    make, tmp_path, condition
):
    (tmp_path / "turns.rttm").write_text(TURNS)
    words = ("--turns", tmp_path / "turns.rttm", "--condition", condition)
    out = make("out", *words, "--snr", SNR, SNR, "--gains", 0, "--seconds", 20, 20)
    turns, conditions, lengths = read_tables(out)
    ((name, found),) = turns.items()
    # As in the reference, without the speaker of less than a second.
    assert [(turn.start, turn.end) for turn in found] == [
        (0.5, 3.5),
        (4.0, 6.0),
        (5.5, 9.5),
        (11.0, 12.5),
    ]
    assert found[0].speaker == found[3].speaker
    assert (out / "reco2num_spk").read_text() == f"{name} 3\n"
    assert conditions[name]["condition"] == condition
    samples, rate = soundfile.read(out / "wav" / f"{name}.wav")
    assert rate == (8_000 if condition == "telephone" else 16_000)
    assert len(samples) / rate == pytest.approx(lengths[name]) == 12.8

    middles = (np.arange(len(samples) // (rate // 20)) + 0.5) / 20
    for voice in {turn.speaker for turn in found}:
        heard = loudness(samples, rate, TONES[voice])
        speaks = np.zeros(len(middles), bool)
        rings = np.zeros(len(middles), bool)
        for turn in found:
            if turn.speaker == voice:
                speaks |= (middles > turn.start + 0.1) & (middles < turn.end - 0.05)
                # A room rings on after the turn.
                rings |= (middles > turn.start - 0.05) & (middles < turn.end + 0.8)
        assert heard[speaks].min() > 3 * heard[~rings].max()
    speech = samples[int(0.6 * rate) : int(9.4 * rate)]
    silence = samples[int(10.4 * rate) : int(10.9 * rate)]
    snr = 20 * np.log10(speech.std() / silence.std())
    assert snr == pytest.approx(SNR, abs=2)


def test_voices_are_shared_only_if_there_are_too_few(make):
    words = ("--meetings", 4, "--speakers", 2, 3, "--seconds", 10, 14)
    turns, _, _ = read_tables(make("few", *words))
    casts = [{turn.speaker for turn in own} for own in turns.values()]
    assert all(2 <= len(cast) <= 3 for cast in casts)
    # Four recordings of two or three speakers need more voices than there are.
    assert set.union(*casts) == TONES.keys()


def test_seed_decides_every_byte_and_voices_of_other_sets_are_left_out(make):
    def contents(folder):
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder): path.read_bytes() for path in files}

    words = ("--one-voice", 2, "--seconds", 10, 11, "--seed")
    first, again = (make(name, *words, 1) for name in ("first", "again"))
    assert contents(first) == contents(again)
    other = make("other", *words, 2, "--without", first / "ref.rttm")
    speakers = [
        {turn.speaker for own in read_tables(out)[0].values() for turn in own}
        for out in (first, other)
    ]
    assert len(speakers[0]) == len(speakers[1]) == 2
    assert not speakers[0] & speakers[1]


def test_supply_gives_no_sample_twice(tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 2 * RATE))
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path, samples in zip(paths, noise, strict=True):
        soundfile.write(path, samples, RATE)
    voice = Voice("v", tuple(paths), 4.0)
    supply = Supply(voice, np.random.default_rng(1))
    pieces = [supply.take(count) for count in (RATE, RATE, RATE // 2, RATE)]
    with pytest.raises(ValueError, match="no more speech"):
        supply.take(RATE)
    whole = np.concatenate([read_speech(paths[1]), read_speech(paths[0])])
    if not np.allclose(pieces[0][200:-200], whole[200 : RATE - 200]):
        whole = np.concatenate([read_speech(paths[0]), read_speech(paths[1])])
    start = 0
    for piece in pieces:
        # But for the fading at both ends.
        expected = whole[start : start + len(piece)]
        assert_allclose(piece[200:-200], expected[200:-200])
        start += len(piece)


def test_silence_is_cut_and_level_is_equal(tmp_path):
    time = np.arange(7 * RATE) / RATE
    for place, amplitude in enumerate((0.02, 0.5)):
        tone = amplitude * np.sin(2 * np.pi * 440 * time)
        # A second at the start, and two in the middle, of which 0.3 s are kept.
        speaks = (time > 1) & (np.abs(time - 4) > 1)
        soundfile.write(tmp_path / f"{place}.wav", tone * speaks, RATE)
    speech = [read_speech(tmp_path / f"{place}.wav") for place in (0, 1)]
    for samples in speech:
        assert len(samples) / RATE == pytest.approx(4.3, abs=0.1)
        assert np.sqrt(np.mean(samples**2)) == pytest.approx(LEVEL, rel=0.01)


def test_room_decays_by_60_db_within_its_reverberation_time():
    size, source, microphone = np.array(
        [[6.0, 5.0, 3.0], [1.5, 1.2, 1.6], [3.0, 2.6, 0.8]]
    )
    generator = np.random.default_rng(0)
    for reverberation in (0.3, 0.6):
        response = room_response(size, source, microphone, reverberation, generator)
        # Schroeder's backward integration; T20 is three times -5 to -25 dB.
        decay = 10 * np.log10(np.cumsum(response[::-1] ** 2)[::-1])
        assert decay[0] == pytest.approx(0, abs=1e-9)
        t20 = (np.argmax(decay < -25) - np.argmax(decay < -5)) / RATE
        assert 3 * t20 == pytest.approx(reverberation, rel=0.25)
        assert response.argmax() == 0
