"""Commands and examples of README and documentation run as a reader would run them."""

import re
import shlex
import subprocess
import sys

import pytest
import soundfile
import yaml
from click.testing import CliRunner
from scripts import ROOT

from ssahc.cli import VERBS, cli, plot
from ssahc.frontend.extractors.installed import INSTALLABLE

README = ROOT / "README.md"
DOCS = ROOT / "docs"
WAV = ROOT / "tests" / "golden" / "frontend" / "wav" / "trn06-8k.wav"
# The same commands on smaller data.
SMALLER = "--recordings 2 --duration 60 --train-speakers 60 --dim 24"


def list_pages(entries):
    """Files of mkdocs' navigation, in order."""
    for entry in entries:
        (target,) = entry.values()
        yield from [target] if isinstance(target, str) else list_pages(target)


PAGES = list(list_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
# Those of results need data.
GUIDES = [DOCS / page for page in PAGES if not page.startswith("results/")]
WITH_PYTHON = [README, DOCS / "tutorials" / "python.md"]


def shell_lines(*pages):
    blocks = []
    for page in pages:
        blocks += re.findall(
            r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.S
        )
    return [line for block in blocks for line in block.splitlines()]


def run_commands(commands):
    """In this process, so that torch is loaded once, not ten times."""
    for command in commands:
        words = shlex.split(command)[1:]
        words += shlex.split(SMALLER) if words[0] == "simulate" else []
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, f"{command}\n{result.output}"


def test_set_up_lines_install_the_cpu_build_of_torch():
    lines = [line for line in shell_lines(README) if line.startswith("sudo ")]
    assert len(lines) == 2
    for line, last in zip(lines, ("ssahc demo", "pytest -n 2 --dist worksteal")):
        assert line.startswith("sudo apt-get update")
        torch, package = re.findall(r"pip install -q -c constraints.txt (.*?) &&", line)
        # Of PyTorch's index nothing but torch is taken.
        assert torch.startswith("--no-deps --extra-index-url ")
        assert torch.endswith("/whl/cpu torch")
        assert re.fullmatch(r"'\.\[\w+\]'", package)
        assert line.endswith(f"&& .venv/bin/{last}")


def test_commands_of_the_readme_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = [line for line in shell_lines(README) if not line.startswith("sudo ")]
    # The set-up lines do not put ssahc on the path: until the environment is activated,
    # commands are called by their place in it, and what the demo has left is there.
    activation = lines.index(". .venv/bin/activate")
    before, after = lines[:activation], lines[activation + 1 :]
    assert all(line.startswith(".venv/bin/ssahc ") for line in before)
    assert after == ["ssahc simulate corpus"]
    rows = re.findall(r"^\|.*\|$", README.read_text(), re.MULTILINE)
    table = [command for row in rows for command in re.findall(r"`(ssahc .*?)`", row)]
    assert len(table) >= 10
    table = [command for command in table if is_installed(command)]
    samples, rate = soundfile.read(WAV, frames=24000, start=48000)
    soundfile.write("call.wav", samples, rate)
    documented = shell_lines(*GUIDES)
    others = [
        command
        for command in table
        if not any(line.startswith(command) for line in documented)
    ]
    run_commands(["ssahc simulate ssahc-demo", *before, *after, *others])


def is_installed(command):
    """Whether the extractor that a command needs, if any, is there."""
    _, _, name = command.partition("--extractor ")
    # Of another's recording, which has a test of its own.
    is_demo = command == "ssahc demo --audio"
    return not is_demo and (not name or INSTALLABLE[name].find_weights() is not None)


def test_commands_of_the_documentation_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    commands = shell_lines(*GUIDES)
    assert len(commands) >= 30
    run_commands(commands)


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: page.stem)
def test_python_examples_run(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli, ["simulate", "corpus"]).exit_code == 0
    # A block, and the output that stands below it, if any does.
    pattern = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?"
    blocks = re.findall(pattern, page.read_text(), re.MULTILINE | re.S)
    assert blocks
    names = {}
    for code, output in blocks:
        capsys.readouterr()
        exec(compile(code, str(page), "exec"), names)
        printed = capsys.readouterr().out
        if output:
            assert printed == output
    assert printed


def test_python_examples_are_all_run():
    for page in DOCS.rglob("*.md"):
        assert page in WITH_PYTHON or "```python" not in page.read_text(), page


def test_options_exist(ssahc_here):
    text = "".join(page.read_text() for page in (README, *GUIDES))
    helps = [(verb,) for verb in VERBS] + [("plot", "affinity"), ("plot", "timeline")]
    known = "".join(ssahc_here(*words, "--help").stdout for words in helps)
    known += (ROOT / "egs" / "callhome" / "run.sh").read_text()
    for option in set(re.findall(r"`(--[a-z0-9-]+)", text)) - {"--help"}:
        assert re.search(rf"{option}(?![\w-])", known), option


def test_readme_is_short_and_its_links_lead_somewhere():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    links = re.findall(r"\]\(\s*([^)\s]+)\)", text)
    for link in links:
        assert link.startswith("https://") or (ROOT / link).is_file(), link


def test_every_page_is_in_the_navigation():
    found = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert found == set(PAGES)


def test_the_command_line_page_has_all_verbs_in_the_order_of_the_help():
    verbs = list(VERBS)
    place = verbs.index("plot") + 1
    verbs[place:place] = [f"plot {name}" for name in plot.command.commands]
    text = (DOCS / "reference" / "command-line.md").read_text()
    assert re.findall("<!-- help: (.+) -->", text) == verbs


def test_the_site_builds(tmp_path):
    # Not by -q, with which it does not count the warnings that --strict refuses.
    command = [sys.executable, "-m", "mkdocs", "build", "-d", tmp_path / "site"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "reference" / "command-line.html").read_text()
    assert "--num-speakers INTEGER" in page
    page = (tmp_path / "site" / "reference" / "api.html").read_text()
    assert 'id="ssahc.api.diarize_recording"' in page
