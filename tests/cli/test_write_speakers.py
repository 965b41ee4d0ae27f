"""``ssahc diarize --write-speakers``."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from kaldi_tables import read_table

import ssahc
from ssahc.io.speakers import (
    SPACE,
    SPEAKER_FILES,
    read_space,
    read_speakers,
    speaker_key,
)
from ssahc.io.text import read_spk2utt

PLAIN = ("--system", "plda", "--max-speakers", 4)
OPTIONS = (*PLAIN, "--write-speakers")


def speaker_files(out):
    """The files of speakers in a folder, and what is in them."""
    paths = (out / name for name in SPEAKER_FILES)
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def test_files_hold_the_centroids_of_every_recording(here):
    assert here.run(options=OPTIONS).returncode == 0
    xvectors = dict(read_table(here.out / "speakers.scp", "vector"))
    windows = read_spk2utt(here.out / "spk2utt")
    stored = read_speakers(here.out)
    assert not stored.faults
    model = ssahc.read_model_dir(here.folder / "model")
    options = ssahc.make_options(system="plda", max_speakers=4)
    keys = set()
    for recording in ssahc.read_recordings(ssahc.open_xvector_dir(here.folder / "x")):
        result = ssahc.diarize_recording(recording, model, options)
        for label, centroid in enumerate(result.centroids):
            key = f"{recording.id}-{centroid.speaker}"
            keys.add(key)
            row = stored.rows[key]
            np.testing.assert_allclose(xvectors[key], centroid.xvector, atol=1e-5)
            np.testing.assert_allclose(stored.latent[row], centroid.latent, atol=1e-5)
            count = pytest.approx(centroid.num_windows, abs=1e-3)
            assert stored.num_windows[row] == count
            assert windows[key] == [
                name for name, found in result.labelled_utterances if found == label
            ]
    assert keys == xvectors.keys() == windows.keys() == stored.rows.keys()


def test_an_interrupted_run_that_is_resumed_writes_the_same(here):
    assert here.run(out="whole", options=OPTIONS).returncode == 0

    def stop():
        raise KeyboardInterrupt

    with here.after(2, stop):
        here.run(options=OPTIONS)
    assert not speaker_files(here.out)
    assert here.run("--resume", options=OPTIONS).returncode == 0
    whole = speaker_files(here.folder / "whole")
    assert speaker_files(here.out) == whole
    assert whole.keys() == set(SPEAKER_FILES)
    # A finished one, too; without x-vectors it keeps what is there.
    assert here.run("--resume", options=OPTIONS).returncode == 0
    (here.folder / "x" / "xvector.ark").unlink()
    refused = here.run("--resume", options=OPTIONS)
    assert refused.returncode == 2
    assert "--write-speakers, recording 'a00" in refused.stderr
    assert speaker_files(here.out) == whole


def test_a_finished_run_is_completed(here):
    assert here.run(out="whole", options=OPTIONS).returncode == 0
    assert here.run(options=PLAIN).returncode == 0
    labels = (here.out / "labels").read_bytes()
    result = here.run("--resume", options=OPTIONS)
    assert result.returncode == 0
    assert "already done" in result.stderr
    assert speaker_files(here.out) == speaker_files(here.folder / "whole")
    assert (here.out / "labels").read_bytes() == labels
    # Nothing is lost because an option is forgotten.
    refused = here.run("--resume", options=PLAIN)
    assert refused.returncode == 2
    assert "write_speakers was True and is False now" in refused.stderr


def test_keys_of_speakers_do_not_coincide():
    """A recording a-b with a speaker c, and one called a with a speaker b-c."""
    speakers = [("a-b", "c"), ("a", "b-c"), ("a", "b%2Dc"), ("a-", "b"), ("a", "-b")]
    assert len({speaker_key(*one) for one in speakers}) == len(speakers)
    assert speaker_key("a-b", "1") == "a-b-1"


def test_speakers_of_an_earlier_run_are_removed_and_those_of_others_kept(here):
    here.out.mkdir()
    (here.out / "speakers.ark").write_text("Kaldi's")
    refused = here.run(options=OPTIONS)
    assert refused.returncode == 2
    assert "holds speakers.ark that no completed run of ssahc" in refused.stderr
    (here.out / "speakers.ark").unlink()
    assert here.run(options=OPTIONS).returncode == 0
    assert here.run(options=PLAIN).returncode == 0
    assert not speaker_files(here.out)


def test_the_space_is_that_of_the_model(here, ssahc_here):
    """Of a run's learned model, too, when another run is given it."""
    learned = ("--system", "cosine", "--max-speakers", 4, "--write-speakers")
    x = here.folder / "x"
    first = ssahc_here("diarize", x, here.out, *learned)
    assert first.returncode == 0
    same = here.folder / "same"
    given = ("--model-dir", here.out / "learned_model")
    assert ssahc_here("diarize", x, same, *learned, *given).returncode == 0
    assert here.run(out="other", options=OPTIONS).returncode == 0
    models = [
        read_speakers(folder).space.model
        for folder in (here.out, same, here.folder / "other")
    ]
    assert models[0] == models[1] != models[2]


def test_scores_without_a_model_give_no_space(here, ssahc_here):
    assert here.run().returncode == 0
    shutil.copy(here.folder / "x" / "spk2utt", here.out)
    out = here.folder / "scored"
    scores = ("--plda-scores", here.out / "scores.scp", "--write-speakers")
    result = ssahc_here("diarize", here.folder / "x", out, "--system", "plda", *scores)
    assert result.returncode == 0
    names = {"speakers.ark", "speakers.scp", "spk2utt", "num_windows"}
    assert speaker_files(out).keys() == names
    with pytest.raises(ssahc.FormatError, match="has no means of speakers"):
        read_speakers(out)


def test_the_extractor_is_known_by_its_name(calls, model_folder, ssahc_here):
    """Of audio, and of the x-vectors that a run on audio has left."""
    result = ssahc_here(
        "diarize", calls, "audio", "--extractor", model_folder, "--write-speakers"
    )
    assert result.returncode == 0, result.stderr
    result = ssahc_here("diarize", "audio/xvectors", "again", "--write-speakers")
    assert result.returncode == 0, result.stderr
    for out in ("audio", "again"):
        assert read_space(Path(out, SPACE)).extractor == "tiny"
