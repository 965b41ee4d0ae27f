"""Metric learning: losses of embeddings, the tuples they are taken over, margins.

What the literature on speaker embeddings compares (Narayanaswamy et al., ICASSP 2019;
Chung et al., Interspeech 2020; Coria et al., 2020), with SSA's loss beside it. All is
reached through `ssahc.learning.losses.objective.Objective` and the options of
`ssahc.learning.losses.options`.

The losses are written here and not taken from pytorch-metric-learning, good as it is:

- It lacks five of what is compared: quadruplet, center, prototypical and angular
  prototypical, GE2E, and adaptive margins.
- What it has differs from the sources in what cannot be seen: its triplet and
  contrastive losses leave zeros out of the mean unless told otherwise, ArcFace takes
  its margin in degrees, and its distance-weighted miner subtracts the maximum of a
  whole batch, so that in 256 dimensions rows underflow to nothing.
- What is left is three to ten lines a loss, which read beside their equation. That does
  not pay for a dependency, and one half from there and one from here would be two ways
  to say the same.

In return the tests hold each loss against a plain loop over its definition.
"""
