"""The command line from simulated conversations to scores."""

import io
import json
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from click.testing import CliRunner
from kaldi_tables import read_labels, read_table

from ssahc import __version__
from ssahc.cli import VERBS, cli
from ssahc.cli.runner import length_of
from ssahc.core.types import Plda
from ssahc.io.model import read_model_dir, write_model_dir
from ssahc.io.rttm import read_rttm
from ssahc.io.text import read_spk2utt
from ssahc.pipeline.options import System
from ssahc.simulation.conversations import SimulateOptions


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A simulated corpus on disk."""
    path = tmp_path_factory.mktemp("corpus")
    size = ("--recordings=3", "--duration=60", "--dim=24", "--seed=3")
    run("simulate", path, *size)
    return path


def run(*arguments):
    """Run the command line once for all tests; it must print nothing."""
    command = [*map(str, arguments), "-q"]
    result = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert (result.exit_code, result.output) == (0, "")


@pytest.fixture(scope="module")
def diarized(folder, tmp_path_factory):
    """Clusters of the default affinity, known numbers of speakers, scores written."""
    out = tmp_path_factory.mktemp("out") / "run"
    model = ("--model-dir", folder / "model" / "b")
    counts = ("--reco2num-spk", folder / "a" / "reco2num_spk")
    options = ("--write-scores", "--resegmentation=none")
    run("diarize", folder / "a", out, *model, *counts, *options)
    return out


def test_help_of_a_process(ssahc):
    result = ssahc("--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert all(verb in result.stdout for verb in VERBS)


def test_bare_commands_show_their_help(ssahc_here):
    for command in ([], ["plot"]):
        bare, asked = ssahc_here(*command), ssahc_here(*command, "--help")
        assert (bare.returncode, bare.stderr) == (0, "")
        assert bare.stdout == asked.stdout


def test_wrong_usage_is_one_line(ssahc_here):
    for arguments, message in (
        (["bogus"], "No such command 'bogus'. See 'ssahc --help'."),
        (
            ["train_metric"],
            "No such command 'train_metric'. Did you mean 'train-metric'? See "
            "'ssahc --help'.",
        ),
        (["score"], "Missing argument 'REF_RTTM'. See 'ssahc score --help'."),
    ):
        result = ssahc_here(*arguments)
        assert result.returncode == 2
        assert result.stderr == f"ssahc: error: {message}\n"


@pytest.mark.parametrize("option", ["--seed", "--duration"])
def test_numbers_are_read_as_in_files(ssahc_here, tmp_path, option):
    for number in ("1_0", "\N{FULLWIDTH DIGIT FOUR}0", "ten"):
        result = ssahc_here("simulate", tmp_path / "out", option, number)
        assert result.returncode == 2
        assert f"'{option}': {number!r} is not a valid" in result.stderr
        assert not (tmp_path / "out").exists()


def test_python_dash_m_is_the_same():
    command = [sys.executable, "-P", "-m", "ssahc", "-V"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == f"ssahc, version {__version__}\n"


def test_diarize_writes_rttm_labels_and_options(folder, diarized):
    names = {path.name for path in diarized.iterdir()}
    assert names == {
        *("rttm", "labels", "confidence", "config.toml", "scores.ark", "scores.scp")
    }
    rttm = read_rttm(diarized / "rttm")
    utterances = read_spk2utt(folder / "a" / "spk2utt")
    assert set(rttm.turns) == set(utterances)
    labels = read_labels(diarized / "labels")
    assert list(labels) == [u for group in utterances.values() for u in group]
    values = tomllib.loads((diarized / "config.toml").read_text())
    assert values["fusion_weight"] == 0.5


def test_written_scores_cluster_to_the_same_labels(folder, diarized, tmp_path):
    x = folder / "a"
    options = ("--reco2num-spk", x / "reco2num_spk", "--segments", x / "segments")
    run("cluster", diarized / "scores.scp", x / "spk2utt", tmp_path, *options)
    for name in ("labels", "rttm"):
        assert (tmp_path / name).read_bytes() == (diarized / name).read_bytes()


def test_a_table_of_speakers_holds_instead_of_one_number(
    ssahc_here, folder, diarized, tmp_path
):
    x = folder / "a"
    both = ("--num-speakers", 1, "--reco2num-spk", x / "reco2num_spk")
    scores = diarized / "scores.scp"
    result = ssahc_here("cluster", scores, x / "spk2utt", tmp_path, *both)
    assert result.returncode == 0
    assert result.stderr.startswith("ssahc: --num-speakers is not used: --reco2num-spk")
    assert (tmp_path / "labels").read_bytes() == (diarized / "labels").read_bytes()


def test_lengths_are_in_hours_from_a_tenth_on():
    assert [length_of(seconds) for seconds in (20.4, 360, 7000)] == [
        "20 s",
        "0.10 h",
        "1.94 h",
    ]


def test_a_finished_run_ends_with_one_line_that_sums_it_up(
    ssahc_here, folder, tmp_path
):
    x, out = folder / "a", tmp_path / "out"
    model = ("--model-dir", folder / "model" / "b", "--num-speakers", 2)
    result = ssahc_here("diarize", x, out, *model)
    turns = [turn for turns in read_rttm(out / "rttm").turns.values() for turn in turns]
    seconds = sum(turn.end - turn.start for turn in turns)
    whole = f"3 recordings, 6 speakers, {seconds:.0f} s of speech in "
    assert re.fullmatch(
        f"ssahc: diarized {whole}[0-9.]+ s; turns are in {out}/rttm\n", result.stderr
    )
    (tmp_path / "names").write_text("a000\na001\n")
    again = ssahc_here("diarize", x, out, *model, "--recordings", tmp_path / "names")
    assert "diarized 2 recordings, 4 speakers, " in again.stderr


def test_the_output_must_not_be_among_the_xvectors(ssahc_here, folder):
    before = sorted((folder / "a").iterdir())
    for command in (("diarize",), ("tune", folder / "a" / "ref.rttm")):
        verb, *more = command
        result = ssahc_here(verb, folder / "a", *more, folder / "b" / ".." / "a")
        assert result.returncode == 2
        assert "holds the x-vectors; choose another OUT_DIR" in result.stderr
    assert sorted((folder / "a").iterdir()) == before


def test_old_names_of_options_work_with_a_warning(ssahc_here, tmp_path):
    size = ("--recordings=1", "--duration=30", "--dim=4", "--train-speakers=0")
    (tmp_path / "new.toml").write_text("min_speakers = 3\nmax_speakers = 3\n")
    (tmp_path / "old.toml").write_text("fewest_speakers = 3\nmost_speakers = 3\n")
    flags, archives = ("--fewest-speakers=3", "--most-speakers", 3), set()
    for name, options, warned in (
        ("new", ("--config", tmp_path / "new.toml"), False),
        ("flags", flags, True),
        ("file", ("--config", tmp_path / "old.toml"), True),
        ("quiet", (*flags, "-q"), False),
    ):
        result = ssahc_here("simulate", tmp_path / name, *size, *options)
        assert result.returncode == 0
        assert len(re.findall("use (--)?max.speakers", result.stderr)) == warned
        archives.add((tmp_path / name / "a" / "xvector.ark").read_bytes())
    assert len(archives) == 1
    dask = ("--cluster", "nowhere")
    result = ssahc_here("diarize", tmp_path / "new" / "a", tmp_path / "out", *dask)
    message = "--dask must be dask://HOST:PORT or tcp://HOST:PORT, found 'nowhere'"
    assert message in result.stderr


def test_config_repeats_a_run(folder, diarized, tmp_path):
    again = tmp_path / "again"
    run("diarize", folder / "a", again, "--config", diarized / "config.toml")
    for path in diarized.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_values_chosen_for_another_system_are_reported(ssahc_here, folder, tmp_path):
    config = tmp_path / "mine.toml"
    config.write_text('system = "ssahc"\nresegmentation = "vb"\nthreshold = 0.3\n')
    run = ("diarize", folder / "a", tmp_path / "out", "--config", config)
    model = ("--model-dir", folder / "model" / "b")
    result = ssahc_here(*run, *model, "--system", "cosine")
    assert result.stderr.splitlines()[:-1] == [
        f"ssahc: {name} is from {config}, where it goes with --system ssahc; "
        f"--{name.split()[0]} sets it for cosine"
        for name in ("threshold 0.3", "resegmentation vb")
    ]
    said = ("--system", "cosine", "--threshold", "0.1", "--resegmentation", "none")
    for options in (said, ("--system", "spectral")):
        (line,) = ssahc_here(*run, *model, *options).stderr.splitlines()
        assert line.startswith("ssahc: diarized 3 recordings, ")


def test_the_system_of_a_run_without_a_model_is_reported(ssahc_here, folder, tmp_path):
    assert ssahc_here("diarize", folder / "a", tmp_path / "out").returncode == 0
    config = tmp_path / "out" / "config.toml"
    run = ("diarize", folder / "a", tmp_path / "again", "--config", config)
    model = ("--model-dir", folder / "model" / "b")
    first, *_ = ssahc_here(*run, *model).stderr.splitlines()
    assert first.startswith(f"ssahc: system cosine is from {config}, a run without a ")


def test_verbose_shows_what_was_learned(ssahc_here, folder, tmp_path):
    shutil.copytree(folder / "model" / "b", tmp_path / "model")
    (tmp_path / "model" / "plda").unlink()
    arguments = ("diarize", folder / "a", tmp_path / "out", "--model-dir")
    result = ssahc_here(*arguments, tmp_path / "model", "-v")
    assert result.returncode == 0
    assert "holds no plda" in result.stderr
    pattern = (
        r"recording 'a00\d', period 1: \d+ clusters, losses (0\.\d{3} ?)+, "
        r"learned: (eta|max steps)"
    )
    assert len(re.findall(pattern, result.stderr)) == 3
    assert ssahc_here(*arguments, tmp_path / "model", "-q").stderr == ""
    early = ssahc_here("-v", *arguments, tmp_path / "model")
    assert len(re.findall(pattern, early.stderr)) == 3


def test_options_take_effect(ssahc_here, folder, tmp_path):
    base = ("diarize", folder / "a", tmp_path, "--model-dir", folder / "model" / "b")
    for options, count in (
        (("--num-speakers", 3), 3),
        (("--threshold", 9, "--max-speakers", 2), 2),
    ):
        options = ("--system", "cosine", "--rttm-channel", "1", *options)
        assert ssahc_here(*base, *options).returncode == 0
        rttm = read_rttm(tmp_path / "rttm")
        assert set(rttm.channels.values()) == {"1"}
        for turns in rttm.turns.values():
            assert len({turn.speaker for turn in turns}) == count


def test_score_prints_a_table_and_json(ssahc_here, folder, diarized):
    arguments = ("score", folder / "a" / "ref.rttm", diarized / "rttm")
    table = ssahc_here(*arguments)
    assert table.returncode == 0
    document = json.loads(ssahc_here(*arguments, "--json").stdout)
    pooled = document["pooled"]["der"]
    assert re.search(rf"^pooled +{pooled:.2f} ", table.stdout, re.MULTILINE)
    assert len(document["recordings"]) == 3
    scored = json.loads(ssahc_here(*arguments, "--json", "--score-overlaps").stdout)
    assert scored["pooled"]["scored"] > document["pooled"]["scored"]


def test_score_refuses_another_channel(ssahc_here, folder, diarized, tmp_path):
    text, hypothesis = (diarized / "rttm").read_text(), tmp_path / "rttm"
    for changed, message in (
        (text.replace(" 0 ", " 1 ", 1), "is on channel"),
        (re.sub(r"^(SPEAKER \S+) 0", r"\1 1", text, flags=re.M), "--rttm-channel 0"),
    ):
        hypothesis.write_text(changed)
        result = ssahc_here("score", folder / "a" / "ref.rttm", hypothesis)
        assert result.returncode == 2
        assert message in result.stderr


def test_demo_scores_every_system(ssahc_here, tmp_path, monkeypatch):
    small = SimulateOptions(recordings=2, duration=60)
    monkeypatch.setattr("ssahc.cli.demo._CORPUS", small)
    result = ssahc_here("demo", tmp_path / "demo")
    assert result.returncode == 0
    row = r"^(\S+) +(\d+\.\d\d) +(\d+\.\d\d)$"
    rates = re.findall(row, result.stdout, re.MULTILINE)
    assert [row[0] for row in rates] == list(get_args(System))
    assert all(0 <= float(rate) < 25 for row in rates for rate in row[1:])
    assert (tmp_path / "demo" / "a000.png").read_bytes().startswith(b"\x89PNG")
    assert len(read_rttm(tmp_path / "demo" / "ssahc-known" / "rttm").turns) == 4


def test_costs_give_kaldis_labels(ssahc_here, golden, tmp_path):
    folder = golden / "ahc_random"
    inputs = (f"ark:{folder / 'scores.ark'}", f"ark,t:{folder / 'reco2utt'}")
    counts = f"--reco2num-spk=ark,t:{folder / 'num3'}"
    for name, options in (
        ("t0.5", ("--threshold", 0.5)),
        ("costs_t0.5", ("--threshold", 0.5, "--read-costs")),
        ("costs_t0.5", ("--threshold=0.5", "--read-costs=true")),
        ("t0.5", ("--threshold=0.5", "--read-costs=false")),
        ("t-0.25_fp5", ("--threshold=-0.25", "--first-pass-max-utterances", 5)),
        ("k3_frac0.4", (counts, "--max-spk-fraction", 0.4)),
    ):
        result = ssahc_here("cluster", *inputs, tmp_path, *options)
        assert result.returncode == 0
        # A few of these matrices are smaller than the number of speakers wanted.
        assert all("speakers wanted" in line for line in result.stderr.splitlines())
        theirs = (folder / f"labels_{name}").read_bytes()
        assert (tmp_path / "labels").read_bytes() == theirs


def test_scores_are_kaldis_when_written(test_data, tmp_path):
    data = test_data / "data"
    model = ("--model-dir", data / "callhome_model" / "callhome2")
    options = ("--write-scores", "--target-energy=0.5", "--threshold=0")
    run("diarize", data / "callhome_real", tmp_path, "--system=plda", *model, *options)
    folder = test_data / "golden" / "callhome_real" / "scores_te0.5"
    for name in ("rttm", "labels"):
        theirs = (folder / f"{name}_t0").read_bytes()
        assert (tmp_path / name).read_bytes() == theirs
    ours = dict(read_table(tmp_path / "scores.scp", "matrix"))
    for recording, matrix in read_table(folder / "scores.ark", "matrix"):
        assert abs(ours[recording] - matrix).max() < 2e-5


def test_names_that_a_terminal_cannot_show_are_escaped(
    ssahc_here, tmp_path, monkeypatch
):
    ref, printed = tmp_path / "ref", io.BytesIO()
    ref.write_text("SPEAKER \u00e9 1 0 9 <NA> <NA> a <NA> <NA>\n")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert ssahc_here("score", ref, ref).returncode == 0
    sys.stdout.flush()
    assert rb"\xe9" in printed.getvalue()


def test_channels_of_a_uem_are_compared_as_by_md_eval(ssahc_here, md_eval, tmp_path):
    line = "SPEAKER r A 0 {} <NA> <NA> x <NA> <NA>\n"
    (tmp_path / "ref").write_text(line.format(10))
    (tmp_path / "hyp").write_text(line.format(4))
    for order in (1, -1):
        (tmp_path / "uem").write_text("".join(["r A 0 5\n", "r a 5 10\n"][::order]))
        arguments = ("ref", "hyp", "--uem", "uem", "--collar", 0, "--json")
        result = ssahc_here("score", *arguments, cwd=tmp_path)
        assert json.loads(result.stdout)["pooled"]["der"] == 60
        theirs = subprocess.run(
            [md_eval, *"-1 -c 0 -r ref -s hyp -u uem".split()],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "DIARIZATION ERROR = 60.00 percent" in theirs.stdout


def test_a_plda_of_unit_length_vectors_is_told_once_and_gives_the_same_labels(
    ssahc_here, folder, tmp_path
):
    model = read_model_dir(folder / "model" / "b")
    plda, root = model.plda, np.sqrt(24)
    unit = Plda(plda.mean / root, plda.transform * root, plda.psi)
    write_model_dir(tmp_path / "unit", replace(model, plda=unit))
    labels = []
    for path, told in ((folder / "model" / "b", 0), (tmp_path / "unit", 1)):
        out = tmp_path / f"out{told}"
        result = ssahc_here("diarize", folder / "a", out, "--model-dir", path)
        assert result.returncode == 0
        assert result.stderr.count("x-vectors of length 1, not sqrt(24)") == told
        labels.append((out / "labels").read_text())
    assert labels[0] == labels[1]
