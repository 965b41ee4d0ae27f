"""The presets are the rows of Table 1 of the paper, in full, and VBx."""

import pytest

from ssahc.backend.fusion import FusionOptions
from ssahc.core.options import build, list_options
from ssahc.learning.losses.options import LossOptions
from ssahc.learning.options import LearningOptions
from ssahc.pipeline.options import DiarizeOptions
from ssahc.pipeline.presets import list_presets, load_preset

# gamma and lambda
ROWS = {
    "paper-ssa1": (0.4, 0.0),
    "paper-ssa1-lambda0.1": (0.4, 0.1),
    "paper-ssa1-lambda0.2": (0.4, 0.2),
    "paper-ssa2": (0.5, 0.0),
    "paper-ssa2-lambda0.1": (0.5, 0.1),
    "paper-ssa2-lambda0.2": (0.5, 0.2),
}


def test_presets_are_the_rows_of_the_paper_and_vbx():
    assert list_presets() == (*ROWS, "vbx")
    for name, (gamma, weight) in ROWS.items():
        learning = build(DiarizeOptions, load_preset(name, DiarizeOptions)).learning
        assert (learning.gamma, learning.lambda_) == (gamma, weight)
        assert (learning.init_threshold, learning.periods, learning.kc) == (0.1, 1, 1)
        assert (learning.eta, learning.lr, learning.max_steps) == (0.5, 1e-3, 10)
        assert learning.min_xvectors == 0


@pytest.mark.parametrize("name", ROWS)
def test_presets_leave_nothing_of_the_method_to_defaults(name):
    values = load_preset(name, DiarizeOptions)
    pinned = list_names(LearningOptions) | list_names(FusionOptions)
    of_other_losses = list_names(LossOptions) - {"sampling"}
    assert pinned - values.keys() == {"seed"} | of_other_losses


def test_vbx_has_the_constants_of_its_authors():
    options = build(DiarizeOptions, load_preset("vbx", DiarizeOptions))
    found = options.resegmentation
    assert (found.resegmentation, options.stop().threshold) == ("vbx", -0.015)
    assert (found.fa, found.fb, found.loop_prob) == (0.3, 17, 0.99)
    assert (options.system, options.pca_dim) == ("cosine", 0)


def list_names(options_class):
    return {option.name for option in list_options(options_class)}
