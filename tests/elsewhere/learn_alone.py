"""Learning from one recording, without a pipeline around it."""

from ssahc.backend.prepared import PreparedXvectors
from ssahc.learning.options import LearningOptions
from ssahc.learning.ssa import learn
from ssahc.pipeline.diarize import make_learning_task

DEFAULTS = LearningOptions()


def learn_alone(recording, model, options=DEFAULTS, *, num_speakers=None, device="cpu"):
    """Learn the affinity of one recording."""
    xvectors = PreparedXvectors(recording.xvectors, model)
    task = make_learning_task(recording, xvectors, options, num_speakers)
    return learn(task, options, device=device)
