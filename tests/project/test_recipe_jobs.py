"""egs/callhome/local/diarize.sh: recordings in parallel jobs."""

import os

import pytest
from fault_table import SUMMARY
from scripts import LOCAL, program

from ssahc.io.folders import lock_folder


@pytest.fixture
def out(folder):
    return folder / "jobs"


@pytest.fixture
def in_jobs(folder, out, shell_here):
    def start(*words, options=(), source=folder / "x", out=out):
        model = ["--system", "plda", "--model-dir", folder / "model"]
        command = [LOCAL / "diarize.sh", *words, source, out]
        return shell_here(*command, *model, *options, cwd=folder)

    return start


@pytest.fixture
def whole(folder, diarize):
    """Run once over all recordings; return exit status, errors, files."""

    def read(*options):
        status, said, _ = diarize(*options, out="whole")
        lines = said.splitlines(keepends=True)
        errors = [line for line in lines if not line.startswith(SUMMARY)]
        return status, "".join(errors), files(folder / "whole")

    return read


def files(out):
    names = ("rttm", "labels", "speaker_posterior", "config.toml")
    paths = {name: out / name for name in names}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def done(result):
    return (result.returncode, result.stderr) == (0, "")


def check_refused(result, message):
    assert result.returncode == 2
    assert message in result.stderr


def until_go(folder):
    """What a shell does to wait for a file, for half a minute at most."""
    return f"for i in {{1..600}}; do [ -e {folder}/go ] && break; sleep 0.05; done"


# ---- results -----------------------------------------------------------------------


def test_jobs_write_what_one_run_writes(folder, whole, in_jobs):
    # RTTMs are sorted, labels are in spk2utt's order.
    table = folder / "x" / "spk2utt"
    lines = [f"{line}\r\n" for line in reversed(table.read_text().splitlines())]
    table.write_bytes("".join([*lines, " \r\n\r\n"]).encode())
    # A recording whose segments have no length is done, but has no turns.
    table = folder / "x" / "segments"
    lines = [line.split() for line in table.read_text().splitlines()]
    lines = [[*x[:3], x[2] if x[1] == "a001" else x[3]] for x in lines]
    table.write_text("".join(" ".join(line) + "\n" for line in lines))
    threshold = ["--threshold", -0.5, "--resegmentation", "vb"]
    status, errors, expected = whole(*threshold)
    assert len(expected) == 4
    assert (status, "without a turn" in errors) == (0, True)
    assert b"a000" in expected["rttm"]
    assert b"a001" not in expected["rttm"]
    (folder / "x").rename(folder / "x=1")
    expected["config.toml"] = expected["config.toml"].replace(b'/x"', b'/x=1"')
    for nj in (1, 9):
        result = in_jobs("--nj", nj, options=threshold, source="x=1", out=f"nj={nj}")
        assert done(result)
        assert files(folder / f"nj={nj}") == expected
        assert len(list((folder / f"nj={nj}" / f"split{min(nj, 3)}").iterdir()))


def test_paths_may_have_spaces_and_quotes(folder, tmp_path, shell):
    place = tmp_path / "a JOB's"
    place.mkdir()
    (place / "local").symlink_to(LOCAL)
    (place / "x").symlink_to(folder / "x")
    script = place / "local" / "diarize.sh"
    command = [script, "--nj", 1, place / "x", place / "out", "--system", "cosine"]
    # Here, the job is a process of the installed program.
    assert done(shell(*command))
    assert (place / "out" / "log" / "diarize.1.log").is_file()


def test_resume_does_what_failed(folder, out, whole, in_jobs):
    counts = folder / "x" / "reco2num_spk"
    options = ["--reco2num-spk", counts]
    resume = ["--nj", 2, "--resume", "true"]
    complete = counts.read_text()
    expected = whole(*options)
    # One of the jobs has nothing to do but this recording.
    counts.write_text("".join(complete.splitlines(keepends=True)[:-1]))
    status, errors, others = whole(*options)
    result = in_jobs("--nj", 2, options=options)
    assert result.returncode == status == 1
    assert errors.strip() in result.stderr
    assert files(out) == others
    counts.write_text(complete)
    for config in out.glob("split2/*/config.toml"):
        config.touch()
    assert done(in_jobs(*resume, options=options))
    assert expected == (0, "", files(out))
    logs = [path.read_text() for path in (out / "log").iterdir()]
    assert sum("already done: 2 recordings" in log for log in logs) == 1
    result = in_jobs(*resume, options=[*options, "--target-energy", 0.5])
    check_refused(result, "target_energy was 0.1 and is 0.5 now")


