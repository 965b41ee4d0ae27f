"""Light start, and one door to each library; pyproject.toml rules the imports."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import ssahc

# These are loaded only when networks are trained by torch.
TORCH = {
    "learning.checkpoint",
    "learning.embedding_training",
    *(f"learning.losses.{name}" for name in ("classification", "distances")),
    *(f"learning.losses.{name}" for name in ("objective", "pairwise", "prototypical")),
    "learning.losses.cluster_loss",
}
PACKAGE = Path(ssahc.__file__).parent
HEAVY = {
    "numba",
    "torch",
    "scipy",
    "sklearn",
    "pyannote",
    "pandas",
    "matplotlib",
    "jinja2",
}

MODULES = sorted(
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


@cache
def imports(module):
    """Return pairs of imported module and whether the import is at the top level."""
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(name.name, node in tree.body) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found.append((node.module, node in tree.body))
    return found


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_loaded_late(module):
    for name, at_top in imports(module):
        library = name.split(".")[0]
        if library == "torch" and module in TORCH:
            continue
        assert not (at_top and library in HEAVY), f"{module} loads {library} at once"


def test_only_one_module_knows_kaldi_io():
    knows = [
        module
        for module in MODULES
        if any(name.split(".")[0] == "kaldi_io" for name, _ in imports(module))
    ]
    assert knows == ["io.ark"]


def test_pyannote_only_where_turns_become_its_annotations():
    for module in MODULES:
        if any(name.startswith("pyannote") for name, _ in imports(module)):
            assert module.startswith(("core.turns", "pipeline.diarization", "scoring."))


@pytest.mark.parametrize(
    "statement",
    [
        "import ssahc",
        "import ssahc.learning.losses.options",
        "import sys; sys.argv = ['ssahc', '--help']; import ssahc.__main__",
        "import sys; sys.argv = ['ssahc', 'diarize', '--help']; import ssahc.__main__",
    ],
)
def test_start_is_light(statement):
    code = (
        "import atexit, sys\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))\n"
        f"{statement}"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.splitlines()[-1] == "LOADED []"
