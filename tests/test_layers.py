"""The house rules that code can check: import directions, light start, one door."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import ssahc

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

# module: what it may import from ssahc. Everything may import errors and types.
ARROWS = {
    "errors": set(),
    "memory": set(),
    "options": set(),
    "types": set(),
    "model": set(),
    "io.files": set(),
    "io.folders": {"io.files"},
    "io.scp": {"io.files"},
    "io.decoding": {"io.files", "io.scp"},
    "io.ark": {"io.decoding", "io.files", "io.scp", "memory"},
    "io.text": {"io.files"},
    "io.rttm": {"io.files", "io.text"},
    "io.plda": {"io.ark", "io.files", "model"},
    "io.metric": {"io.ark", "io.files"},
    "io.checkpoint": {"io.files"},
    "io.model": {"io.ark", "io.folders", "io.metric", "io.plda", "model"},
    "io.scores": {"io.ark", "io.files", "io.scp", "io.text"},
    "io.xvectors": {
        *("io.ark", "io.files", "io.folders", "io.scp", "io.text", "memory"),
    },
    "io.labelled": {
        *("io.ark", "io.files", "io.folders", "io.scp", "io.text", "io.xvectors"),
    },
    "io.trials": {"io.files", "io.text"},
    "io.check": {"io.ark", "io.scp", "io.text", "io.xvectors"},
    "preprocess": set(),
    "affinity": set(),
    "plda": {"affinity", "options", "preprocess"},
    "training": {"options", "plda", "preprocess"},
    "verification": {"metric.network", "model", "options", "plda", "preprocess"},
    "unsupervised": {"plda", "preprocess", "training"},
    "cluster.stop": {"options"},
    "cluster.history": {"cluster.stop"},
    "compiled": set(),
    "together": set(),
    "worker": set(),
    "cluster.linkage": {"cluster.history", "cluster.stop", "compiled"},
    "cluster.discriminative": {
        *("cluster.history", "cluster.linkage", "cluster.stop"),
    },
    "cluster.matrix": {"affinity"},
    "cluster.factored": {"affinity", "cluster.history"},
    "cluster.pieces": {"affinity", "cluster.factored", "cluster.history"},
    "cluster.ahc": {
        *("affinity", "cluster.discriminative", "cluster.factored"),
        *("cluster.history", "cluster.linkage", "cluster.matrix", "cluster.pieces"),
        *("cluster.stop", "options"),
    },
    "cluster.kmeans": {"affinity", "cluster.history"},
    "cluster.xmeans": {"cluster.kmeans", "cluster.stop", "preprocess"},
    "cluster.spectral": {"cluster.kmeans", "cluster.matrix", "cluster.stop"},
    "cluster.silhouette": {"affinity"},
    "timing": set(),
    "variational": {"compiled"},
    "hypotheses": {"cluster.history", "cluster.stop", "variational"},
    "resegmentation": {
        *("affinity", "cluster.history", "cluster.silhouette", "cluster.stop"),
        *("hypotheses", "options", "timing", "variational"),
    },
    "clusterings": {"affinity", "cluster", "plda", "preprocess", "resegmentation"},
    "nn.network": set(),
    "nn.losses": {"nn.network"},
    "nn.sampling": set(),
    "nn.train": {"nn.losses", "nn.network", "together"},
    "metric.sampling": set(),
    "metric.options": {"metric.sampling", "nn.losses", "options"},
    "metric.margins": {"metric.options"},
    "metric.terms": {"metric.options"},
    "metric.tuples": {"metric.options", "metric.terms", "nn.losses"},
    "metric.classes": {"metric.terms"},
    "metric.prototypes": {"metric.terms"},
    "metric.objective": {"metric", "nn.losses", "nn.sampling"},
    "metric.recording": {"metric.objective", "nn.losses", "nn.network", "nn.train"},
    "metric.network": set(),
    "metric.state": set(),
    "metric.training": {
        *("metric.network", "metric.objective", "metric.options", "metric.state"),
        *("affinity", "model", "nn.train", "preprocess", "training", "verification"),
    },
    "shrinkage": {"preprocess"},
    "start": {"metric.network", "plda", "preprocess", "shrinkage"},
    "selfsup": {
        *("affinity", "cluster", "clusterings", "metric", "nn", "options", "start"),
    },
    "fusion": {"affinity", "options"},
    "turns": set(),
    "systems": {
        *("cluster.ahc", "cluster.stop", "clusterings", "fusion", "nn.train"),
        *("options", "plda", "resegmentation", "selfsup", "start"),
    },
    "working_set": {"cluster.ahc", "systems"},
    "pipeline": {
        *("affinity", "cluster", "clusterings", "fusion", "memory", "model", "plda"),
        *("preprocess", "resegmentation", "selfsup", "systems", "together", "turns"),
        "working_set",
    },
    "scoring": {"options", "turns"},
    "breakdown": {"scoring"},
    "comparison": {"scoring", "turns"},
    "cuts": {"cluster.stop", "scoring", "turns"},
    "tuning": {
        *("cluster.ahc", "config", "cuts", "fusion", "pipeline", "plda", "scoring"),
        *("resegmentation", "selfsup", "systems"),
    },
    "simulate": {"options"},
    "plots.figure": {"io.files"},
    "plots.palette": {"comparison"},
    "plots.timeline": {"comparison", "plots.figure", "plots.palette"},
    "plots.affinity": {
        *("affinity", "comparison", "plots.figure", "plots.palette"),
        *("plots.timeline", "turns"),
    },
    "plots.rates": {"plots.figure"},
    "plots.speakers": {"breakdown", "plots.figure", "plots.palette"},
    "report.page": {
        "breakdown",
        "comparison",
        "plots.palette",
        "report.drawing",
        "scoring",
    },
    "report.drawing": {"comparison", "plots.palette"},
    "config": {"io.files"},
    "parallel": {"memory", "options", "worker"},
    "api": {
        *("affinity", "breakdown", "cluster", "clusterings", "config", "cuts"),
        *("fusion", "io", "metric", "nn.train", "pipeline", "plda", "resegmentation"),
        *("scoring", "selfsup", "systems", "training", "tuning", "unsupervised"),
        "verification",
    },
    "cli": {
        *("affinity", "breakdown", "cli", "cluster", "comparison", "compiled"),
        *("config", "cuts"),
        *("io", "memory", "metric", "nn", "options", "parallel", "pipeline", "plots"),
        *("report", "scoring", "simulate", "systems", "together", "training"),
        *("tuning", "turns", "unsupervised", "verification", "worker"),
    },
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


def allowed(module):
    return ARROWS.get(module, ARROWS.get(module.split(".")[0]))


@pytest.mark.parametrize("module", MODULES)
def test_arrows_point_one_way(module):
    targets = allowed(module)
    assert targets is not None, f"{module} has no place in the plan"
    for name, _ in imports(module):
        if name.split(".")[0] != "ssahc":
            continue
        target = name.removeprefix("ssahc.")
        fits = (
            target in {"errors", "types"} | targets or target.split(".")[0] in targets
        )
        assert fits, f"{module} must not import {target}"


@pytest.mark.parametrize("module", MODULES)
def test_heavy_libraries_are_loaded_late(module):
    for name, at_top in imports(module):
        library = name.split(".")[0]
        if library == "torch" and module.startswith(("nn.", "metric.")):
            if module not in ("metric.options", "metric.sampling"):
                continue
        assert not (at_top and library in HEAVY), f"{module} loads {library} at once"


def test_only_one_module_knows_kaldi_io():
    knows = [
        module
        for module in MODULES
        if any(name.split(".")[0] == "kaldi_io" for name, _ in imports(module))
    ]
    assert knows == ["io.ark"]


def test_pyannote_only_where_turns_are_its_annotations():
    for module in MODULES:
        if any(name.startswith("pyannote") for name, _ in imports(module)):
            assert module in ("turns", "scoring", "comparison", "cuts", "pipeline")


@pytest.mark.parametrize(
    "statement",
    [
        "import ssahc",
        "import ssahc.metric.options",
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
