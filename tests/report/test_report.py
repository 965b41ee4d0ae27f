"""The page of a run: complete, safe, the same every time, and honest about gaps."""

import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ssahc as package
from ssahc.core.errors import printable
from ssahc.core.types import Turn
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.io.xvectors import open_xvector_dir, read_recordings
from ssahc.report.page import RecordingEntry, RunReport, rank, render
from ssahc.report.svg import lay_out
from ssahc.scoring.der import Score, ScoringOptions
from ssahc.scoring.error_spans import find_errors

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
HOSTILE = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What is looked for in a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.ids, self.links, self.images, self.rows = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes["src"])

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "a" and self.links[-1] != "#top":
            self.rows.append(data.strip())

    @property
    def order(self):
        """Recordings in the order of the table."""
        return [text for text in self.rows if text]


def make_report(**changes):
    reference = [Turn(0, 4, "A"), Turn(4, 8, "B")]
    values = {
        "title": "out",
        "sources": {"Reference": "ref.rttm"},
        "options": ScoringOptions(collar=0),
        "settings": {"system": "plda"},
        "entries": [
            RecordingEntry(
                name, find_errors(reference, hypothesis, ScoringOptions(collar=0))
            )
            for name, hypothesis in {
                "good": reference,
                "bad": [Turn(0, 8, "1")],
                HOSTILE: [Turn(0, 5, "<i>one"), Turn(5, 8, "2")],
            }.items()
        ],
    }
    return RunReport(**values | changes)


def test_recordings_are_listed_worst_first_and_linked():
    page = Page(render(make_report()))
    assert page.order == ["bad", HOSTILE, "good"]
    targets = [link.removeprefix("#") for link in page.links]
    assert set(targets) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_ranks_of_equal_and_of_missing_rates():
    scores = {"b": Score(1), "nothing": Score(), "a": Score(1), "c": Score(1, 1)}
    assert rank(scores) == ["c", "a", "b", "nothing"]


def test_names_are_text_not_markup():
    report = make_report(
        title=HOSTILE,
        settings={HOSTILE: HOSTILE},
        sources={HOSTILE: HOSTILE},
        notes=[HOSTILE],
    )
    text = render(report)
    assert HOSTILE not in text
    assert Page(text).tags.count("script") == 1
    assert "<i>one" not in text


@pytest.mark.parametrize("name", ["s\x01", "a\x1bb", "\udcff"])
def test_what_does_not_print_is_escaped(name):
    turns = [Turn(0, 5, name)]
    report = make_report(
        title=name,
        settings={name: name},
        sources={name: name},
        entries=[
            RecordingEntry(name, find_errors(turns, turns, ScoringOptions()), note=name)
        ],
        notes=[name],
    )
    text = render(report)
    assert name not in text
    # In the table, the headings, the timeline and its title, and all else above.
    assert text.count(printable(name)) >= 10
    assert "\n" in text


