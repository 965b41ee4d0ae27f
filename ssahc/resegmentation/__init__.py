"""Refinement of speaker labels by a Bayesian hidden Markov model (VBx)."""
