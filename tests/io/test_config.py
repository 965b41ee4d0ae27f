"""TOML files of options."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from ssahc.core.errors import FormatError, UsageError
from ssahc.core.options import build
from ssahc.io.config import read_config, read_toml, write_config


@dataclass(frozen=True)
class Files:
    """Options with paths."""

    rate: float = 0.5
    place: Path | None = None
    scores: Path | None = None


def write_and_read(path, options):
    write_config(path, options)
    return build(Files, read_config(path, Files))


def test_options_survive_a_file_with_absolute_paths(tmp_path):
    options = Files(2.0, Path("x"), Path("ark,t:s.ark"))
    again = write_and_read(tmp_path / "config.toml", options)
    scores = Path(f"ark:{Path('s.ark').absolute()}")
    assert again == Files(2.0, Path("x").absolute(), scores)
    assert write_and_read(tmp_path / "config.toml", again) == again


def test_faults_name_file_and_key(tmp_path):
    path = tmp_path / "config.toml"
    for text, message in (
        ("rat = 1.0", "key 'rat': unknown option; did you mean 'rate'?"),
        ("rate = 'x'", "key 'rate': expected a value of type float, found 'x'"),
        ("rate = ", "not a TOML file"),
        ("place = 0x" + 5000 * "f", "'place': expected a number of at most 64 bits"),
        ("place = [0x" + 5000 * "f" + "]", "'place': expected one value, found a list"),
        ("rate" + 3000 * ".a" + " = 1", "'rate': expected one value, found a table"),
    ):
        path.write_text(text)
        with pytest.raises(FormatError) as caught:
            read_config(path, Files)
        assert str(caught.value).startswith(f"{path}: ")
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "way_out"), [(b"\xff", "rename it"), (b"\xc3\xa9", "use a UTF-8 locale")]
)
def test_paths_that_are_not_utf8_are_named(tmp_path, name, way_out):
    place = Path(name.decode("ascii", "surrogateescape"))
    with pytest.raises(UsageError, match=rf"--place .*config\.toml; {way_out}"):
        write_config(tmp_path / "config.toml", Files(place=place))
    assert not (tmp_path / "config.toml").exists()


def test_a_named_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "config.toml")
    with pytest.raises(FormatError, match="pipe"):
        read_toml(tmp_path / "config.toml")
