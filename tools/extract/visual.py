"""Features of single frames by a vision model of transformers, read from a local folder: nothing is downloaded."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from last_edge.errors import InputError, MissingError

Images = list[NDArray[np.uint8]]
BATCH = 8


class VisionModel:
    """`VisionModel(folder)(images)`: (H, W, 3) BGR images -> (n, D), the model's pooled output, or its tokens' mean.

    Of a model of pictures and words the picture's part is used. Weights come from safetensors; code that a folder may
    hold is not run. `MissingError` without transformers, `InputError` when the folder holds no vision model.
    """

    def __init__(self, folder: str) -> None:
        transformers = _transformers()
        try:
            self._prepare = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
            loaded = transformers.AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
        except (OSError, ValueError, ImportError) as error:
            got = str(error).strip().splitlines()[0]
            raise InputError("not a vision model that transformers can load", where=folder, got=got) from error
        self._model, self._folder = getattr(loaded, "vision_model", loaded).eval(), folder

    def __call__(self, images: Images) -> NDArray[np.float32]:
        """See the class."""
        batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
        return np.concatenate([self._features(batch) for batch in batches])

    def _features(self, images: Images) -> NDArray[np.float32]:
        import torch

        pixels = self._prepare(images=[image[..., ::-1].copy() for image in images], return_tensors="pt")
        with torch.inference_mode():
            said = self._model(pixel_values=pixels["pixel_values"])
        pooled = getattr(said, "pooler_output", None)
        found = said.last_hidden_state.mean(1) if pooled is None else pooled
        if len(found) != len(images):
            raise InputError("not a model of single images", where=self._folder, expected=len(images), got=len(found))
        return np.asarray(found.flatten(1).float().numpy())


@lru_cache(maxsize=1)
def vision_model(folder: str) -> VisionModel:
    """The model of a folder, loaded once a process."""
    return VisionModel(folder)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise MissingError("visual features need transformers", hint="pip install 'last-edge[vision]'") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
