"""DER matches NIST's md-eval, whatever objects a reference holds."""

import re
import subprocess

import numpy as np
import pytest

from ssahc.cli.references import read_references
from ssahc.core.errors import FormatError
from ssahc.io.rttm import OBJECT_TYPES, read_rttm, read_uem
from ssahc.scoring.der import score_corpus
from ssahc.scoring.regions import ScoringOptions

RECORDINGS = 60
SECONDS = ("SCORED SPEAKER", "MISSED SPEAKER", "FALARM SPEAKER", "SPEAKER ERROR")
OBJECTS = sorted(OBJECT_TYPES.keys() - {"SPKR-INFO", "FILLER", "EDIT", "IP", "SU"})


def run_md_eval(md_eval, reference, hypothesis, options, uem=None):
    """Scored, missed, false alarm and confusion seconds that it prints by recording."""
    command = ["perl", md_eval, "-a", "f", "-c", str(options.collar)]
    command += ["-r", reference, "-s", hypothesis]
    command += ["-1"] if options.ignore_overlaps else []
    command += ["-u", uem] if uem else []
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, *parts = re.split(r"Speaker Diarization for f=(\S+)", output)
    return {
        name: [float(re.search(rf"{key} TIME =\s*(\S+)", text)[1]) for key in SECONDS]
        for name, text in zip(parts[::2], parts[1::2])
    }


def seconds(score):
    return [score.scored, score.missed, score.false_alarm, score.confusion]


class Draw:
    """Draws RTTM lines of one recording, none of whose times are the same.

    (Where times coincide, md-eval goes by how Perl sorts, or by a bug of its own: see
    `ssahc.scoring.regions`.)
    """

    def __init__(self, rng, name):
        self.rng, self.name = rng, name
        self.times = iter(rng.permutation(60_000) / 1000)

    def line(self, kind, subtype, speaker, longest):
        duration = f"{self.rng.uniform(0.05, longest):.5f}"
        if kind != "SPEAKER" and self.rng.random() < 0.1:
            duration = "<NA>"
        return (
            f"{kind} {self.name} A {next(self.times):.3f} {duration} word {subtype} "
            f"{speaker} <NA> <NA>\n"
        )

    def turns(self, most, speakers):
        for _ in range(self.rng.integers(most + 1)):
            yield self.line("SPEAKER", "<NA>", self.rng.choice(list(speakers)), 12)

    def objects(self, most, kinds):
        for _ in range(self.rng.integers(most + 1)):
            kind = self.rng.choice(kinds)
            subtype = self.rng.choice(sorted(OBJECT_TYPES[kind]))
            yield self.line(kind, subtype, "a", 1.5 if kind == "LEXEME" else 6)

    def uem(self):
        if self.rng.random() < 0.5:
            for start, end in np.sort([next(self.times) for _ in range(4)]).reshape(
                -1, 2
            ):
                yield f"{self.name} a {start} {end}\n"
            yield f"{self.name} a 65 80\n"


@pytest.mark.parametrize("collar", [0.0, 0.25])
@pytest.mark.parametrize("ignore_overlaps", [True, False])
def test_der_matches_md_eval(md_eval, tmp_path, collar, ignore_overlaps):
    """On random recordings with all object types that md-eval scores without words."""
    rng = np.random.default_rng([int(4 * collar), ignore_overlaps])
    # Without a collar md-eval's bug makes a difference wherever a laugh is near a turn.
    kinds = OBJECTS if collar else [kind for kind in OBJECTS if kind != "NON-LEX"]
    reference, hypothesis, uem = [], [], []
    for number in range(RECORDINGS):
        draw = Draw(rng, f"r{number}")
        # md-eval fails if it has nothing to score; this turn is scored.
        last = f"speaker r{number} a *70 5.0* <NA> <NA> A <NA>\n"
        lines = [last, *draw.turns(8, "ABC"), *draw.objects(8, kinds)]
        reference += rng.permutation(lines).tolist()
        hypothesis += draw.turns(8, "xyz")
        uem += draw.uem()
    files = [tmp_path / name for name in ("ref", "hyp", "uem")]
    for path, lines in zip(files, (reference, hypothesis, uem)):
        path.write_text("; a comment\n" + "".join(lines))
    options = ScoringOptions(collar, ignore_overlaps)
    theirs = run_md_eval(md_eval, *files[:2], options, files[2])
    rttm, spans = read_rttm(files[0]), read_uem(files[2])
    ours = score_corpus(
        rttm.turns,
        read_rttm(files[1]).turns,
        options,
        uem={name: channels["a"] for name, channels in spans.items()},
        objects=rttm.objects,
    )
    assert ours.keys() == theirs.keys()
    for name, score in ours.items():
        assert seconds(score) == pytest.approx(theirs[name], abs=0.0051), name


