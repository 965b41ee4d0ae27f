"""No file can make ssahc run code."""

import ast
import pickle
from pathlib import Path

import numpy as np
import pytest

import ssahc
from ssahc.core.errors import FormatError
from ssahc.io.checkpoint import read_checkpoint

PACKAGE = Path(ssahc.__file__).parent
# Calls that run code, by name or by their last two names.
RUNS_CODE = set(
    "eval exec compile __import__ pickle.load pickle.loads pickle.Unpickler torch.load "
    "joblib.load marshal.load marshal.loads shelve.open pd.read_pickle yaml.load "
    "yaml.unsafe_load yaml.full_load os.system os.popen os.execv os.execvp os.spawnl "
    "pty.spawn subprocess.run subprocess.Popen subprocess.call subprocess.check_call "
    "subprocess.check_output subprocess.getoutput kaldi_io.open_or_fd".split()
)
# Workers unpickle the work that this program has pickled, not a file.
ALLOWED = {("pools.py", "pickle.loads"), ("worker.py", "pickle.loads")}


def called(node):
    """Return the last two names of a function that is called or passed on."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{called(node.value).rpartition('.')[2]}.{node.attr}"
    return ""


def is_restricted(node):
    """Whether torch is asked to read weights alone, which executes nothing."""
    if not isinstance(node, ast.Call) or called(node.func) != "torch.load":
        return False
    given = {keyword.arg: keyword.value for keyword in node.keywords}
    return getattr(given.get("weights_only"), "value", None) is True


def find_dangers(source):
    tree = ast.parse(source)
    restricted = {node.func for node in ast.walk(tree) if is_restricted(node)}
    for node in ast.walk(tree):
        if node in restricted:
            continue
        # Not only calls: a function may be handed to another that calls it.
        if isinstance(node, ast.Attribute | ast.Name) and called(node) in RUNS_CODE:
            yield called(node)
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "shell"):
            if getattr(node.value, "value", True) is not False:
                yield node.arg


def test_package_does_not_run_what_it_reads():
    found = {
        (path.name, name)
        for path in PACKAGE.rglob("*.py")
        for name in find_dangers(path.read_text())
    }
    assert found == ALLOWED


def test_code_that_runs_files_is_found():
    source = (
        "np.load(file, allow_pickle=True); client.submit(pickle.loads, data)\n"
        "np.load(file, allow_pickle=False); re.compile(text); eval(text)\n"
        "torch.load(file, weights_only=True); torch.load(file, weights_only=None)"
    )
    expected = ["allow_pickle", "eval", "pickle.loads", "torch.load"]
    assert sorted(find_dangers(source)) == expected


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def trap(tmp_path):
    path = tmp_path / "sprung"
    data = pickle.dumps(Trap(path))
    pickle.loads(data)
    # The trap works.
    path.unlink()
    return path, data


@pytest.mark.parametrize(
    "name",
    "model/mean.vec model/transform.mat model/plda model/metric.ark "
    "x/xvector.ark x/xvector.scp x/segments x/single".split(),
)
def test_pickle_in_place_of_a_file_is_refused(broken, diarize, check, trap, name):
    sprung, data = trap
    if name == "x/single":
        broken.single(data)
    (broken.folder / name).write_bytes(data)
    # One vector that is a pickle costs only its recording.
    assert diarize()[0] == (1 if name == "x/single" else 2)
    assert check(broken.x, "--model-dir", broken.model)[0] == 2
    assert not sprung.exists()


def test_checkpoint_with_a_pickle_is_refused(tmp_path, trap):
    sprung, data = trap
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="is broken, or no checkpoint"):
        read_checkpoint(path)
    # Numpy's own files may hold pickles, too.
    with path.open("wb") as file:
        np.savez(file, record=np.array("{}"), x=np.array([Trap(sprung)], dtype=object))
    with pytest.raises(FormatError, match="is broken, or no checkpoint"):
        read_checkpoint(path)
    assert not sprung.exists()
