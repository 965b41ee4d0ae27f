"""What numba keeps is pickled: it is read from where nobody else can have put it."""

import os
import pickle
import stat
import subprocess
import sys

import pytest

from ssahc.runtime.jit import _check_place, _is_private

MODULE = """
import logging; logging.basicConfig(level="INFO", format="%(message)s")
from ssahc.runtime.jit import compiled

@compiled
def double(value):
    return 2 * value

print(double(4))
"""


class Planted:
    """Says that it was unpickled."""

    def __reduce__(self):
        return print, ("PLANTED",)


@pytest.fixture
def run(tmp_path):
    """Run the module in a working directory of its own."""
    (tmp_path / "work").mkdir()
    (tmp_path / "doubling.py").write_text(MODULE)

    def run(**variables):
        environment = {k: v for k, v in os.environ.items() if k[:6] != "NUMBA_"}
        done = subprocess.run(
            [sys.executable, "../doubling.py"],
            cwd=tmp_path / "work",
            env=environment | variables,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split(), done.stderr

    return run


@pytest.fixture
def planted(run, tmp_path):
    """A place to keep things, in which something that runs code waits to be loaded."""
    place = tmp_path / "work" / "kept"
    assert run(NUMBA_CACHE_DIR=str(place)) == (["8"], "")
    (index,) = place.rglob("*.nbi")
    index.write_bytes(pickle.dumps(Planted()))
    # Else nothing below would show that it is not loaded.
    assert "PLANTED" in run(NUMBA_CACHE_DIR=str(place))[0]
    index.write_bytes(pickle.dumps(Planted()))
    return place


def test_a_file_in_the_working_directory_names_no_place(run, planted, tmp_path):
    settings = planted.parent / ".numba_config.yaml"
    settings.write_text(f"cache_dir: {planted}\n")
    module = tmp_path / "doubling.py"
    # Whoever calls ssahc may have loaded numba there.
    module.write_text(f"import numba, os; os.chdir('..')\n{MODULE}")
    said, log = run()
    assert said == ["8"]
    assert f"{planted}" in log
    assert "is named by a .numba_config.yaml" in log
    assert "double is compiled anew in every run" in log


@pytest.mark.parametrize(
    "settings", ["dump_html: victim", "cache_dir: [", "cache_locator_classes: this.x"]
)
def test_a_file_in_the_working_directory_sets_nothing(ssahc_here, tmp_path, settings):
    (tmp_path / ".numba_config.yaml").write_text(settings)
    (tmp_path / "victim").write_text("precious")
    result = ssahc_here("demo", cwd=tmp_path)
    assert result.returncode == 2
    assert "ssahc: error: .numba_config.yaml: numba, which compiles" in result.stderr
    assert (tmp_path / "victim").read_text() == "precious"
    assert not (tmp_path / "ssahc-demo").exists()


def test_callers_in_python_are_told(run, tmp_path):
    (tmp_path / "work" / ".numba_config.yaml").write_text("developer_mode: 1\n")
    with pytest.raises(subprocess.CalledProcessError) as stop:
        run()
    assert "UsageError: .numba_config.yaml: numba, which comp" in stop.value.stderr


def test_a_place_that_all_may_write_to_is_left_alone(run, planted):
    for folder in planted.iterdir():
        folder.chmod(0o777)
    said, log = run(NUMBA_CACHE_DIR=str(planted))
    assert said == ["8"]
    assert "others may write to" in log
    assert "set NUMBA_CACHE_DIR to a folder that may be written to by you alone" in log


@pytest.mark.parametrize(
    ("owner", "mode", "private"),
    [
        (1000, 0o755, True),
        (1000, 0o775, True),
        (0, 0o755, True),
        (1001, 0o755, False),
        (1000, 0o777, False),
        (0, 0o1777, False),
    ],
)
def test_folders_of_the_user_and_of_root_are_private(monkeypatch, owner, mode, private):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    folder = os.stat_result([stat.S_IFDIR | mode, 0, 0, 2, owner, 0, 0, 0, 0, 0])
    assert _is_private(folder) == private


def test_beside_the_source_is_as_safe_as_the_source(tmp_path):
    tmp_path.chmod(0o777)
    _check_place(tmp_path / "__pycache__", tmp_path / "module.py")
    with pytest.raises(PermissionError, match="others may write to"):
        _check_place(tmp_path, tmp_path / "module.py")
