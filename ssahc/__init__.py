"""Speaker diarization of Kaldi x-vectors by self-supervised hierarchical clustering."""

from importlib.metadata import version

__version__ = version("ssahc")
