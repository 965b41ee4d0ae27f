"""Options of MFCC and filterbank features, named as in Kaldi's conf files."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.types import LARGEST
from ssahc.core.validation import Interval

WindowType = Literal["povey", "hamming", "hanning", "sine", "rectangular", "blackman"]


@dataclass(frozen=True)
class FrameOptions(Options):
    """Options that MFCC and filterbank features share, named as in Kaldi.

    Parameters
    ----------
    sample_frequency : float
        Sampling rate of the samples, in Hz.
    frame_length, frame_shift : float
        In milliseconds.
    dither : float
        Standard deviation of the Gaussian noise added to every frame. Kaldi's default
        is 1, with noise that differs from run to run, and so do its features; here the
        default is none, and any noise is the same in every run. Without dither, frames
        of digital silence have the least energy there is, and lower the mean energy
        that energy-based speech detection compares with.
    preemphasis_coefficient : float
        Pre-emphasis within a frame; its first sample is its own predecessor.
    remove_dc_offset : bool
        Subtract the mean of every frame.
    window_type : str
        povey is a Hann window raised to 0.85.
    blackman_coeff : float
        Constant of the generalised Blackman window.
    round_to_power_of_two : bool
        Pad frames with zeros for the FFT.
    snip_edges : bool
        Compute only frames that lie within the audio; else audio is reflected at its
        ends, and the number of frames depends on the shift alone.
    num_mel_bins : int
        Number of triangular filters.
    low_freq, high_freq : float
        Range of the filters in Hz; a high_freq of 0 or less counts from the Nyquist
        frequency.
    use_energy : bool
        Put the log energy in place of the zeroth cepstrum, or before the filterbank.
    energy_floor : float
        Lower bound of the energy, not its logarithm; 0 for none.
    raw_energy : bool
        Measure the energy before pre-emphasis and windowing.
    htk_compat : bool
        Put the energy, or zeroth cepstrum, last.

    Raises
    ------
    UsageError
        If options are out of range or contradict each other.
    """

    sample_frequency: Annotated[float, Interval(ge=100, le=1e6)] = 16000.0
    frame_length: Annotated[float, Interval(gt=0, le=1e4)] = 25.0
    frame_shift: Annotated[float, Interval(gt=0, le=1e4)] = 10.0
    dither: Annotated[float, Interval(ge=0, le=32768)] = 0.0
    preemphasis_coefficient: Annotated[float, Interval(ge=0, le=1)] = 0.97
    remove_dc_offset: bool = True
    window_type: WindowType = "povey"
    blackman_coeff: Annotated[float, Interval(ge=0, le=1)] = 0.42
    round_to_power_of_two: bool = True
    snip_edges: bool = True
    num_mel_bins: Annotated[int, Interval(ge=3, le=10_000)] = 23
    low_freq: Annotated[float, Interval(ge=0)] = 20.0
    high_freq: float = 0.0
    use_energy: bool = False
    energy_floor: Annotated[float, Interval(ge=0, le=LARGEST)] = 0.0
    raw_energy: bool = True
    htk_compat: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples_per_frame < 2 or self.samples_per_shift < 1:
            raise UsageError(
                f"--frame-length {self.frame_length:g} and --frame-shift "
                f"{self.frame_shift:g} (milliseconds) are shorter than samples at "
                f"{self.sample_frequency:g} Hz; give longer ones"
            )
        if self.fft_size % 2:
            raise UsageError(
                f"a frame of {self.fft_size} samples needs --round-to-power-of-two"
            )
        low, high = self.mel_range
        if not low < high <= self.sample_frequency / 2:
            raise UsageError(
                f"--low-freq {self.low_freq:g} and --high-freq {self.high_freq:g} must "
                f"be a range below {self.sample_frequency / 2:g} Hz, half of "
                "--sample-frequency"
            )

    @property
    def samples_per_frame(self) -> int:
        """Length of a frame, in samples."""
        return int(self.sample_frequency * 0.001 * self.frame_length)

    @property
    def samples_per_shift(self) -> int:
        """Distance between frames, in samples."""
        return int(self.sample_frequency * 0.001 * self.frame_shift)

    @property
    def fft_size(self) -> int:
        """Length of a frame with the zeros that pad it, in samples."""
        size = self.samples_per_frame
        return 1 << (size - 1).bit_length() if self.round_to_power_of_two else size

    @property
    def mel_range(self) -> tuple[float, float]:
        """Range of the filters, in Hz."""
        high = self.high_freq
        return self.low_freq, high if high > 0 else self.sample_frequency / 2 + high

    @property
    def first_sample(self) -> int:
        """Place of the first sample of the first frame; negative if reflected."""
        if self.snip_edges:
            return 0
        return self.samples_per_shift // 2 - self.samples_per_frame // 2


@dataclass(frozen=True)
class MfccOptions(FrameOptions):
    """Options of MFCC features, named as in Kaldi (see also `FrameOptions`).

    Parameters
    ----------
    num_ceps : int
        Number of cepstra, with the zeroth.
    cepstral_lifter : float
        Scales higher cepstra up; 0 for no scaling.
    """

    use_energy: bool = True
    num_ceps: Annotated[int, Interval(ge=1)] = 13
    cepstral_lifter: Annotated[float, Interval(ge=0, le=1e6)] = 22.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_ceps > self.num_mel_bins:
            raise UsageError(
                f"--num-ceps must be at most --num-mel-bins, {self.num_mel_bins}, "
                f"found {self.num_ceps}"
            )

    @property
    def dim(self) -> int:
        """Dimension of the features."""
        return self.num_ceps


@dataclass(frozen=True)
class FbankOptions(FrameOptions):
    """Options of filterbank features, named as in Kaldi (see also `FrameOptions`).

    Parameters
    ----------
    use_log_fbank : bool
        Take logarithms of the filters' outputs.
    use_power : bool
        Filter the power spectrum; else the magnitudes.
    """

    use_log_fbank: bool = True
    use_power: bool = True

    @property
    def dim(self) -> int:
        """Dimension of the features."""
        return self.num_mel_bins + self.use_energy
