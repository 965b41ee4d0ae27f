"""Simulated recordings: real voices in turns, over lines or in rooms, and noise."""