def test_run_started_anew_can_be_resumed(out, in_jobs):
    assert in_jobs("--nj", 1).returncode == 0
    before = files(out)
    other = ["--threshold", 0.3]
    assert in_jobs("--nj", 1, "--cmd", "false", options=other).returncode == 2
    assert files(out) == before
    assert done(in_jobs("--nj", 1, "--resume", "true", options=other))
    assert "threshold = 0.3" in (out / "config.toml").read_text()


def test_recordings_without_results_are_named(folder, out, in_jobs, shell):
    table = folder / "x" / "spk2utt"
    first, second, _ = table.read_text().splitlines()
    some = folder / "some.labels"
    some.write_text("".join(f"{name} 1\n" for name in first.split()[1:]))
    write = f'cp {some} "$3/labels"; touch "$3/rttm"; echo "a = 1" > "$3/config.toml"'
    program(folder / "bin" / "ssahc", write)
    command = [LOCAL / "diarize.sh", "--nj", 1, folder / "x", folder / "some"]
    result = shell("env", f"PATH={folder}/bin:{os.environ['PATH']}", *command)
    assert result.returncode == 1
    assert f"not there: {second.split()[0]} " in result.stderr
    # One that is listed with utterances of another.
    table.write_text(f"other {' '.join(first.split()[1:4])}\n{table.read_text()}")
    result = in_jobs("--nj", 1)
    assert result.returncode == 1
    assert result.stderr.endswith("not there: other\n")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        *((["--nj", nj], 1, f'from 1, found "{nj}"') for nj in ("0", "two", "08", "")),
        (["x", "out", "--recordings", "list"], 1, "--recordings is for the jobs"),
        (["x", "out"], 2, "no such file, or an empty one: x/xvector.scp"),
    ],
)
def test_wrong_usage(shell, tmp_path, words, status, message):
    (tmp_path / "x").mkdir()
    if "--recordings" in words:
        for name in ("xvector.scp", "segments", "utt2spk", "spk2utt"):
            (tmp_path / "x" / name).write_text("x\n")
    result = shell(LOCAL / "diarize.sh", *words, cwd=tmp_path)
    assert result.returncode == status
    assert message in result.stderr


# ---- other runs --------------------------------------------------------------------


def test_a_second_run_is_refused(out, in_jobs):
    live = out / "split2" / "1"
    live.mkdir(parents=True)
    (live / "recordings").write_text("rec\n")
    with lock_folder(out):
        result = in_jobs("--nj", 2)
    check_refused(result, f"another run writes to {out} (process ")
    assert (live / "recordings").read_text() == "rec\n"
    assert not (out / ".unfinished").exists()


def test_run_of_ssahc_is_refused_while_jobs_run(folder, out, in_jobs):
    refused = folder / "refused"
    other = f"ssahc diarize {folder}/x {out} 2> {refused}; echo $? >> {refused}"
    program(folder / "later", f'{other}; exec {LOCAL}/run_jobs.sh "$@"')
    assert done(in_jobs("--nj", 1, "--cmd", folder / "later"))
    assert "another run is writing there (process " in refused.read_text()
    assert refused.read_text().endswith("\n2\n")
    assert not (out / ".unfinished").exists()


def test_run_is_refused_while_a_job_of_an_earlier_one_lives(folder, out, in_jobs):
    program(folder / "leave_job", f"({until_go(folder)}) > {folder}/log 2>&1 & exit 1")
    assert in_jobs("--nj", 1, "--cmd", folder / "leave_job").returncode == 2
    refused = in_jobs("--nj", 1)
    (folder / "go").touch()
    check_refused(refused, f"another run writes to {out}")


def test_interrupted_run_of_ssahc_is_not_replaced(out, in_jobs):
    kept = out / ".unfinished" / "config.toml"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    check_refused(in_jobs(), "jobs holds a run of ssahc diarize that was interrupted")
    assert [path.name for path in out.rglob("*")] == [".unfinished", "config.toml"]


