"""What must not change a result: processes, batches, order, company, scale."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssahc.api import make_options
from ssahc.cli import diarize_task
from ssahc.io.xvectors import write_xvector_dir
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


def test_processes_change_nothing(run):
    one, three = run("one"), run("three", "--nj", 3)
    assert contents(three) == contents(one)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("most", [1, 2])
def test_batches_change_nothing(run, monkeypatch, system, most):
    whole = run("whole", "--system", system)
    monkeypatch.setattr(diarize_task, "_MOST_RECORDINGS", most)
    assert contents(run("parts", "--system", system)) == contents(whole)


def test_company_on_a_gpu_changes_no_labels(run, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cuda", lambda tensor: tensor)
    for module in (optimizer, diarize_task):
        monkeypatch.setattr(module, "has_gpu", lambda device: device != "cpu")
    together = run("together", "--system", "ssahc")
    monkeypatch.setattr(diarize_task, "_MOST_RECORDINGS_ON_GPU", 1)
    alone = run("alone", "--system", "ssahc")
    assert labels_of(alone) == labels_of(together)


@pytest.mark.parametrize("name", ["spk2utt", "xvector.scp", "segments", "utt2spk"])
@pytest.mark.parametrize("system", ["plda", "ssahc"])
def test_the_order_of_recordings_changes_only_their_order(run, folder, name, system):
    whole = run("whole", "--system", system)
    table = folder / "x" / name
    lines = table.read_text().splitlines(keepends=True)
    of = {"spk2utt": lambda line: line.split()[0]}.get(
        name, lambda line: line.split("-")[0]
    )
    recordings = sorted({of(line) for line in lines}, reverse=True)
    shuffled = [line for one in recordings for line in lines if of(line) == one]
    assert shuffled != lines
    table.write_text("".join(shuffled))
    other = run("other", "--system", system)
    assert labels_of(other) == labels_of(whole)
    assert turns_of(other) == turns_of(whole)
    follows = recordings if name == "spk2utt" else recordings[::-1]
    assert list(labels_of(other)) == follows
    assert list(turns_of(other)) == recordings[::-1]


@pytest.mark.parametrize("values", WAYS, ids=name_of)
def test_more_recordings_change_no_other(corpus, run, folder, values):
    conversations = corpus["a"].conversations
    few = [item.recording for item in conversations[1:2]]
    write_xvector_dir(folder / "few", few)
    options = [
        part
        for name, value in values.items()
        for part in (f"--{name.replace('_', '-')}", value)
    ]
    before, after = run("few-out", *options, source="few"), run("out", *options)
    assert labels_of(after)["a001"] == labels_of(before)["a001"]
    assert turns_of(after)["a001"] == turns_of(before)["a001"]


def test_resumed_is_the_same(run, folder):
    whole = run("whole", "--write-scores")
    shutil.copytree(whole, folder / "again", copy_function=shutil.copy)
    assert contents(run("again", "--write-scores", "--resume")) == contents(whole)


# ---- the same partition ------------------------------------------------------------


def partition(labels):
    """Return who is with whom."""
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in set(labels)}


@pytest.mark.parametrize("values", [*WAYS, *MERGES], ids=name_of)
def test_the_order_of_windows_changes_no_partition(corpus, model, values, rng):
    options = make_options(**values)
    for item in corpus["a"].conversations:
        recording = item.recording
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
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(power=st.integers(-40, 40))
def test_powers_of_two_change_nothing(corpus, system, power):
    recording = corpus["a"].conversations[0].recording
    options = make_options(system=system)
    ours = diarize_recording(recording, options=options)
    scaled = replace(recording, xvectors=recording.xvectors * 2.0**power)
    theirs = diarize_recording(scaled, options=options)
    assert theirs.labels.tolist() == ours.labels.tolist()
    assert np.array_equal(theirs.affinity.dense(), ours.affinity.dense())


@pytest.mark.parametrize("system", WITHOUT_MODEL)
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(factor=st.floats(1e-3, 1e3))
def test_scale_changes_no_label(corpus, system, factor):
    recording = corpus["a"].conversations[0].recording
    options = make_options(system=system)
    ours = diarize_recording(recording, options=options).labels
    scaled = replace(recording, xvectors=recording.xvectors * factor)
    assert diarize_recording(scaled, options=options).labels.tolist() == ours.tolist()
