"""Synthetic corpora of conversations."""
