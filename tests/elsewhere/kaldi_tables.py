"""Readers of what only tests read."""

from ssahc.io.ark import read_archive, read_entries
from ssahc.io.scp import read_scp


def read_table(path, kind):
    """Read an archive, or an scp."""
    if path.suffix == ".scp":
        return read_entries(read_scp(path).values(), kind)
    return read_archive(path, kind)


def read_labels(path):
    """Read Kaldi's ``labels``: utterance, then its label (counted from 1)."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {utterance: int(label) for utterance, label in lines}
