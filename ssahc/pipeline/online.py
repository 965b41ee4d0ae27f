"""Diarization of a stream, while it goes on.

`OnlineDiarizer` takes windows as they come and announces their speakers within a given
latency. Windows are clustered again as more come, which may correct what was announced;
when the stream has ended, all of it is diarized as a recording.
"""

# Annotations stay text, so that help() shows names, not what they stand for.
from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from itertools import count
from tempfile import SpooledTemporaryFile
from typing import NamedTuple, Unpack
from weakref import finalize

import numpy as np
from numpy.typing import ArrayLike

from ssahc.core.errors import DataError, UsageError
from ssahc.core.model import check_model
from ssahc.core.types import (
    NO_MODEL,
    FloatArray,
    Model,
    Recording,
)
from ssahc.pipeline.arrays import check_model_type, take_options
from ssahc.pipeline.diarization import Diarization
from ssahc.pipeline.diarize import diarize_recording
from ssahc.pipeline.keywords import DiarizeKeywords
from ssahc.pipeline.online_clustering import (
    Voices,
    find_voices,
    join_voices,
    match_names,
    settle_online,
)
from ssahc.pipeline.online_windows import UNKNOWN, KeptWindows, check_windows
from ssahc.pipeline.options import DiarizeOptions

# Seconds; who can wait longer has a recording.
DEFAULT_LATENCY, LONGEST_LATENCY = 2.0, 60.0
# Windows are clustered again once a share of those that are kept is new.
_NEW_SHARE = 50
# Bytes of windows that are held in memory; more go to a temporary file.
_IN_MEMORY = 2**26


@dataclass(frozen=True)
class Announcement:
    """Who speaks in a window of a stream.

    Parameters
    ----------
    window : int
        Number of the window in the stream, counted from 0.
    start, end : float
        Of the window, in seconds.
    speaker : str
        "1", "2", ... in the order in which speakers are announced.
    is_correction : bool
        Whether another speaker was announced before.
    """

    window: int
    start: float
    end: float
    speaker: str
    is_correction: bool = False


class Ended(NamedTuple):
    """What `OnlineDiarizer.finish` returns.

    Attributes
    ----------
    diarization : Diarization
        Of the whole stream.
    names : tuple of str
        The announced name of each speaker of `diarization`, in the order of labels.
    announcements : list of Announcement
        Of windows whose speaker was not announced yet, and corrections.
    """

    diarization: Diarization
    names: tuple[str, ...]
    announcements: list[Announcement]


