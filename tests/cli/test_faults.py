"""The sections of faults.md on x-vectors and models, and the page itself."""

import os
import re
from dataclasses import replace

import numpy as np
import pytest
from fault_table import PAGE

from ssahc.core.types import EmbeddingNet
from ssahc.io.ark import read_single, write_single
from ssahc.io.embedding_net import write_metric
from ssahc.io.plda import read_plda, write_plda

# ---- x-vectors ---------------------------------------------------------------------


def filled(value):
    return lambda broken: broken.vector(lambda v: np.full_like(v, value))


def scaled(factor):
    return lambda broken: broken.vector(lambda v: v * np.float32(factor))


def without_model(change, *, only=None):
    """Change x-vectors to what no model is for."""

    def hurt(broken):
        broken.rewrite(change, only=only)
        for path in broken.model.iterdir():
            path.unlink()
        broken.model.rmdir()

    return hurt


def one_window(broken):
    def keep(name, is_kept):
        path = broken.x / name
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if is_kept(line.split()[0])))

    for name in ("segments", "utt2spk", "xvector.scp"):
        keep(name, lambda key: not key.startswith("a001") or key == broken.utterance)
    keep("spk2utt", lambda key: key != "a001")
    broken.append("x/spk2utt", f"a001 {broken.utterance}\n")
    broken.edit("x/reco2num_spk", "a001 2", "a001 1")


def stretch(vector):
    return np.resize(vector, 200) * np.linspace(1, 2, 200, dtype=np.float32)


XVECTORS = {
    "a NaN": filled(np.nan),
    "an infinity": filled(np.inf),
    "3e38": filled(3e38),
    "1e29, whose square is beyond float32": filled(1e29),
    "a vector 1e20 times as long as others": scaled(1e20),
    "all zero": filled(0),
    "denormal numbers": filled(1e-40),
    "a vector without numbers": lambda b: b.vector(lambda v: v[:0]),
    "another dimension than the others": lambda b: b.vector(lambda v: v[:-1]),
    "another dimension than the model": lambda b: b.rewrite(lambda v: v[:-1]),
    "an utterance without an x-vector": lambda b: b.drop("x/xvector.scp", b.utterance),
    "an x-vector that no recording lists": lambda b: b.append(
        "x/xvector.scp", f"stranger xvector.ark:{b.offset}\n"
    ),
    "equal windows": lambda b: b.rewrite(lambda v: v * 0 + 1, only=b.recording),
    "one window": one_window,
    "one dimension": without_model(lambda v: v[:1]),
    "more dimensions than windows": without_model(stretch),
    "all equal, and no model": without_model(lambda v: v * 0 + 1),
}


@pytest.mark.parametrize("fault", PAGE["X-vectors"])
def test_fault_of_xvectors_is_as_documented(as_the_page_says, fault):
    as_the_page_says(PAGE["X-vectors"][fault], XVECTORS[fault])


# ---- model files -------------------------------------------------------------------


def model_file(name, data):
    return lambda broken: (broken.model / name).write_bytes(data)


def followed(name):
    return lambda broken: broken.append(f"model/{name}", b"\0\0\0")


def single(name, values, **options):
    return lambda broken: write_single(broken.model / name, values, **options)


def plda(**changes):
    def hurt(broken):
        ours = read_plda(broken.model / "plda")
        write_plda(broken.model / "plda", replace(ours, **changes))

    return hurt


def cut_plda(broken):
    path = broken.model / "plda"
    path.write_bytes(path.read_bytes()[:500])


def follow_metric(broken):
    write_metric(broken.model / "metric.ark", EmbeddingNet(np.eye(24), (), np.eye(24)))
    broken.append("model/metric.ark", b"\0\0\0")


def as_text(broken):
    mean = read_single(broken.model / "mean.vec", "vector")
    write_single(broken.model / "mean.vec", mean)
    transform = read_single(broken.model / "transform.mat", "matrix")
    write_single(broken.model / "transform.mat", transform, binary=False)
    ours = read_plda(broken.model / "plda")
    write_plda(broken.model / "plda", ours, binary=False)
    broken.append("model/plda", "\n")


def put_pipe(broken):
    (broken.model / "plda").unlink()
    os.mkfifo(broken.model / "plda")


def missing(name):
    return lambda broken: (broken.model / name).unlink()


HUGE = b"\0BDM \4\xff\xff\xff\x7f\4\xff\xff\xff\x7f"
MODELS = {
    "text for binary and binary for text": as_text,
    "no mean": missing("mean.vec"),
    "no transform": missing("transform.mat"),
    "no PLDA, where one is needed": missing("plda"),
    "something else in place of a PLDA": model_file("plda", b"rubbish"),
    "something else in place of a mean": model_file("mean.vec", b"rubbish"),
    "something else in place of a transform": model_file("transform.mat", b"\0BFV "),
    "something else in place of a metric": model_file("metric.ark", b"rubbish"),
    "a PLDA that is cut off": cut_plda,
    "a transform of 2147483647 x 2147483647": model_file("transform.mat", HUGE),
    "bytes behind a mean": followed("mean.vec"),
    "bytes behind a transform": followed("transform.mat"),
    "bytes behind a PLDA": followed("plda"),
    "bytes behind a metric": follow_metric,
    "a named pipe in place of a PLDA": put_pipe,
    "a mean of another dimension": single("mean.vec", np.zeros(5), binary=False),
    "a PLDA of another dimension": plda(
        mean=np.zeros(3), transform=np.eye(3), psi=np.ones(3)
    ),
    "a transform of more rows than columns": single("transform.mat", np.ones((24, 20))),
    "LDA in place of whitening, and a PLDA of all dimensions": single(
        "transform.mat", np.eye(10, 25)
    ),
    "a transform that is all zero": single("transform.mat", np.zeros((24, 24))),
    "NaN in a mean": single("mean.vec", np.full(24, np.nan)),
    "NaN in a PLDA": plda(mean=np.full(24, np.nan)),
    "a negative variance": plda(psi=np.array([2.0, 1.0, -1.0] + [0.1] * 21)),
    "a PLDA that has lost a dimension": plda(transform=np.zeros((24, 24))),
}
# A model without a PLDA is sound, except for --system plda.
UNCHECKED = "no PLDA, where one is needed"


@pytest.mark.parametrize("fault", PAGE["Model files"])
def test_fault_of_models_is_as_documented(as_the_page_says, fault):
    row = PAGE["Model files"][fault]
    as_the_page_says(row, MODELS[fault], checked=fault != UNCHECKED)


# ---- the page ----------------------------------------------------------------------


def test_every_section_of_the_page_has_tests():
    assert set(PAGE) == {
        "Kaldi archives and scp files",
        "Tables",
        "Audio",
        "Overlap",
        "X-vectors",
        "Model files",
        "Speech to train an extractor on",
        "Enrolled people",
        "Trials of enrolled people",
        "Score matrices and references",
        "Speakers to link",
        "Streams",
        "Streams of audio",
        "Output files",
        "While it runs",
        "Memory",
    }


def test_messages_are_compared_in_full():
    row = PAGE["Tables"]["no segments"]
    assert row.is_said_in("ssahc: error: a/segments: no such file; check the path\n")
    assert not row.is_said_in("ssahc: error: a/segments: no such file\n")
    for section, rows in PAGE.items():
        # A running command may print several lines.
        for row in rows.values() if section != "While it runs" else ():
            assert re.fullmatch(r"nothing|`[^`]{12,}`|``.{12,}``", row.seen)
