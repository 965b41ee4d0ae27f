"""The shell scripts: Kaldi's contracts, kept without Kaldi."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from scripts import LOCAL, ROOT

SCRIPTS = sorted(
    [
        path.relative_to(ROOT).as_posix()
        for folder in ("egs", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and (path.suffix == ".sh" or path.read_bytes().startswith(b"#!/usr/bin/env b"))
    ]
)


def takes_options(script):
    text = (ROOT / script).read_text()
    return os.access(ROOT / script, os.X_OK) and "sage: $0" in text


def test_shellcheck_finds_nothing(shell):
    assert {".ci/run", "egs/callhome/local/diarize.sh", "egs/callhome/path.sh"} <= set(
        SCRIPTS
    )
    result = shell("shellcheck", "-x", *SCRIPTS, cwd=ROOT)
    assert result.stdout + result.stderr == ""


@pytest.mark.parametrize("script", [name for name in SCRIPTS if takes_options(name)])
def test_help_shows_usage_and_defaults(script, shell):
    result = shell(ROOT / script, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Usage: ")
    assert "e.g.: " in result.stdout
    assert "(default: " in result.stdout


class TestParseOptions:
    """egs/callhome/local/parse_options.sh."""

    @pytest.fixture
    def parse(self, tmp_path, shell):
        (tmp_path / "c").write_text('nj=7 # jobs\nsome_words="a b"\n\n')
        (tmp_path / "unknown").write_text("nj=7\nnjobs=8\n")
        (tmp_path / "wrong").write_text("resume=yes\n")
        script = tmp_path / "script.sh"
        script.write_text(
            "set -eu\n"
            "nj=4 resume=false force=true some_words= cmd=run\n"
            'help_message="Usage: $0 [--nj <n|$nj>]"\n'
            f". {LOCAL}/parse_options.sh\n"
            'echo "$nj|$resume|$force|$some_words|$cmd"\n'
            """[ $# -eq 0 ] || printf '<%s>' "$@"\n"""
        )
        return lambda *words: shell("bash", script, *words, cwd=tmp_path)

    ODD = """a $HOME "b" 'c' `d` \\"""

    @pytest.mark.parametrize(
        ("words", "set_to"),
        [
            (
                ["--nj", 8, "--resume", "true", "--some-words", ODD],
                f"8|true|true|{ODD}|run\n",
            ),
            (
                ["--nj", 8, "in put", "--nj", "9", "--other=1"],
                "8|false|true||run\n<in put><--nj><9><--other=1>",
            ),
            (["--nj", "", "x"], "|false|true||run\n<x>"),
            # The command line wins over a config file, wherever that stands.
            (["--config", "c", "--nj", 9], "9|false|true|a b|run\n"),
            (["--nj", 9, "--config", "c"], "9|false|true|a b|run\n"),
            (["--config", "c"], "7|false|true|a b|run\n"),
            # A config file of another program.
            (["x", "--config", "c"], "4|false|true||run\n<x><--config><c>"),
        ],
    )
    def test_options_are_set_and_other_words_left(self, parse, words, set_to):
        assert parse(*words).stdout == set_to

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--njobs", 8], "unknown option --njobs"),
            (["--nj-", 8], "unknown option --nj-"),
            (["--n$j", 8], "unknown option --n$j"),
            (["--some.words", 8], "unknown option --some.words"),
            (["--nj=8"], 'write "--nj 8"'),
            (["--resume", "true", "--nj"], "--nj needs a value"),
            (["--config"], "--config needs a value"),
            (["--resume", "yes"], '--resume takes true or false, found "yes"'),
            (["--resume", ""], '--resume takes true or false, found ""'),
            (["--force", "True"], '--force takes true or false, found "True"'),
            (["--cmd", ""], "--cmd is empty"),
            (["--config", "unknown"], "unknown: unknown option njobs"),
            (["--config", "wrong"], 'wrong: resume takes true or false, found "yes"'),
            (["--config", "nowhere"], "no such config file: nowhere"),
        ],
    )
    def test_faulty_words_are_refused(self, parse, words, message):
        result = parse(*words)
        assert (result.returncode, result.stdout) == (1, "")
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1

    @pytest.mark.parametrize("word", ["--help", "-h"])
    def test_help_shows_the_defaults(self, parse, word, shell):
        result = parse("--resume", "true", word)
        assert result.returncode == 0
        assert result.stdout.endswith("[--nj <n|4>]\n")
        # Without a help message.
        result = shell("bash", "-c", f". {LOCAL}/parse_options.sh", "script", word)
        assert (result.returncode, result.stdout[:7]) == (0, "script:")


