"""Kaldi's files, read and written so that Kaldi could not tell the difference."""
