"""X-vectors of Kaldi's nnet3 models, as ``nnet3-xvector-compute`` computes them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np

from ssahc.core.errors import DataError, FormatError, UsageError
from ssahc.core.nnet3 import LogSoftmax, Nnet3
from ssahc.core.options import Options
from ssahc.core.types import Float32Array, IntArray
from ssahc.core.validation import Interval
from ssahc.frontend.cmvn import SlidingCmvnOptions, sliding_cmvn
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.tdnn import Tdnn, embed_chunks, prepare_tdnn
from ssahc.frontend.feature_options import FbankOptions, MfccOptions
from ssahc.frontend.features import feature_blocks
from ssahc.frontend.vad import EnergyVadOptions
from ssahc.io.files import read_lines
from ssahc.io.kaldi_conf import find_conf, read_conf
from ssahc.io.nnet3 import read_nnet3
from ssahc.io.text import parse_count

NETWORK, CONFIG = "final.raw", "extract.config"
# Files with the least and the largest number of frames that are embedded at once.
CHUNK_SIZES = ("min_chunk_size", "max_chunk_size")
_VAD_CONF = "vad.conf"
# By the features that they are for.
_CONFS: dict[str, type[MfccOptions] | type[FbankOptions]] = {
    "mfcc.conf": MfccOptions,
    "fbank.conf": FbankOptions,
}


@dataclass(frozen=True)
class ChunkOptions(Options):
    """How windows are cut before they are embedded, in frames.

    Parameters
    ----------
    min_chunk_size : int
        Shorter windows are padded to this with their first and last frame.
    chunk_size : int
        Longer windows are cut into chunks of this, and the x-vectors of these averaged,
        weighted with the number of frames; -1 for no cutting.
    """

    min_chunk_size: Annotated[int, Interval(ge=1, le=1_000_000)] = 100
    chunk_size: Annotated[int, Interval(ge=-1, le=1_000_000_000)] = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chunk_size != -1 and self.chunk_size < self.min_chunk_size:
            raise UsageError(
                f"--chunk-size must be -1 or at least --min-chunk-size, "
                f"{self.min_chunk_size}, found {self.chunk_size}"
            )


def load_kaldi(
    folder: Path,
    device: str = "cpu",
    *,
    cmvn: SlidingCmvnOptions | None = SlidingCmvnOptions(),
    chunks: ChunkOptions | None = None,
) -> Extractor:
    """Load an extractor from a Kaldi model folder.

    Parameters
    ----------
    folder : Path
        With ``final.raw``, ``mfcc.conf`` (or ``fbank.conf``), and ``extract.config``
        unless the network ends where x-vectors are taken; perhaps ``vad.conf``. Conf
        files may be where `find_conf` looks for them.
    device : str
    cmvn : SlidingCmvnOptions or None
        Normalisation of the features of the whole recording; by default that of Kaldi's
        diarization recipes. None for features that are normalised already.
    chunks : ChunkOptions, optional
        By default from the folder's ``min_chunk_size`` and ``max_chunk_size``, as in
        the recipes, and else those of ``nnet3-xvector-compute``.

    Raises
    ------
    FormatError
        If a file is missing or unusable, or they do not fit together.
    """
    network = folder / NETWORK
    options, nnet = read_kaldi(folder)
    chunks = chunks or _read_chunk_options(folder)
    try:
        net = _prepare(nnet, device, chunks)
    except DataError as error:
        raise FormatError(str(error), path=network) from error
    return Extractor(
        name=str(folder),
        sample_rate=round(options.sample_frequency),
        dim=net.output_dim,
        frame_shift=options.frame_shift / 1000,
        frame_length=options.frame_length / 1000,
        overhang=0,
        context=0 if cmvn is None else cmvn.cmn_window + cmvn.min_cmn_window,
        lookahead=0 if cmvn is None else cmvn.lookahead,
        compute_features=partial(feature_blocks, options=options),
        embed_frames=partial(_embed_frames, net=net, cmvn=cmvn, options=chunks),
        mfcc=options if isinstance(options, MfccOptions) else None,
        vad=_read_vad_options(folder),
    )


def read_kaldi(folder: Path) -> tuple[MfccOptions | FbankOptions, Nnet3]:
    """Read the features and the network of a Kaldi model folder; see `load_kaldi`."""
    options = _read_feature_options(folder)
    network, config = folder / NETWORK, folder / CONFIG
    nnet = read_nnet3(network, config if config.exists() else None)
    if options.dim != nnet.input_dim:
        raise FormatError(
            f"takes features of {nnet.input_dim} dimensions, the folder's conf file "
            f"makes {options.dim}; take both from one model",
            path=network,
        )
    return options, nnet


def _read_feature_options(folder: Path) -> MfccOptions | FbankOptions:
    path = find_conf(folder, *_CONFS)
    if path is None:
        raise FormatError(
            "no mfcc.conf, which describes the features; copy it from conf/ of the "
            "recipe",
            path=folder,
        )
    return read_conf(path, _CONFS[path.name])


def _read_vad_options(folder: Path) -> EnergyVadOptions:
    path = find_conf(folder, _VAD_CONF)
    return read_conf(path, EnergyVadOptions) if path else EnergyVadOptions()


def _read_chunk_options(folder: Path) -> ChunkOptions:
    sizes = {}
    for name, option in zip(CHUNK_SIZES, ("min_chunk_size", "chunk_size"), strict=True):
        if (folder / name).exists():
            lines = [line.strip() for _, line in read_lines(folder / name)]
            count = parse_count(lines[0]) if len(lines) == 1 else None
            if count is None:
                raise FormatError("expected a number of frames", path=folder / name)
            sizes[option] = count
    try:
        return ChunkOptions(**sizes)
    except UsageError as error:
        raise FormatError(str(error), path=folder) from error


def _prepare(nnet: Nnet3, device: str, chunks: ChunkOptions) -> Tdnn:
    if any(isinstance(node.component, LogSoftmax) for node in nnet.nodes):
        raise DataError(
            "the output is log-probabilities of training speakers; put the recipe's "
            f"{CONFIG} beside it (output-node name=output input=tdnn6.affine)"
        )
    net = prepare_tdnn(nnet, device)
    if sum(net.context) >= chunks.min_chunk_size:
        raise DataError(
            f"the network looks at {sum(net.context) + 1} frames at once, more than "
            f"the smallest chunk, {chunks.min_chunk_size}"
        )
    return net


# ---- chunks ------------------------------------------------------------------------


def _embed_frames(
    features: Float32Array,
    ranges: IntArray,
    *,
    net: Tdnn,
    cmvn: SlidingCmvnOptions | None,
    options: ChunkOptions,
) -> Float32Array:
    """Return x-vectors (N, D) of ranges (N, 2) of frames; see `Extractor`."""
    if cmvn is not None:
        features = sliding_cmvn(features, cmvn)
    chunks = np.array(
        [
            (row, *chunk)
            for row in range(len(ranges))
            for chunk in _cut(ranges[row], options)
        ]
    )
    rows, weights = chunks[:, 0], (chunks[:, 2] - chunks[:, 1]).astype(np.float64)
    features, places = _pad(features, chunks[:, 1:], options.min_chunk_size)
    outputs = embed_chunks(net, features, places).astype(np.float64)
    sums = np.zeros((len(ranges), net.output_dim))
    np.add.at(sums, rows, outputs * weights[:, None])
    return (sums / np.bincount(rows, weights)[:, None]).astype(np.float32)


def _cut(frames: IntArray, options: ChunkOptions) -> Iterator[tuple[int, int]]:
    """Yield the chunks of a range of frames."""
    first, last = frames.tolist()
    size = options.chunk_size if options.chunk_size > 0 else last - first
    for start in range(first, last, size):
        yield start, min(start + size, last)


def _pad(
    features: Float32Array, chunks: IntArray, least: int
) -> tuple[Float32Array, IntArray]:
    """Append copies of chunks that are too short, padded; return what to read instead.

    As in Kaldi, half of the frames that are missing come before the chunk.
    """
    places, parts = chunks.copy(), [features]
    total = len(features)
    for row in np.flatnonzero(chunks[:, 1] - chunks[:, 0] < least):
        first, last = chunks[row]
        start = first - (least - (last - first)) // 2
        padded = features[np.clip(np.arange(start, start + least), first, last - 1)]
        parts.append(padded)
        places[row] = total, total + least
        total += least
    return (np.concatenate(parts) if len(parts) > 1 else features), places