class TestRunJobs:
    """egs/callhome/local/run_jobs.sh."""

    @pytest.fixture
    def jobs(self, tmp_path, shell):
        return lambda *words: shell(LOCAL / "run_jobs.sh", *words, cwd=tmp_path)

    def test_every_number_runs(self, jobs, tmp_path):
        log = "log/JOB/x.JOB.log"
        command = ["printf", "%s|", "JOB of 3", "a  b", "|", "$HOME", "*"]
        result = jobs("--mem", "4G", "JOB=2:4", "-V", "--gpu", 1, log, *command)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
        for number in (2, 3, 4):
            lines = (tmp_path / f"log/{number}/x.{number}.log").read_text().split("\n")
            assert lines[0].startswith("# printf ")
            assert lines[1].startswith("# Started at ")
            assert lines[3].startswith(f"{number} of 3|a  b|||$HOME|*|# Accounting: ")
            assert lines[4].startswith("# Ended (code 0) at ")

        # Without a number.
        assert jobs("x.log", "echo", "JOB").returncode == 0
        assert "\nJOB\n" in (tmp_path / "x.log").read_text()

    def test_failed_jobs_are_named(self, jobs, tmp_path):
        script = "echo said JOB; [ JOB != 2 ] && [ JOB != 4 ]"
        result = jobs("JOB=1:4", "x.JOB.log", "bash", "-c", script)
        assert result.returncode == 1
        assert "2 / 4 failed (2 4), log is in x.*.log" in result.stderr
        assert "said 2" in result.stderr
        assert "# Ended (code 1)" in (tmp_path / "x.4.log").read_text()
        assert "# Ended (code 0)" in (tmp_path / "x.3.log").read_text()
        assert jobs("x.log", "no-such-program").returncode == 1
        assert "# Ended (code 127)" in (tmp_path / "x.log").read_text()

    def test_log_of_an_earlier_job_is_not_taken_for_a_result(self, jobs, tmp_path):
        assert jobs("x.log", "true").returncode == 0
        # A log that cannot be written: the job does not even start.
        (tmp_path / "x.log").unlink()
        (tmp_path / "x.log").mkdir()
        result = jobs("x.log", "true")
        assert result.returncode == 1
        assert len(result.stderr.splitlines()) == 2
        assert "cannot write x.log\n" in result.stderr

    def test_max_jobs_run(self, jobs, tmp_path):
        script = "echo +; sleep 0.1; echo -"
        for most, expected in (("1", "+-" * 4), ("4", "++++----")):
            out = tmp_path / f"out{most}"
            command = ["bash", "-c", f"({script}) >> {out}"]
            options = ["--max-jobs-run", "9", "-tc", most]
            assert jobs(*options, "JOB=1:4", "x.JOB.log", *command).returncode == 0
            assert out.read_text().replace("\n", "") == expected

    def test_progress_is_said_on_request(self, jobs):
        words = ["--max-jobs-run", 1, "JOB=1:3", "x.JOB.log", "true"]
        result = jobs("--progress", 0, *words)
        assert re.findall(r"(\d of 3) jobs have ended", result.stderr) == [
            "1 of 3",
            "2 of 3",
        ]
        assert jobs("--progress", 60, *words).stderr == ""

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["JOB=1:2", "x.log", "true"], "write JOB into the name"),
            (["JOB=2:1", "x.JOB.log", "true"], "1 <= first <= last"),
            (["JOB=0:1", "x.JOB.log", "true"], "1 <= first <= last"),
            (["--max-jobs-run", "0", "x.log", "true"], "above 0"),
            (["x.log"], "Usage: "),
        ],
    )
    def test_wrong_usage(self, jobs, words, message):
        result = jobs(*words)
        assert result.returncode == 1
        assert message in result.stderr

    def test_jobs_end_with_it(self, tmp_path, wait_until):
        outer = [LOCAL / "run_jobs.sh", "JOB=1:2", tmp_path / "o.JOB.log"]
        inner = [LOCAL / "run_jobs.sh", "INNER=1:2", tmp_path / "i.JOB.INNER.log"]
        script = f"echo $$ >> {tmp_path}/pids; exec sleep 60"
        process = subprocess.Popen([*outer, *inner, "bash", "-c", script])
        pids = tmp_path / "pids"
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 4)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 143
        for pid in map(int, pids.read_text().split()):
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
