"""The command `python -m benchmarks`, and the accuracy benchmark on tiny sets."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from joblib import Memory, Parallel

from benchmarks import accuracy
from benchmarks.__main__ import BENCHMARKS, STUDIES
from benchmarks.support import halves, sets
from ssahc import Score, SpeakerOptions, diarize_recording, make_options, score_corpus

ROOT = Path(__file__).parents[2]
SYSTEMS = {
    "cosine": make_options(system="cosine"),
    "plda": make_options(system="plda"),
    "spectral": make_options(system="spectral"),
}


def test_command_lists_every_benchmark_and_describes_one():
    def ask(*words):
        command = [sys.executable, "-m", "benchmarks", *words, "--help"]
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    modules = {
        path.stem
        for folder in (ROOT / "benchmarks", ROOT / "benchmarks" / "studies")
        for path in folder.glob("*.py")
        if "def main(" in path.read_text()
    }
    listed = ask()
    assert modules - {"__main__"} == {*BENCHMARKS, *STUDIES}
    assert all(f"\n  {name} " in listed for name in (*BENCHMARKS, *STUDIES))
    assert "--kills" in ask("interrupt")


# ---- accuracy ----------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_waiting_for_torch(monkeypatch):
    monkeypatch.setattr(halves, "_warm_up", lambda: None)


def draw(given="other"):
    return sets.simulated(given, recordings=2, duration=20.0, dim=16)(Path(), 0)


def run(drawn, systems, memory=None):
    memory = Memory(memory, verbose=0)
    return accuracy.run_set("s", drawn, systems, memory, Parallel(1))["s"]


def score(items, options, *, known=False):
    """Score recordings from their turns, one by one; also count speakers in excess."""
    turns, excess = {}, []
    for item in items:
        if known:
            options = replace(options, speakers=SpeakerOptions(item.count))
        answer = diarize_recording(item.recording, item.model, options)
        turns[item.recording.id] = answer.turns
        excess.append(answer.num_speakers - item.count)
    reference = {item.recording.id: item.turns for item in items}
    return sum(score_corpus(reference, turns).values(), Score()).der, excess


def test_figures_equal_those_of_separate_runs():
    drawn = draw()
    items = [item for half in drawn.values() for item in half]
    results = run(drawn, SYSTEMS)
    for name, row in results.items():
        rate, excess = score(items, SYSTEMS[name])
        assert row.rate("estimated") == pytest.approx(rate)
        assert list(row.excess) == excess
        rate, _ = score(items, SYSTEMS[name], known=True)
        assert row.rate("known N") == pytest.approx(rate)
    assert results["spectral"].thresholds == "eigengap"


def test_thresholds_are_tuned_on_the_other_half(monkeypatch):
    monkeypatch.setattr(accuracy, "THRESHOLDS", [-1.0, -0.2, 0.0, 0.2, 0.4, 1.0])
    drawn = draw()
    row = run(drawn, {"cosine": SYSTEMS["cosine"]})["cosine"]
    held_out = {"a": row.scores["held-out"][:2], "b": row.scores["held-out"][2:]}

    def rate(half, threshold):
        options = make_options(system="cosine", threshold=threshold)
        return score(drawn[half], options)[0]

    for half, other, value in zip("ab", "ba", row.thresholds.split(), strict=True):
        rates = [rate(other, threshold) for threshold in accuracy.THRESHOLDS]
        assert rate(other, float(value)) == pytest.approx(min(rates))
        der = sum(held_out[half], Score()).der
        assert der == pytest.approx(rate(half, float(value)))


def test_systems_without_their_input_are_left_out(capsys):
    results = run(draw("whitening"), SYSTEMS)
    assert list(results) == ["cosine", "spectral"]
    results["default"] = results["spectral"]
    accuracy.show_rates({"s": results})
    accuracy.show_comparison({"s": results})
    printed = capsys.readouterr().out
    rates = [line.split("|") for line in printed.splitlines() if "cosine" in line]
    gap = results["default"].rate("known N") - results["cosine"].rate("known N")
    assert [line[2].strip() for line in rates] == ["cosine", *accuracy.CONDITIONS]
    assert float(rates[1][6]) == pytest.approx(gap, abs=0.006)


def test_cached_results_are_the_same(tmp_path, monkeypatch):
    systems = {"plda": SYSTEMS["plda"]}
    first = run(draw(), systems, tmp_path)
    monkeypatch.setattr(halves, "prepare_recording", None)
    assert run(draw(), systems, tmp_path) == first