def test_killed_runs_do_not_block_the_next_one(folder, out, in_jobs, whole):
    expected = whole()
    # Killed while it wrote its lists; a folder of somebody else; a link to a file.
    others = folder / "others"
    others.write_text("mine")
    for name in ("split2/1/recordings.new", "splits-of-mine/1/recordings"):
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("a0")
    (out / ".labels.new").symlink_to(others)
    assert done(in_jobs("--nj", 2))
    assert files(out) == expected[2]
    assert (out / "splits-of-mine" / "1" / "recordings").read_text() == "a0"
    assert others.read_text() == "mine"
    # A job that was killed at its end, and what a killed verb has left.
    (out / ".unfinished" / "staged").mkdir(parents=True)
    job = out / "split1" / "1"
    (job / ".unfinished").mkdir(parents=True)
    for name in ("recordings", "labels", ".unfinished/config.toml"):
        (job / name).touch()
    assert done(in_jobs("--nj", 1))


def test_leftovers_of_an_earlier_run_are_removed(folder, out, in_jobs):
    for name in ("split_audio", "split10utt/1", "split8/1", "split1/1", "log"):
        (out / name).mkdir(parents=True)
    (out / "split8" / "1" / "recordings").touch()
    (out / "scores.scp").write_text("stale\n")
    (out / "config.toml").write_text('rttm_channel = "0"\nwrite_scores = true\n')
    (out / "log" / "diarize.9.log").write_text("ssahc: error: stale\n")
    # A list that a full disk has torn.
    first = (folder / "x" / "spk2utt").read_text().split()[0]
    (out / "split1" / "1" / "recordings").write_text(first + "\n")
    again = ["--nj", 1, "--resume", "true"]
    result = in_jobs(*again, options=["--target-energy", "x"])
    check_refused(result, "--target-energy")
    assert "stale" not in result.stderr
    assert not (out / "rttm").exists()
    assert done(in_jobs(*again))
    assert not (out / "scores.scp").exists()
    assert (out / "split8").exists()
    assert in_jobs("--nj", 1).returncode == 0
    names = {path.name for path in out.glob("split*")}
    assert names == {"split_audio", "split10utt", "split1"}


# ---- files of others ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [(".unfinished", "link"), (".unfinished/lock", "pipe"), (".", "file")],
)
def test_folder_that_cannot_be_locked_is_refused(folder, out, in_jobs, name, kind):
    odd, others = out / name, folder / "others"
    odd.parent.mkdir(parents=True, exist_ok=True)
    others.write_text("mine")
    make = {"link": lambda: odd.symlink_to(others), "pipe": lambda: os.mkfifo(odd)}
    make.get(kind, odd.touch)()
    result = in_jobs()
    assert result.returncode == 2
    said = f"cannot write to {out} ({out}/.unfinished/lock); take another folder\n"
    assert result.stderr.endswith(said)
    assert len(result.stderr.splitlines()) == 1
    assert others.read_text() == "mine"


def test_files_of_others_stay(out, in_jobs):
    out.mkdir()
    (out / "rttm").write_text("mine")
    check_refused(in_jobs(), "holds rttm that ")
    assert {path.name for path in out.iterdir()} == {"rttm"}
    assert (out / "rttm").read_text() == "mine"


@pytest.mark.parametrize(
    ("place", "resume"),
    [
        ("split2/1", "true"),
        ("split2/2", "false"),
        ("split2", "true"),
        ("elsewhere", "false"),
    ],
)
def test_folders_of_others_stay(out, in_jobs, place, resume):
    mine = out / place
    mine.mkdir(parents=True)
    if place == "elsewhere":
        (mine / "recordings").write_text("mine\n")
        (out / "split2").mkdir()
        (out / "split2" / "1").symlink_to(mine)
    (mine / "rttm").write_text("mine\n")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    result = in_jobs("--nj", 2, "--resume", resume, "--cmd", "true")
    check_refused(result, "is not of ")
    assert {path: path.read_bytes() for path in before} == before
    assert not (out / "split2" / "2" / "recordings").exists()


def test_scores_that_are_input_are_not_removed(out, in_jobs):
    options = ["--write-scores", "--system", "plda"]
    assert in_jobs("--nj", 1, options=options).returncode == 0
    before = {path: path.read_bytes() for path in out.rglob("scores.*")}
    assert len(before) == 3
    scores = out / "scores.scp"
    for given in (["--plda-scores", scores], [f"--plda-scores=scp:{scores}"]):
        result = in_jobs("--nj", 1, options=given)
        check_refused(result, f"{scores} is read, and would be lost")
    assert {path: path.read_bytes() for path in before} == before
    # They are the jobs' own, and go with these.
    assert in_jobs("--nj", 2, "--cmd", "false").returncode == 2
    assert not [path for path in before if path.exists()]
