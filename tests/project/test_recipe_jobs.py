"""local/diarize.sh: recordings in parallel jobs."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripts import LOCAL, program

from ssahc.io.folders import lock_folder


def until_go(folder):
    """What a shell does to wait for a file, for half a minute at most."""
    return f"for i in {{1..600}}; do [ -e {folder}/go ] && break; sleep 0.05; done"


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
        def start(*words, options=(), source=folder / "x", out=folder / "jobs"):
            model = ["--system", "plda", "--model-dir", folder / "model"]
            command = [LOCAL / "diarize.sh", *words, source, out]
            return shell(*command, *model, *options, cwd=folder)

        return start

    @pytest.mark.parametrize("nj", [1, 9])
    def test_equals_one_run(self, folder, whole, in_jobs, nj):
        # RTTMs are sorted, labels are in spk2utt's order.
        lines = (folder / "x" / "spk2utt").read_text().splitlines(keepends=True)
        (folder / "x" / "spk2utt").write_text("".join(reversed(lines)))
        expected = whole("--threshold", -0.5)
        result = in_jobs("--nj", nj, options=["--threshold", -0.5])
        assert (result.returncode, result.stderr) == (0, "")
        assert expected == (0, "", self.files(folder / "jobs"))
        assert len(list((folder / "jobs" / f"split{min(nj, 3)}").iterdir()))

    def test_faulty_recording_does_not_stop_the_others(self, folder, whole, in_jobs):
        counts = folder / "x" / "reco2num_spk"
        counts.write_text("".join(counts.read_text().splitlines(keepends=True)[1:]))
        status, errors, expected = whole("--reco2num-spk", counts)
        assert status == 1
        # Of three jobs one does nothing.
        result = in_jobs("--nj", 3, options=["--reco2num-spk", counts])
        assert result.returncode == 1
        assert errors.strip() in result.stderr
        assert self.files(folder / "jobs") == expected

    def test_nothing_is_written_when_all_recordings_fail(self, folder, in_jobs):
        result = in_jobs("--nj", 2, options=["--threshold", "nan"])
        assert result.returncode == 2
        assert "--threshold" in result.stderr
        assert not (folder / "jobs" / "rttm").exists()

    def test_resume_keeps_what_is_done(self, folder, whole, in_jobs):
        counts = folder / "x" / "reco2num_spk"
        options = ["--reco2num-spk", counts]
        expected = whole(*options)
        complete = counts.read_text()
        counts.write_text("".join(complete.splitlines(keepends=True)[:-1]))
        assert in_jobs("--nj", 2, options=options).returncode == 1
        counts.write_text(complete)
        for config in (folder / "jobs").glob("split2/*/config.toml"):
            config.touch()
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
        assert "target_energy was 0.1 and is 0.5 now" in result.stderr

    def test_a_second_run_is_refused(self, folder, in_jobs):
        live = folder / "jobs" / "split2" / "1"
        live.mkdir(parents=True)
        (live / "recordings").write_text("rec\n")
        with lock_folder(folder / "jobs"):
            result = in_jobs("--nj", 2)
        assert result.returncode == 2
        assert f"another run writes to {folder}/jobs (process " in result.stderr
        assert (live / "recordings").read_text() == "rec\n"
        assert not (folder / "jobs" / ".unfinished").exists()

    def test_interrupted_run_of_ssahc_is_not_replaced(self, folder, in_jobs):
        kept = folder / "jobs" / ".unfinished" / "config.toml"
        kept.parent.mkdir(parents=True)
        kept.write_text("mine")
        result = in_jobs()
        assert result.returncode == 2
        assert "jobs holds a run of ssahc diarize that was interrupted" in result.stderr
        assert [path.name for path in folder.glob("jobs/**/*")] == [
            ".unfinished",
            "config.toml",
        ]

    def test_run_of_ssahc_is_refused_while_jobs_run(
        self, folder, in_jobs, ssahc, wait_until
    ):
        waiting = f"touch {folder}/begun; {until_go(folder)}"
        program(folder / "run_later", f'{waiting}; exec {LOCAL}/run_jobs.sh "$@"')
        with ThreadPoolExecutor(1) as threads:
            jobs = threads.submit(in_jobs, "--nj", 1, "--cmd", folder / "run_later")
            try:
                wait_until((folder / "begun").exists)
                result = ssahc("diarize", folder / "x", folder / "jobs")
            finally:
                (folder / "go").touch()
        assert result.returncode == 2
        assert "another run is writing there (process " in result.stderr
        assert (jobs.result().returncode, jobs.result().stderr) == (0, "")
        assert not (folder / "jobs" / ".unfinished").exists()

    @pytest.mark.parametrize(
        ("name", "kind"), [(".unfinished", "link"), (".unfinished/lock", "pipe")]
    )
    def test_lock_that_is_a_link_or_a_pipe_is_refused(
        self, folder, in_jobs, name, kind
    ):
        odd, others = folder / "jobs" / name, folder / "others"
        odd.parent.mkdir(parents=True)
        others.write_text("mine")
        odd.symlink_to(others) if kind == "link" else os.mkfifo(odd)
        result = in_jobs()
        assert result.returncode == 2
        lock = f"{folder}/jobs/.unfinished/lock"
        said = f"cannot write to {folder}/jobs ({lock}); take another folder\n"
        assert result.stderr.endswith(said)
        assert others.read_text() == "mine"

    def test_files_of_others_stay(self, folder, in_jobs):
        (folder / "jobs").mkdir()
        (folder / "jobs" / "rttm").write_text("mine")
        result = in_jobs()
        assert result.returncode == 2
        assert "holds rttm that " in result.stderr
        assert {path.name for path in (folder / "jobs").iterdir()} == {"rttm"}
        assert (folder / "jobs" / "rttm").read_text() == "mine"

    @pytest.mark.parametrize(
        ("place", "resume"),
        [
            ("split2/1", "true"),
            ("split2/2", "false"),
            ("split2", "true"),
            ("elsewhere", "false"),
        ],
    )
    def test_folders_of_others_stay(self, folder, in_jobs, place, resume):
        jobs, mine = folder / "jobs", folder / "jobs" / place
        if place == "elsewhere":
            mine.mkdir(parents=True)
            (mine / "recordings").write_text("mine\n")
            (jobs / "split2").mkdir()
            (jobs / "split2" / "1").symlink_to(mine)
        mine.mkdir(parents=True, exist_ok=True)
        (mine / "rttm").write_text("mine\n")
        before = {path: path.read_bytes() for path in jobs.rglob("*") if path.is_file()}
        result = in_jobs("--nj", 2, "--resume", resume, "--cmd", "true")
        assert result.returncode == 2
        assert "is not of " in result.stderr
        assert {path: path.read_bytes() for path in before} == before
        assert not (jobs / "split2" / "2" / "recordings").exists()

    def test_folder_with_a_similar_name_stays(self, folder, in_jobs):
        mine = folder / "jobs" / "splits-of-mine"
        (mine / "1").mkdir(parents=True)
        (mine / "1" / "recordings").touch()
        assert in_jobs("--nj", 2).returncode == 0
        assert (mine / "1" / "recordings").exists()

    def test_run_killed_while_writing_its_lists_can_be_repeated(self, folder, in_jobs):
        (folder / "jobs" / "split2" / "1").mkdir(parents=True)
        (folder / "jobs" / "split2" / "1" / "recordings.new").write_text("a0")
        assert in_jobs("--nj", 2).returncode == 0

    def test_target_of_a_link_in_the_output_folder_stays(self, folder, in_jobs, whole):
        expected = whole()
        (folder / "others").write_text("mine")
        (folder / "jobs").mkdir()
        (folder / "jobs" / ".labels.new").symlink_to(folder / "others")
        assert in_jobs("--nj", 1).returncode == 0
        assert (folder / "others").read_text() == "mine"
        assert self.files(folder / "jobs") == expected[2]

    def test_scores_that_are_input_are_not_removed(self, folder, in_jobs):
        options = ["--write-scores", "--system", "plda"]
        assert in_jobs("--nj", 1, options=options).returncode == 0
        before = {p: p.read_bytes() for p in folder.glob("jobs/**/scores.*")}
        assert len(before) == 3
        scores = folder / "jobs" / "scores.scp"
        for given in (["--plda-scores", scores], [f"--plda-scores=scp:{scores}"]):
            result = in_jobs("--nj", 1, options=given)
            assert result.returncode == 2
            assert f"{scores} is read, and would be lost" in result.stderr
        assert {p: p.read_bytes() for p in before} == before
        # They are the jobs' own, and go with these.
        assert in_jobs("--nj", 2, "--cmd", "false").returncode == 2
        assert not [path for path in before if path.exists()]

    def test_run_started_anew_can_be_resumed(self, folder, in_jobs):
        assert in_jobs("--nj", 1).returncode == 0
        before = self.files(folder / "jobs")
        other = ["--threshold", 0.3]
        assert in_jobs("--nj", 1, "--cmd", "false", options=other).returncode == 2
        assert self.files(folder / "jobs") == before
        result = in_jobs("--nj", 1, "--resume", "true", options=other)
        assert (result.returncode, result.stderr) == (0, "")
        assert "threshold = 0.3" in (folder / "jobs" / "config.toml").read_text()

    def test_job_killed_at_its_end_does_not_block_the_next_run(self, folder, in_jobs):
        job = folder / "jobs" / "split1" / "1"
        (job / ".unfinished").mkdir(parents=True)
        for name in ("recordings", "labels", ".unfinished/config.toml"):
            (job / name).touch()
        # Nor does what a verb that was killed has left.
        (folder / "jobs" / ".unfinished" / "staged").mkdir(parents=True)
        result = in_jobs("--nj", 1)
        assert (result.returncode, result.stderr) == (0, "")

    def test_run_is_refused_while_a_job_of_an_earlier_one_lives(self, folder, in_jobs):
        left = until_go(folder)
        program(folder / "leave_job", f"({left}) > {folder}/log 2>&1 & exit 1")
        assert in_jobs("--nj", 1, "--cmd", folder / "leave_job").returncode == 2
        refused = in_jobs("--nj", 1)
        (folder / "go").touch()
        assert refused.returncode == 2
        assert f"another run writes to {folder}/jobs" in refused.stderr

    def test_recording_listed_with_utterances_of_another_is_named(
        self, folder, in_jobs
    ):
        table = folder / "x" / "spk2utt"
        utterances = table.read_text().splitlines()[0].split()[1:4]
        table.write_text(f"other {' '.join(utterances)}\n{table.read_text()}")
        result = in_jobs("--nj", 1)
        assert result.returncode == 1
        assert result.stderr.endswith("not there: other\n")

    def test_odd_folder_names_and_empty_lines_are_accepted(
        self, folder, in_jobs, whole
    ):
        table = folder / "x" / "spk2utt"
        table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n") + b" \r\n\r\n")
        expected = whole()
        (folder / "x").rename(folder / "x=1")
        result = in_jobs("--nj", 2, source="x=1", out="lr=1")
        assert (result.returncode, result.stderr) == (0, "")
        for name in ("labels", "rttm"):
            assert (folder / "lr=1" / name).read_bytes() == expected[2][name]

    def test_recording_without_turns_counts_as_done(self, folder, in_jobs, whole):
        table = folder / "x" / "segments"
        lines = [line.split() for line in table.read_text().splitlines()]
        lines = [[*x[:3], x[2] if x[1] == "a001" else x[3]] for x in lines]
        table.write_text("".join(" ".join(line) + "\n" for line in lines))
        expected = whole()
        result = in_jobs("--nj", 1)
        assert (result.returncode, result.stderr) == (0, "")
        assert self.files(folder / "jobs") == expected[2]
        assert "a001" not in (folder / "jobs" / "rttm").read_text()

    def test_output_folder_that_cannot_be_written(self, folder, in_jobs):
        (folder / "jobs").touch()
        result = in_jobs()
        assert result.returncode == 2
        lock = f"{folder}/jobs/.unfinished/lock"
        said = f"cannot write to {folder}/jobs ({lock}); take another folder\n"
        assert result.stderr.endswith(said)
        assert len(result.stderr.splitlines()) == 1

    def test_paths_may_have_spaces_and_quotes(self, folder, tmp_path, shell):
        place = tmp_path / "a JOB's"
        place.mkdir()
        (place / "local").symlink_to(LOCAL)
        (place / "x").symlink_to(folder / "x")
        command = [
            place / "local" / "diarize.sh",
            "--nj",
            2,
            place / "x",
            place / "out",
        ]
        result = shell(*command, "--system", "cosine")
        assert (result.returncode, result.stderr) == (0, "")
        assert (place / "out" / "log" / "diarize.2.log").is_file()

    def test_leftovers_of_an_earlier_run_are_removed(self, folder, in_jobs):
        out = folder / "jobs"
        for name in ("split_audio", "split10utt/1", "split8/1"):
            (out / name).mkdir(parents=True)
        (out / "split8" / "1" / "recordings").touch()
        (out / "scores.scp").write_text("stale\n")
        options = 'rttm_channel = "0"\nwrite_scores = true\n'
        (out / "config.toml").write_text(options)
        (out / "log").mkdir()
        (out / "log" / "diarize.9.log").write_text("ssahc: error: stale\n")
        # A list that a full disk has torn.
        (out / "split1" / "1").mkdir(parents=True)
        recordings = (folder / "x" / "spk2utt").read_text().split("\n")[0].split()[0]
        (out / "split1" / "1" / "recordings").write_text(recordings + "\n")
        again = ["--nj", 1, "--resume", "true"]
        result = in_jobs(*again, options=["--target-energy", "x"])
        assert result.returncode == 2
        assert "stale" not in result.stderr
        result = in_jobs(*again)
        assert (result.returncode, result.stderr) == (0, "")
        assert not (out / "scores.scp").exists()
        assert (out / "split8").exists()
        assert in_jobs("--nj", 1).returncode == 0
        names = {path.name for path in out.glob("split*")}
        assert names == {"split_audio", "split10utt", "split1"}

    def test_recordings_without_results_are_named(self, folder, shell):
        first, second, _ = (folder / "x" / "spk2utt").read_text().splitlines()
        some = folder / "some.labels"
        some.write_text("".join(f"{name} 1\n" for name in first.split()[1:]))
        program(
            folder / "bin" / "ssahc",
            f'cp {some} "$3/labels"; touch "$3/rttm"; echo "a = 1" > "$3/config.toml"',
        )
        command = [LOCAL / "diarize.sh", "--nj", 1, folder / "x", folder / "jobs"]
        path = f"PATH={folder}/bin:{os.environ['PATH']}"
        result = shell("env", path, *command)
        assert result.returncode == 1
        assert f"not there: {second.split()[0]} " in result.stderr

    def test_number_of_jobs_is_checked(self, in_jobs):
        for nj in ("0", "two", "08", ""):
            result = in_jobs("--nj", nj)
            assert result.returncode == 1
            assert f'--nj takes a whole number from 1, found "{nj}"' in result.stderr

    def test_recordings_option_is_refused(self, folder, in_jobs):
        result = in_jobs(options=["--recordings", folder / "x" / "spk2utt"])
        assert result.returncode == 1
        assert "--recordings is for the jobs" in result.stderr

    def test_names_the_missing_file(self, folder, in_jobs):
        (folder / "x" / "segments").unlink()
        result = in_jobs()
        assert result.returncode == 2
        assert f"no such file, or an empty one: {folder}/x/segments" in result.stderr
