"""The HTML report: complete, safe, deterministic, and open about what is missing."""

import json
import re
import shutil
from base64 import b64decode
from hashlib import sha256

import pytest
from click.testing import CliRunner
from html_page import Page

import ssahc as package
from ssahc.cli import cli
from ssahc.io.model import write_model_dir
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.io.xvector_writer import write_xvector_dir

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """A finished run on a folder, and the reference."""
    path = tmp_path_factory.mktemp("report")
    conversations = corpus["a"].conversations
    write_xvector_dir(path / "x", [item.recording for item in conversations])
    write_model_dir(path / "model", corpus["b"].model)
    write_rttm(path / "ref", {item.recording.id: item.turns for item in conversations})
    options = ["--system", "cosine", "--threshold", "0.3"]
    arguments = [f"{path}/x", f"{path}/out", "--model-dir", f"{path}/model", *options]
    assert CliRunner().invoke(cli, ["diarize", *arguments]).exit_code == 0
    return path


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the run that a test may break."""
    shutil.copytree(finished, tmp_path / "r")
    config = tmp_path / "r" / "out" / "config.toml"
    config.write_text(config.read_text().replace(str(finished), str(tmp_path / "r")))
    return tmp_path / "r"


@pytest.fixture
def report(run, ssahc_here):
    """Write the report of the run; return exit status, errors, the page's text."""

    def write(*options):
        page = run / "out" / "report.html"
        page.unlink(missing_ok=True)
        result = ssahc_here("report", run / "out", "--ref", run / "ref", *options)
        text = page.read_text() if page.exists() else ""
        return result.returncode, result.stderr, text

    return write


def digest(affinity, segments):
    return sha256(affinity.dense().tobytes() + segments.tobytes()).digest()


@pytest.fixture
def digests(monkeypatch):
    """Have digests of matrices take the place of their pictures, to save time."""
    monkeypatch.setattr(
        "ssahc.report.affinity.encode_affinity",
        lambda affinity, segments, turns, found=False: digest(affinity, segments),
    )


def test_the_report_agrees_with_score(run, report, ssahc_here):
    for options in ([], ["--collar", 0, "--score-overlaps"]):
        status, errors, text = report("--no-affinities", *options)
        assert (status, errors) == (0, "")
        output = ssahc_here("score", run / "ref", run / "out/rttm", "--json", *options)
        score = json.loads(output.stdout)
        assert f"<b>{score['pooled']['der']:.2f}</b> % DER" in text
        rates = {name: row["der"] for name, row in score["recordings"].items()}
        assert Page(text).order == sorted(rates, key=lambda name: -rates[name])
        for name, rate in rates.items():
            assert re.search(rf">{name}</a></td><td>{rate:.2f}</td>", text)
        assert "Affinities are not shown." in text
        assert "<dt>threshold</dt><dd>0.3</dd>" in text


def test_without_a_reference_it_shows_turns_speakers_and_doubtful_spots(
    run, ssahc_here, digests
):
    result = ssahc_here("report", run / "out")
    assert (result.returncode, result.stderr) == (0, "")
    text = (run / "out" / "report.html").read_text()
    page = Page(text)
    turns = read_rttm(run / "out" / "rttm").turns
    assert sorted(page.order) == sorted(turns)
    assert len(page.images) == len(turns)
    for name, group in turns.items():
        seconds = sum(turn.end - turn.start for turn in group)
        assert f"{seconds:.2f} s of speech in {len(group)} turns of " in text
        mine = sum(turn.end - turn.start for turn in group if turn.speaker == "1")
        share = f"</i>1</td><td>{100 * mine / seconds:.1f}</td><td>{mine:.2f}</td>"
        assert share in text, name
    assert text.count("Doubtful: ") + text.count("Nothing is doubtful.") == len(turns)
    assert "<dt>threshold</dt><dd>0.3</dd>" in text
    assert "of all 3 recordings (--affinities)." in text
    shown = {
        name: float(re.search(rf">{name}</a>.*<td>([0-9.]+)</td><td>.*</tr>", text)[1])
        for name in turns
    }
    assert page.order == sorted(turns, key=lambda name: shown[name])
    # Without confidence, doubts are unknown.
    (run / "out" / "confidence").unlink()
    assert ssahc_here("report", run / "out", "--no-affinities").returncode == 0
    text = (run / "out" / "report.html").read_text()
    assert "doubtful." not in text
    assert "How sure the speakers are is not known" in text
    assert Page(text).images == []


def test_how_sure_the_numbers_of_speakers_are(run, report, ssahc_here):
    path = run / "out" / "speaker_posterior"
    name, *_ = turns = read_rttm(run / "out" / "rttm").turns
    count = len({turn.speaker for turn in turns[name]})

    def pages():
        with_reference = report("--no-affinities")
        result = ssahc_here("report", run / "out", "--no-affinities")
        page = (run / "out" / "report.html").read_text()
        return with_reference, (result.returncode, result.stderr, page)

    for status, errors, text in pages():
        assert (status, errors) == (0, "")
        assert "is not known: there is no" in text
        assert "<th>sure" not in text
    path.write_text(f"{name} 90:0.170 {count}:0.810 80:0.020\n")
    for status, errors, text in pages():
        assert (status, errors) == (0, "")
        assert text.count("<th>sure<small>%</small></th>") == 1
        assert f"{count} speakers (81 %; 90: 17 %)" in text
        assert len(re.findall("<td>81</td>", text)) == 1
    path.write_text(f"{name} {count}:much\n")
    for status, errors, text in pages():
        assert status == 0
        assert f"{path}:1: key '{name}': expected a number of speakers" in errors
        assert "is not known: " in text
        assert len(Page(text).order) == 3


