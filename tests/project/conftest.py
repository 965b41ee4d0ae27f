"""Import benchmarks from the root; run scripts without starting ssahc each time."""

import os
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest
from scripts import ROOT, program

# Last, so that the installed package is still the one that is tested.
sys.path.append(str(ROOT))

# Has the test run the command, one at a time, and ends as the command has ended.
ASK = """\
cd {place}
exec {{lock}}> lock
flock "$lock"
printf '%s\\0' "$OLDPWD" "$@" > asked
read -r status < answered
cat out; cat err >&2
exit "$status"
"""


@pytest.fixture
def shell_here(shell, ssahc_here, tmp_path_factory):
    """Run a script whose calls of ssahc are run in this process: no start-up time."""
    place = tmp_path_factory.mktemp("ask")
    program(place / "bin" / "ssahc", ASK.format(place=place))
    path = f"PATH={place}/bin:{os.environ['PATH']}"
    for name in ("asked", "answered"):
        os.mkfifo(place / name)

    def answer(folder, *words):
        try:
            result = ssahc_here(*words, cwd=folder)
            status, out, err = result.returncode, result.stdout, result.stderr
        except Exception:
            status, out, err = 1, "", traceback.format_exc()
        (place / "out").write_text(out)
        (place / "err").write_text(err)
        (place / "answered").write_text(f"{status}\n")

    def run(*command, cwd=None):
        with ThreadPoolExecutor(1) as threads:
            script = threads.submit(shell, "env", path, *command, cwd=cwd)
            script.add_done_callback(lambda _: (place / "asked").write_text(""))
            while asked := (place / "asked").read_text():
                answer(*asked.split("\0")[:-1])
        return script.result()

    return run
