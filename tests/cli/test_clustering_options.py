"""The clusterings as sources of training labels and as final clusterings."""

from typing import get_args

import numpy as np
import pytest

import ssahc
from ssahc.core.errors import UsageError
from ssahc.core.types import NO_MODEL, Model
from ssahc.pipeline.clustering import (
    ClusteringName,
    Windows,
    cluster_windows,
    make_windows,
)
from ssahc.pipeline.options import settle

METHODS = get_args(ClusteringName)


def test_training_labels_are_those_of_the_clustering(recording, model):
    def count_first(**values):
        options = ssahc.make_options(system="ssahc", num_speakers=2, **values)
        result = ssahc.diarize_recording(recording, model, options)
        return result.learning[0].num_clusters

    start = ssahc.make_options(system="ssahc", num_speakers=2, min_xvectors=10_000)
    affinity = ssahc.diarize_recording(recording, model, start).affinity
    free = ssahc.Stop(threshold=0.2, min_speakers=2)
    for method in METHODS:
        windows = make_windows(recording, model, affinity, method)
        expected = cluster_windows(windows, free, method).max() + 1
        assert count_first(clustering=method) == expected


@pytest.mark.parametrize("method", ["kmeans", "xmeans", "spectral"])
@pytest.mark.parametrize("system", ["cosine", "ssahc+plda"])
def test_the_final_clustering_is_the_one_asked_for(recording, model, system, method):
    for values in ({}, {"num_speakers": 2}, {"min_speakers": 4, "max_speakers": 5}):
        options = ssahc.make_options(system=system, final_clustering=method, **values)
        result = ssahc.diarize_recording(recording, model, options)
        windows = Windows(result.affinity, result.segments)
        expected = cluster_windows(windows, options.stop(), method)
        np.testing.assert_array_equal(result.labels, expected)
        assert result.history is None
        assert result.resegmentation is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"system": "spectral"}, {"system": "cosine", "final_clustering": "spectral"}),
        (
            {"system": "plda", "final_clustering": "vb", "threshold": -2.0},
            {"system": "plda", "resegmentation": "vb", "threshold": -2.0},
        ),
    ],
)
def test_two_names_of_one_method_give_the_same_labels(recording, model, one, other):
    found, same = (
        ssahc.diarize_recording(recording, model, ssahc.make_options(**values))
        for values in (one, other)
    )
    np.testing.assert_array_equal(found.labels, same.labels)
    assert (found.resegmentation is None) == (one["system"] == "spectral")


def test_vb_is_skipped_where_kaldi_options_change_merges(recording, model, caplog):
    options = ssahc.make_options(final_clustering="vb", first_pass_max_utterances=40)
    result = ssahc.diarize_recording(recording, model, options)
    assert result.resegmentation is None
    assert "not resegmented" in caplog.text


def test_conflicting_options_are_refused():
    for values, message in (
        ({"final_clustering": "kmeans", "threshold": 0.1}, "by x-means; leave it out"),
        ({"final_clustering": "xmeans", "threshold": 0.1}, "by BIC; leave it out"),
        ({"final_clustering": "spectral", "threshold": 0.1}, "by eigengap"),
        ({"final_clustering": "kmeans", "resegmentation": "vb"}, "starts from merges"),
        ({"final_clustering": "vb", "resegmentation": "none"}, "conflicts with"),
        ({"final_clustering": "kmeans", "system": "spectral"}, "use --system cosine"),
        ({"final_clustering": "ahc", "system": "spectral"}, "use --system cosine"),
        ({"system": "spectral", "max_spk_fraction": 0.3}, "use --max-spk-fraction"),
        (
            {"final_clustering": "kmeans", "first_pass_max_utterances": 9},
            "kmeans does not use --first-pass-max-utterances",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            ssahc.make_options(**values)


def test_vb_needs_a_plda_or_a_whitening_transform():
    for name in ("final_clustering", "clustering"):
        options = ssahc.make_options(**{name: "vb"})
        flag = f"--{name.replace('_', '-')}"
        with pytest.raises(UsageError, match=f"{flag} vb needs a PLDA or a whitening"):
            settle(options, NO_MODEL, has_scores=True)
        settle(options, Model(transform=np.eye(3)))
        # Without scores, the recordings show the space.
        settle(options, NO_MODEL)


def test_clustering_of_vectors_refuses_scores_alone(ssahc_here, folder):
    x, out = folder / "x", folder / "o"
    model = ("--model-dir", folder / "model")
    ssahc_here("diarize", x, folder / "s", *model, "--system=plda", "--write-scores")
    given = ("--plda-scores", folder / "s" / "scores.scp", "--final-clustering")
    for method in ("kmeans", "xmeans"):
        result = ssahc_here("diarize", x, out, *given, method)
        assert result.returncode == 2
        line = result.stderr.splitlines()[-1]
        assert line.startswith("ssahc: error: ")
        assert "--plda-scores have none" in line
        assert not out.exists()
    # Systems that make no use of the scores have vectors.
    result = ssahc_here("diarize", x, out, *given, "kmeans", "--system", "cosine")
    assert result.returncode == 0


def test_a_clustering_without_merges_displaces_options_of_merges(folder, ssahc_here):
    config = folder / "c.toml"
    config.write_text('threshold = 0.1\nresegmentation = "vb"\n')
    given = ("--model-dir", folder / "model", "--config", config)
    for flag in ("--final-clustering=kmeans", "--system=spectral"):
        result = ssahc_here("diarize", folder / "x", folder / "o", *given, flag)
        assert result.returncode == 0, result.stderr
        assert 'resegmentation = "none"' in (folder / "o" / "config.toml").read_text()


def test_a_run_says_why_networks_were_not_trained_and_where_xmeans_fails(
    folder, ssahc_here
):
    given = ("--model-dir", folder / "model", "--min-xvectors", 10_000)
    xmeans = ("--final-clustering", "xmeans")
    result = ssahc_here("diarize", folder / "x", folder / "o", *given, *xmeans)
    assert "had too few windows to train a network (--min-xvectors)" in result.stderr
    assert "x-means often finds too many speakers" in result.stderr
    known = (*xmeans, "--num-speakers", 2)
    result = ssahc_here("diarize", folder / "x", folder / "o", *given, *known)
    assert "x-means" not in result.stderr
