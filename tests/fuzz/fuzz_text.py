"""Readers of text."""

import json
from itertools import pairwise
from math import inf, isfinite, isnan

import numpy as np
from checks import check_key, check_number, require, split_lines

from ssahc.cli import cluster, diarize, fit, train_metric, tune
from ssahc.cli.inputs import SpeakerTables, read_speakers
from ssahc.cli.parsing import resolve
from ssahc.cli.references import read_hypothesis, read_references
from ssahc.cli.report import _read_settings
from ssahc.cli.sweep_table import read_sweep, write_sweep
from ssahc.core.errors import DataError, FormatError, SsahcError, UsageError
from ssahc.core.options import build
from ssahc.io.config import read_config, read_toml, to_table, write_config
from ssahc.io.linked import read_linked, write_linked
from ssahc.io.rttm import read_rttm, read_uem, write_rttm
from ssahc.io.text import (
    read_attributes,
    read_confidence,
    read_names,
    read_num_windows,
    read_reco2min_max,
    read_reco2num_spk,
    read_segments,
    read_speaker_posterior,
    read_spk2utt,
    read_utt2spk,
)
from ssahc.io.trials import (
    read_trial_scores,
    read_trials,
    write_trial_scores,
    write_trials,
)
from ssahc.io.window_lines import parse_line, read_lines
from ssahc.pipeline.options import SpeakerOptions
from ssahc.simulation.conversations import SimulateOptions

# ---- tables of recordings and utterances -------------------------------------------


def _number(text):
    value = float(text)
    check_number(text.encode(), value)
    return value


def _entry(text):
    number, probability = text.split(":")
    return int(number), _number(probability)


# Reader, and whether an entry is what the values of its line say.
_TABLES = {
    read_segments: lambda entry, values: (
        entry == (values[0], _number(values[1]), _number(values[2]))
        and 0 <= entry.start <= entry.end < inf
    ),
    read_spk2utt: lambda entry, values: entry == values,
    read_utt2spk: lambda entry, values: [entry] == values,
    read_reco2num_spk: lambda entry, values: entry == int(values[0]) >= 1,
    read_reco2min_max: lambda entry, values: (
        list(entry) == [int(value) for value in values] and 1 <= entry[0] <= entry[1]
    ),
    read_speaker_posterior: lambda entry, values: (
        list(entry.items()) == [_entry(value) for value in values] != []
        and all(number > 0 and 0 <= value <= 1 for number, value in entry.items())
    ),
    read_num_windows: lambda entry, values: [entry] == [*map(_number, values)] != [0],
    read_confidence: lambda entry, values: 0 <= entry == float(values[0]) <= 1,
    read_attributes: lambda entry, values: entry == " ".join(values) != "",
}
_WITH_ON_FAULT = (read_segments, read_spk2utt, read_utt2spk, read_reco2num_spk)


def read_tables(folder, size):
    """Have all readers of tables read a file; at least one must take it."""
    path = folder / "table"
    lines = split_lines(path)
    faults = []
    for read, is_right in _TABLES.items():
        fault = None
        try:
            table = read(path)
        except FormatError as error:
            fault = error
            faults.append(error)
        else:
            words = [[field.decode() for field in fields] for fields in lines]
            require(list(table) == [key for key, *_ in words], f"keys {list(table)}")
            require(read_names(path) == list(table), "names")
            for key, *values in words:
                check_key(key)
                require(is_right(table[key], values), f"{table[key]} of {values}")
        if read in _WITH_ON_FAULT:
            _check_on_fault(read, path, lines, fault)
    for tables in (SpeakerTables(path), SpeakerTables(reco2min_max=path)):
        try:
            read_speakers(tables, SpeakerOptions())
        except SsahcError as error:
            faults.append(error)
    if len(faults) == len(_TABLES) + 2:
        raise faults[0]


def _check_on_fault(read, path, lines, fault):
    """Check that no line is lost, and that the first fault is the one raised."""
    faults = []
    try:
        table = read(path, lambda _, error: faults.append(error))
    except FormatError as error:
        require(str(error) == str(fault), f"{error} or {fault}")
        return
    require(len(table) + len(faults) == len(lines), "a line is lost")
    require(str(next(iter(faults), None)) == str(fault), f"{faults} or {fault}")


