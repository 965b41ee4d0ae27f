"""The segmentation model, where its weights are installed."""

import pytest

from ssahc.frontend.extractors.installed import SEGMENTERS
from ssahc.frontend.segmentation import Segmenter


@pytest.fixture(scope="package")
def segmenter():
    model = SEGMENTERS["segmentation-3.0"]
    if model.find_weights() is None:
        pytest.skip(f"no weights of {model.name}: {model.install}")
    return Segmenter.load(model.name, device="cpu")
