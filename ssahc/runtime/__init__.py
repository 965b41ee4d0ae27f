"""Where and how work runs: processes, batches, memory, compiled loops."""
