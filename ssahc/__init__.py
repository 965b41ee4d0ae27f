"""Speaker diarization of Kaldi x-vectors by self-supervised hierarchical clustering."""


def __getattr__(name: str) -> str:
    # Read when asked for: a source tree that is not installed has no version.
    if name == "__version__":
        from importlib.metadata import version

        return version("ssahc")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
