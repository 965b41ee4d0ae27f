"""Writing networks as model folders, which `Extractor.load` takes."""

from pathlib import Path

from ssahc.frontend.extractors.kaldi_nnet3 import CHUNK_SIZES, CONFIG, NETWORK
from ssahc.frontend.extractors.networks.kaldi import EMBEDDING, to_nnet3
from ssahc.frontend.extractors.networks.loading import FORMAT, WEIGHTS
from ssahc.frontend.extractors.networks.network import EmbeddingNetwork
from ssahc.frontend.extractors.networks.options import OPTIONS
from ssahc.frontend.extractors.networks.tdnn import TdnnNetwork
from ssahc.io.checkpoint import write_checkpoint
from ssahc.io.config import write_config
from ssahc.io.files import atomic_write
from ssahc.io.folders import make_folder
from ssahc.io.kaldi_conf import write_conf
from ssahc.io.nnet3_writing import write_nnet3

_MFCC_CONF = "mfcc.conf"
# What `write_kaldi` writes.
KALDI_FILES = (NETWORK, CONFIG, _MFCC_CONF, *CHUNK_SIZES, OPTIONS)
# Least and largest number of frames that are embedded at once, as in the recipes.
_CHUNK_FRAMES = 25, 10_000


def write_extractor(folder: Path, network: EmbeddingNetwork) -> None:
    """Write a network into a folder, which is made if there is none.

    Of an x-vector network on MFCC it is a Kaldi model folder as well.
    """
    make_folder(folder)
    if isinstance(network, TdnnNetwork):
        write_kaldi(folder, network)
    else:
        state = network.state_dict().items()
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in state}
        write_checkpoint(folder / WEIGHTS, arrays, FORMAT)
        write_config(folder / OPTIONS, network.options)


def write_kaldi(folder: Path, network: TdnnNetwork, *, as_text: bool = False) -> None:
    """Write what Kaldi's ``extract_xvectors.sh`` needs into a folder.

    These are ``final.raw``, ``extract.config``, the least and largest number of frames
    to be embedded, and ``mfcc.conf``, which the recipes have in ``conf``. What Kaldi
    does not read is the description of the network.
    """
    write_config(folder / OPTIONS, network.options)
    write_nnet3(folder / NETWORK, to_nnet3(network), as_text=as_text)
    write_conf(folder / _MFCC_CONF, network.options.mfcc)
    lines = {CONFIG: f"output-node name=output input={EMBEDDING}"}
    for name, frames in zip(CHUNK_SIZES, _CHUNK_FRAMES, strict=True):
        lines[name] = str(frames)
    for name, line in lines.items():
        with atomic_write(folder / name) as file:
            file.write(f"{line}\n")
