"""Speaker diarization of Kaldi x-vectors by self-supervised hierarchical clustering.

What the package offers is listed in `ssahc.api` and loaded when it is first asked for,
so that the command line starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssahc.api import *  # noqa: F403

    __version__: str
else:

    def __getattr__(name: str) -> Any:
        # Read when asked for: a source tree that is not installed has no version.
        if name == "__version__":
            from importlib.metadata import version

            return version("ssahc")
        if name == "__all__" or not name.startswith("_"):
            api = import_module("ssahc.api")
            if name in ("__all__", *api.__all__):
                return getattr(api, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*import_module("ssahc.api").__all__, "__version__"]
