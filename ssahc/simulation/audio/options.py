"""Options of simulated audio."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval


@dataclass(frozen=True)
class SimulateAudioOptions(Options, group="Simulation"):
    """Options for simulating recordings of conversations.

    Parameters
    ----------
    recordings : int
        Number of recordings; fewer, with a warning, if voices or turns do not suffice.
    min_seconds : float
        Minimum length of a recording, in seconds; the length is drawn uniformly.
    max_seconds : float
        Maximum length of a recording, in seconds.
    min_speakers : int
        Minimum number of speakers; the number is drawn uniformly.
    max_speakers : int
        Maximum number of speakers.
    overlap : float, optional
        Mean share of the speech in which several speakers are active: turns that begin
        early, and backchannels. Each recording draws a share of its own, from 0 to
        twice as much. With --silence; by default, turns are those of ssahc simulate,
        nearly a third of which begin before the previous one ends.
    silence : float, optional
        Mean share of a recording in which nobody speaks; drawn like that of overlap.
    condition : {"both", "telephone", "room"}
        Telephone: a line filter per speaker, 8 kHz mu-law. Room: simulated impulse
        responses, 16 kHz. With both, recordings alternate.
    near : float
        Probability that a speaker in a room is close to the microphone: loud, and with
        little reverberation.
    gains : float
        Maximum difference in level between two voices, in dB.
    min_snr : float
        Minimum signal-to-noise ratio while anybody speaks, in dB; it is drawn
        uniformly.
    max_snr : float
        Maximum signal-to-noise ratio, in dB.
    background : {"steady", "varied"}
        Stationary noise, or noise of a level that changes slowly and, each in some
        recordings, hum, babble of other voices, clicks, knocks, rustling and rumble;
        the level of whole recordings varies as well.
    seed : int
        Random seed; the same voices, options and seed give the same bytes.
    """

    recordings: Annotated[int, Interval(ge=1, le=100_000)] = 10
    min_seconds: Annotated[float, Interval(ge=10, le=3600)] = 30.0
    max_seconds: Annotated[float, Interval(ge=10, le=3600)] = 120.0
    min_speakers: Annotated[int, Interval(ge=1)] = 2
    max_speakers: Annotated[int, Interval(ge=1, le=100)] = 5
    # Twice as much must leave something to speak in, and to speak alone.
    overlap: Annotated[float | None, Interval(ge=0, le=0.3)] = None
    silence: Annotated[float | None, Interval(ge=0, le=0.4)] = None
    condition: Literal["both", "telephone", "room"] = "both"
    near: Annotated[float, Interval(ge=0, le=1)] = 0.0
    gains: Annotated[float, Interval(ge=0, le=60)] = 8.0
    min_snr: Annotated[float, Interval(ge=-20, le=100)] = 12.0
    max_snr: Annotated[float, Interval(ge=-20, le=100)] = 30.0
    background: Literal["steady", "varied"] = "steady"
    seed: Annotated[int, Interval(ge=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("seconds", "speakers", "snr"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                raise UsageError(
                    f"--min-{name} must be at most --max-{name}, {high:g}, found "
                    f"{low:g}"
                )
        if (self.overlap is None) != (self.silence is None):
            given, other = ("silence", "overlap")
            if self.silence is None:
                given, other = other, given
            raise UsageError(f"--{given} needs --{other} as well")
