"""Options of the networks that embed speech and are trained here."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval, flag
from ssahc.frontend.extractors.per_window import Mean
from ssahc.frontend.feature_options import MfccOptions

# The file of options in the folder of a network.
OPTIONS = "extractor.toml"
# Hz; frames of 10 ms are whole samples at these.
_RATES = (8000, 16000)


@dataclass(frozen=True)
class ExtractorNetworkOptions(Options, group="Network"):
    """Shape of a network that embeds speech.

    Parameters
    ----------
    network : {"tdnn", "attention", "sincnet"}
        Kaldi's x-vector network on MFCC (tdnn), which Kaldi can run as well; an encoder
        of scaled dot-product attention on MFCC (attention); or the x-vector network on
        band-pass filters of the samples that are learned (sincnet).
    sample_rate : int
        Of the audio that it takes, in Hz: 8000 or 16000.
    embedding_dim : int
        Dimension of the embeddings.
    width : int
        Units of each layer below the pooling; Kaldi's recipes have 512.
    pooled_width : int, optional
        Units of the last layer below the pooling of a tdnn or sincnet; by default three
        times --width, as Kaldi's recipes nearly have it (1500).
    pooling : {"statistics", "average"}
        How frames become one vector: their mean and standard deviation, or their mean.
        A tdnn pools statistics.
    num_ceps : int
        Number of cepstra of the MFCC, and of their mel filters.
    mean : {"window", "sliding", "none"}
        Mean that is subtracted from MFCC, or from the log energies of a sincnet: of
        each window that is embedded, whatever is around it (window); of 3 s around each
        frame, as in Kaldi's recipes (sliding; not of a sincnet); or none, so that the
        network hears the line and the room, too.
    attention_layers : int
        Layers of an attention network.
    attention_heads : int
        Heads of each of these layers; they share the width.
    """

    network: Literal["tdnn", "attention", "sincnet"] = "tdnn"
    sample_rate: Annotated[int, Interval(ge=8000, le=16000)] = 16000
    embedding_dim: Annotated[int, Interval(ge=1, le=4096)] = 128
    width: Annotated[int, Interval(ge=1, le=4096)] = 256
    pooled_width: Annotated[int, Interval(ge=1, le=16384)] | None = None
    pooling: Literal["statistics", "average"] = "statistics"
    num_ceps: Annotated[int, Interval(ge=3, le=128)] = 30
    mean: Mean = "window"
    attention_layers: Annotated[int, Interval(ge=1, le=32)] = 2
    attention_heads: Annotated[int, Interval(ge=1, le=64)] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_rate not in _RATES:
            raise UsageError(
                f"--sample-rate must be 8000 or 16000, found {self.sample_rate}"
            )
        if self.network == "tdnn" and self.pooling != "statistics":
            raise UsageError(
                f"--network tdnn pools statistics, found --pooling {self.pooling}; "
                "leave it out, or take another network"
            )
        if self.takes_samples and self.mean == "sliding":
            raise UsageError(
                f"--network {self.network} takes --mean window or --mean none, found "
                "--mean sliding; leave it out"
            )
        if self.network == "attention" and self.pooled_width is not None:
            raise UsageError(
                "--network attention does not use --pooled-width; leave it out"
            )
        for name in ("attention_layers", "attention_heads"):
            # A dataclass keeps its defaults as attributes of the class.
            is_asked = getattr(self, name) != getattr(type(self), name)
            if self.network != "attention" and is_asked:
                raise UsageError(
                    f"--network {self.network} does not use {flag(name)}; leave it out"
                )
        if self.network == "attention" and self.width % (2 * self.attention_heads):
            raise UsageError(
                f"--width {self.width} is no multiple of twice --attention-heads, "
                f"{2 * self.attention_heads}; give one that is"
            )

    @property
    def samples_per_frame(self) -> int:
        """Samples from one frame to the next, 10 ms."""
        return self.sample_rate // 100

    @property
    def takes_samples(self) -> bool:
        """Whether frames are stretches of samples, and not MFCC."""
        return self.network == "sincnet"

    @property
    def feature_dim(self) -> int:
        """Dimension of a frame."""
        return self.samples_per_frame if self.takes_samples else self.num_ceps

    @property
    def mfcc(self) -> MfccOptions:
        """Features of the networks that take MFCC: those of Kaldi's x-vector recipes.

        They have as many filters as cepstra; at 16 kHz up to 7600 Hz (``voxceleb/v2``),
        at 8 kHz up to 3700 Hz (``sre16/v2``).
        """
        return MfccOptions(
            sample_frequency=self.sample_rate,
            high_freq=7600.0 if self.sample_rate == 16000 else 3700.0,
            num_mel_bins=self.num_ceps,
            num_ceps=self.num_ceps,
            snip_edges=False,
        )
