"""The work of ``ssahc extract`` on recordings, in any process."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ssahc.cli.runner import as_fault
from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Fault, Recording
from ssahc.frontend.extraction import ExtractionOptions, extract_recording
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.recordings import Audio
from ssahc.runtime.device import Device


@dataclass(frozen=True, eq=False)
class ExtractTask:
    """Extracts x-vectors; the extractor is loaded once in each process.

    Parameters
    ----------
    extractor : Extractor or str
        Loaded, or its name or absolute path.
    device : Device
    options : ExtractionOptions
    on_read : callable, optional
        Told the seconds of audio that were read of a recording of known length; for
        other processes there is none.
    """

    extractor: Extractor | str
    device: Device
    options: ExtractionOptions
    on_read: Callable[[float], None] | None = None

    @cached_property
    def _loaded(self) -> Extractor:
        if isinstance(self.extractor, Extractor):
            return self.extractor
        return Extractor.load(self.extractor, device=self.device)

    def __call__(self, batch: list[Audio]) -> list[Recording | Fault]:
        """Return the recordings, or what is wrong with them, in their order."""
        return [self._extract(audio) for audio in batch]

    def _extract(self, audio: Audio) -> Recording | Fault:
        try:
            if self.on_read is None or audio.seconds is None:
                return extract_recording(audio, self._loaded, self.options)
            return extract_recording(audio, self._loaded, self.options, self.on_read)
        except (DataError, FormatError, MemoryError) as error:
            return as_fault(audio, error)
