"""Publish a folder of weights to the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi

from hsr_hub.modeling import HSRNet

PUBLISHED = ["config.json", "model.safetensors", "README.md", "*.png"]
"""Files of the folder that go to the Hub; its subfolders (checkpoints, logs) never do."""


def publish(folder: Path, repo_id: str, *, private: bool | None = None) -> str:
    """Upload config, weights, card and sample pictures in one commit.

    The token is that of HF_TOKEN or `hf auth login`.

    Args:
        folder: What `save_pretrained` or `train_accelerate.py` left.
        repo_id: "org/name"; made if it is not there.
        private: For a new repository; by default the organisation's own default.

    Returns:
        The commit's address.

    Raises:
        FileNotFoundError, ValueError: The folder does not load; nothing was sent.
        huggingface_hub.errors.HfHubHTTPError: The Hub refused.
    """
    HSRNet.from_pretrained(folder)
    api = HfApi()
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=folder,
        allow_patterns=PUBLISHED,
        # fnmatch's * crosses slashes: *.png would take pictures out of subfolders.
        ignore_patterns=["*/*"],
        commit_message="Publish an HSRNet",
    )
    return str(commit.commit_url)
