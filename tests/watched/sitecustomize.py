"""Notes what a Python process does outside itself, and what its children do.

Every Python process that finds this folder on its path loads this module by itself. It
adds a line of JSON to the file $WATCH_LOG for every event of Python's audit that is
about the network, another program, or a file that is written, and a first one for the
process. Modules are those that were at work, the innermost first.
"""

import json
import os
import sys

_NETWORK = ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser.")
_PROGRAMS = (
    *("subprocess.", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "pty."),
)
_CHANGES = {
    *("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink"),
    *("os.truncate", "os.chmod", "os.chown", "shutil.rmtree", "sqlite3.connect"),
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

_log = os.open(os.environ["WATCH_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _kind(event, args):
    if event.startswith(_NETWORK):
        return "network"
    if event.startswith(_PROGRAMS):
        return "program"
    if event == "open" and args[2] & _WRITING and not isinstance(args[0], int):
        return "file"
    # What is removed relative to an open folder was named with that folder before.
    if event in _CHANGES and not (isinstance(args[-1], int) and args[-1] > 2):
        return "file"
    return None


def _modules():
    frame, names = sys._getframe(2), []
    while frame is not None:
        name = frame.f_globals.get("__name__", "?")
        if name not in names:
            names.append(name)
        frame = frame.f_back
    return names


def _write(kind, event, about, modules):
    note = {"kind": kind, "event": event, "about": about, "modules": modules}
    os.write(_log, json.dumps(note | {"process": os.getpid()}).encode() + b"\n")


def _note(event, args):
    if (kind := _kind(event, args)) is not None:
        about = [os.path.abspath(args[0])] if kind == "file" else list(map(repr, args))
        if event in ("os.rename", "os.link", "os.symlink"):
            about.append(os.path.abspath(args[1]))
        _write(kind, event, about, _modules())


_write("start", "", [], [])
sys.addaudithook(_note)
