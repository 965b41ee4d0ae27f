"""The bench of benchmarks/accuracy.py, on a set as small as can be."""

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
from joblib import Memory, Parallel

from ssahc import Score, SpeakerOptions, diarize_recording, make_options, score_corpus

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SYSTEMS = {
    "cosine": make_options(system="cosine"),
    "plda": make_options(system="plda"),
    "spectral": make_options(system="spectral"),
}


@pytest.fixture
def bench(monkeypatch):
    """The modules accuracy and sets, with no waiting for torch."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    accuracy, halves, sets = map(
        importlib.import_module, ("accuracy", "halves", "sets")
    )
    monkeypatch.setattr(halves, "_warm_up", lambda: None)
    return accuracy, sets


def draw(sets, given="other"):
    return sets.simulated(given, recordings=2, duration=20.0, dim=16)(Path(), 0)


def count_speakers(items):
    return [len({turn.speaker for turn in item.turns}) for item in items]


def score(items, options, *, told=False):
    """Score recordings from their turns, one by one; also count the speakers."""
    answers = {}
    for item, count in zip(items, count_speakers(items)):
        speakers = SpeakerOptions(count) if told else options.speakers
        options = replace(options, speakers=speakers)
        answer = diarize_recording(item.recording, item.model, options)
        answers[item.recording.id] = answer
    reference = {item.recording.id: item.turns for item in items}
    turns = {name: answer.turns for name, answer in answers.items()}
    total = sum(score_corpus(reference, turns).values(), Score())
    return total.der, [answer.num_speakers for answer in answers.values()]


def test_figures_are_those_of_one_run_after_the_other(bench):
    accuracy, sets = bench
    halves = draw(sets)
    items = [item for half in halves.values() for item in half]
    results = accuracy.run_set("s", halves, SYSTEMS, Memory(None), Parallel(1))
    assert results.keys() == {"s"}
    for name, row in results["s"].items():
        rate, counts = score(items, SYSTEMS[name])
        assert row.rate("estimated") == pytest.approx(rate)
        assert list(row.excess) == [
            found - spoken for found, spoken in zip(counts, count_speakers(items))
        ]
        rate, _ = score(items, SYSTEMS[name], told=True)
        assert row.rate("known N") == pytest.approx(rate)
    assert results["s"]["spectral"].thresholds == "eigengap"


def test_thresholds_are_chosen_on_the_other_half(bench):
    accuracy, sets = bench
    halves = draw(sets)
    systems = {"cosine": SYSTEMS["cosine"]}
    results = accuracy.run_set("s", halves, systems, Memory(None), Parallel(1))
    row = results["s"]["cosine"]
    held_out = {"a": row.scores["held-out"][:2], "b": row.scores["held-out"][2:]}

    def rate(half, threshold):
        options = make_options(system="cosine", threshold=threshold)
        return score(halves[half], options)[0]

    for half, other, value in zip("ab", "ba", row.thresholds.split(), strict=True):
        rates = [rate(other, threshold) for threshold in accuracy.THRESHOLDS]
        assert rate(other, float(value)) == pytest.approx(min(rates))
        der = sum(held_out[half], Score()).der
        assert der == pytest.approx(rate(half, float(value)))


def test_systems_without_their_input_are_left_out(bench, capsys):
    accuracy, sets = bench
    halves = draw(sets, "whitening")
    results = accuracy.run_set("s", halves, SYSTEMS, Memory(None), Parallel(1))
    assert list(results["s"]) == ["cosine", "spectral"]
    results["s"]["default"] = results["s"]["spectral"]
    accuracy.show_rates(results)
    accuracy.show_comparison(results)
    printed = capsys.readouterr().out
    rates = [line.split("|") for line in printed.splitlines() if "cosine" in line]
    gap = results["s"]["default"].rate("known N") - results["s"]["cosine"].rate(
        "known N"
    )
    assert [line[2].strip() for line in rates] == ["cosine", *accuracy.CONDITIONS]
    assert float(rates[1][6]) == pytest.approx(gap, abs=0.006)


def test_what_is_cached_is_the_same(bench, tmp_path, monkeypatch):
    accuracy, sets = bench
    systems = {"plda": SYSTEMS["plda"]}

    def run():
        memory = Memory(tmp_path, verbose=0)
        return accuracy.run_set("s", draw(sets), systems, memory, Parallel(1))

    first = run()
    monkeypatch.setattr("halves.prepare_recording", None)
    assert run() == first
