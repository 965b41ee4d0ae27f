"""``ssahc simulate-audio``: times, levels and bytes are as the tables say."""

import csv

import numpy as np
import pytest
import soundfile

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
def make(voices, tmp_path, ssahc_here):
    """Run the verb with a name for its output."""

    def run(name, *words):
        result = ssahc_here("simulate-audio", voices, tmp_path / name, *words)
        assert result.returncode == 0, result.stderr
        is_read = "--without" not in words
        assert ("1 file left out, the first of them" in result.stderr) == is_read
        return tmp_path / name

    return run


def read_tables(folder):
    with (folder / "conditions.csv").open() as file:
        conditions = {row["recording"]: row for row in csv.DictReader(file)}
    uem = [line.split() for line in (folder / "all.uem").read_text().splitlines()]
    lengths = {recording: float(end) for recording, _, _, end in uem}
    return read_rttm(folder / "ref.rttm").turns, conditions, lengths


def speakers_of(folder):
    return [
        {turn.speaker for turn in turns} for turns in read_tables(folder)[0].values()
    ]


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
    words += ("--min-seconds", 20, "--max-seconds", 20)
    out = make("out", *words, "--min-snr", SNR, "--max-snr", SNR, "--gains", 0)
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
    assert conditions[name]["speech"] == "10.00"
    assert conditions[name]["overlap"] == "0.50"
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
    words = ("--recordings", 4, "--max-speakers", 3, "--min-seconds", 10)
    casts = speakers_of(make("few", *words, "--max-seconds", 14))
    assert all(2 <= len(cast) <= 3 for cast in casts)
    # Four recordings of two or three speakers need more voices than there are.
    assert set.union(*casts) == TONES.keys()


def test_seed_decides_every_byte_and_voices_of_other_sets_are_left_out(make, tmp_path):
    def contents(folder):
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder): path.read_bytes() for path in files}

    words = ("--recordings", 2, "--max-speakers", 2, "--min-seconds", 10)
    words += ("--max-seconds", 11, "--seed")
    varied = ("--background", "varied", "--near", 0.5)
    varied += ("--overlap", 0.2, "--silence", 0.1)
    (tmp_path / "hum").mkdir()
    hum = 0.1 * np.sin(2 * np.pi * 100 * np.arange(8_000) / 8_000)
    soundfile.write(tmp_path / "hum" / "a.wav", hum, 8_000)
    varied += ("--noise", tmp_path / "hum")
    first, again = (make(name, *words, 1, *varied) for name in ("first", "again"))
    assert contents(first) == contents(again)
    for name in first.glob("wav/*.wav"):
        samples, rate = soundfile.read(name)
        # Of user's noise, after the last turn.
        tail = loudness(samples[-rate // 4 :], rate, 100)
        assert tail.mean() > loudness(samples[-rate // 4 :], rate, 180).mean()
    one = ("--min-speakers", 1, "--max-speakers", 1)
    other = make("other", *words, 2, *one, "--without", first / "ref.rttm")
    assert len(speakers_of(other)) == 2
    assert not set.union(*speakers_of(other)) & set.union(*speakers_of(first))


def test_what_cannot_be_used_is_named_and_nothing_is_written(
    voices, tmp_path, ssahc_here
):
    def refuse(*words):
        result = ssahc_here("simulate-audio", *words)
        assert result.returncode == 2
        assert result.stderr.count("\n") <= 2
        return result.stderr

    out = tmp_path / "out"
    assert "nowhere: is no folder of voices" in refuse("nowhere", out)
    (tmp_path / "empty" / "v").mkdir(parents=True)
    assert "empty: no sub-folder has audio" in refuse(tmp_path / "empty", out)
    assert "nowhere: is no folder of noise" in refuse(voices, out, "--noise", "nowhere")
    assert "no recording can be made" in refuse(
        voices, out, "--min-speakers", 40, "--max-speakers", 40
    )
    assert not out.exists()
    out.mkdir()
    (out / "mine").touch()
    assert "out: holds mine; choose another folder" in refuse(voices, out)
