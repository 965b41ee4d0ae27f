"""Benchmarks whose results docs/results reports; one-off studies are in `studies`.

Run them from the root of the repository, with ssahc installed from it in editable
mode, so that processes and imports measure the same code.
"""
