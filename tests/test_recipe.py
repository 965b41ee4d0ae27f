"""The recipe: its scripts on a small folder, and all of it on a simulated corpus."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCAL = ROOT / "local"
RECIPE = ROOT / "egs" / "callhome" / "run.sh"


class TestDiarize:
    """local/diarize.sh."""

    @pytest.fixture
    def whole(self, folder, diarize):
        """The files of one run over all recordings."""

        def read(*options):
            status, errors, _ = diarize(*options, out="whole")
            return status, errors, self.files(folder / "whole")

        return read

    @staticmethod
    def files(out):
        names = ("rttm", "labels", "config.toml")
        return {name: (out / name).read_bytes() for name in names}

    @pytest.fixture
    def in_jobs(self, folder, shell):
        def start(*words, options=()):
            model = ["--system", "plda", "--model-dir", folder / "model"]
            command = [LOCAL / "diarize.sh", *words, folder / "x", folder / "jobs"]
            return shell(*command, *model, *options)

        return start

    @pytest.mark.parametrize("nj", [1, 2, 9])
    def test_equals_one_run(self, folder, whole, in_jobs, nj):
        # RTTMs are sorted, labels are in spk2utt's order.
        lines = (folder / "x" / "spk2utt").read_text().splitlines(keepends=True)
        (folder / "x" / "spk2utt").write_text("".join(reversed(lines)))
        expected = whole("--threshold", -0.5)
        result = in_jobs("--nj", nj, options=["--threshold", -0.5])
        assert (result.returncode, result.stderr) == (0, "")
        assert expected == (0, "", self.files(folder / "jobs"))
        assert len(list((folder / "jobs" / f"split{min(nj, 3)}").iterdir()))

    def test_a_bad_recording_does_not_cost_the_others(self, folder, whole, in_jobs):
        counts = folder / "x" / "reco2num_spk"
        counts.write_text("".join(counts.read_text().splitlines(keepends=True)[1:]))
        status, errors, expected = whole("--reco2num-spk", counts)
        assert status == 1
        # In a job with others, and in one of its own.
        for nj in (2, 3):
            result = in_jobs("--nj", nj, options=["--reco2num-spk", counts])
            assert result.returncode == 1
            assert errors.strip() in result.stderr
            assert self.files(folder / "jobs") == expected

    def test_nothing_done(self, folder, in_jobs):
        result = in_jobs("--nj", 2, options=["--threshold", "nan"])
        assert result.returncode == 2
        assert "NaN" in result.stderr
        assert not (folder / "jobs" / "rttm").exists()

    def test_resume_keeps_what_is_done(self, folder, whole, in_jobs):
        counts = folder / "x" / "reco2num_spk"
        options = ["--reco2num-spk", counts]
        expected = whole(*options)
        complete = counts.read_text()
        counts.write_text("".join(complete.splitlines(keepends=True)[:-1]))
        assert in_jobs("--nj", 2, options=options).returncode == 1
        began = (folder / "jobs" / "split2" / "1" / "config.toml").stat().st_mtime_ns
        counts.write_text(complete)
        os.utime(counts, ns=(began, began))
        result = in_jobs("--nj", 2, "--resume", "true", options=options)
        assert (result.returncode, result.stderr) == (0, "")
        assert expected == (0, "", self.files(folder / "jobs"))
        logs = [path.read_text() for path in (folder / "jobs" / "log").iterdir()]
        assert sum("2 recordings were done before" in log for log in logs) == 1

    def test_results_of_other_options_are_not_resumed(self, folder, in_jobs):
        assert in_jobs("--nj", 2).returncode == 0
        again = ["--nj", 2, "--resume", "true"]
        result = in_jobs(*again, options=["--target-energy", 0.5])
        assert result.returncode == 2
        assert "target_energy is 0.1 there and 0.5 now" in result.stderr

    def test_what_is_the_jobs_is_refused(self, folder, in_jobs):
        result = in_jobs(options=["--recordings", folder / "x" / "spk2utt"])
        assert result.returncode == 1
        assert "--recordings is for the jobs" in result.stderr

    def test_names_the_missing_file(self, folder, in_jobs):
        (folder / "x" / "segments").unlink()
        result = in_jobs()
        assert result.returncode == 2
        assert f"no such file, or an empty one: {folder}/x/segments" in result.stderr


class TestScore:
    """local/score.sh."""

    @pytest.fixture
    def rttms(self, tmp_path):
        line = "SPEAKER rec 0 {} {} <NA> <NA> {} <NA> <NA>\n"
        reference = line.format(0, 10, "a") + line.format(10, 10, "b")
        (tmp_path / "ref").write_text(reference)
        (tmp_path / "hyp").write_text(line.format(0, 12, 1) + line.format(12, 8, 2))
        return tmp_path / "ref", tmp_path / "hyp"

    def test_both_scorers_agree(self, rttms, md_eval, tmp_path, shell):
        result = shell(LOCAL / "score.sh", *rttms, tmp_path / "out")
        # 1.75 s of confusion; 0.25 s at four ends are not scored.
        assert result.stdout == "ssahc score  9.21\nmd-eval      9.21\n"
        assert (result.returncode, result.stderr) == (0, "")
        assert (tmp_path / "out" / "der").read_text() == "9.21\n"
        options = ["--collar", 0, "--ignore-overlaps", "false"]
        result = shell(LOCAL / "score.sh", *options, *rttms)
        assert result.stdout == "ssahc score  10.00\nmd-eval      10.00\n"

    def test_a_disagreement_is_an_error(self, rttms, tmp_path, shell):
        other = tmp_path / "other.pl"
        other.write_text(
            'print " OVERALL SPEAKER DIARIZATION ERROR = 9.23 percent of time\\n";'
        )
        result = shell(LOCAL / "score.sh", "--md-eval", other, *rttms, tmp_path / "out")
        assert result.returncode == 1
        assert "disagree on" in result.stderr
        assert not (tmp_path / "out" / "der").exists()
        other.write_text('print STDERR "no speech\\n";')
        result = shell(LOCAL / "score.sh", "--md-eval", other, *rttms)
        assert result.returncode == 1
        assert "gave no error rate" in result.stderr

    def test_names_the_missing_file(self, rttms, tmp_path, shell):
        result = shell(LOCAL / "score.sh", rttms[0], tmp_path / "nowhere")
        assert result.returncode == 1
        assert f"no such file, or an empty one: {tmp_path}/nowhere" in result.stderr


class TestRecipe:
    """egs/callhome/run.sh."""

    def test_without_kaldi_it_says_what_to_do(self, tmp_path, shell):
        result = shell(RECIPE, "--dir", tmp_path)
        assert result.returncode == 1
        for word in ("KALDI_ROOT", "--xvectors", "--models", "--simulate true"):
            assert word in result.stderr

    def test_wrong_usage(self, tmp_path, shell):
        result = shell(
            RECIPE, "--dir", tmp_path, "--simulate", "true", "--systems", "x"
        )
        assert result.returncode == 1
        assert 'conf/table1 has no row "x"' in result.stderr
        (tmp_path / "x" / "a").mkdir(parents=True)
        (tmp_path / "x" / "a" / "xvector.scp").touch()
        result = shell(RECIPE, "--dir", tmp_path, "--xvectors", tmp_path / "x")
        assert result.returncode == 1
        assert "expected two x-vector folders" in result.stderr
        assert 'found "a"' in result.stderr

    def test_simulated_corpus(self, tmp_path, md_eval, shell):
        systems = ["plda", "spectral", "ssa1+plda"]
        options = [
            *("--simulate", "true", "--dir", "here", "--systems", " ".join(systems)),
            *("--simulate-opts", "--recordings 4 --duration 60 --dim 32"),
        ]
        result = shell(RECIPE, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        exp = tmp_path / "here" / "exp"
        table = (exp / "table1.txt").read_text()
        assert table in result.stdout
        rows = re.findall(r"^(\S.*?) {2,}([\d.]+) +([\d.]+) {3}(\S.*)$", table, re.M)
        expected = ["PLDA + AHC", "cosine + SC", "SSA1 + PLDA"]
        assert [row[0] for row in rows] == expected
        assert [row[3] == "eigengap" for row in rows] == [False, True, False]
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
