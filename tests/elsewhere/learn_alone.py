"""Learning from one recording, without a pipeline around it."""

from ssahc.backend.prepared import PreparedXvectors
from ssahc.learning.options import LearningOptions
from ssahc.learning.ssa import learn_batch
from ssahc.pipeline.diarize import make_learning_task

DEFAULTS = LearningOptions()


def learn_alone(recording, model, options=DEFAULTS, *, num_speakers=None, device="cpu"):
    """Learn the affinity of one recording."""
    xvectors = PreparedXvectors(recording.xvectors, model)
    task = make_learning_task(recording, xvectors, options, num_speakers)
    (learned,) = learn_batch([task], options, device=device)
    return learned
