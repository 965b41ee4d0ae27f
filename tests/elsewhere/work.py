"""What tests/runtime/test_executor.py has workers do; they import it by name."""

import logging
import os
import signal
import struct
import sys
import time
from pathlib import Path


def square(number):
    logging.getLogger("ssahc").warning("squaring %d", number)
    return number**2


def fail_at(wrong, number):
    if number == wrong:
        raise ZeroDivisionError("a fault of the program")
    return number


class TooLarge:
    def __reduce__(self):
        raise MemoryError("Unable to allocate 9 TiB")


def too_large_at_2(number):
    return TooLarge() if number == 2 else number


def killed_at(poison, folder, number):
    """Die at `poison`: every time, or only once if there is a folder to note it."""
    note = None if folder is None else folder / "died"
    if number == poison and (note is None or not note.exists()):
        if note is not None:
            note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


def killed_at_7_once_at_20(folder, number):
    killed_at(20, folder, number)
    return killed_at(7, None, number)


def count(batch):
    return [len(batch)] * len(batch)


def tenths(item):
    return item[1] / 10


def killed_while_sending(poison, folder, number):
    """Die at `poison`, once, with half of a result on its way."""
    if number == poison and not (folder / "died").exists():
        (folder / "died").touch()
        frame = sys._getframe()
        while "batches" not in frame.f_locals:
            frame = frame.f_back
        pipe = frame.f_locals["results"].fileno()
        os.write(pipe, struct.pack("!i", 1000) + b"half of it")
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(number):
    if number:
        time.sleep(60)
    return number


def note_and_sleep(folder, number):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def interrupt_itself(number):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    return number