def test_nothing_is_loaded_from_elsewhere():
    text = render(make_report(entries=[*make_report().entries]))
    policy = re.search(r'Security-Policy" content="([^"]+)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "url(" not in text
    assert "@import" not in text


def test_bars_are_in_place():
    text = render(make_report())
    titles = re.findall(
        r'<rect x="([\d.]+)" width="([\d.]+)"[^>]*><title>([^<]+)', text
    )
    # 8 seconds on 920 pixels; the hypothesis has speaker 1 all the time.
    assert ("0", "920", "0.00\N{EN DASH}8.00 s: 1, mapped to A") in titles
    assert ("460", "460", "4.00\N{EN DASH}8.00 s: B confused with 1") in titles


@pytest.mark.parametrize(
    ("reference", "uem"),
    [
        ([Turn(3, 3, "A")], None),
        ([Turn(0, 0.4, "A")], None),
        ([], [(0, 5)]),
        ([Turn(0, 1e5, "A")], None),
    ],
)
def test_odd_recordings(reference, uem):
    both = find_errors(reference, [Turn(3, 3.5, "1")], ScoringOptions(), uem=uem)
    report = make_report(entries=[RecordingEntry("odd", both)])
    assert Page(render(report)).order == ["odd"]
    drawing = lay_out(both)
    assert 920 <= drawing.width <= 20000
    assert 0 < len(drawing.ticks) < drawing.width / 60


def test_same_report_same_page():
    first = render(make_report())
    render(make_report(title="another"))
    assert render(make_report()) == first


def test_package_data_is_complete():
    """What the page is made of is in the wheel."""
    root = Path(package.__file__).parent
    pyproject = root.parent / "pyproject.toml"
    if not pyproject.is_file():
        pytest.skip("the package is installed, not a source tree")
    settings = tomllib.loads(pyproject.read_text())["tool"]["setuptools"]
    packed = {
        path
        for pattern in settings["package-data"]["ssahc"]
        for path in root.glob(pattern)
    }
    others = {
        path
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".py" and path.parent.name != "__pycache__"
    }
    assert others == packed


# ---- the command line --------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """A run on a folder, with scores; and the reference."""
    from click.testing import CliRunner

    from ssahc.cli import cli
    from ssahc.io.model import write_model_dir
    from ssahc.io.xvectors import write_xvector_dir

    path = tmp_path_factory.mktemp("report")
    conversations = corpus["a"].conversations
    write_xvector_dir(path / "x", [item.recording for item in conversations])
    write_model_dir(path / "model", corpus["b"].model)
    write_rttm(path / "ref", {item.recording.id: item.turns for item in conversations})
    result = CliRunner().invoke(
        cli,
        [
            "diarize",
            f"{path}/x",
            f"{path}/out",
            "--model-dir",
            f"{path}/model",
            "--system",
            "cosine",
            "--threshold",
            "0.3",
        ],
    )
    assert result.exit_code == 0
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


def test_page_says_what_score_says(run, report, ssahc_here):
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
        assert "Affinities are left out." in text
        assert "<dt>threshold</dt><dd>0.3</dd>" in text


def test_affinities_of_the_worst(run, report, ssahc_here):
    status, errors, text = report("--affinities", 1)
    assert (status, errors) == (0, "")
    page = Page(text)
    assert len(page.images) == 1
    assert page.images[0].startswith("data:image/png;base64,iVBORw0KGgo")
    worst = page.order[0]
    assert f"Affinities of {worst}," in text
    assert "Affinities are of the worst 1 of 3 recordings (--affinities)." in text
    assert len(Page(report()[2]).images) == len(page.order)


def test_affinities_are_those_of_the_run(run, report, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "ssahc.report.affinity.encode_affinity",
        lambda affinity, segments, turns: (
            drawn.setdefault(len(drawn), (affinity.dense(), segments)) and b""
        ),
    )
    report()
    recordings = list(read_recordings(open_xvector_dir(run / "x")))
    options = package.make_options(system="cosine", threshold=0.3)
    model = package.read_model_dir(run / "model")
    expected = [package.diarize_recording(item, model, options) for item in recordings]
    assert len(drawn) == len(expected)
    for matrix, segments in drawn.values():
        assert any(
            matrix.shape == result.affinity.dense().shape
            and (matrix == result.affinity.dense()).all()
            and (segments == result.segments).all()
            for result in expected
        )


def test_stored_affinities_need_no_vectors(run, report, ssahc_here):
    again = ("--config", run / "out" / "config.toml", "--write-scores")
    assert ssahc_here("diarize", run / "x", run / "out", *again).returncode == 0
    computed = report()[2]
    for path in run.glob("x/*.ark"):
        path.unlink()
    status, _, text = report()
    assert status == 0
    assert len(Page(text).images) == 3
    assert Page(text).images == Page(computed).images


def test_scores_of_another_run_are_not_shown(run, report, ssahc_here):
    own = report()[2]
    whole = ("--model-dir", run / "model", "--system", "plda", "--write-scores")
    assert ssahc_here("diarize", run / "x", run / "other", *whole).returncode == 0
    for name in ("scores.ark", "scores.scp"):
        shutil.copy(run / "other" / name, run / "out")
    assert Page(report()[2]).images == Page(own).images


def test_no_xvectors_no_affinities(run, report):
    shutil.rmtree(run / "x")
    status, errors, text = report()
    assert status == 0
    assert "affinities are left out" in errors
    assert re.search("There are no affinities: .*/x", text)
    assert Page(text).images == []
    assert len(Page(text).order) == 3


def test_one_bad_vector_costs_one_affinity(run, report):
    entries = (run / "x" / "xvector.scp").read_text().splitlines(keepends=True)
    (run / "x" / "xvector.scp").write_text("".join(entries[1:]))
    status, errors, text = report()
    assert status == 1
    assert "no x-vector for utterance" in errors
    assert "No affinities: " in text
    assert "Affinities are of all 3 recordings (--affinities), but for 1; there" in text
    assert len(Page(text).images) == 2


def test_differences_are_named(run, report):
    turns = read_rttm(run / "out" / "rttm").turns
    turns["other"] = turns.pop("a001")
    write_rttm(run / "out" / "rttm", turns)
    status, _, text = report("--no-affinities")
    assert status == 0
    assert "Not in the hypothesis, counted as missed: a001." in text
    assert "In the hypothesis alone, not scored: other." in text
    assert "all of it is missed" in text
    row = re.search(r">a001</a> <em>missing</em></td><td>([\d.]+)<", text)
    assert row[1] == "100.00"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "The settings are not known: .*no such file"),
        ("= 3", "The settings are not known: .*not a TOML file"),
        ("read_costs = false", "There are no affinities: .*read_costs.*unknown option"),
        ('system = "plda"', "There are no affinities: .*does not name its x-vector"),
    ],
)
def test_other_configs(run, report, config, reason):
    path = run / "out" / "config.toml"
    path.unlink()
    if config is not None:
        path.write_text(config)
    status, errors, text = report()
    assert status == 0
    assert "left out" in errors
    assert re.search(reason, text.replace("&#39;", "'"))