def test_affinities_of_the_recordings_with_the_highest_der(report):
    status, errors, text = report("--affinities", 1)
    assert (status, errors) == (0, "")
    page = Page(text)
    assert len(page.images) == 1
    assert page.images[0].startswith("data:image/png;base64,iVBORw0KGgo")
    assert f"Affinities of {page.order[0]}," in text
    assert "the 1 of 3 recordings with the highest DER (--affinities)." in text


def test_affinities_are_computed_or_stored_ones_of_the_run(
    run, report, ssahc_here, digests
):
    def images():
        status, _, text = report()
        assert status == 0
        return [b64decode(image.split(",")[1]) for image in Page(text).images]

    computed = images()
    options = package.make_options(system="cosine", threshold=0.3)
    model = package.read_model_dir(run / "model")
    results = [
        package.diarize_recording(recording, model, options)
        for recording in package.read_recordings(package.open_xvector_dir(run / "x"))
    ]
    expected = [digest(result.affinity, result.segments) for result in results]
    assert sorted(computed) == sorted(expected)
    # Scores of another run are not shown.
    whole = ("--model-dir", run / "model", "--system", "plda", "--write-scores")
    assert ssahc_here("diarize", run / "x", run / "other", *whole).returncode == 0
    for name in ("scores.ark", "scores.scp"):
        shutil.copy(run / "other" / name, run / "out")
    assert images() == computed
    # Those of this run need no x-vectors.
    again = ("--config", run / "out" / "config.toml", "--write-scores")
    assert ssahc_here("diarize", run / "x", run / "out", *again).returncode == 0
    for path in run.glob("x/*.ark"):
        path.unlink()
    assert images() == computed


def test_a_bad_xvector_costs_one_affinity(run, report, digests):
    entries = (run / "x" / "xvector.scp").read_text().splitlines(keepends=True)
    (run / "x" / "xvector.scp").write_text("".join(entries[1:]))
    status, errors, text = report()
    assert status == 1
    assert "no x-vector for utterance" in errors
    assert "No affinities: " in text
    assert "of all 3 recordings (--affinities), except 1" in text
    assert len(Page(text).images) == 2


def test_mismatches_with_the_reference_are_named(run, report):
    turns = read_rttm(run / "out" / "rttm").turns
    turns["other"] = turns.pop("a001")
    write_rttm(run / "out" / "rttm", turns)
    status, _, text = report("--no-affinities")
    assert status == 0
    assert "Not in the hypothesis, counted as missed: a001." in text
    assert "In the hypothesis alone, not scored: other." in text
    row = re.search(r">a001</a> <em>missing</em></td><td>([\d.]+)<", text)
    assert row[1] == "100.00"


def test_without_usable_xvectors_or_config_the_rest_is_shown(run, report):
    config = run / "out" / "config.toml"
    for spoil, reason in (
        (lambda: shutil.rmtree(run / "x"), "Affinities are not available: .*/x"),
        (config.unlink, "settings are not available: .*no such file"),
        (lambda: config.write_text("= 3"), "settings are not avail.*not a TOML file"),
        (lambda: config.write_text("read_costs = true"), "not available: .*read_costs"),
        (lambda: config.write_text('system = "plda"'), "available: .*x-vector folder"),
    ):
        spoil()
        status, errors, text = report()
        assert status == 0
        assert "left out" in errors
        assert re.search(reason, text.replace("&#39;", "'"))
        assert Page(text).images == []
        assert len(Page(text).order) == 3


def test_the_page_may_be_written_elsewhere(run, ssahc_here):
    arguments = ("report", run / "out", "--ref", run / "ref", "--no-affinities")
    assert ssahc_here(*arguments, "--output", run / "p.html").returncode == 0
    assert Page((run / "p.html").read_text()).order
    assert not (run / "out" / "report.html").exists()


def test_faults_are_named_and_nothing_is_written(run, ssahc_here, monkeypatch):
    for arguments, message in (
        (("out", "--collar", 1), "without --ref nothing is scored; leave out --collar"),
        (("nowhere", "--ref", "ref"), "nowhere: no such folder"),
        (("x", "--ref", "ref"), "x/rttm: no such file"),
        (("out", "--ref", "ref", "--output", "no/p.html"), "no: no such folder"),
        (("out", "--ref", "ref", "--output", "ref"), "ref: the name of a report ends"),
        (("out", "--ref", "ref", "--collar", 99), "no reference speech"),
        (("out", "--ref", "ref", "--affinities", -1), "x>=0"),
    ):
        result = ssahc_here("report", *arguments, cwd=run)
        assert result.returncode == 2
        assert message in result.stderr
    for library in ("jinja2", "matplotlib"):
        monkeypatch.setattr(
            "ssahc.report.figure.find_spec",
            lambda name, missing=library: None if name == missing else name,
        )
        result = ssahc_here("report", "out", "--ref", "ref", cwd=run)
        assert result.returncode == 2
        assert f"need {library}: pip install 'ssahc[plots]'" in result.stderr
    assert not list(run.rglob("*.html"))
