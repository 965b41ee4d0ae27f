"""What must not change a result: processes, batches, order, company, scale."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssahc.api import make_options
from ssahc.cli import diarize_task
from ssahc.io.xvector_writer import write_xvector_dir
from ssahc.learning import optimizer
from ssahc.pipeline.diarize import diarize_recording

SYSTEMS = ("cosine", "plda", "spectral", "ssahc", "ssahc+plda")
WITHOUT_MODEL = ("cosine", "spectral", "ssahc")
CLUSTERINGS = ("ahc", "kmeans", "xmeans", "spectral", "vb")
# Every system as it is, and every other way to cluster.
WAYS = [{"system": system} for system in SYSTEMS] + [
    {"system": "ssahc+plda", "final_clustering": name} for name in CLUSTERINGS[1:]
]

MERGES = [
    {"system": system, "resegmentation": "none"}
    for system in SYSTEMS
    if system != "spectral"
]


def name_of(values):
    return "-".join(values.values())


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def labels_of(out):
    """Return the lines of each recording's labels, in their order."""
    lines: dict[str, list[str]] = {}
    for line in (out / "labels").read_text().splitlines():
        lines.setdefault(line.split("-")[0], []).append(line)
    return lines


def turns_of(out):
    lines: dict[str, list[str]] = {}
    for line in (out / "rttm").read_text().splitlines():
        lines.setdefault(line.split()[1], []).append(line)
    return lines


@pytest.fixture
def run(ssahc_here, folder):
    """Diarize the folder; return where the results are."""

    def run(out, *options, source="x"):
        model = ("--model-dir", folder / "model")
        result = ssahc_here("diarize", folder / source, folder / out, *model, *options)
        assert result.returncode == 0, result.stderr
        return folder / out

    return run


# ---- the same bytes ----------------------------------------------------------------


@pytest.mark.parametrize("system", ["plda", "ssahc"])
def test_batches_change_nothing(run, monkeypatch, system):
    whole = contents(run("whole", "--system", system))
    for most in (1, 2):
        monkeypatch.setattr(diarize_task, "_MOST_RECORDINGS", most)
        assert contents(run(f"parts{most}", "--system", system)) == whole


def test_training_together_on_a_gpu_changes_no_labels(run, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    for module in (optimizer, diarize_task):
        monkeypatch.setattr(module, "has_gpu", lambda device: device != "cpu")
    together = run("together", "--system", "ssahc")
    monkeypatch.setattr(diarize_task, "_MOST_RECORDINGS_ON_GPU", 1)
    alone = run("alone", "--system", "ssahc")
    assert labels_of(alone) == labels_of(together)


@pytest.mark.parametrize("name", ["spk2utt", "xvector.scp", "segments", "utt2spk"])
def test_the_order_of_recordings_changes_only_their_order(run, folder, name):
    whole = run("whole", "--system", "ssahc")
    table = folder / "x" / name
    lines = table.read_text().splitlines(keepends=True)
    recordings = ["a002", "a001", "a000"]
    shuffled = [line for one in recordings for line in lines if line.startswith(one)]
    assert sorted(shuffled) == sorted(lines) != shuffled
    table.write_text("".join(shuffled))
    other = run("other", "--system", "ssahc")
    assert labels_of(other) == labels_of(whole)
    assert turns_of(other) == turns_of(whole)
    follows = recordings if name == "spk2utt" else recordings[::-1]
    assert list(labels_of(other)) == follows
    assert list(turns_of(other)) == recordings[::-1]


@pytest.mark.parametrize("values", WAYS[2:6], ids=name_of)
def test_more_recordings_change_no_other(corpus, run, folder, values):
    few = [corpus["a"].conversations[1].recording]
    write_xvector_dir(folder / "few", few)
    options = [f"--{name.replace('_', '-')}={text}" for name, text in values.items()]
    before, after = run("few-out", *options, source="few"), run("out", *options)
    assert labels_of(after)["a001"] == labels_of(before)["a001"]
    assert turns_of(after)["a001"] == turns_of(before)["a001"]


# ---- the same partition ------------------------------------------------------------


def partition(labels):
    """Return who is with whom."""
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in set(labels)}


@pytest.mark.parametrize("values", [*WAYS, *MERGES], ids=name_of)
def test_the_order_of_windows_changes_no_partition(recording, model, values, rng):
    options = make_options(**values)
    labels = diarize_recording(recording, model, options).labels
    order = rng.permutation(len(labels))
    shuffled = replace(
        recording,
        utterances=tuple(recording.utterances[place] for place in order),
        segments=recording.segments[order],
        xvectors=recording.xvectors[order],
    )
    found = np.empty_like(labels)
    found[order] = diarize_recording(shuffled, model, options).labels
    assert partition(found) == partition(labels)


@pytest.mark.parametrize("system", WITHOUT_MODEL)
def test_scale_changes_no_label_and_powers_of_two_nothing(recording, system):
    options = make_options(system=system)
    ours = diarize_recording(recording, options=options)
    for factor in (1e-3, 0.3, 1e3, 2.0**-40, 2.0**9, 2.0**40):
        scaled = replace(recording, xvectors=recording.xvectors * factor)
        theirs = diarize_recording(scaled, options=options)
        assert theirs.labels.tolist() == ours.labels.tolist()
        if np.log2(factor).is_integer():
            assert np.array_equal(theirs.affinity.dense(), ours.affinity.dense())
