"""Fixtures of the tests of figures."""

import pytest


@pytest.fixture
def drawn(monkeypatch):
    """Figures, kept instead of saved."""
    figure = pytest.importorskip("matplotlib.figure").Figure
    figures = []
    monkeypatch.setattr(figure, "savefig", lambda self, *a, **k: figures.append(self))
    monkeypatch.setattr(figure, "draw_without_rendering", lambda self: None)
    return figures