def read_linked_tables(folder, size):
    """Read who the speakers of recordings are; written again it is the same."""
    found = read_linked(folder / "linked")
    require(len(found) == len(split_lines(folder / "linked")), "lines")
    for one in found:
        for key in one[:3]:
            check_key(key)
    for key in ([one[:2] for one in found], [one[::2] for one in found]):
        require(len({(one[0], one[1]) for one in key}) == len(found), "twice")
    write_linked(folder / "again", found)
    again = read_linked(folder / "again")
    (folder / "again").unlink()
    require([one[:3] for one in again] == [one[:3] for one in found], "names")


def read_window_lines(folder, size):
    """Read lines of a stream; at least one must be a window, a time or an end."""
    faults = []
    with (folder / "lines").open("rb") as stream:
        lines = list(read_lines(stream))
    for _, line in lines:
        try:
            found = parse_line(line, "r")
        except DataError as error:
            faults.append(error)
            continue
        item = json.loads(line)
        check_key(found.recording)
        if found.is_last:
            require(item["end"] is True, "end")
        elif found.xvector is None:
            require(found.start == found.end == item["time"], "time")
        else:
            spoken = [found.start, found.end, *found.xvector]
            said = [item["start"], item["end"], *item["xvector"]]
            require(all(a == b or b != b for a, b in zip(spoken, said)), "numbers")
    if len(faults) == len(lines):
        raise faults[0] if faults else DataError("no lines")


# ---- turns and spans ---------------------------------------------------------------


def read_rttms(folder, size):
    """Read an RTTM."""
    rttm = read_rttm(folder / "rttm")
    lines = split_lines(folder / "rttm")
    speaking = [line for line in lines if line[0].upper() == b"SPEAKER"]
    require(sum(map(len, rttm.turns.values())) == len(speaking), "a turn is lost")
    require(rttm.turns.keys() == rttm.channels.keys(), "channels")
    left = {recording: iter(turns) for recording, turns in rttm.turns.items()}
    for line in speaking:
        turn = next(left[line[1].decode()])
        # Like md-eval, skip one asterisk and take <NA> for no duration.
        start, duration = (field.replace(b"*", b"", 1) for field in line[3:5])
        duration = b"0" if duration.upper() == b"<NA>" else duration
        check_number(start, turn.start)
        check_number(duration, float(duration))
        require(turn.end == turn.start + float(duration), f"{turn}")
        require(0 <= turn.start <= turn.end and isfinite(turn.end), f"{turn}")
        require(turn.speaker.encode() == line[7], f"{turn}")
    for recording in rttm.turns:
        check_key(recording)
    lasting = {
        recording: [turn for turn in turns if round(turn.start, 3) < round(turn.end, 3)]
        for recording, turns in rttm.turns.items()
    }
    lasting = {recording: turns for recording, turns in lasting.items() if turns}
    write_rttm(folder / "again.rttm", rttm.turns)
    if not lasting:
        return
    written = read_rttm(folder / "again.rttm").turns
    require(written.keys() == lasting.keys(), "recordings differ")
    for recording, turns in lasting.items():
        for one, other in zip(turns, written[recording], strict=True):
            require(one.speaker == other.speaker, "speakers differ")
            times = (one.start, one.end), (other.start, other.end)
            close = np.allclose(*times, rtol=1e-12, atol=0.0011)
            require(close, f"{one} became {other}")


def read_uems(folder, size):
    """Read a UEM."""
    uem = read_uem(folder / "uem")
    expected = {}
    for recording, channel, start, end in (
        line
        for line in split_lines(folder / "uem")
        if not line[0].startswith((b";", b"#"))
    ):
        check_number(start, float(start))
        check_number(end, float(end))
        spans = expected.setdefault((recording.decode(), channel.decode().lower()), [])
        spans.append((float(start), float(end)))
    found = {
        (recording, channel): spans
        for recording, channels in uem.items()
        for channel, spans in channels.items()
    }
    require(found == {key: sorted(spans) for key, spans in expected.items()}, "spans")
    for (recording, _), spans in found.items():
        check_key(recording)
        for start, end in spans:
            require(0 <= start < end and isfinite(end), f"{start} to {end}")
        for (_, end), (start, _) in pairwise(spans):
            require(end <= start, "spans overlap")


def read_reference_sets(folder, size):
    """Read references, a hypothesis and a UEM, as the verbs that score do."""
    uem = folder / "all.uem"
    references = read_references(folder / "ref.rttm", uem if uem.exists() else None)
    require(references.rttm.turns, "no turn")
    require(references.spans is None or references.spans, "no span")
    for recording in references.spans or ():
        require(recording in references.rttm.turns, f"{recording!r} has no turn")
    if (folder / "hyp.rttm").exists():
        read_hypothesis(folder / "hyp.rttm", references)


