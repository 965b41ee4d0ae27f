import re
import subprocess

import numpy as np
import pytest

from ssahc.errors import DataError, UsageError
from ssahc.io.rttm import read_rttm, write_rttm
from ssahc.scoring import Score, ScoringOptions, score_corpus, score_recording
from ssahc.types import Turn


def run_md_eval(md_eval, reference, hypothesis, *, collar, ignore_overlaps, uem=None):
    """Seconds as md-eval prints them: scored, missed, false alarm, confusion."""
    command = ["perl", md_eval, "-c", str(collar), "-r", reference, "-s", hypothesis]
    command += ["-1"] if ignore_overlaps else []
    command += ["-u", uem] if uem else []
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = ("SCORED SPEAKER", "MISSED SPEAKER", "FALARM SPEAKER", "SPEAKER ERROR")
    found = [re.search(rf"{name} TIME =\s*([\d.]+)", output) for name in names]
    return [float(match[1]) for match in found]


def random_turns(rng, speakers, *, same_speaker_gap):
    turns = []
    for speaker in range(speakers):
        clock = rng.uniform(0, 3)
        for _ in range(8):
            end = clock + 0.01 + rng.exponential(2)
            turns.append(Turn(round(clock, 2), round(end, 2), f"s{speaker}"))
            clock = end + same_speaker_gap + rng.exponential(1.5) * (rng.random() < 0.8)
    return turns


@pytest.mark.parametrize("seed", range(6))
def test_equals_md_eval(md_eval, tmp_path, seed):
    rng = np.random.default_rng(seed)
    # Recording c is not in the UEM: md-eval scores its whole reference.
    uem = {name: [(1.5, 12.25), (14.0, 35.0)] for name in "ab"}
    # Without a collar, md-eval -1 scores some overlapped speech next to the edge of a
    # UEM where two turns of one speaker touch; so here they never do.
    pairs = {
        name: (
            random_turns(rng, rng.integers(1, 5), same_speaker_gap=0.02),
            random_turns(rng, rng.integers(1, 5), same_speaker_gap=0.0),
        )
        for name in "abc"
    }
    files = tmp_path / "ref", tmp_path / "hyp", tmp_path / "uem"
    write_rttm(files[0], {name: pair[0] for name, pair in pairs.items()})
    write_rttm(files[1], {name: pair[1] for name, pair in pairs.items()})
    files[2].write_text(
        "".join(f"{n} 0 {a} {b}\n" for n, spans in uem.items() for a, b in spans)
    )
    reference, hypothesis = (read_rttm(path).turns for path in files[:2])
    for collar in (0.0, 0.25, 0.5):
        for ignore_overlaps in (True, False):
            for use_uem in (True, False):
                scores = score_corpus(
                    reference,
                    hypothesis,
                    ScoringOptions(collar, ignore_overlaps),
                    uem=uem if use_uem else None,
                )
                total = sum(scores.values(), Score())
                ours = total.scored, total.missed, total.false_alarm, total.confusion
                theirs = run_md_eval(
                    md_eval,
                    *files[:2],
                    collar=collar,
                    ignore_overlaps=ignore_overlaps,
                    uem=files[2] if use_uem else None,
                )
                assert ours == pytest.approx(theirs, abs=0.0101)


def test_hand_computed():
    reference = [Turn(0, 4, "A"), Turn(4, 8, "B")]
    hypothesis = [Turn(0, 5, "1"), Turn(5, 7, "2"), Turn(9, 10, "2")]
    score = score_recording(reference, hypothesis, ScoringOptions(collar=0))
    assert score == Score(scored=8, missed=1, false_alarm=0, confusion=1)
    assert score.der == 25


def test_mapping_sees_the_whole_span_before_the_collar():
    # Under the collar speaker 1 speaks longest with A; outside it, speaker 2 does.
    reference = [Turn(0, 2, "A")]
    hypothesis = [Turn(0, 0.5, "1"), Turn(0.5, 1.2, "2"), Turn(1.2, 2, "1")]
    score = score_recording(reference, hypothesis, ScoringOptions(collar=0.5))
    assert score.confusion == pytest.approx(0.7)


def test_scores_pool_as_seconds():
    total = Score(10, 1, 2, 3) + Score(30, 0, 0, 2)
    assert total == Score(40, 1, 2, 5)
    assert total.der == pytest.approx(20)
    assert np.isnan(Score(false_alarm=1).der)


def test_missing_recording_counts_as_missed():
    scores = score_corpus({"a": [Turn(0, 4, "A")]}, {}, ScoringOptions(collar=0))
    assert scores == {"a": Score(scored=4, missed=4)}


def test_empty_hypothesis_names_that_equal_reference_names():
    turns = [Turn(0, 4, "A"), Turn(4, 8, "B")]
    swapped = [Turn(0, 4, "B"), Turn(4, 8, "A")]
    assert score_recording(turns, swapped).der == 0


def test_nothing_to_score_is_refused():
    with pytest.raises(DataError, match="reference is empty"):
        score_recording([], [Turn(0, 1, "1")])
    for collar in (-1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="collar"):
            ScoringOptions(collar)
