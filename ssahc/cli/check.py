"""``ssahc check``."""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click
import numpy as np

from ssahc.backend.plda import fitting_length, match_length, relative_energy
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.cli.messages import say_error
from ssahc.cli.parsing import PATH, Verb
from ssahc.cli.runner import track
from ssahc.core.errors import FormatError, printable
from ssahc.core.types import NO_MODEL, FloatArray, Model, Plda
from ssahc.io.check import Vectors, find_problems
from ssahc.io.model import PLDA, read_model_dir
from ssahc.io.objects import as_double

# Up to this factor, x-vectors have the energy that a PLDA expects.
_SAME_ENERGY = 3.0
# X-vectors that are projected to the latent space at once.
_BLOCK = 1000

_logger = logging.getLogger("ssahc")


@click.command("check", cls=Verb)
@click.argument("xvector_dir", type=PATH)
@click.option(
    "--model-dir",
    type=PATH,
    help="Folder with mean.vec, transform.mat and (for PLDA) plda, to check as well.",
)
def command(xvector_dir: Path, model_dir: Path | None) -> None:
    """List all problems of XVECTOR_DIR, without diarizing it.

    Reads xvector.scp, segments, utt2spk, spk2utt, reco2num_spk (if there is one), and
    all x-vectors that recordings use. With a PLDA, also prints their energy in its
    latent space, over the energy that it expects: about 1 if they belong together.

    Exit status: 0 no problems; 2 problems, of which the first thousand are printed.
    """
    problems: list[FormatError] = []
    model = NO_MODEL
    if model_dir is not None:
        try:
            model = read_model_dir(model_dir)
        except FormatError as error:
            problems.append(error)
    energy = None if model.plda is None else _Energy(model, model.plda)

    def measure(vectors: Vectors, total: int) -> Vectors:
        vectors = track(vectors, total, "checking")
        return vectors if energy is None else energy.measure(vectors)

    report = find_problems(xvector_dir, model, progress=measure)
    count = len(problems) + report.num_problems
    problems += report.problems
    if problems:
        for problem in problems:
            say_error(str(problem))
        omitted = len(problems) < count
        listed = f", of which {len(problems)} are listed" if omitted else ""
        say_error(f"{_count(count, 'problem')}{listed}")
        sys.exit(2)
    click.echo(
        f"{printable(str(xvector_dir))}: "
        f"{_count(report.recordings, 'recording')}, "
        f"{_count(report.xvectors, 'x-vector')} of {_count(report.dim, 'dimension')}, "
        f"{report.seconds / 3600:.1f} hours of speech: no problems"
    )
    if energy is not None and model_dir is not None:
        _print_energy(energy, model_dir / PLDA)


@dataclass
class _Energy:
    """Mean energy of x-vectors in the latent space of a PLDA, over what it expects.

    It is that of x-vectors of length sqrt(D), as Kaldi scales them, and of those that
    are scaled to the length that the PLDA was trained on.
    """

    model: Model
    plda: Plda
    count: int = 0
    sums: FloatArray = field(default_factory=lambda: np.zeros(2))

    def measure(self, vectors: Vectors) -> Vectors:
        """Pass x-vectors on, and add up the energies of those that can be used."""
        dim = None if self.model.mean is None else len(self.model.mean)
        block: list[FloatArray] = []
        for key, vector in vectors:
            yield key, vector
            if not isinstance(vector, FormatError) and vector.shape == (dim,):
                block.append(as_double(vector))
            if len(block) == _BLOCK:
                self._add(np.stack(block))
                block.clear()
        if block:
            self._add(np.stack(block))

    def _add(self, xvectors: FloatArray) -> None:
        xvectors = xvectors[np.isfinite(xvectors).all(axis=1)]
        vectors = whiten_and_normalize(center(xvectors, self.model.mean), self.model)
        self.count += len(vectors)
        for index, scaled in enumerate((vectors, match_length(vectors, self.plda))):
            self.sums[index] += relative_energy(scaled, self.plda).sum()


def _print_energy(energy: _Energy, path: Path) -> None:
    """Print how x-vectors and PLDA fit together; warn if they do not."""
    if energy.count == 0:
        return
    usual, scaled = (energy.sums / energy.count).tolist()
    length, dim = fitting_length(energy.plda), len(energy.plda.mean)
    name = printable(str(path))
    click.echo(f"{name}: x-vectors have {_times(usual)} the energy that it expects")
    if scaled != usual:
        click.echo(
            f"{name}: it was trained on x-vectors of length {length:.3g}, not "
            f"sqrt({dim}); diarization scales them to that, which makes it "
            f"{_times(scaled)}"
        )
    if not 1 / _SAME_ENERGY < scaled < _SAME_ENERGY:
        _logger.warning(
            f"{path}: the PLDA hardly fits these x-vectors: their energy should be "
            "about what it expects, and speakers will be found badly; take mean, "
            "transform and PLDA from one model that belongs to the extractor"
        )


def _times(ratio: float) -> str:
    return f"{ratio:#.3g}".rstrip(".") + " times"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
