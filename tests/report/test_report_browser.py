"""The report in a real browser."""

import json
import shutil

import pytest

from ssahc.core.types import Turn
from ssahc.report.doubt import Doubt
from ssahc.report.overview import TurnsEntry, TurnsReport
from ssahc.report.page import RecordingEntry, RunReport, render, render_turns
from ssahc.scoring.error_spans import find_errors
from ssahc.scoring.regions import ScoringOptions

pytest.importorskip("jinja2")
webdriver = pytest.importorskip("selenium.webdriver")
HOSTILE = "<script>document.title='broken-into'</script><img src=x onerror=alert(1)>"
DASH = "\N{EN DASH}"
FLAT = {2: 0.27, 3: 0.21, 4: 0.15, 5: 0.14, 6: 0.1, 7: 0.06}
REFERENCE = [Turn(0, 30, "A"), Turn(28, 60, "B"), Turn(60, 63, "A")]


def make_page(path):
    """Write a report on 30 recordings in order of ascending DER."""
    entries = []
    for place in range(30):
        name = HOSTILE if place == 29 else f"call{place:02}"
        hypothesis = [
            Turn(0, 30, "1"),
            Turn(30, 60 - place, HOSTILE),
            Turn(60 - place, 63, "1"),
        ]
        both = find_errors(REFERENCE, hypothesis, ScoringOptions())
        entries.append(RecordingEntry(name, both, posterior=FLAT))
    settings = {"system": "cosine", HOSTILE: HOSTILE}
    report = RunReport(
        HOSTILE, {"Reference": HOSTILE}, ScoringOptions(), settings, entries
    )
    path.write_text(render(report), encoding="utf-8")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Headless Chromium with the page open; requests and messages are recorded."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, found in programs.items():
        if found is None:
            pytest.skip(f"no {name}: install Debian's chromium and chromium-driver")
    path = tmp_path_factory.mktemp("browser")
    make_page(path / "report.html")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in (
        "headless=new",
        "no-sandbox",
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "window-size=1200,900",
        f"user-data-dir={path / 'profile'}",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    service = webdriver.ChromeService(programs["chromedriver"])
    driver = webdriver.Chrome(options, service)
    # Forget the requests of the empty window.
    driver.get("about:blank")
    driver.get_log("performance")
    driver.get((path / "report.html").as_uri())
    yield driver
    driver.quit()


def recordings(browser):
    """Recordings and error rates of the table, from the top."""
    rows = browser.execute_script(
        "return [...document.querySelectorAll('.sortable tbody tr')]"
        ".map(row => [row.cells[0].textContent.trim(), row.cells[1].textContent])"
    )
    return [(name, float(rate)) for name, rate in rows]


def test_the_page_sends_no_requests(browser):
    messages = [
        json.loads(entry["message"])["message"]
        for entry in browser.get_log("performance")
    ]
    asked = {
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    }
    asked = {url for url in asked if not url.startswith("data:")}
    assert asked == {browser.current_url}
    assert browser.get_log("browser") == []


def test_names_are_not_executed(browser):
    assert browser.title == f"{HOSTILE} {DASH} diarization report"
    assert browser.execute_script("return document.scripts.length") == 1
    # The content security policy would block them.
    browser.execute_script(
        "const s = document.createElement('script');"
        "s.textContent = 'document.title = \"broken-into\"';"
        "document.body.append(s)"
    )
    assert "broken-into" not in browser.title.replace(HOSTILE, "")
    assert any("Content Security" in e["message"] for e in browser.get_log("browser"))


def test_the_table_can_be_sorted(browser):
    rows = recordings(browser)
    assert len(rows) == 30
    assert rows[0][0] == HOSTILE
    rates = [rate for _, rate in rows]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 40 > rates[-1] == 0
    name, rate = browser.find_elements("css selector", ".sortable th")[:2]
    name.click()
    assert [row[0] for row in recordings(browser)] == sorted(
        (row[0] for row in rows), reverse=True
    )
    rate.click()
    assert recordings(browser) == rows or [r for _, r in recordings(browser)] == rates
    rate.click()
    assert [r for _, r in recordings(browser)] == rates[::-1]


def test_links_lead_to_their_recordings(browser):
    browser.find_element("link text", "call17").click()
    section = browser.execute_script("return document.querySelector(':target')")
    assert section.find_element("tag name", "h3").text.startswith("call17")
    top = browser.execute_script(
        "return arguments[0].getBoundingClientRect().top", section
    )
    assert -1 < top < 900


def test_the_report_without_a_reference_fits_the_window(browser, tmp_path):
    doubts = [Doubt(30, 31, HOSTILE, 0.3), Doubt(2, 3, "A", 0.6)]
    turns = [Turn(0, 30, "A"), Turn(28, 60, HOSTILE)]
    names = [f"call{n:02}" for n in range(30)]
    entries = [TurnsEntry(name, turns, doubts, posterior=FLAT) for name in names]
    page = tmp_path / "turns.html"
    report = TurnsReport(HOSTILE, "rttm", {"system": "plda"}, entries)
    page.write_text(render_turns(report), encoding="utf-8")
    first = browser.current_url
    browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.title == f"{HOSTILE} {DASH} diarization report"
    for width in (1280, 420):
        browser.set_window_size(width, 900)
        assert browser.execute_script(
            "return document.documentElement.scrollWidth <= innerWidth"
        )
    assert browser.get_log("browser") == []
    browser.get(first)


def test_the_page_fits_the_window(browser):
    for width in (1200, 420):
        browser.set_window_size(width, 900)
        inner, scroll = browser.execute_script(
            "return [innerWidth, document.documentElement.scrollWidth]"
        )
        assert scroll <= inner, browser.execute_script(
            "return [...document.querySelectorAll('body *')].filter("
            "e => e.getBoundingClientRect().right > innerWidth && "
            "!e.closest('.scroll')).map(e => e.outerHTML.slice(0, 80))"
        )
        assert not browser.execute_script(
            "return [...document.querySelectorAll('.names')].filter(names => {"
            "  const right = e => e.getBoundingClientRect().right;"
            "  const left = e => e.getBoundingClientRect().left;"
            "  const rows = [...names.querySelectorAll('b')].map(right);"
            "  const lanes = [...names.querySelectorAll('span')].map(left);"
            "  return lanes.length && Math.max(...rows) > Math.min(...lanes);"
            "}).length"
        ), "names of rows and of speakers overlap"
