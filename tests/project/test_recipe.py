"""The recipe: its scripts on a small folder, and all of it on a simulated corpus."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from scripts import LOCAL, ROOT, program

from ssahc.io.folders import lock_folder

RECIPE = ROOT / "egs" / "callhome" / "run.sh"


class TestTune:
    """local/tune.sh."""

    def test_resume_is_for_the_same_options(self, folder, shell):
        program(
            folder / "bin" / "ssahc",
            'echo run >> "$4/runs"; echo "$*" > "$4/config.toml"',
        )
        path = f"PATH={folder}/bin:{os.environ['PATH']}"
        reference = folder / "ref"
        reference.write_text("x\n")
        runs = folder / "out" / "runs"

        def tune(thresholds):
            command = [
                LOCAL / "tune.sh",
                "--resume",
                "true",
                "--thresholds",
                thresholds,
            ]
            result = shell(
                "env", path, *command, folder / "x", reference, folder / "out"
            )
            assert (result.returncode, result.stderr) == (0, "")
            return len(runs.read_text().split())

        tried = [tune(text) for text in ("0 1", "0  1", "0\n1", "0 2", "0\n2\n")]
        assert tried == [1, 1, 1, 2, 2]
        assert "--thresholds=0,2" in (folder / "out" / "config.toml").read_text()


class TestScore:
    """local/score.sh."""

    @pytest.fixture
    def rttms(self, tmp_path):
        line = "SPEAKER rec 0 {} {} <NA> <NA> {} <NA> <NA>\n"
        reference = line.format(0, 10, "a") + line.format(10, 10, "b")
        (tmp_path / "ref").write_text(reference)
        (tmp_path / "hyp").write_text(line.format(0, 12, 1) + line.format(12, 8, 2))
        return tmp_path / "ref", tmp_path / "hyp"

    def test_both_scorers_agree(self, rttms, md_eval, tmp_path, shell_here):
        result = shell_here(LOCAL / "score.sh", *rttms, tmp_path / "out")
        # 1.75 s of confusion; 0.25 s at four ends are not scored.
        assert result.stdout == "ssahc score  9.21\nmd-eval      9.21\n"
        assert (result.returncode, result.stderr) == (0, "")
        assert (tmp_path / "out" / "der").read_text() == "9.21\n"
        options = ["--collar", 0, "--ignore-overlaps", "false"]
        result = shell_here(LOCAL / "score.sh", *options, *rttms)
        assert result.stdout == "ssahc score  10.00\nmd-eval      10.00\n"

    def test_disagreement_of_scorers_is_an_error(self, rttms, tmp_path, shell_here):
        other = tmp_path / "other.pl"
        other.write_text(
            'print " OVERALL SPEAKER DIARIZATION ERROR = 9.23 percent of time\\n";'
        )
        result = shell_here(
            LOCAL / "score.sh", "--md-eval", other, *rttms, tmp_path / "out"
        )
        assert result.returncode == 1
        assert "disagree on" in result.stderr
        assert not (tmp_path / "out" / "der").exists()
        other.write_text('print STDERR "no speech\\n";')
        result = shell_here(LOCAL / "score.sh", "--md-eval", other, *rttms)
        assert result.returncode == 1
        assert "gave no error rate" in result.stderr

    def test_names_the_missing_file(self, rttms, tmp_path, shell_here):
        result = shell_here(LOCAL / "score.sh", rttms[0], tmp_path / "nowhere")
        assert result.returncode == 1
        assert f"no such file, or an empty one: {tmp_path}/nowhere" in result.stderr

    @pytest.mark.parametrize("form", ["touch {} |", "> {}"])
    def test_names_with_perl_metacharacters_are_not_run(
        self, rttms, tmp_path, shell_here, md_eval, form
    ):
        made = tmp_path / "made"
        names = [form.format(path) for path in ("made", "x")]
        for name, path in zip(names, rttms):
            (tmp_path / name).write_bytes(path.read_bytes())
        result = shell_here(LOCAL / "score.sh", *names, cwd=tmp_path)
        assert result.stdout == "ssahc score  9.21\nmd-eval      9.21\n"
        assert not made.exists()


class TestMakeCallhome:
    """local/make_callhome.sh, with stubs of Kaldi's utils."""

    @pytest.fixture
    def make(self, tmp_path, shell):
        program(tmp_path / "utils" / "shuffle_list.pl", 'cat "$1"')
        program(tmp_path / "utils" / "utt2spk_to_spk2utt.pl", 'cat "$1"')
        program(tmp_path / "utils" / "validate_data_dir.sh", "true")
        key = tmp_path / "key"
        key.mkdir()
        (key / "reco2num").write_text("iaaa 2\n")
        (key / "segments").write_text("iaaa-1 iaaa 0 1\n")
        (key / "fullref.rttm").write_text("SPEAKER iaaa 0 0 1 <NA> <NA> a <NA> <NA>\n")

        def make(corpus):
            (tmp_path / corpus).mkdir()
            (tmp_path / corpus / "iaaa.sph").touch()
            command = [LOCAL / "make_callhome.sh", "--key", "key", corpus, "data"]
            return shell(*command, cwd=tmp_path)

        return make

    def test_makes_two_halves(self, make, tmp_path):
        result = make("a b")
        assert (result.returncode, result.stderr) == (0, "")
        halves = [tmp_path / "data" / f"callhome{half}" for half in (1, 2)]
        expected = "iaaa sph2pipe -f wav -p 'a b/iaaa.sph' |\n"
        assert [(half / "wav.scp").read_text() for half in halves] == [expected, ""]
        assert (halves[0] / "utt2spk").read_text() == "iaaa-1 iaaa\n"

    def test_path_with_a_quote_is_refused(self, make, tmp_path):
        result = make("d'; touch PWNED; : '")
        assert result.returncode == 1
        assert "a path has a quote in it: iaaa d'; touch PWNED" in result.stderr
        assert not (tmp_path / "data" / "callhome1").exists()


