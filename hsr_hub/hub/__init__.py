"""Weights: bundled, local and on the Hugging Face Hub."""

from hsr_hub.hub.bundled import (
    BUNDLED,
    CARD_NAME,
    CONFIG_NAME,
    DEFAULT_MODEL,
    DETAIL,
    GPU_MODEL,
    WEIGHTS_NAME,
    bundled_models,
    default_model,
    resolve_folder,
)
from hsr_hub.hub.checkpoint import resolve_file
from hsr_hub.hub.download import error_text, hide_token, hub_api
from hsr_hub.hub.mixin import PretrainedMixin
from hsr_hub.hub.model_card import (
    LIMITS,
    merged,
    metadata,
    model_card,
    read_metrics,
    same_prose,
    with_metrics,
    with_repo_id,
)
from hsr_hub.hub.publish_model import PublishError, RefusedError, publish, refuse_public
from hsr_hub.hub.publish_space import push_space, space_files

__all__ = [
    "BUNDLED",
    "CARD_NAME",
    "CONFIG_NAME",
    "DEFAULT_MODEL",
    "DETAIL",
    "GPU_MODEL",
    "LIMITS",
    "WEIGHTS_NAME",
    "PretrainedMixin",
    "PublishError",
    "RefusedError",
    "bundled_models",
    "default_model",
    "error_text",
    "hide_token",
    "hub_api",
    "merged",
    "metadata",
    "model_card",
    "publish",
    "push_space",
    "read_metrics",
    "refuse_public",
    "resolve_file",
    "resolve_folder",
    "same_prose",
    "space_files",
    "with_metrics",
    "with_repo_id",
]