class OnlineDiarizer:
    """Say who speaks in a stream of windows, while it goes on.

    Speakers are named "1", "2", ... as they are announced. A name stays with its voice;
    if the name of a window turns out to be wrong, a correction is announced. The last
    announcement of each window counts; a name that is left to no window is free again.

    Memory does not grow, but for the names (4 bytes a window): x-vectors are stored in
    float32, as in archives, and beyond 64 MiB in a temporary file.

    Parameters
    ----------
    model : Model, optional
        As for `diarize`.
    latency : float
        Seconds after which the speaker is announced, from the moment of speech on, 60
        at most. Time is that of the windows (and of `advance`); windows that end later
        than that are announced at once.
    options : DiarizeOptions, optional
        From `make_options`, instead of `preset` and `values`. Systems that train a
        network do so when the stream has ended, and until then cluster what the network
        starts from. A known number of speakers is the largest one until then.
    recording_id : str
    preset : str, optional
    **values
        As for `diarize`.

    Raises
    ------
    DataError
        If the model cannot be used.
    UsageError
        If options are unknown or contradict each other, or need what a stream does not
        have.

    Examples
    --------
    >>> online = OnlineDiarizer(latency=1.0)
    >>> online.add(np.eye(3)[[0, 0]], [[0, 1], [1, 2]])[0].speaker
    '1'
    >>> online.finish().diarization.num_speakers
    1
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        latency: float = DEFAULT_LATENCY,
        options: DiarizeOptions | None = None,
        recording_id: str = "recording",
        preset: str | None = None,
        **values: Unpack[DiarizeKeywords],
    ) -> None:
        check_model_type(model)
        self._model = NO_MODEL if model is None else model
        check_model(self._model)
        if not 0 <= latency <= LONGEST_LATENCY:
            raise UsageError(
                f"the latency must be between 0 and {LONGEST_LATENCY:g} seconds, "
                f"found {latency:g}"
            )
        self._latency = latency
        self._recording_id = recording_id
        self._options = take_options(options, preset, values)
        self._online_options = settle_online(self._options, self._model)
        self._kept: KeptWindows | None = None
        self._voices = Voices(self._model)
        self._num_new = 0
        # Middle of the overlap of each window that has no name with the one before.
        self._begins: list[float] = []
        # Speakers of all windows announced, corrections included.
        self._announced = array("i")
        self._num_windows = 0
        self._store = SpooledTemporaryFile(max_size=_IN_MEMORY)
        finalize(self, self._store.close)

    def add(self, xvectors: ArrayLike, segments: ArrayLike) -> list[Announcement]:
        """Take further windows; return what is to be announced.

        How windows are shared out among calls makes no difference.

        Parameters
        ----------
        xvectors : (N, D) array
        segments : (N, 2) array
            Start and end in seconds, neither before that of the window before.

        Returns
        -------
        list of Announcement
            In the order in which they are made.

        Raises
        ------
        DataError
            If values are not finite, shapes disagree, or windows are not in order or
            longer than a minute; then none of these windows is taken, and the stream
            can go on.
        UsageError
            If the stream has ended.
        """
        self._check_open()
        if np.shape(xvectors)[:1] == np.shape(segments)[:1] == (0,):
            return []
        vectors, times = check_windows(
            xvectors, segments, self._num_windows, self._kept, self._model
        )
        if self._kept is None:
            self._kept = KeptWindows.none(vectors.shape[1])
        rows = np.empty(len(vectors), _row_type(vectors.shape[1]))
        rows["segment"], rows["xvector"] = times, vectors
        self._store.write(rows.tobytes())
        found = []
        for vector, segment in zip(vectors, times, strict=True):
            # What is due before this window ends is announced without it.
            found += self._announce(segment[1], inclusive=False)
            before = self._kept.segments[-1, 1] if len(self._kept) else 0.0
            self._begins.append(max(segment[0], (segment[0] + before) / 2))
            self._kept = self._kept.followed_by(self._num_windows, segment, vector)
            self._num_windows += 1
            self._num_new += 1
            # What would be late when the next one comes does not wait for it.
            found += self._announce(segment[1] + self._kept.spacing())
        return found

    def advance(self, seconds: float) -> list[Announcement]:
        """Say that the stream has come to this time; return what is due by then.

        This announces in time what is due in a pause, when no windows come.
        """
        self._check_open()
        if not np.isfinite(seconds):
            raise DataError(f"expected a time in seconds, found {seconds}")
        return self._announce(seconds)

    def finish(self) -> Ended:
        """End the stream, and diarize all of it as a recording.

        The answer is that of `diarize` for all windows, x-vectors rounded to float32.

        Raises
        ------
        DataError
            If there were no windows.
        UsageError
            If the stream has ended before, or options ask for what is impossible.
        """
        self._check_open()
        if self._kept is None:
            raise DataError("the stream had no windows; was there any speech?")
        segments, xvectors = self._read_back()
        recording = Recording.from_arrays(self._recording_id, xvectors, segments)
        found = diarize_recording(recording, self._model, self._options)
        self._store.close()
        announced = np.full(len(recording), UNKNOWN)
        announced[: len(self._announced)] = self._announced
        names = match_names(found.labels, announced)
        for label in range(found.num_speakers):
            self._name(label, names)
        final = np.array([names[label] for label in range(found.num_speakers)])
        changed = np.flatnonzero(final[found.labels] != announced)
        return Ended(
            found,
            tuple(str(number + 1) for number in final),
            [
                _say(
                    window,
                    segments[window],
                    int(final[found.labels[window]]),
                    is_correction=window < len(self._announced),
                )
                for window in changed.tolist()
            ],
        )

    def _check_open(self) -> None:
        if self._store.closed:
            raise UsageError("the stream has ended; start another OnlineDiarizer")

    def _announce(self, now: float, *, inclusive: bool = True) -> list[Announcement]:
        """Return what must be announced by (or before) a time."""
        kept = self._kept
        if kept is None:
            return []
        num_waiting = len(self._begins)
        ends = kept.segments[len(kept) - num_waiting :, 1]
        due = np.maximum(np.array(self._begins) + self._latency, ends)
        num_due = int(np.searchsorted(due, now, "right" if inclusive else "left"))
        if num_due == 0:
            return []
        corrections = self._cluster(kept)
        if self._kept is None:
            raise AssertionError("there are windows")
        kept = self._kept
        first = len(kept) - num_waiting
        clusters = kept.clusters[first : first + num_due].tolist()
        numbers = [self._name(cluster, self._voices.names) for cluster in clusters]
        self._announced.extend(numbers)
        del self._begins[:num_due]
        names = kept.names.copy()
        names[first : first + num_due] = numbers
        self._kept = replace(kept, names=names)
        said = [
            _say(int(kept.numbers[row]), kept.segments[row], number)
            for row, number in enumerate(numbers, first)
        ]
        return corrections + said

    def _cluster(self, kept: KeptWindows) -> list[Announcement]:
        """Give every window a cluster; return corrections of what was announced."""
        if kept.clusters[-1] != UNKNOWN:
            return []
        if self._num_new < max(1, len(kept) // _NEW_SHARE):
            clusters = join_voices(kept, self._voices, self._online_options)
            self._kept = replace(kept, clusters=clusters)
            return []
        kept = kept.thinned()
        corrected = np.full(len(kept), UNKNOWN)
        for row in np.flatnonzero(kept.names != UNKNOWN).tolist():
            corrected[row] = self._announced[kept.numbers[row]]
        clusters, self._voices = find_voices(
            kept, corrected, self._model, self._online_options
        )
        self._kept, self._num_new = replace(kept, clusters=clusters), 0
        corrections = []
        for row in np.flatnonzero(corrected != UNKNOWN).tolist():
            window = int(kept.numbers[row])
            number = self._name(int(clusters[row]), self._voices.names)
            if number != corrected[row]:
                self._announced[window] = number
                corrections.append(
                    _say(window, kept.segments[row], number, is_correction=True)
                )
        return corrections

    def _name(self, cluster: int, names: dict[int, int]) -> int:
        """Return the speaker's number of a cluster, a free one if it has none."""
        if cluster not in names:
            # Who is split off and joined again and again must not use up numbers.
            taken = {*self._announced, *names.values()}
            if self._kept is not None:
                taken.update(self._kept.names.tolist())
            names[cluster] = next(n for n in count() if n not in taken)
        return names[cluster]

    def _read_back(self) -> tuple[FloatArray, FloatArray]:
        """Return segments (N, 2) and x-vectors (N, D) of all windows."""
        if self._kept is None:
            raise AssertionError("there are windows")
        self._store.seek(0)
        rows = np.frombuffer(
            self._store.read(), _row_type(self._kept.xvectors.shape[1])
        )
        return rows["segment"].copy(), rows["xvector"].astype(np.float64)


def _row_type(dim: int) -> np.dtype[np.void]:
    return np.dtype([("segment", "<f8", 2), ("xvector", "<f4", dim)])


def _say(
    window: int, segment: FloatArray, number: int, *, is_correction: bool = False
) -> Announcement:
    start, end = segment.tolist()
    return Announcement(window, start, end, str(number + 1), is_correction)
