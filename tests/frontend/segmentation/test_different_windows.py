"""Windows of different local speakers of a chunk, against a loop over all pairs."""

from itertools import combinations

import numpy as np

from ssahc.frontend.segmentation.chunks import Segmentation
from ssahc.frontend.segmentation.different_windows import find_different_windows

SHIFT, LENGTH, STEP, FRAMES = 0.1, 60, 20, 200


def _naive(segmentation, segments):
    """Return pairs of windows, by a loop over chunks, pairs and speakers."""
    centres = (segmentation.edges[1:] + segmentation.edges[:-1]) / 2
    said = {}
    for first, own, active in zip(
        segmentation.first, segmentation.probabilities, segmentation.active
    ):
        owners = {}
        for window, (start, end) in enumerate(segments):
            frames = np.flatnonzero((centres >= start) & (centres < end)) - first
            if len(frames) == 0 or frames[0] < 0 or frames[-1] >= LENGTH:
                continue
            for speaker in range(3):
                others = [other for other in range(3) if other != speaker]
                chances = own[frames].astype(float)
                alone = chances[:, speaker] * (1 - chances[:, others]).prod(axis=1)
                time = active[:, speaker] & ~active[:, others].any(axis=1)
                if alone.mean() >= 0.5 and time.sum() * SHIFT >= 1 - 1e-9:
                    owners[window] = speaker
        for pair in combinations(sorted(owners), 2):
            said.setdefault(pair, []).append(owners[pair[0]] != owners[pair[1]])
    return {pair for pair, answers in said.items() if all(answers) and len(answers) > 1}


def test_equals_a_loop_over_all_pairs(rng):
    first = np.arange(0, FRAMES - LENGTH + 1, STEP)
    found = 0
    for _ in range(3):
        # Speakers who go on for a while, and chunks that disagree now and then.
        turns = rng.integers(4, size=FRAMES // 8 + 1).repeat(8)[:FRAMES]
        active = np.stack([turns[at : at + LENGTH] for at in first])
        active = active[..., None] == rng.permutation(3)
        active ^= rng.random((len(first), 1, 3)) < 0.1
        chances = np.clip(0.1 + 0.8 * active + rng.normal(0, 0.1, active.shape), 0, 1)
        edges = np.arange(FRAMES + 1) * SHIFT
        segmentation = Segmentation(
            first, chances.astype(np.float16), active, np.ones(FRAMES, int), edges
        )
        starts = rng.uniform(0, FRAMES * SHIFT - 1.5, 30)
        segments = np.column_stack([starts, starts + rng.uniform(0.02, 1.5, 30)])
        pairs = find_different_windows(segmentation, segments).pairs
        assert set(map(tuple, pairs.tolist())) == _naive(segmentation, segments)
        found += len(pairs)
    assert found > 10


def test_no_chunks_and_no_windows_have_no_pairs():
    empty = Segmentation(
        np.zeros(0, int),
        np.zeros((0, 5, 3), np.float16),
        np.zeros((0, 5, 3), bool),
        np.zeros(0, int),
        np.zeros(1),
    )
    assert len(find_different_windows(empty, np.array([[0.0, 1.0]]))) == 0
