"""Options of ``ssahc train-extractor``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssahc.cli.audio_inputs import extractor_folder, settle_extractor
from ssahc.core.errors import UsageError
from ssahc.core.options import Options, flatten
from ssahc.core.validation import flag
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.networks import new_network
from ssahc.frontend.extractors.networks.options import ExtractorNetworkOptions
from ssahc.learning.extractor.options import ExtractorTrainingOptions
from ssahc.runtime.device import Device, has_gpu

if TYPE_CHECKING:
    from ssahc.frontend.extractors.networks.network import EmbeddingNetwork


@dataclass(frozen=True)
class ExtractorConfig(Options, group="Input and output"):
    """All options of ``ssahc train-extractor``.

    Parameters
    ----------
    train : tuple of Path
        Speech to train on: a data folder of Kaldi with wav.scp, utt2spk and perhaps
        segments, or a folder that has a folder of audio files for each speaker. Can be
        repeated; speakers of one name are the same.
    dev : tuple of Path
        Such a folder of other speakers, by whose error rates the best epoch is chosen.
        Can be repeated. Default: --validation-share of the speakers.
    features : bool
        Read the MFCC of feats.scp, without augmentation, instead of audio.
    noise : Path, optional
        Folder of audio files to take noise from; by default it is drawn.
    init : Path, optional
        Extractor to train further: what train-extractor wrote, a model folder of
        Kaldi's x-vector recipes, or small.
    teacher : str, optional
        Extractor from whose embeddings it learns as well (knowledge distillation): its
        dimension is that of the new one.
    network : ExtractorNetworkOptions
    training : ExtractorTrainingOptions
    device : {"auto", "cpu", "cuda"}
        Where the network is trained; auto uses a GPU if there is one.
    """

    train: tuple[Path, ...] = ()
    dev: tuple[Path, ...] = ()
    features: bool = False
    noise: Path | None = None
    init: Path | None = None
    teacher: str | None = None
    network: ExtractorNetworkOptions = field(default_factory=ExtractorNetworkOptions)
    training: ExtractorTrainingOptions = field(default_factory=ExtractorTrainingOptions)
    device: Device = field(default="auto", metadata={"group": "Execution"})


def check_config(run: ExtractorConfig) -> None:
    """Raise a UsageError for what is missing or in contradiction."""
    if not run.train:
        raise UsageError("--train is missing; give a folder of speech")
    if run.features and run.network.takes_samples:
        raise UsageError(
            f"--network {run.network.network} takes samples; leave out --features"
        )
    if run.teacher == "":
        raise UsageError("--teacher is empty; ssahc models lists what there is")
    if run.features and run.teacher is not None:
        raise UsageError("--teacher needs audio; leave out --features")
    default = ExtractorTrainingOptions().teacher_weight
    if run.teacher is None and run.training.teacher_weight != default:
        raise UsageError("--teacher-weight is for --teacher; leave it out")
    has_gpu(run.device)


def complete_config(
    run: ExtractorConfig, teacher: Extractor | None, given: Mapping[str, Any]
) -> ExtractorConfig:
    """Return options with the shape of the network to start from, and of the teacher's.

    Values that were asked for and differ from these raise a UsageError.
    """
    asked, default = flatten(run.network), flatten(ExtractorNetworkOptions())

    def check(origin: str, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            is_asked = given.get(name) is not None
            is_asked |= asked.get(name) != default.get(name)
            if is_asked and asked.get(name) != value:
                raise UsageError(
                    f"{origin} has {flag(name)} {value}; leave out {flag(name)}"
                )

    network = run.network
    if run.init is not None:
        run = replace(run, init=extractor_folder(run.init))
        network = start_network(run).options
        check(f"--init {run.init}", flatten(network))
    if teacher is not None:
        origin = f"--teacher {run.teacher}"
        dim, rate = teacher.dim, teacher.sample_rate
        check(origin, {"embedding_dim": dim, "sample_rate": rate})
        found = replace(network, embedding_dim=dim, sample_rate=rate)
        if run.init is not None and found != network:
            raise UsageError(
                f"{origin} has {dim} dimensions at {rate} Hz, --init "
                f"{run.init} {network.embedding_dim} at {network.sample_rate} Hz; "
                "they must agree"
            )
        network = found
        run = replace(run, teacher=settle_extractor(run.teacher or ""))
    return replace(run, network=network)


def start_network(run: ExtractorConfig) -> "EmbeddingNetwork":
    """Return the network to start from."""
    if run.init is None:
        return new_network(run.network, run.training.seed)
    from ssahc.frontend.extractors.networks.loading import read_network

    return read_network(run.init)
