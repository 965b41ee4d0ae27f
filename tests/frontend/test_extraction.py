"""How speech is detected, if nothing is said."""

from types import SimpleNamespace

import pytest

from ssahc.core.errors import UsageError
from ssahc.frontend import extraction
from ssahc.frontend.extraction import ExtractionOptions, settle_detection
from ssahc.frontend.silero import SileroOptions
from ssahc.frontend.vad import EnergyVadOptions

OTHER = SimpleNamespace(vad=None)
KALDI = SimpleNamespace(vad=EnergyVadOptions(vad_energy_threshold=5.5))


def install(monkeypatch, names):
    """Let some ways of detecting speech be installed."""
    weights = SimpleNamespace(
        find_weights=lambda: "x" if "segmentation-3.0" in names else None
    )
    monkeypatch.setitem(extraction.SEGMENTERS, "segmentation-3.0", weights)
    monkeypatch.setattr(extraction, "has_silero", lambda: "silero" in names)


@pytest.mark.parametrize(
    ("extractor", "installed", "expected"),
    [
        (OTHER, {"silero", "segmentation-3.0"}, ("segmentation-3.0", 5.0)),
        (OTHER, {"silero"}, ("silero", 5.0)),
        (OTHER, set(), ("energy", 5.0)),
        (KALDI, {"silero", "segmentation-3.0"}, ("energy", 5.5)),
    ],
)
def test_the_best_way_that_is_installed_is_taken(
    monkeypatch, extractor, installed, expected
):
    install(monkeypatch, installed)
    found = settle_detection(ExtractionOptions(), extractor)
    assert (found.vad, found.energy.vad_energy_threshold) == expected
    # What is decided stays.
    assert settle_detection(found, OTHER) == found


def test_options_of_the_other_way_are_refused(monkeypatch):
    install(monkeypatch, {"silero"})
    options = ExtractionOptions(energy=EnergyVadOptions(vad_energy_threshold=1))
    assert settle_detection(options, KALDI).energy == options.energy
    with pytest.raises(UsageError, match="--vad silero does not use --vad-energy-thr"):
        settle_detection(options, OTHER)
    options = ExtractionOptions(silero=SileroOptions(0.5))
    with pytest.raises(UsageError, match="--vad energy does not use --silero-thresh"):
        settle_detection(options, KALDI)
