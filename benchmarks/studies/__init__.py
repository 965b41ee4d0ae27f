"""Studies that were run once, to settle a question or to test a limit."""
