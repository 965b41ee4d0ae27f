"""Readers of networks that embed."""

import numpy as np
from checks import check_array, check_finite, require

from ssahc.core.errors import DataError
from ssahc.core.nnet3 import Affine, Normalization
from ssahc.frontend.extractors.tdnn import embed_chunks, prepare_tdnn
from ssahc.io.nnet3 import read_nnet3

# Networks of more numbers than this are not computed.
_LARGEST = 10_000


def read_nnets(folder, size):
    """Read an nnet3 model, and compute it if it embeds."""
    config = folder / "extract.config"
    net = read_nnet3(folder / "final.raw", config if config.exists() else None)
    count = 0
    for node in net.nodes:
        require(0 < node.dim, f"{node.name} has {node.dim} dimensions")
        match node.component:
            case Affine(weight=weight, bias=bias):
                arrays = (weight, 2), (bias, 1)
            case Normalization(scale=scale, offset=offset):
                arrays = (scale, 1), (offset, 1)
            case _:
                arrays = ()
        for array, rank in arrays:
            # A block of statistics may be for a million dimensions.
            check_array(array, rank, max(size, 10**6) if rank == 1 else size)
            check_finite(array)
            count += array.size
    try:
        tdnn = prepare_tdnn(net)
    except DataError:
        return
    before, after = tdnn.context
    if count + net.input_dim > _LARGEST or before + after > 200:
        return
    features = np.ones((before + after + 30, net.input_dim), np.float32)
    with np.errstate(all="ignore"):
        found = embed_chunks(tdnn, features, np.array([[0, len(features)]]))
    require(found.shape == (1, net.output_dim), f"an embedding of {found.shape}")
