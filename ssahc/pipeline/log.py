"""What is logged while recordings are diarized."""

import logging

from ssahc.clustering.stopping import Stop
from ssahc.core.errors import counted
from ssahc.learning.ssa import Learned
from ssahc.resegmentation.resegment import Resegmentation

_logger = logging.getLogger("ssahc.pipeline.diarize")


def log_learning(recording_id: str, learned: Learned) -> None:
    """Log what happened in each period of learning."""
    for number, period in enumerate(learned.periods, start=1):
        losses = " ".join(f"{loss:.3f}" for loss in period.losses) or "none"
        outcome = "learned" if period.learned else "the affinities stay as they were"
        _logger.debug(
            f"recording {recording_id!r}, period {number}: {period.num_clusters} "
            f"clusters, losses {losses}, {outcome}: {period.stopped.replace('_', ' ')}"
        )


def log_evidence(recording_id: str, found: Resegmentation) -> None:
    """Log the noise, and the evidence for each number of speakers."""
    lowest = found.path[-1].evidence
    evidence = ", ".join(
        f"{candidate.num_speakers}: {candidate.evidence - lowest:.0f}"
        for candidate in reversed(found.path)
    )
    _logger.debug(
        f"recording {recording_id!r}, resegmentation: noise {found.noise:.2f}, "
        f"evidence {evidence}"
    )


def warn_of_excess(recording_id: str, num_windows: int, stop: Stop) -> None:
    """Log a warning if more speakers are wanted than there are windows."""
    wanted = stop.num_speakers or stop.min_speakers
    if wanted > num_windows:
        _logger.warning(
            f"recording {recording_id!r}: {counted(wanted, 'speaker')} wanted, but "
            f"only {counted(num_windows, 'window')} found: "
            "each becomes a speaker of its own"
        )
