"""Harnesses of the readers of text."""

from itertools import pairwise
from math import isfinite, isnan

import numpy as np
from checks import check_key, check_keys, check_number, require, split_lines

from ssahc.cli import cluster, diarize, fit, train_metric, tune
from ssahc.cli.inputs import SpeakerTables, read_speakers
from ssahc.cli.parsing import resolve
from ssahc.cli.references import read_hypothesis, read_references
from ssahc.cli.report import _read_settings
from ssahc.cli.sweep_table import read_sweep, write_sweep
from ssahc.core.errors import FormatError, SsahcError, UsageError
from ssahc.core.options import build
from ssahc.io.config import read_config, read_toml, to_table, write_config
from ssahc.io.rttm import read_rttm, read_uem, write_rttm
from ssahc.io.text import (
    read_attributes,
    read_labels,
    read_names,
    read_reco2min_max,
    read_reco2num_spk,
    read_segments,
    read_spk2utt,
    read_utt2spk,
    scan_reco2num_spk,
    scan_segments,
    scan_spk2utt,
    scan_utt2spk,
    write_labels,
)
from ssahc.io.trials import (
    read_trial_scores,
    read_trials,
    write_trial_scores,
    write_trials,
)
from ssahc.pipeline.options import SpeakerOptions
from ssahc.simulation.conversations import SimulateOptions

# ---- tables of recordings and utterances -------------------------------------------


def _check_segment(entry, values):
    recording, start, end = entry
    require(recording == values[0].decode(), "another recording")
    check_number(values[1], start)
    check_number(values[2], end)
    require(0 <= start <= end and isfinite(end), f"from {start} to {end}")


def _check_words(entry, values):
    require(entry == [value.decode() for value in values], f"{entry} of {values}")


def _check_word(entry, values):
    require([entry.encode()] == values, f"{entry!r} of {values}")


def _check_count(entry, values):
    require(1 <= entry < 10**9 and entry == int(values[0]), f"{entry} of {values}")


def _check_bounds(entry, values):
    require(1 <= entry[0] <= entry[1], f"{entry}")
    require(list(entry) == [int(value) for value in values], f"{entry} of {values}")


def _check_label(entry, values):
    require(0 <= entry < 10**9 and entry == int(values[0]), f"{entry} of {values}")


def _check_attribute(entry, values):
    require(entry.encode() == b" ".join(values) != b"", f"{entry!r} of {values}")


def _check_line(entry, values):
    require(entry >= 1, f"line {entry}")


# Reader, scanner if there is one, and check of an entry against the fields of its line.
_TABLES = (
    (read_segments, scan_segments, _check_segment),
    (read_spk2utt, scan_spk2utt, _check_words),
    (read_utt2spk, scan_utt2spk, _check_word),
    (read_reco2num_spk, scan_reco2num_spk, _check_count),
    (read_reco2min_max, None, _check_bounds),
    (read_labels, None, _check_label),
    (read_names, None, _check_line),
    (read_attributes, None, _check_attribute),
)


def read_tables(folder, size):
    """Have all readers of tables read a file; at least one must take it."""
    path = folder / "table"
    lines = split_lines(path.read_bytes())
    faults = []
    for read, scan, check in _TABLES:
        fault = None
        try:
            table = read(path)
        except FormatError as error:
            fault = error
            faults.append(error)
        else:
            check_keys(table, lines)
            for entry, (_, *values) in zip(table.values(), lines, strict=True):
                check(entry, values)
        if scan is not None:
            _check_scan(scan, path, lines, fault)
    for tables in (SpeakerTables(path), SpeakerTables(reco2min_max=path)):
        try:
            read_speakers(tables, SpeakerOptions())
        except SsahcError as error:
            faults.append(error)
    if len(faults) == len(_TABLES) + 2:
        raise faults[0]
    try:
        labels = read_labels(path)
    except FormatError:
        return
    again = folder / "again.table"
    write_labels(again, [(key, label - 1) for key, label in labels.items()])
    require(read_labels(again) == labels, "labels differ")


