"""The recipe of segmentation networks: its steps, without their computations."""

import os

from scripts import ROOT, check_commands, program

RECIPE = ROOT / "egs" / "segmentation"
# Takes note of its arguments, and makes what it is to make.
SSAHC = """\
echo "$*" >> "$NOTES"
case $1 in
  simulate-audio) mkdir "$3" ;;
  train-segmentation) mkdir -p "$2" ;;
  score-segmentation) printf '%s\\n' header - rec 'pooled 1 2 3 4' '' '1 recording' ;;
esac
"""


def test_recipe_goes_from_packages_to_a_table(folder, shell, tmp_path):
    notes = tmp_path / "notes"
    program(tmp_path / "bin" / "ssahc", SSAHC)
    environment = (f"PATH={tmp_path}/bin:{os.environ['PATH']}", f"NOTES={notes}")
    # As if the packages had been downloaded.
    lines = (RECIPE / "voices").read_text().splitlines()
    places = [line.split() for line in lines]
    for _, _, *homes in places:
        for home in homes:
            (folder / "work/packages/usr/share" / home).mkdir(parents=True)
            (folder / "work/packages/usr/share" / home / "a.wav").touch()
    (folder / "more" / "me").mkdir(parents=True)

    def run():
        command = [RECIPE / "run.sh", folder / "work", folder / "more"]
        result = shell("env", *environment, *command, cwd=folder)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    table = run()
    assert table == (folder / "work" / "table.txt").read_text()
    assert table.count("pooled 1 2 3 4") == 6
    # Each voice is in one set, with all its files.
    voices = {place.name: place for place in folder.glob("work/voices/*/*")}
    assert set(voices) == {voice for _, voice, *_ in places} | {"me"}
    for name, voice, *homes in places:
        assert voices[voice].parent.name == name
        assert len([*voices[voice].rglob("a.wav")]) == len(homes)
    # What it runs is as the command line wants it.
    commands = [line.split() for line in notes.read_text().splitlines()]
    check_commands(commands)
    verbs = [verb for verb, *_ in commands]
    assert [verbs.count(verb) for verb in dict.fromkeys(verbs)] == [9, 4, 6]
    # Sets are made once.
    run()
    again = notes.read_text().splitlines()[len(commands) :]
    assert not any(line.startswith("simulate-audio") for line in again)
