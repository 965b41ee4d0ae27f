"""What ``ssahc diarize`` says of its results when all recordings are done."""

import logging
from collections import Counter
from pathlib import Path

from ssahc.cli.journal import POSTERIOR, Unfinished
from ssahc.cli.runner import warn_of
from ssahc.core.errors import counted
from ssahc.learning.options import Stopped

# Numbers of speakers that are less probable are worth a look: of 796 recordings, real
# and simulated, 64 % of them were wrong, and 36 % of those between 0.4 and 0.5
# (docs/results/real.md).
_UNSURE = 0.4

_logger = logging.getLogger("ssahc")


def warn_of_unsure(unfinished: Unfinished, out_dir: Path) -> None:
    """Warn of recordings whose number of speakers is uncertain."""
    unsure = [
        name
        for name, posterior in unfinished.posteriors.items()
        if posterior.get(int(unfinished.labels[name].max()) + 1, 0) < _UNSURE
    ]
    warn_of(
        f"the number of speakers is uncertain (under {100 * _UNSURE:.0f} %) in "
        f"{len(unsure)} of {counted(len(unfinished.labels), 'recording')}",
        unsure,
        f"see {out_dir}/{POSTERIOR}, or give --num-speakers",
    )


def say_not_learned(reasons: Counter[Stopped], total: int) -> None:
    """Say how many recordings use the network that training would have started from."""
    few = reasons.pop("too_few_xvectors", 0)
    if few:
        _logger.info(
            f"{few} of {counted(total, 'recording')} had too few windows to train a "
            "network (--min-xvectors) and used the initial one"
        )
    if reasons:
        why = ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in reasons.items())
        _logger.info(
            f"{reasons.total()} of {counted(total, 'recording')} did not need the "
            f"trained network and used the initial one ({why}; details: -v)"
        )
