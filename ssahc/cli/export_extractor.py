"""``ssahc export-extractor``."""

from pathlib import Path
from shutil import copyfile

import click

from ssahc.cli.audio_inputs import extractor_folder
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import CONFIG
from ssahc.core.errors import UsageError, printable
from ssahc.io.files import check_output, refuse_input
from ssahc.io.folders import staged_output
from ssahc.io.model import MEAN, PLDA, TRANSFORM

_ONNX = ".onnx"
# What is copied, if it is there.
_COPIED = (MEAN, TRANSFORM, PLDA, "vad.conf")


@click.command("export-extractor", cls=Verb)
@click.argument("model", type=PATH)
@click.argument("output", type=PATH)
@click.option("--text", is_flag=True, help="Write Kaldi's network as text, not binary.")
def command(model: Path, output: Path, text: bool) -> None:
    """Write a trained extractor as an ONNX file or as a Kaldi model folder.

    MODEL is the folder of train-extractor, or of an x-vector network of Kaldi's
    recipes, or the name small. If the name of OUTPUT ends in .onnx, the network is
    written there, and its features are described beside it in a TOML file; diarize
    --extractor takes it. Its inputs are frames (B, T, F), its outputs embeddings (B,
    D). Otherwise OUTPUT is a folder for Kaldi's extract_xvectors.sh: final.raw,
    extract.config, min_chunk_size, max_chunk_size, and mfcc.conf, which belongs in
    conf/ there. It is for networks of train-extractor --network tdnn, and gets
    mean.vec, transform.mat and plda of MODEL.
    """
    model = extractor_folder(model)
    is_onnx = output.suffix == _ONNX
    if is_onnx and text:
        raise UsageError("--text is for Kaldi's network; an ONNX file is binary")
    if is_onnx:
        check_output(output, [])
    else:
        refuse_input(output, [model], "give another folder")
        if (output / CONFIG).exists():
            raise UsageError(
                f"{output}: holds the network of a training, whose {CONFIG} is there; "
                "give another folder"
            )
    # Here, since torch takes seconds to load.
    from ssahc.frontend.extractors.networks.loading import read_network
    from ssahc.frontend.extractors.networks.onnx_export import write_onnx
    from ssahc.frontend.extractors.networks.tdnn import TdnnNetwork
    from ssahc.frontend.extractors.networks.writing import KALDI_FILES, write_kaldi

    network = read_network(model)
    kind, rate = network.options.network, network.options.sample_rate
    summary = f"{kind}, {network.dim} dimensions, {rate} Hz"
    if is_onnx:
        recipe = write_onnx(output, network)
        click.echo(printable(f"{output} and {recipe.name}: {summary}"))
        return
    if not isinstance(network, TdnnNetwork):
        raise UsageError(
            f"{model}: is a network of the kind {kind}, which Kaldi does not have; "
            f"export it as an ONNX file, {output}{_ONNX}"
        )
    names = (*KALDI_FILES, *_COPIED)

    def list_earlier() -> list[str]:
        return [name for name in names if (output / name).exists()]

    with staged_output(output, names, stale=list_earlier) as folder:
        write_kaldi(folder, network, as_text=text)
        for name in _COPIED:
            if (model / name).exists():
                copyfile(model / name, folder / name)
    click.echo(printable(f"{output}: {summary}"))
