"""The README's commands run, in order, as a reader would run them."""

import re
import shlex

from click.testing import CliRunner
from scripts import ROOT

from ssahc.cli import VERBS, cli

README = ROOT / "README.md"


def shell_lines():
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.S)
    return [line for block in blocks for line in block.splitlines()]


def test_set_up_lines_install_the_cpu_build_of_torch():
    lines = [line for line in shell_lines() if line.startswith("sudo ")]
    assert len(lines) == 2
    for line, last in zip(lines, ("ssahc demo", "pytest -n 2 --dist worksteal")):
        assert line.startswith("sudo apt-get update")
        torch, package = re.findall(r"pip install -q -c constraints.txt (.*?) &&", line)
        # Of PyTorch's index nothing but torch is taken.
        assert torch.startswith("--no-deps --extra-index-url ")
        assert torch.endswith("/whl/cpu torch")
        assert re.fullmatch(r"'\.\[\w+\]'", package)
        assert line.endswith(f"&& .venv/bin/{last}")


def test_commands_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = [line for line in shell_lines() if not line.startswith("sudo ")]
    # The set-up lines do not put ssahc on the path: until the environment is activated,
    # commands are called by their place in it, and what the demo has left is there.
    activation = others.index(". .venv/bin/activate")
    before, after = others[:activation], others[activation + 1 :]
    assert all(line.startswith(".venv/bin/ssahc ") for line in before)
    assert all(line.startswith("ssahc ") for line in after)
    commands = ["ssahc simulate ssahc-demo", *before, *after]
    assert len(commands) >= 25
    # The same on smaller data.
    smaller = "--recordings 2 --duration 60 --train-speakers 60 --dim 24"
    for command in commands:
        # In this process, so that torch is loaded once, not ten times.
        words = shlex.split(command)[1:]
        words += shlex.split(smaller) if words[0] == "simulate" else []
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 0, f"{command}\n{result.output}"


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, ["simulate", "corpus"])
    assert result.exit_code == 0
    # A block, and the output that stands below it, if any does.
    pattern = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?"
    blocks = re.findall(pattern, README.read_text(), re.MULTILINE | re.S)
    assert len(blocks) >= 3
    names = {}
    for code, output in blocks:
        capsys.readouterr()
        exec(compile(code, str(README), "exec"), names)
        printed = capsys.readouterr().out
        if output:
            assert printed == output
    assert (tmp_path / "python.rttm").stat().st_size > 0
    assert len(printed.splitlines()) == 5


def test_options_exist(ssahc_here):
    text = README.read_text()
    pages = [(verb,) for verb in VERBS] + [("plot", "affinity"), ("plot", "timeline")]
    helps = "".join(ssahc_here(*page, "--help").stdout for page in pages)
    helps += (ROOT / "egs" / "callhome" / "run.sh").read_text()
    for option in set(re.findall(r"`(--[a-z0-9-]+)", text)) - {"--help"}:
        assert re.search(rf"{option}(?![\w-])", helps), option


def test_named_files_exist():
    for name in ("RESULTS.md", "constraints.txt"):
        assert name in README.read_text()
        assert (README.parent / name).is_file()
