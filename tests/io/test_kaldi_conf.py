from pathlib import Path

import pytest

from ssahc.core.errors import FormatError
from ssahc.frontend.features import FbankOptions, MfccOptions
from ssahc.io.kaldi_conf import find_conf, read_conf


@pytest.fixture
def conf(tmp_path):
    def write(text, options_class=MfccOptions):
        (tmp_path / "x.conf").write_text(text)
        return read_conf(tmp_path / "x.conf", options_class)

    return write


def test_conf_of_a_recipe(golden):
    assert read_conf(
        golden / "frontend" / "conf" / "mfcc_8k.conf", MfccOptions
    ) == MfccOptions(
        sample_frequency=8000, high_freq=3700, num_ceps=23, snip_edges=False
    )


def test_conf_files_are_those_of_the_model_or_its_recipe(tmp_path, monkeypatch):
    model, elsewhere = tmp_path / "exp" / "model", tmp_path / "other" / "model"
    for folder in (model, elsewhere, tmp_path / "conf"):
        folder.mkdir(parents=True)
    recipes = tmp_path / "conf" / "mfcc.conf"
    recipes.touch()
    assert find_conf(model, "mfcc.conf", "fbank.conf") == recipes
    assert find_conf(elsewhere, "mfcc.conf") is None
    assert find_conf(model, "vad.conf") is None
    monkeypatch.chdir(model)
    assert find_conf(Path(), "mfcc.conf") == recipes
    (model / "fbank.conf").touch()
    assert find_conf(model, "mfcc.conf", "fbank.conf") == model / "fbank.conf"


def test_forms_that_kaldi_accepts(conf):
    options = conf(
        "# comment\n\n --num_mel_bins=40 # more\n--use-energy\n--low-freq=1e2\n"
        "--remove-dc-offset=F\n--high-freq=-400\n--debug-mel=true\n--low-freq=30\n"
        "--window-type=hamming\n--dither=1.0\n",
        FbankOptions,
    )
    assert options == FbankOptions(
        num_mel_bins=40,
        use_energy=True,
        low_freq=30.0,
        remove_dc_offset=False,
        high_freq=-400.0,
        window_type="hamming",
        dither=1.0,
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("num-ceps=3", "expected '--key=value', found 'num-ceps=3'"),
        ("--num-cep=3", "'--num-cep'; did you mean '--num-ceps'?"),
        ("--xyz=3", "unknown option '--xyz'; supported are blackman-coeff, "),
        ("--num-ceps = 3", "'--num-ceps '; did you mean '--num-ceps'?"),
        ("--num-ceps=2.5", "expected a whole number for '--num-ceps', found '2.5'"),
        ("--num-ceps=-2", "--num-ceps must be 1 or more, found -2"),
        ("--num-ceps=24", "--num-ceps must be at most --num-mel-bins, 23, found 24"),
        ("--low-freq=1_0", "expected a number for '--low-freq', found '1_0'"),
        ("--low-freq=nan", "--low-freq must be 0 or more, found nan"),
        ("--use-energy=yes", "expected true or false for '--use-energy', found 'yes'"),
        ("--window-type=gauss", "--window-type must be one of povey, "),
        ("--high-freq=9000", "--high-freq 9000 must be a range below 8000 Hz"),
    ],
)
def test_faults_name_the_line(conf, tmp_path, line, message):
    with pytest.raises(FormatError) as caught:
        conf(f"--frame-shift=10\n{line}\n")
    assert str(caught.value).startswith(f"{tmp_path / 'x.conf'}:2: ")
    assert message in str(caught.value)
