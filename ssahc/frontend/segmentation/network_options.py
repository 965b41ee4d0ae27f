"""Options of a segmentation network."""

from dataclasses import dataclass
from typing import Annotated, Literal

from ssahc.core.errors import UsageError
from ssahc.core.options import Options
from ssahc.core.validation import Interval

# Hz; the encoders' windows and strides are whole samples at these.
_RATES = (8000, 16000)


@dataclass(frozen=True)
class NetworkOptions(Options, group="Network"):
    """Shape of a segmentation network.

    Parameters
    ----------
    encoder : {"logmel", "sincnet", "wav2vec"}
        How samples become frames: convolutions of log-mel energies (20 ms), or of
        band-pass filters that are learned (SincNet, 17 ms, many times slower); or a
        weighted sum of the layers of a network that learned from speech without labels
        (wav2vec 2.0, HuBERT, WavLM; 20 ms), which is read from --wav2vec.
    wav2vec : str, optional
        Folder of that network: config.json and model.safetensors of the transformers
        library. Nothing is downloaded.
    head : {"powerset", "multilabel"}
        What is said of a frame: the set of speakers who are active (softmax over sets),
        or of each speaker whether they are (sigmoid, and a threshold).
    sample_rate : int
        Of the audio that it takes, in Hz: 8000 or 16000.
    chunk : float
        Seconds of audio that it sees at once.
    chunk_speakers : int
        Speakers of a chunk that it can tell apart.
    at_once : int
        Speakers who are active at the same time, at most. Powerset only.
    lstm_dim : int
        Units of each direction of the bidirectional LSTM, and of the layers behind it.
    lstm_layers : int
        Layers of the LSTM.
    """

    encoder: Literal["logmel", "sincnet", "wav2vec"] = "logmel"
    wav2vec: str | None = None
    head: Literal["powerset", "multilabel"] = "powerset"
    sample_rate: Annotated[int, Interval(ge=8000, le=16000)] = 16000
    chunk: Annotated[float, Interval(ge=1, le=60)] = 10.0
    chunk_speakers: Annotated[int, Interval(ge=1, le=6)] = 3
    at_once: Annotated[int, Interval(ge=1, le=6)] = 2
    lstm_dim: Annotated[int, Interval(ge=1, le=4096)] = 96
    lstm_layers: Annotated[int, Interval(ge=1, le=16)] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_rate not in _RATES:
            raise UsageError(
                f"--sample-rate must be 8000 or 16000, found {self.sample_rate}"
            )
        is_wav2vec = self.encoder == "wav2vec"
        if is_wav2vec and self.sample_rate != max(_RATES):
            raise UsageError(
                f"--encoder wav2vec takes 16000 Hz, found --sample-rate "
                f"{self.sample_rate}"
            )
        if self.wav2vec is not None and not is_wav2vec:
            raise UsageError(
                f"--wav2vec needs --encoder wav2vec, found {self.encoder}; give both"
            )
        if self.head == "powerset" and self.at_once > self.chunk_speakers:
            raise UsageError(
                f"--at-once is {self.at_once}, but --chunk-speakers is "
                f"{self.chunk_speakers}; give no more"
            )
