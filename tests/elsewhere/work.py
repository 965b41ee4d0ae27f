"""What tests/test_parallel.py has other processes do; they import it by name."""

import logging
import os
import signal
import time


def square(number):
    logging.getLogger("ssahc").warning("squaring %d", number)
    return number**2


def fail_at(wrong, number):
    if number == wrong:
        raise ZeroDivisionError("a fault of the program")
    return number


def killed_at(poison, folder, number):
    """Die at `poison`: every time, or only once if there is a folder to note it."""
    note = None if folder is None else folder / "died"
    if number == poison and (note is None or not note.exists()):
        if note is not None:
            note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return number


def count(batch):
    return [len(batch)] * len(batch)


def tenths(item):
    return item[1] / 10
