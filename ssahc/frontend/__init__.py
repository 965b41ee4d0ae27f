"""From audio samples to what an x-vector network takes: features, speech, windows."""
