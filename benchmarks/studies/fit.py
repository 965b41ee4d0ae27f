"""Time and memory of ``ssahc fit`` on 50,000 x-vectors of 5,000 speakers.

Draws x-vectors of 128 dimensions from a PLDA, writes them as Kaldi would, runs the
command in a process of its own, and shows where its time goes. Two peers run on the
same vectors: textbook EM, with one posterior covariance per speaker, and scikit-learn's
LinearDiscriminantAnalysis, which estimates the same two covariances without EM.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ssahc.backend.plda_training import covariances, train_plda
from ssahc.backend.preprocess import center, whiten_and_normalize
from ssahc.backend.training import estimate_whitening, fit_model
from ssahc.core.types import FloatArray, LabelledXvectors, Model
from ssahc.io.labelled import read_labelled, write_labelled


def draw(speakers: int, each: int, dim: int) -> LabelledXvectors:
    generator = np.random.default_rng(0)
    psi = 2.2 / (1 + np.arange(dim) / 8)
    voices = np.sqrt(psi) * generator.standard_normal((speakers, dim))
    vectors = np.repeat(voices, each, axis=0)
    vectors += generator.standard_normal(vectors.shape)
    names = [f"s{index:05d}" for index in range(speakers)]
    return LabelledXvectors(
        tuple(f"{name}-{number:03d}" for name in names for number in range(each)),
        tuple(name for name in names for _ in range(each)),
        vectors @ generator.standard_normal((dim, dim)),
    )


def plain_em(
    vectors: FloatArray, labels: FloatArray, iterations: int = 10
) -> tuple[FloatArray, FloatArray]:
    """Return within- and between-class covariance; a D x D inverse a speaker."""
    groups = np.split(vectors, np.flatnonzero(np.diff(labels)) + 1)
    means = [group.mean(axis=0) for group in groups]
    mean = np.mean(means, axis=0)
    scatter = sum(
        (group - middle).T @ (group - middle)
        for group, middle in zip(groups, means, strict=True)
    )
    within = between = np.eye(vectors.shape[1])
    for _ in range(iterations):
        precision, prior = np.linalg.inv(within), np.linalg.inv(between)
        within_sum, between_sum = scatter.copy(), np.zeros_like(scatter)
        for group, middle in zip(groups, means, strict=True):
            posterior = np.linalg.inv(prior + len(group) * precision)
            voice = posterior @ (len(group) * precision @ (middle - mean))
            rest = middle - mean - voice
            between_sum += posterior + np.outer(voice, voice)
            within_sum += len(group) * (posterior + np.outer(rest, rest))
        within, between = within_sum / len(vectors), between_sum / len(groups)
    return within, between


def cpu_seconds() -> float:
    """Return what this process and its children have used."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(what: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result and its CPU seconds, which other load hardly changes."""
    start, used = time.monotonic(), cpu_seconds()
    result = work()
    wall, cpu = time.monotonic() - start, cpu_seconds() - used
    print(f"{what:36} {wall:7.2f} {cpu:7.2f}", flush=True)
    return result, cpu


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--speakers", type=int, default=5000)
    parser.add_argument("--each", type=int, default=10)
    parser.add_argument("--dim", type=int, default=128)


def main(arguments: argparse.Namespace) -> None:
    labelled = draw(arguments.speakers, arguments.each, arguments.dim)
    print(f"{len(labelled.speakers)} x-vectors, {arguments.speakers} speakers")
    print(f"{'':36} {'wall s':>7} {'CPU s':>7}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "train"
        write_labelled(folder, labelled)
        command = [sys.executable, "-m", "ssahc", "fit", "-q", str(folder), name]
        timed(
            "ssahc fit, the whole command", lambda: subprocess.run(command, check=True)
        )
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{'  peak memory':36} {peak:7.0f} MiB")
        timed("  of which reading", lambda: read_labelled(folder))
    timed(
        "  of which estimating",
        lambda: fit_model(labelled.xvectors, labelled.speakers),
    )
    xvectors = labelled.xvectors
    mean = xvectors.mean(axis=0)
    model = Model(mean, estimate_whitening(xvectors))
    vectors = whiten_and_normalize(center(xvectors, mean), model)
    labels = np.unique(labelled.speakers, return_inverse=True)[1]
    ours, seconds = timed("PLDA alone", lambda: train_plda(vectors, labelled.speakers))
    theirs, plain = timed("peer: plain EM", lambda: plain_em(vectors, labels))
    difference = max(
        np.abs(one - other).max() / np.abs(other).max()
        for one, other in zip(covariances(ours), theirs, strict=True)
    )
    print(f"  {plain / seconds:.0f} times ours; covariances differ by {difference:.0e}")
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=None)
    _, theirs_seconds = timed(
        "peer: LinearDiscriminantAnalysis", lambda: lda.fit(vectors, labels)
    )
    print(f"  {theirs_seconds / seconds:.0f} times ours")
