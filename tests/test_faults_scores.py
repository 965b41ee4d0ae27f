"""Bad input to ``ssahc cluster`` and ``ssahc score``."""

import numpy as np
import pytest

from ssahc.io.ark import ArchiveWriter


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def cluster_inputs(folder):
    matrices = {name: np.eye(3, dtype=np.float32) for name in ("r1", "r2")}
    with ArchiveWriter(folder / "s.ark", folder / "s.scp") as archive:
        for name, matrix in matrices.items():
            archive.write(name, matrix)
    lines = [f"{name} {name}-0 {name}-1 {name}-2\n" for name in matrices]
    (folder / "reco2utt").write_text("".join(lines))
    segments = [f"{r}-{i} {r} {i} {i + 1}\n" for r in matrices for i in range(3)]
    (folder / "segments").write_text("".join(segments))


def cut_archive(folder):
    data = (folder / "s.ark").read_bytes()
    (folder / "s.ark").write_bytes(data[: len(data) // 2 + 1])
    return "expected a key and a space"


def cut_matrix(folder):
    data = (folder / "s.ark").read_bytes()
    (folder / "s.ark").write_bytes(data[:-3])
    return "truncated: a matrix of 3 x 3"


def other_shape(folder):
    replace(folder / "reco2utt", " r2-2", "")
    return "the matrix is 3 x 3, but reco2utt lists 2 utterances"


def twice(folder):
    replace(folder / "reco2utt", "r2-1", "r2-2")
    return "lists an utterance twice"


def foreign(folder):
    replace(folder / "segments", "r2-1 r2", "r2-1 r1")
    return "no segment of utterance 'r2-1' in this recording"


@pytest.mark.parametrize("hurt", [cut_archive, cut_matrix, other_shape, twice, foreign])
def test_cluster_loses_only_what_is_broken(ssahc_here, tmp_path, hurt):
    cluster_inputs(tmp_path)
    message = hurt(tmp_path)
    result = ssahc_here(
        *("cluster", tmp_path / "s.ark", tmp_path / "reco2utt", tmp_path / "out"),
        *("--segments", tmp_path / "segments"),
    )
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("ssahc: error: recording 'r2': ")
    assert message in line
    assert "r1-2" in (tmp_path / "out" / "labels").read_text()


def test_cluster_survives_rubbish_after_the_last_matrix(ssahc_here, tmp_path):
    cluster_inputs(tmp_path)
    with (tmp_path / "s.ark").open("ab") as file:
        file.write(b"rubbish")
    result = ssahc_here(
        "cluster", tmp_path / "s.ark", tmp_path / "reco2utt", tmp_path / "o"
    )
    assert result.returncode == 0
    assert "after the last matrix" in result.stderr


def test_score_says_when_nothing_can_be_scored(ssahc_here, tmp_path):
    line = "SPEAKER r 0 0 10 <NA> <NA> A <NA> <NA>\n"
    (tmp_path / "ref").write_text(line)
    (tmp_path / "labels").write_text("r-0 1\n")
    (tmp_path / "uem").write_text("r 1 0 5\n")
    for arguments, message in (
        (["ref", "labels"], "holds no SPEAKER line"),
        (["ref", "ref", "--collar", 30], "no reference speech is left to score"),
        (["ref", "ref", "--uem", "uem"], "on channel '1' only, the reference is on"),
    ):
        result = ssahc_here("score", *arguments, cwd=tmp_path)
        assert result.returncode == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_long_lists_of_recordings_are_cut(ssahc_here, tmp_path):
    line = "SPEAKER {} 1 0 10 <NA> <NA> A <NA> <NA>\n"
    names = [f"r{number}" for number in range(8)]
    (tmp_path / "ref").write_text("".join(map(line.format, names)))
    for kept, said in ((1, "r1, r2, r3, r4, r5 and 2 more"), (3, "r3, r4, r5, r6, r7")):
        (tmp_path / "hyp").write_text("".join(map(line.format, names[:kept])))
        result = ssahc_here("score", "ref", "hyp", cwd=tmp_path)
        assert result.stderr.splitlines()[0].endswith(f"counted as missed: {said}")
