"""Named sets of options that are shipped with the package."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from ssahc.core.errors import UsageError
from ssahc.core.options import check_values

_FOLDER = files("ssahc") / "pipeline" / "presets"


@cache
def list_presets() -> tuple[str, ...]:
    """Return the names of the presets."""
    names = [item.name for item in _FOLDER.iterdir() if item.name.endswith(".toml")]
    return tuple(sorted(name.removesuffix(".toml") for name in names))


def load_preset(name: str, options_class: type) -> dict[str, Any]:
    """Return the values of a preset and of its base; UsageError if there is none."""
    if name not in list_presets():
        raise UsageError(
            f"unknown preset {name!r}; there are {', '.join(list_presets())}"
        )
    table = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    base = table.pop("base", None)
    inherited = {} if base is None else load_preset(base, options_class)
    return inherited | check_values(table, options_class, f"preset {name}")
