"""Weights: bundled, local and on the Hugging Face Hub."""

from hsr_hub.hub.bundled import (
    ATTRIBUTION_NAME,
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
from hsr_hub.hub.card_editing import (
    merged,
    metadata,
    same_prose,
    with_license,
    with_metrics,
    with_repo_id,
)
from hsr_hub.hub.checkpoint import resolve_file
from hsr_hub.hub.choose import AUTO, LABELS, REAL, choose_weights, cleans, model_for
from hsr_hub.hub.download import error_text, hide_token, hub_api
from hsr_hub.hub.links import DEMO, ORGANIZATION, PATENT, REPOSITORY
from hsr_hub.hub.mixin import PretrainedMixin
from hsr_hub.hub.model_card import LIMITS, PURPOSES, model_card, read_metrics
from hsr_hub.hub.publish_model import (
    PublishError,
    RefusedError,
    publish,
    push_command,
    refuse_public,
)
from hsr_hub.hub.publish_space import push_space, space_files

__all__ = [
    "ATTRIBUTION_NAME",
    "AUTO",
    "BUNDLED",
    "CARD_NAME",
    "CONFIG_NAME",
    "DEFAULT_MODEL",
    "DEMO",
    "DETAIL",
    "GPU_MODEL",
    "LABELS",
    "LIMITS",
    "ORGANIZATION",
    "PATENT",
    "PURPOSES",
    "REAL",
    "REPOSITORY",
    "WEIGHTS_NAME",
    "PretrainedMixin",
    "PublishError",
    "RefusedError",
    "bundled_models",
    "choose_weights",
    "cleans",
    "default_model",
    "error_text",
    "hide_token",
    "hub_api",
    "merged",
    "metadata",
    "model_card",
    "model_for",
    "publish",
    "push_command",
    "push_space",
    "read_metrics",
    "refuse_public",
    "resolve_file",
    "resolve_folder",
    "same_prose",
    "space_files",
    "with_license",
    "with_metrics",
    "with_repo_id",
]