def test_errors_of_overlap_are_what_md_eval_leaves_out_without_it(md_eval, tmp_path):
    rng = np.random.default_rng(2)
    files = tmp_path / "ref", tmp_path / "hyp"
    lines = [], []
    for number in range(20):
        draw = Draw(rng, f"r{number}")
        lines[0].append(f"SPEAKER r{number} A 70 5 <NA> <NA> A <NA> <NA>\n")
        # One turn each: with -1, md-eval takes two turns of one speaker for overlap.
        for speaker in "BCDEFGHI":
            lines[0].extend(draw.turns(1, speaker))
        lines[1].extend(draw.turns(9, "xyz"))
    for path, some in zip(files, lines):
        path.write_text("".join(some))
    whole, single = (
        run_md_eval(md_eval, *files, ScoringOptions(0.1, ignore_overlaps=ignore))
        for ignore in (False, True)
    )
    reference, hypothesis = (read_rttm(path).turns for path in files)
    options = ScoringOptions(0.1, ignore_overlaps=False)
    scores = score_corpus(reference, hypothesis, options)
    for name, score in scores.items():
        without = np.array(single[name])
        assert seconds(score.silence + score.single) == pytest.approx(without, abs=0.01)
        overlap = np.array(whole[name]) - without
        assert seconds(score.overlap) == pytest.approx(overlap, abs=0.01)
    assert sum(score.overlap.confusion for score in scores.values()) > 1


@pytest.fixture
def score_both(md_eval, tmp_path):
    """Scores of two RTTMs, whose lines are short, by ssahc and by md-eval."""

    def write(name, text):
        lines = []
        for line in text.strip().splitlines():
            kind, start, duration, who, *subtype = line.split()
            subtype = subtype[0] if subtype else "<NA>"
            lines.append(f"{kind} r 1 {start} {duration} x {subtype} {who} <NA> <NA>\n")
        path = tmp_path / name
        path.write_text("".join(lines))
        return path

    def score(reference, hypothesis, options):
        reference, hypothesis = write("ref", reference), write("hyp", hypothesis)
        rttm = read_rttm(reference)
        turns = read_rttm(hypothesis).turns
        scores = score_corpus(rttm.turns, turns, options, objects=rttm.objects)
        theirs = run_md_eval(md_eval, reference, hypothesis, options)
        return scores["r"], theirs["r"]

    return score


@pytest.mark.parametrize(
    ("reference", "hypothesis", "options", "scored", "der"),
    [
        pytest.param(
            "SPEAKER 0 10 x\nNOSCORE 0 3 x",
            "SPEAKER 2 8 x",
            ScoringOptions(0),
            7,
            0,
            id="NOSCORE",
        ),
        pytest.param(
            "SPEAKER 0 10 x\nSPEAKER 12 7 x\nNON-LEX 10.5 1 x laugh",
            "SPEAKER 0 12 x\nSPEAKER 12 7 x",
            ScoringOptions(0),
            17,
            0,
            id="a laugh where nobody speaks",
        ),
        pytest.param(
            "SPEAKER 0 10 x\nLEXEME 12 1 x lex",
            "SPEAKER 0 13 x",
            ScoringOptions(0),
            10,
            30,
            id="a word beyond the turns",
        ),
        pytest.param(
            "SPEAKER 0 10 x\nSPEAKER 5 0 y",
            "SPEAKER 2 8 x",
            ScoringOptions(0.25, ignore_overlaps=False),
            9,
            19.44,
            id="a turn of no length has a collar",
        ),
    ],
)
def test_small_examples(score_both, reference, hypothesis, options, scored, der):
    score, theirs = score_both(reference, hypothesis, options)
    assert seconds(score) == pytest.approx(theirs, abs=0.0051)
    assert score.scored == pytest.approx(scored)
    assert score.der == pytest.approx(der, abs=0.005)


@pytest.mark.parametrize(
    "line", ["wav/r.sph 1 0 4\n", "r.sph NA 0 4\n", "r <NA> 0 4\n"]
)
def test_a_uem_may_name_audio_files_and_no_channel(tmp_path, line):
    (tmp_path / "ref").write_text("SPEAKER r 1 0 9 <NA> <NA> x <NA> <NA>\n")
    (tmp_path / "uem").write_text(line)
    references = read_references(tmp_path / "ref", tmp_path / "uem")
    assert references.uem_of("r") == [(0, 4)]


def test_unknown_objects_are_refused(tmp_path):
    path = tmp_path / "ref"
    for line in ("NON-LEX r 1 0 2 x giggle x <NA>", "NOSCOR r 1 0 2 x <NA> x <NA>"):
        path.write_text(f"SPEAKER r 1 0 9 <NA> <NA> x <NA> <NA>\n{line}\n")
        with pytest.raises(FormatError, match=r"ref:2: expected .*(NON-LEX|SPEAKER)"):
            read_rttm(path)
