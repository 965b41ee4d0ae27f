"""Learning on a GPU against the CPU: time, and whether labels agree.

All in one process, and with no more than numpy, numba and torch.
"""

import time
from collections.abc import Sequence

import numpy as np

from ssahc.backend.prepared import PreparedXvectors
from ssahc.core.types import Model, Recording
from ssahc.learning.options import LearningOptions
from ssahc.learning.ssa import learn_batch
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import diarize_batch, make_learning_task
from ssahc.pipeline.options import DiarizeOptions
from ssahc.runtime.device import Device


def find_gpu() -> str | None:
    """Return the name of the GPU, None if there is none."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def compare(
    recordings: Sequence[Recording],
    model: Model,
    *,
    repeat: int,
    devices: tuple[Device, Device] = ("cpu", "cuda"),
) -> list[str]:
    """Diarize recordings side by side on two devices; print what that takes.

    Returns
    -------
    list of str
        The recordings whose labels differ.
    """
    windows = sum(map(len, recordings))
    print(f"{len(recordings)} recordings, {windows} windows; wall s, the best run")
    print(f"{'':6} {'learning':>10} {'all':>8} {'first':>8}")
    answers: list[list[Diarization]] = []
    for device in devices:
        first = _time_all(recordings, model, device)
        runs = [_time_all(recordings, model, device) for _ in range(repeat)]
        best = min(seconds for seconds, _ in runs)
        learning = min(_time_learning(recordings, model, device) for _ in runs)
        print(f"{device:6} {learning:10.3f} {best:8.2f} {first[0]:8.2f}", flush=True)
        answers.append(runs[-1][1])
    different = [
        one.recording_id
        for one, other in zip(*answers, strict=True)
        if not np.array_equal(one.labels, other.labels)
    ]
    same = len(recordings) - len(different)
    print(f"labels are the same in {same} of {len(recordings)} recordings")
    return different


def _time_all(
    recordings: Sequence[Recording], model: Model, device: Device
) -> tuple[float, list[Diarization]]:
    """Return wall seconds of all that the defaults do, and the answers."""
    options = DiarizeOptions(device=device)
    start = time.perf_counter()
    answers = diarize_batch(recordings, model, [options] * len(recordings))
    return time.perf_counter() - start, answers


def _time_learning(
    recordings: Sequence[Recording], model: Model, device: Device
) -> float:
    """Return wall seconds of learning alone, the first clustering included."""
    options = LearningOptions()
    tasks = [
        make_learning_task(one, PreparedXvectors(one.xvectors, model), options)
        for one in recordings
    ]
    start = time.perf_counter()
    learn_batch(tasks, options, device=device)
    return time.perf_counter() - start
