"""Light start, and one door to each library; pyproject.toml rules the imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ssahc

# These are loaded only when torch trains networks, or computes those of others.
TORCH = {
    "frontend.extractors.campplus",
    "frontend.extractors.checkpoints",
    "frontend.extractors.networks.attention",
    "frontend.extractors.networks.kaldi",
    "frontend.extractors.networks.loading",
    "frontend.extractors.networks.network",
    "frontend.extractors.networks.onnx_export",
    "frontend.extractors.networks.sincnet",
    "frontend.extractors.networks.tdnn",
    "frontend.extractors.resemblyzer",
    "frontend.onnx_tracing",
    "frontend.segmentation.encoder",
    "frontend.segmentation.loading",
    "frontend.segmentation.logmel",
    "frontend.segmentation.model",
    "frontend.segmentation.onnx_export",
    "frontend.segmentation.sincnet",
    "frontend.segmentation.wav2vec",
    "frontend.batch_features",
    "frontend.sinc_filters",
    "learning.adam",
    "learning.checkpoint",
    "learning.embedding_training",
    "learning.extractor.augmentation",
    "learning.extractor.held_out",
    "learning.extractor.normalized",
    "learning.extractor.processes",
    "learning.extractor.teacher",
    "learning.extractor.training",
    "learning.losses.classification",
    "learning.losses.cluster_loss",
    "learning.losses.distances",
    "learning.losses.objective",
    "learning.losses.pairwise",
    "learning.losses.prototypical",
    "learning.segmentation.losses",
    "learning.segmentation.training",
}
PACKAGE = Path(ssahc.__file__).parent
HEAVY = set(
    "numba torch scipy sklearn pyannote pandas matplotlib jinja2 soundfile "
    "onnx onnxruntime transformers faiss".split()
)


@pytest.fixture(scope="module")
def imports():
    """Pairs of imported library and whether that is at the top level, by module."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".")
        tree = ast.parse(path.read_text())
        libraries = found[name] = []
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name}: relative import"
                names = [node.module]
            at_top = node in tree.body
            libraries += [(library.split(".")[0], at_top) for library in names]
    return found


def test_heavy_libraries_are_loaded_late(imports):
    early = {
        (module, library)
        for module, libraries in imports.items()
        for library, at_top in libraries
        if at_top and library in HEAVY
    }
    assert early <= {(module, "torch") for module in TORCH}


def test_one_door_to_kaldi_io_and_few_to_pyannote(imports):
    def users(library):
        return [name for name, found in imports.items() if library in dict(found)]

    assert users("kaldi_io") == ["io.ark"]
    doors = "core.turns", "pipeline.diarization", "scoring."
    assert all(module.startswith(doors) for module in users("pyannote"))


@pytest.mark.parametrize("words", [["--help"], ["diarize", "--help"]])
def test_start_is_light(words):
    code = (
        "import atexit, sys\n"
        f"heavy = {HEAVY!r}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))\n"
        "import ssahc, ssahc.learning.losses.options\n"
        f"sys.argv[1:] = {words!r}\n"
        "import ssahc.__main__"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("Usage: ")
    assert result.stdout.splitlines()[-1] == "LOADED []"