# ---- trials ------------------------------------------------------------------------


def read_trial_lists(folder, size):
    """Read trials and, if there are any, their scores."""
    path, again = folder / "trials", folder / "again.trials"
    lines = split_lines(path)
    try:
        trials = read_trials(path)
    except FormatError:
        trials = read_trials(path, need_targets=False)
    _check_trials(trials, lines)
    if trials.is_target is not None:
        named = [trials.names(row) for row in range(len(trials))]
        rows = [
            (*names, is_target) for names, is_target in zip(named, trials.is_target)
        ]
        write_trials(again, rows)
        _check_trials(read_trials(again), lines)
    if (folder / "scores").exists():
        scores = read_trial_scores(folder / "scores", trials)
        require(scores.shape == (len(trials),) and scores.dtype == float, "scores")
        lines = split_lines(folder / "scores")
        if all(len(line) == 3 for line in lines):
            _check_scores(trials, scores, lines)
        write_trial_scores(folder / "again.scores", trials, scores)
        written = read_trial_scores(folder / "again.scores", trials)
        require(np.allclose(written, scores, 1e-6, 0, equal_nan=True), "scores differ")


def _check_scores(trials, scores, lines):
    given = {(first, second): text for first, second, text in lines}
    for row, score in enumerate(scores.tolist()):
        text = given.get(tuple(name.encode() for name in trials.names(row)))
        require((text is None) == isnan(score), f"score {score} of {text}")
        if text is not None:
            check_number(text, score)


def _check_trials(trials, lines):
    require(len(trials) in (len(lines), len(lines) - 1) and len(lines) > 0, "lost")
    if any(line[2:] not in ([], [b"target"], [b"nontarget"]) for line in lines):
        # Other forms than Kaldi's.
        return
    for row, line in enumerate(lines):
        require([name.encode() for name in trials.names(row)] == line[:2], f"{line}")
        if trials.is_target is not None:
            require(trials.is_target[row] == (line[2] == b"target"), f"{line}")


# ---- options and sweeps ------------------------------------------------------------

_OPTIONS = (
    diarize.DiarizeConfig,
    cluster.ClusterConfig,
    fit.FitConfig,
    train_metric.MetricConfig,
    tune.TuneConfig,
    SimulateOptions,
)


def read_configs(folder, size):
    """Read a config file for every verb that takes one; at least one must."""
    path, faults = folder / "config.toml", []
    _read_settings(path)
    read_toml(path)
    for options_class in _OPTIONS:
        try:
            options = resolve(options_class, {}, config=path)
        except (FormatError, UsageError) as error:
            faults.append(error)
            continue
        values = to_table(options)
        for name, value in values.items():
            require(not (isinstance(value, float) and isnan(value)), f"{name} is NaN")
            require("\0" not in str(value), f"{name} is {value!r}")
        write_config(folder / "again.toml", options)
        again = build(options_class, read_config(folder / "again.toml", options_class))
        require(to_table(again) == values, f"{values} became {to_table(again)}")
    if len(faults) == len(_OPTIONS):
        raise faults[0]


def read_sweeps(folder, size):
    """Read the table of ssahc tune."""
    path = folder / "tuning.csv"
    sweep = read_sweep(path)
    require(sweep.scores and len(set(sweep.names)) == len(sweep.names), "names")
    for name in sweep.names:
        check_key(name)
    lines = [line for line in path.read_bytes().split(b"\n") if line.strip()][1:]
    require(len(lines) == len(sweep.scores), "a row is lost")
    for line, (point, score) in zip(lines, sweep.scores.items()):
        fields = [field.strip() for field in line.split(b",")]
        require(len(point) == len(sweep.names), f"{point}")
        for text, value in zip(fields, point):
            check_number(text, value)
        require(isfinite(score.der) and score.der >= 0, f"DER {score.der}")
    require(sweep.best() in sweep.scores, "the best is another")
    # Seconds are written with six digits.
    if min(score.scored for score in sweep.scores.values()) > 1e-5:
        write_sweep(folder / "again.csv", sweep)
        again = read_sweep(folder / "again.csv")
        require(list(again.scores) == list(sweep.scores), "points differ")
