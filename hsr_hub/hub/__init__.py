"""Weights: bundled, local and on the Hugging Face Hub."""

from hsr_hub.hub.checkpoint import (
    BUNDLED,
    DEFAULT_MODEL,
    DETAIL,
    GPU_MODEL,
    bundled_models,
    default_model,
)
from hsr_hub.hub.mixin import PretrainedMixin
from hsr_hub.hub.model_card import (
    LIMITS,
    merged,
    metadata,
    model_card,
    named,
    read_metrics,
    same_prose,
    with_metrics,
)
from hsr_hub.hub.publish_model import publish
from hsr_hub.hub.publish_space import choosing, space_files

__all__ = [
    "BUNDLED",
    "DEFAULT_MODEL",
    "DETAIL",
    "GPU_MODEL",
    "LIMITS",
    "PretrainedMixin",
    "bundled_models",
    "choosing",
    "default_model",
    "merged",
    "metadata",
    "model_card",
    "named",
    "publish",
    "read_metrics",
    "same_prose",
    "space_files",
    "with_metrics",
]
