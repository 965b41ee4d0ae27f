"""The work of ``ssahc extract`` on recordings, in any process."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ssahc.cli.runner import as_fault
from ssahc.core.errors import DataError, FormatError
from ssahc.core.types import Fault, Recording
from ssahc.frontend.extraction import (
    Audio,
    ExtractionOptions,
    energy_features,
    extract_recording,
)
from ssahc.frontend.extractors import Extractor
from ssahc.frontend.feature_options import MfccOptions
from ssahc.runtime.device import Device


@dataclass(frozen=True, eq=False)
class ExtractTask:
    """Extracts x-vectors; the extractor is loaded once in each process.

    Parameters
    ----------
    extractor : str
        Name, or absolute path.
    device : Device
    options : ExtractionOptions
    """

    extractor: str
    device: Device
    options: ExtractionOptions

    @cached_property
    def loaded(self) -> Extractor:
        """The extractor; FormatError or UsageError if it cannot be used."""
        return Extractor.load(self.extractor, device=self.device)

    @cached_property
    def _energy(self) -> MfccOptions:
        return energy_features(self.loaded, Path(self.extractor))

    def __call__(self, batch: list[Audio]) -> list[Recording | Fault]:
        """Return the recordings, or what is wrong with them, in their order."""
        return [self._extract(audio) for audio in batch]

    def _extract(self, audio: Audio) -> Recording | Fault:
        try:
            return extract_recording(audio, self.loaded, self.options, self._energy)
        except (DataError, FormatError, MemoryError) as error:
            return as_fault(audio, error)