def _check_scan(scan, path, lines, fault):
    """Check that a scanner yields every line, with the fault that the reader raises."""
    try:
        scanned = list(scan(path))
    except FormatError as error:
        require(str(error) == str(fault), f"{error} or {fault}")
        return
    faults = [entry for _, entry in scanned if isinstance(entry, FormatError)]
    require(len(scanned) == len(lines), "a line is lost")
    require(str(next(iter(faults), None)) == str(fault), f"{faults} or {fault}")


# ---- turns and spans ---------------------------------------------------------------


def read_rttms(folder, size):
    """Read an RTTM."""
    _check_rttm(folder / "rttm", folder / "again.rttm")


def _check_rttm(path, again):
    rttm = read_rttm(path)
    lines = split_lines(path.read_bytes())
    speaking = [line for line in lines if line[0].upper() == b"SPEAKER"]
    require(sum(map(len, rttm.turns.values())) == len(speaking), "a turn is lost")
    require(rttm.turns.keys() == rttm.channels.keys(), "channels")
    left = {recording: iter(turns) for recording, turns in rttm.turns.items()}
    for line in speaking:
        turn = next(left[line[1].decode()])
        check_number(line[3], turn.start)
        check_number(line[4], float(line[4]))
        require(turn.end == turn.start + float(line[4]), f"{turn}")
        require(0 <= turn.start <= turn.end and isfinite(turn.end), f"{turn}")
        require(turn.speaker.encode() == line[7], f"{turn}")
    for recording in rttm.turns:
        check_key(recording)
    write_rttm(again, rttm.turns)
    written = read_rttm(again).turns
    require(written.keys() == rttm.turns.keys(), "recordings differ")
    for recording, turns in rttm.turns.items():
        for one, other in zip(turns, written[recording], strict=True):
            require(one.speaker == other.speaker, "speakers differ")
            times = (one.start, one.end), (other.start, other.end)
            close = np.allclose(*times, rtol=1e-12, atol=0.0011)
            require(close, f"{one} became {other}")


def read_uems(folder, size):
    """Read a UEM."""
    path = folder / "uem"
    uem = read_uem(path)
    lines = [line for line in split_lines(path.read_bytes())]
    spoken = [line for line in lines if not line[0].startswith((b";", b"#"))]
    count = 0
    for recording, channels in uem.items():
        check_key(recording)
        for channel, spans in channels.items():
            mine = [
                line[2:]
                for line in spoken
                if line[0].decode() == recording and line[1].decode().lower() == channel
            ]
            require(sorted((float(a), float(b)) for a, b in mine) == spans, f"{spans}")
            for start, end in spans:
                require(0 <= start < end and isfinite(end), f"{start} to {end}")
            for (_, end), (start, _) in pairwise(spans):
                require(end <= start, "spans overlap")
            count += len(spans)
    require(count == len(spoken), "a span is lost")
    for line in spoken:
        check_number(line[2], float(line[2]))
        check_number(line[3], float(line[3]))


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
    lines = split_lines(path.read_bytes())
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
        given = {}
        for line in split_lines((folder / "scores").read_bytes()):
            given[line[0], line[1]] = line[2]
        for row, score in enumerate(scores.tolist()):
            text = given.get(tuple(name.encode() for name in trials.names(row)))
            require((text is None) == isnan(score), f"score {score} of {text}")
            if text is not None:
                check_number(text, score)
        write_trial_scores(folder / "again.scores", trials, scores)
        written = read_trial_scores(folder / "again.scores", trials)
        require(np.allclose(written, scores, 1e-6, 0, equal_nan=True), "scores differ")


def _check_trials(trials, lines):
    require(len(trials) == len(lines) > 0, "a trial is lost")
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
    """Read what ssahc tune has found."""
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
