"""The tasks there are, and which of them a model is for. See `tasks.task`."""

from last_edge.bundle.manifest import Manifest, translates
from last_edge.tasks.recognition import Pretraining, Recognition
from last_edge.tasks.stream.task import Streaming
from last_edge.tasks.task import Task
from last_edge.tasks.translation import Translation

RECOGNITION, TRANSLATION, PRETRAINING, STREAMING = Recognition(), Translation(), Pretraining(), Streaming()


def task_of(model: str) -> Task:
    """The task that a registered model is for; loads torch. `UsageError` for an unknown name."""
    from last_edge.models.registry import STREAMERS, TRANSLATORS, resolve_name

    resolved = resolve_name(model)
    if resolved in STREAMERS:
        return STREAMING
    return TRANSLATION if resolved in TRANSLATORS else RECOGNITION


def task_of_bundle(manifest: Manifest) -> Task:
    """The task that a bundle's files are for."""
    if manifest.stream is not None:
        return STREAMING
    return TRANSLATION if translates(manifest) else RECOGNITION
