"""What ssahc does outside its output folder: no network, no telemetry, few files.

(That a report's page loads nothing is tested in test_report and test_report_browser.)
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import ssahc

PACKAGE = Path(ssahc.__file__).parent
WATCHED = Path(__file__).parents[1] / "watched"

# All verbs but demo, which calls others of these, on every way to learn and to draw.
RUNS = """\
models
extract call.wav x --extractor tiny
import e.npz imported
simulate c --recordings 2 --duration 40 --max-speakers 3 --dim 12 --train-speakers 40
check c/a --model-dir c/model/b
diarize c/a out --model-dir c/model/b --write-scores
diarize c/a jobs --model-dir c/model/b --nj 2 --system plda
cluster out/scores.scp c/a/spk2utt ahc --segments c/a/segments
score c/a/ref.rttm out/rttm
tune c/b c/b/ref.rttm tuned --model-dir c/model/a --system plda
report out --ref c/a/ref.rttm
plot affinity c/a a000 c/a/ref.rttm affinity.svg --model-dir c/model/b --system plda
plot timeline c/a/ref.rttm out/rttm a000 timeline.png
fit c/train fitted --whiten-from c/a
train-metric c/train metric --loss ge2e --epochs 1
verify c/train c/train/trials --model-dir metric
"""
CODE = """
import json, sys
from ssahc.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            sys.exit(f"{arguments}: exit status {stop.code}")
unused = {"dask", "distributed", "pyannote.database", "torch._dynamo"}
print(*sorted(unused & sys.modules.keys()))
"""

# Programs that libraries call, and who does. kaldi_io asks a shell to expand
# $KALDI_ROOT when it is imported; matplotlib asks which fonts there are, once;
# numpy.testing, which other libraries load, asks for the processor in numpy 2.1;
# the CUDA build of torch and old versions of threadpoolctl look for libraries.
PROGRAMS = {
    ("/bin/sh", "kaldi_io.kaldi_io"),
    ("fc-list", "matplotlib.font_manager"),
    ("lscpu", "numpy.testing._private.utils"),
    ("/sbin/ldconfig", "ctypes.util"),
}


def watch(code, *arguments, folder, **environment):
    """Run Python code, watched; return it, what was noted, and where it all was."""
    places = {name: folder / name for name in ("home", "temporary", "work")}
    for place in places.values():
        place.mkdir()
    ours = ("XDG_", "MPL", "NUMBA_", "TORCH", "KALDI_")
    own = {key: text for key, text in os.environ.items() if not key.startswith(ours)}
    path = [str(WATCHED), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    own |= {
        "HOME": str(places["home"]),
        "TMPDIR": str(places["temporary"]),
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "WATCH_LOG": str(folder / "log"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=places["work"],
        env=own | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (folder / "log").read_text().splitlines()
    notes = [SimpleNamespace(**json.loads(line)) for line in lines]
    return SimpleNamespace(done=done, notes=notes, **places)


def of_kind(notes, kind):
    return [note for note in notes if note.kind == kind]


@pytest.fixture(scope="module")
def run(tmp_path_factory, model_folder, golden):
    """All verbs, run one after the other in one process and its workers."""
    folder = tmp_path_factory.mktemp("watched")
    inputs = {
        "call.wav": golden / "frontend" / "wav" / "trn06-8k.wav",
        "tiny": model_folder,
        "e.npz": folder / "e.npz",
    }
    np.savez(folder / "e.npz", xvectors=np.eye(2), segments=[[0, 1], [1, 2]])
    commands = [
        [str(inputs.get(word, word)) for word in line.split()]
        for line in RUNS.splitlines()
    ]
    run = watch(CODE, json.dumps(commands), folder=folder)
    assert run.done.returncode == 0, run.done.stderr
    return run


def test_nothing_goes_to_the_network(run):
    assert of_kind(run.notes, "network") == []


def test_no_program_is_called_but_by_libraries_that_are_known_to(run):
    for note in of_kind(run.notes, "program"):
        # Since Python 3.13 subprocess starts some programs by posix_spawn.
        assert note.event in ("subprocess.Popen", "os.posix_spawn"), note
        callers = [name for name in note.modules if name not in ("subprocess", "os")]
        program = note.about[0].strip("'")
        assert (program, callers[0]) in PROGRAMS, note
        if program == "/sbin/ldconfig":
            searching = ("torch", "threadpoolctl")
            assert any(name.startswith(searching) for name in callers), note


def test_workers_are_watched_as_well(run):
    processes = {note.process for note in run.notes}
    assert len(processes) >= 3, "the main process and two workers"


def test_files_are_written_in_the_output_folder_and_in_caches_alone(run):
    settings = [run.home / ".cache", run.home / ".config"]
    # torch makes temporary files for unused parts of it; none is left (below).
    allowed = [run.work, run.temporary, *(place / "matplotlib" for place in settings)]
    for note in of_kind(run.notes, "file"):
        for path in map(Path, note.about):
            if str(path) == os.devnull or any(
                path.is_relative_to(place) for place in allowed
            ):
                continue
            if path in settings:
                assert note.event == "os.mkdir"
            else:
                # Python's own cache, and numba's, beside the source.
                assert "__pycache__" in path.parts, note
                assert path.is_relative_to(PACKAGE) or path.is_relative_to(sys.prefix)
    names = {path.name for path in run.work.iterdir()}
    assert names == {
        *("x", "imported", "c", "out", "jobs", "ahc", "tuned", "fitted", "metric"),
        *("affinity.svg", "timeline.png"),
    }
    assert not [path for path in run.temporary.rglob("*") if path.is_file()]


def test_dask_is_for_clusters_alone_and_torch_compiles_nothing(run):
    assert run.done.stdout.splitlines()[-1] == ""


BUSY = """
import os, socket, subprocess, urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:9/", timeout=1)
except OSError:
    pass
with socket.socket() as listening:
    listening.bind(("127.0.0.1", 0))
subprocess.run(["true"])
os.system("true")
open("file", "w").close()
os.rename("file", "other")
os.remove("other")
"""


def test_the_watch_sees_network_programs_and_files(tmp_path):
    seen = watch(BUSY, folder=tmp_path)
    assert seen.done.returncode == 0, seen.done.stderr
    assert {note.event for note in seen.notes} >= {
        *("urllib.Request", "socket.connect", "socket.bind", "subprocess.Popen"),
        *("os.system", "open", "os.rename", "os.remove"),
    }
