"""``ssahc export-segmentation``."""

from pathlib import Path

import click

from ssahc.cli.parsing import PATH, Verb
from ssahc.core.errors import UsageError, printable
from ssahc.frontend.segmentation import ONNX, find_network
from ssahc.io.files import check_output


@click.command("export-segmentation", cls=Verb)
@click.argument("model", type=str)
@click.argument("output", type=PATH)
def command(model: str, output: Path) -> None:
    """Write a segmentation network as an ONNX file, OUTPUT.

    MODEL is what train-segmentation wrote, a checkpoint of pyannote's segmentation-3.0,
    or its name. OUTPUT, whose name ends in .onnx, is for --segmentation and for other
    programs: its metadata say what the network takes and gives, as those of sherpa-onnx
    do. Its input are chunks (N, 1, S) of samples from -1 to 1, its output
    log-probabilities (N, T, C) of the sets of speakers who may be active in a frame.
    """
    network = find_network(model)
    if output.suffix != ONNX:
        raise UsageError(f"{output}: the name of an ONNX file ends in {ONNX}")
    check_output(output, [network])
    # Here, since torch takes seconds to load.
    from ssahc.frontend.segmentation.loading import read_network
    from ssahc.frontend.segmentation.onnx_export import write_onnx

    written = write_onnx(output, read_network(network))
    seconds = written.window_size / written.sample_rate
    click.echo(
        printable(
            f"{output}: chunks of {seconds:g} s at {written.sample_rate} Hz, "
            f"{written.num_classes} sets of up to {written.powerset_max_classes} of "
            f"{written.num_speakers} speakers"
        )
    )