class TestRecipe:
    """egs/callhome/run.sh."""

    def test_without_kaldi_it_says_what_to_do(self, tmp_path, shell):
        result = shell(RECIPE, "--dir", tmp_path)
        assert result.returncode == 1
        for word in ("KALDI_ROOT", "--xvectors", "--models", "--simulate true"):
            assert word in result.stderr

    def test_a_second_run_is_refused(self, tmp_path, shell):
        with lock_folder(tmp_path / "exp"):
            result = shell(RECIPE, "--dir", tmp_path, "--simulate", "true")
        assert result.returncode == 2
        assert f"another run writes to {tmp_path}/exp (process " in result.stderr
        assert list((tmp_path / "data").iterdir()) == []

    def test_wrong_usage(self, tmp_path, shell):
        result = shell(
            RECIPE, "--dir", tmp_path, "--simulate", "true", "--systems", "x"
        )
        assert result.returncode == 1
        assert 'conf/table1 has no row "x"' in result.stderr
        for name in ("a/xvector.scp", "a/segments", "a/ref.rttm", "train/xvector.scp"):
            (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "x" / name).touch()
        result = shell(RECIPE, "--dir", tmp_path, "--xvectors", tmp_path / "x")
        assert result.returncode == 1
        assert "expected two x-vector folders" in result.stderr
        assert 'found "a"' in result.stderr

    @pytest.mark.parametrize(
        ("option", "value", "least"),
        [
            ("stage", "abc", 0),
            ("stop-stage", "-1", 0),
            ("nj", "two", 1),
            ("split", "0", 1),
        ],
    )
    def test_numbers_are_checked(self, tmp_path, shell, option, value, least):
        result = shell(RECIPE, "--dir", tmp_path / "new", f"--{option}", value)
        assert result.returncode == 1
        expected = f'--{option} takes a whole number from {least}, found "{value}"'
        assert expected in result.stderr
        assert not (tmp_path / "new").exists()

    def test_models_of_other_folders_are_made_anew(self, folder, shell):
        program(
            folder / "bin" / "ssahc",
            f'echo "$1" >> {folder}/said; [ $1 = check ] || mkdir -p "$3"',
        )
        (folder / "x" / "ref.rttm").write_text("x\n")
        for half in ("a", "b"):
            (folder / "halves").mkdir(exist_ok=True)
            (folder / "halves" / half).symlink_to(folder / "x")
        options = ["--xvectors", folder / "halves", "--resume", "true", "--dir", folder]
        path = f"PATH={folder}/bin:{os.environ['PATH']}"
        fits = []
        for train in ("one", "one", "two"):
            stage = ["--stage", 3, "--stop-stage", 3, "--train-xvectors", train]
            result = shell("env", path, RECIPE, *options, *stage, cwd=folder)
            assert (result.returncode, result.stderr) == (0, "")
            fits.append((folder / "said").read_text().split().count("fit"))
        assert fits == [2, 2, 4]

    def test_failed_job_names_its_missing_file(self, folder, shell):
        (folder / "LINE").mkdir()
        halves = folder / "LINE" / "x"
        for half in ("a", "b"):
            (halves / half).mkdir(parents=True)
            for name in ("xvector.scp", "segments", "ref.rttm"):
                (halves / half / name).write_text("x\n")
        options = ["--xvectors", halves, "--models", halves, "--systems", "cosine"]
        stages = ["--stage", 4, "--stop-stage", 4, "--dir", folder / "LINE"]
        result = shell(RECIPE, *options, *stages)
        assert result.returncode == 1
        log = folder / "LINE" / "exp" / "log" / "known" / "2.log"
        assert f"no such file, or an empty one: {halves}/a/utt2spk" in log.read_text()

    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
    )
    def test_jobs_end_with_the_recipe(self, folder, wait_until, number, status):
        pids = folder / "pids"
        program(folder / "bin" / "ssahc", f"echo $$ >> {pids}; exec sleep 60")
        for half in ("a", "b"):
            half_dir = folder / "halves" / half
            half_dir.parent.mkdir(exist_ok=True)
            half_dir.symlink_to(folder / "x")
        (folder / "x" / "ref.rttm").touch()
        options = ["--xvectors", folder / "halves", "--models", folder / "model"]
        options += ["--systems", "cosine", "--stage", 4, "--nj", 1, "--split", 2]
        # A test run in the background ignores SIGINT; the recipe must not inherit it.
        command = ["env", "--default-signal=INT", RECIPE, *options, "--dir", folder]
        environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
        environment.pop("KALDI_ROOT", None)
        process = subprocess.Popen(list(map(str, command)), env=environment)
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        process.send_signal(number)
        assert process.wait(10) == status
        for pid in map(int, pids.read_text().split()):
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        assert len(pids.read_text().split()) == 2

    def test_simulated_corpus(self, tmp_path, md_eval, shell_here):
        systems = ["spectral", "ssa1+plda"]
        options = [
            *("--simulate", "true", "--dir", "here", "--systems", " ".join(systems)),
            *("--simulate-opts", "--recordings 2 --duration 60 --dim 32"),
            *("--thresholds", "-0.1 0.1"),
        ]
        result = shell_here(RECIPE, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        exp = tmp_path / "here" / "exp"
        table = (exp / "table1.txt").read_text()
        assert table in result.stdout
        rows = re.findall(r"^(\S.*?) {2,}([\d.]+) +([\d.]+) {3}(\S.*)$", table, re.M)
        expected = ["cosine + SC", "SSA1 + PLDA"]
        assert [row[0] for row in rows] == expected
        assert [row[3] == "eigengap" for row in rows] == [True, False]
        names = dict(zip(systems, rows))
        for system, (_, *rates, _) in names.items():
            for condition, rate in zip(("known", "unknown"), rates):
                folder = exp / system / condition
                ours = (folder / "ssahc.txt").read_text()
                theirs = (folder / "md_eval.txt").read_text()
                assert f"ERROR = {rate} percent" in theirs
                pooled = re.search(r"^pooled +(\S+)", ours, re.M)
                assert float(pooled[1]) == pytest.approx(float(rate), abs=0.011)
        assert len(list(exp.glob("*/unknown/*/report.html"))) == 2