def test_hash_seeds_do_not_matter(run, ssahc, monkeypatch):
    pages = []
    for seed in "12":
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        arguments = ("--ref", run / "ref", "--no-affinities", "--score-overlaps")
        output = run / f"page{seed}.html"
        result = ssahc("report", run / "out", *arguments, "--output", output)
        assert result.returncode == 0, result.stderr
        pages.append(output.read_bytes())
    assert pages[0] == pages[1]
    assert not (run / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "out"), "Missing option '--ref'"),
        (("report", "nowhere", "--ref", "ref"), "nowhere: no such folder"),
        (("report", "x", "--ref", "ref"), "x/rttm: no such file"),
        (("report", "out", "--ref", "ref", "--output", "no/p.html"), "no: no such fol"),
        (("report", "out", "--ref", "ref", "--output", "ref"), "name ends in .html"),
        (("report", "out", "--ref", "ref", "--collar", 99), "no reference speech"),
        (("report", "out", "--ref", "ref", "--affinities", -1), "x>=0"),
    ],
)
def test_faults(run, ssahc_here, arguments, message):
    result = ssahc_here(*arguments, cwd=run)
    assert result.returncode == 2
    assert message in result.stderr
    assert not list(run.rglob("*.html"))


@pytest.mark.parametrize("library", ["jinja2", "matplotlib"])
def test_missing_libraries(report, monkeypatch, library):
    monkeypatch.setattr(
        "ssahc.report.figure.find_spec", lambda name: None if name == library else name
    )
    status, errors, text = report()
    assert (status, text) == (2, "")
    assert f"need {library}: pip install 'ssahc[plots]'" in errors
