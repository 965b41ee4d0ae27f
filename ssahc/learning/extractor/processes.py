"""The processes that train a network together, as torch's launcher starts them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn

from ssahc.runtime.device import Device, has_gpu


@dataclass(frozen=True)
class Processes:
    """Place of a process among those that train together.

    Parameters
    ----------
    device : str
        Where this one computes.
    rank, count : int
        Its number, from 0, and how many there are.
    """

    device: str = "cpu"
    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes files."""
        return self.rank == 0

    def share(self, learner: nn.Module) -> nn.Module:
        """Return a module whose gradients are the mean of those of all processes."""
        if self.count == 1:
            return learner
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(learner)

    def average(self, value: float) -> float:
        """Return the mean of the values of all processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.item() / self.count

    def agree(self, value: float) -> float:
        """Return the value of the first process."""
        if self.count == 1:
            return value
        first = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(first, 0)
        return first.item()

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def join_processes(device: Device) -> Iterator[Processes]:
    """Yield this process among those that torchrun has started; alone without it."""
    is_on_gpu = has_gpu(device)
    place = "cuda" if is_on_gpu else "cpu"
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(place)
        return
    if is_on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if is_on_gpu else "gloo")
    try:
        yield Processes(place, distributed.get_rank(), count)
    finally:
        distributed.destroy_process_group()
