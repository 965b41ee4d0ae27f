"""Evaluation: diarization error rates, detection errors, breakdowns."""
