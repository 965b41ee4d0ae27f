"""The recipe: its scripts on a small folder, and all of it on a simulated corpus."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scripts import LOCAL, ROOT, program

from ssahc.core.types import Model, Plda
from ssahc.io.folders import lock_folder
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm

RECIPE = ROOT / "egs" / "callhome" / "run.sh"


def path_of(folder):
    """A path on which programs of a folder come first."""
    return f"{folder}/bin:{os.environ['PATH']}"


def test_tuning_is_resumed_with_the_same_options_only(folder, shell):
    write = 'echo run >> "$4/runs"; echo "$*" > "$4/config.toml"'
    program(folder / "bin" / "ssahc", write)
    path = f"PATH={path_of(folder)}"
    reference, out = folder / "ref", folder / "out"
    reference.write_text("x\n")

    def tune(thresholds):
        options = ["--resume", "true", "--thresholds", thresholds]
        command = [LOCAL / "tune.sh", *options, folder / "x", reference, out]
        result = shell("env", path, *command)
        assert (result.returncode, result.stderr) == (0, "")
        return len((out / "runs").read_text().split())

    tried = [tune(text) for text in ("0 1", "0  1", "0\n1", "0 2", "0\n2\n")]
    assert tried == [1, 1, 1, 2, 2]
    assert "--thresholds=0,2" in (out / "config.toml").read_text()


class TestScore:
    """egs/callhome/local/score.sh."""

    @pytest.fixture
    def rttms(self, tmp_path):
        # Perl would run the one name, and empty the other file.
        names = "touch made |", "> made"
        line = "SPEAKER rec 0 {} {} <NA> <NA> {} <NA> <NA>\n"
        reference = line.format(0, 10, "a") + line.format(10, 10, "b")
        (tmp_path / names[0]).write_text(reference)
        (tmp_path / names[1]).write_text(line.format(0, 12, 1) + line.format(12, 8, 2))
        return names

    @pytest.fixture
    def score(self, shell_here, tmp_path):
        return lambda *words: shell_here(LOCAL / "score.sh", *words, cwd=tmp_path)

    def test_both_scorers_agree(self, rttms, md_eval, tmp_path, score):
        result = score(*rttms, "out")
        # 1.75 s of confusion; 0.25 s at four ends are not scored.
        assert result.stdout == "ssahc score  9.21\nmd-eval      9.21\n"
        assert (result.returncode, result.stderr) == (0, "")
        assert (tmp_path / "out" / "der").read_text() == "9.21\n"
        result = score("--collar", 0, "--ignore-overlaps", "false", *rttms)
        assert result.stdout == "ssahc score  10.00\nmd-eval      10.00\n"
        assert not (tmp_path / "made").exists()

    def test_disagreement_of_scorers_is_an_error(self, rttms, tmp_path, score):
        other = tmp_path / "other.pl"
        said = " OVERALL SPEAKER DIARIZATION ERROR = 9.23 percent of time\\n"
        other.write_text(f'print "{said}";')
        result = score("--md-eval", other, *rttms, "out")
        assert result.returncode == 1
        assert "disagree on" in result.stderr
        assert not (tmp_path / "out" / "der").exists()
        other.write_text('print STDERR "no speech\\n";')
        result = score("--md-eval", other, *rttms)
        assert result.returncode == 1
        assert "gave no error rate" in result.stderr

    def test_missing_file_is_named(self, rttms, score):
        result = score(rttms[0], "nowhere")
        assert result.returncode == 1
        assert "no such file, or an empty one: nowhere" in result.stderr


class TestMakeCallhome:
    """egs/callhome/local/make_callhome.sh."""

    @pytest.fixture
    def make(self, tmp_path, shell):
        names = [f"i{number:03d}" for number in range(5)]
        key = tmp_path / "key"
        key.mkdir()
        (key / "reco2num").write_text("".join(f"{name} 2\n" for name in names))
        (key / "segments").write_text("".join(f"{x}-1 {x} 0 1\n" for x in names))
        turn = "SPEAKER {} 0 0 1 <NA> <NA> a <NA> <NA>\n"
        (key / "fullref.rttm").write_text("".join(map(turn.format, names)))
        (tmp_path / "a b").mkdir()
        for name in names:
            (tmp_path / "a b" / f"{name}.sph").write_text("NIST_1A\n")
        command = [LOCAL / "make_callhome.sh", "--key", "key", "a b", "data"]
        return lambda: shell("env", f"PATH={path_of(tmp_path)}", *command, cwd=tmp_path)

    def test_makes_kaldis_halves(self, make, tmp_path):
        result = make()
        assert (result.returncode, result.stderr) == (0, "")
        halves = [tmp_path / "data" / f"callhome{half}" for half in (1, 2)]
        # As utils/shuffle_list.pl shuffles five lines.
        expected = [["i000", "i002", "i004"], ["i001", "i003"]]
        lists = ["".join(f"{x} a b/{x}.sph\n" for x in half) for half in expected]
        assert [(half / "wav.scp").read_text() for half in halves] == lists
        assert (halves[1] / "segments").read_text().split()[::4] == ["i001-1", "i003-1"]
        assert len((halves[0] / "ref.rttm").read_text().splitlines()) == 3

    def test_compressed_speech_takes_sph2pipe(self, make, tmp_path):
        speech = tmp_path / "a b" / "i003.sph"
        speech.write_text("NIST_1A\nsample_coding -s25 ulaw,embedded-shorten-v2.00\n")
        result = make()
        assert result.returncode == 1
        assert "a b/i003.sph is compressed by shorten; compile" in result.stderr
        program(tmp_path / "bin" / "sph2pipe", 'echo "$*" > "$5"')
        assert make().returncode == 0
        wav = tmp_path / "data" / "local" / "wav" / "i003.wav"
        assert wav.read_text().startswith("-f wav -p a b/i003.sph ")
        assert (
            "i003 data/local/wav/i003.wav\n"
            in (tmp_path / "data" / "callhome2" / "wav.scp").read_text()
        )


class TestRecipe:
    """egs/callhome/run.sh."""

    @pytest.fixture
    def recipe(self, tmp_path, shell):
        return lambda *options: shell(RECIPE, "--dir", tmp_path / "here", *options)

    @pytest.fixture
    def halves(self, folder):
        """A folder of two halves that are the same."""
        (folder / "x" / "ref.rttm").write_text("x\n")
        (folder / "halves").mkdir()
        for half in ("a", "b"):
            (folder / "halves" / half).symlink_to(folder / "x")
        return folder / "halves"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--stage", "abc"], '--stage takes a whole number from 0, found "abc"'),
            (["--stop-stage", "-1"], "--stop-stage takes a whole number from 0, found"),
            (["--nj", "two"], '--nj takes a whole number from 1, found "two"'),
            (["--split", "0"], '--split takes a whole number from 1, found "0"'),
            ([], "--corpus DIR.*--xvectors DIR --models DIR.*--simulate true"),
            (
                # Before anything is simulated.
                ["--simulate", "true", "--systems", "ssa1 x"],
                'run.sh: conf/table1 has no row "x"; it has plda, ',
            ),
        ],
    )
    def test_wrong_usage(self, recipe, tmp_path, options, message):
        result = recipe(*options)
        assert result.returncode == 1
        assert re.search(message, result.stderr)
        assert (tmp_path / "here").exists() == ("whole number" not in message)

    def test_folder_that_is_no_half_is_not_counted(self, recipe, tmp_path):
        for name in ("a/xvector.scp", "a/segments", "a/ref.rttm", "train/xvector.scp"):
            (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "x" / name).touch()
        result = recipe("--xvectors", tmp_path / "x")
        assert result.returncode == 1
        assert "expected two x-vector folders" in result.stderr
        assert 'found "a"' in result.stderr

    def test_a_second_run_is_refused(self, recipe, tmp_path):
        here = tmp_path / "here"
        with lock_folder(here / "exp"):
            result = recipe("--simulate", "true")
        assert result.returncode == 2
        assert f"another run writes to {here}/exp (process " in result.stderr
        assert list((here / "data").iterdir()) == []

    def test_models_of_other_folders_are_made_anew(self, folder, halves, shell):
        write = f'echo "$1" >> {folder}/said; [ $1 = check ] || mkdir -p "$3"'
        program(folder / "bin" / "ssahc", write)
        path = f"PATH={path_of(folder)}"
        options = ["--xvectors", halves, "--resume", "true", "--dir", folder]
        options += ["--stage", 3, "--stop-stage", 3]
        fits = []
        for train in ("one", "one", "two"):
            command = ["env", path, RECIPE, *options, "--train-xvectors", train]
            result = shell(*command, cwd=folder)
            assert (result.returncode, result.stderr) == (0, "")
            fits.append((folder / "said").read_text().split().count("fit"))
        assert fits == [2, 2, 4]

    def test_failed_job_names_its_missing_file(self, folder, halves, shell):
        # The name of the jobs' number stands in the path.
        (folder / "x" / "utt2spk").unlink()
        place = folder / "LINE"
        options = ["--xvectors", halves, "--models", halves, "--systems", "cosine"]
        options += ["--stage", 4, "--stop-stage", 4, "--dir", place]
        assert shell(RECIPE, *options).returncode == 1
        log = (place / "exp" / "log" / "known" / "2.log").read_text()
        assert f"no such file, or an empty one: {halves}/a/utt2spk" in log

    @pytest.mark.parametrize(
        ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
    )
    def test_jobs_end_with_the_recipe(self, folder, halves, wait_until, number, status):
        pids = folder / "pids"
        program(folder / "bin" / "ssahc", f"echo $$ >> {pids}; exec sleep 60")
        options = ["--xvectors", halves, "--models", folder / "model"]
        options += ["--systems", "cosine", "--stage", 4, "--nj", 1, "--split", 2]
        # A test run in the background ignores SIGINT; the recipe must not inherit it.
        command = ["env", "--default-signal=INT", RECIPE, *options, "--dir", folder]
        environment = os.environ | {"PATH": path_of(folder)}
        environment.pop("KALDI_ROOT", None)
        process = subprocess.Popen(list(map(str, command)), env=environment)
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        process.send_signal(number)
        assert process.wait(10) == status
        for pid in map(int, pids.read_text().split()):
            wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())
        assert len(pids.read_text().split()) == 2

    def test_simulated_corpus(self, tmp_path, md_eval, shell_here):
        # The folder alone, as a user would copy it.
        copy = shutil.copytree(RECIPE.parent, tmp_path / "copy", symlinks=True)
        systems = ["plda", "defaults"]
        options = ["--simulate", "true", "--dir", "here", "--thresholds", "-0.1 0.1"]
        options += ["--simulate-opts", "--recordings 1 --duration 60 --dim 32"]
        options += ["--systems", " ".join(systems), "--paper", "true"]
        result = shell_here(copy / RECIPE.name, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        exp = tmp_path / "here" / "exp"
        table = (exp / "table1.txt").read_text()
        assert table in result.stdout
        rows = re.findall(r"^(\S.*?) {2,}([\d.]+) +([\d.]+) {3}(\S.*)$", table, re.M)
        names = ["PLDA + AHC", "ssahc diarize as it is"]
        assert [row[0] for row in rows] == names
        assert [row[3].startswith("default ") for row in rows] == [False, True]
        assert rows[0][3].endswith(" 7.01     8.00")
        words = " ".join(table.split())
        for name in names:
            counts = r"too few speakers are found in \d, too many in \d of 2 recordings"
            assert re.search(f"{re.escape(name)}: .* {counts}", words)
        for system, (_, *rates, _) in zip(systems, rows):
            for condition, rate in zip(("known", "unknown"), rates):
                folder = exp / system / condition
                theirs = (folder / "md_eval.txt").read_text()
                assert f"ERROR = {rate} percent" in theirs
                ours = (folder / "ssahc.txt").read_text()
                pooled = re.search(r"^pooled +(\S+)", ours, re.M)
                assert float(pooled[1]) == pytest.approx(float(rate), abs=0.011)
        assert len(list(exp.glob("*/unknown/*/report.html"))) == 2

    def test_options_of_all_rows_are_known(self, ssahc_here, folder):
        rows = (RECIPE.parent / "conf" / "table1").read_text().splitlines()
        options = [row.split("|")[5].split() for row in rows if row and row[0] != "#"]
        assert len(options) > 10
        for words in options:
            words += ["--model-dir", "model"]
            result = ssahc_here("diarize", "gone", "out", *words, cwd=folder)
            assert result.returncode == 2
            assert "gone: no such folder" in result.stderr, result.stderr

    def test_speech_to_turns(self, tmp_path, golden, shell_here):
        """SPHERE files, the key, and a tiny network in Kaldi's public form."""
        home = golden / "frontend"
        samples, rate = soundfile.read(home / "wav" / "trn06-8k.wav")
        for folder in ("corpus", "key"):
            (tmp_path / folder).mkdir()
        counts, segments, turns = [], [], []
        for name in ("iaaa", "iaab", "iaac", "iaad"):
            path = tmp_path / "corpus" / f"{name}.sph"
            soundfile.write(path, samples, rate, format="NIST", subtype="ULAW")
            counts.append(f"{name} 2\n")
            segments.append(f"{name}-1 {name} 0.5 19.5\n")
            for start, speaker in ((0.5, "a"), (12, "b")):
                where = f"SPEAKER {name} 0 {start} 7.5 <NA> <NA>"
                turns.append(f"{where} {speaker} <NA> <NA>\n")
        for name, lines in {
            "reco2num": counts,
            "segments": segments,
            "fullref.rttm": turns,
        }.items():
            (tmp_path / "key" / name).write_text("".join(lines))
        network = tmp_path / "xvector_nnet_1a"
        network.mkdir()
        for name in ("final.raw", "extract.config"):
            shutil.copy(home / "model" / "tiny" / name, network)
        (network / "min_chunk_size").write_text("20\n")
        plda = Plda(np.zeros(12), np.eye(12), np.linspace(9, 0.5, 12))
        for half in (1, 2):
            model = Model(np.zeros(12), np.eye(12), plda)
            write_model_dir(network / f"xvectors_callhome{half}", model)
        options = ["--corpus", "corpus", "--key", "key", "--nnet-dir", network.name]
        options += ["--dir", "here", "--systems", "cosine", "--thresholds", "0"]
        options += ["--nj", 1, "--stop-stage", 4]
        result = shell_here(RECIPE, *options, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        exp = tmp_path / "here" / "exp"
        # Of either half, and with the model of the other.
        for half, other in ("12", "21"):
            folder = exp / "cosine" / "known" / f"callhome{half}"
            assert len(read_rttm(folder / "rttm").turns) == 2
            config = (folder / "config.toml").read_text()
            assert f"models/callhome{other}" in config
        # What is done stays done.
        archive = exp / "xvectors" / "callhome1" / "xvector.ark"
        before = archive.stat().st_mtime_ns
        result = shell_here(RECIPE, *options, "--resume", "true", cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        assert archive.stat().st_mtime_ns == before
