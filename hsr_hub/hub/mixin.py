"""Loading, saving and publishing: the Hub's own mixin, made strict and whole."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from huggingface_hub import PyTorchModelHubMixin
from torch import nn
from typing_extensions import Self

from hsr_hub.hub import checkpoint

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

    from hsr_hub.model import HSRNet


class PretrainedMixin(nn.Module, PyTorchModelHubMixin):
    """A module with a `config`, and its `from_pretrained`, `save_pretrained` and `push_to_hub`.

    The Hub's mixin loads what fits and leaves the rest random, builds the default network where
    config.json is missing, falls back to pickles, and removes the old config before it writes. Here
    loading is strict, from safetensors only, and files are replaced whole.
    """

    config: dict[str, Any]
    """The constructor's arguments, with defaults filled in; what config.json holds."""

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
        map_location: str | torch.device = "cpu",
    ) -> Self:
        """Load weights, strictly, in eval mode.

        Args:
            pretrained_model_name_or_path: A Hub id ("org/hsr"), a local folder, or the name of a
                set shipped in this package ("hsr-lite-x4"), which needs no network.
            force_download: Download again what is cached.
            token: Token for private repositories; by default HF_TOKEN or that of `hf auth login`.
            cache_dir: Where downloads are kept; by default the Hub library's cache.
            local_files_only: Use what is cached, or fail.
            revision: Branch, tag or commit on the Hub.
            map_location: Device for the weights.

        Raises:
            FileNotFoundError: There is no such model, or it lacks config.json or model.safetensors.
            ValueError: One of the two is broken, or they do not belong together.
            huggingface_hub.errors.HfHubHTTPError: The Hub refused; see its message.
        """
        name = pretrained_model_name_or_path
        options: dict[str, Any] = {
            "force_download": force_download,
            "token": token,
            "cache_dir": cache_dir,
            "local_files_only": local_files_only,
        }
        config_path = checkpoint.resolve_file(
            name, checkpoint.CONFIG_NAME, revision=revision, **options
        )
        config = checkpoint.read_config(config_path, known=cls._hub_mixin_init_parameters)
        try:
            with torch.device("meta"):  # shapes only: absurd ones allocate nothing
                shapes = cls(**config).state_dict()
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"{config_path} describes no network: {error}") from error
        # From the very commit that the config is of, though the branch may have moved since; and
        # only now, so that the gigabytes of somebody else's model are not fetched to be refused.
        commit = checkpoint.commit_of(config_path) or revision
        weights_path = checkpoint.resolve_file(
            name, checkpoint.WEIGHTS_NAME, revision=commit, **options
        )
        state = checkpoint.read_weights(weights_path, shapes)
        model = cls(**config)
        model.load_state_dict(state)
        return model.to(map_location).eval()

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> str | None:
        """Write config.json, model.safetensors and, where there is none, README.md.

        Each file appears whole or not at all; what was there before stays until then.

        Args:
            save_directory: Made if needed.
            kwargs: As for `PyTorchModelHubMixin.save_pretrained`: `push_to_hub` and its arguments.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        push, repo_id = kwargs.pop("push_to_hub", False), kwargs.pop("repo_id", None)
        card = kwargs.pop("model_card_kwargs", None) or {}
        # The mixin removes the old config.json first, so it gets a folder of its own to write to.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as staging:
            card_for_folder = {"name": folder.resolve().name, **card}
            super().save_pretrained(staging, model_card_kwargs=card_for_folder)
            for path in sorted(Path(staging).iterdir()):
                if path.name != "README.md" or not (folder / path.name).exists():
                    path.replace(folder / path.name)
        if not push:
            return None
        return self.push_to_hub(repo_id or folder.name, model_card_kwargs=card, **kwargs)

    def push_to_hub(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
        tag: str | None = None,
        commit_message: str = "Publish an HSRNet",
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Publish to the Hub in one commit, as `hsr-hub push` does.

        Args:
            repo_id: "org/name"; made if it is not there.
            private: For a new repository; by default the organisation's own default.
            token: By default that of HF_TOKEN or `hf auth login`.
            branch: Where to commit; made if it is not there. By default main.
            create_pr: Propose the commit instead, as a pull request to `branch`.
            tag: A version to give the commit, like "v1.0"; it must be new.
            commit_message: Of the commit or the pull request.
            model_card_kwargs: For `hsr_hub.hub.model_card.model_card`: figures, training, ...

        Returns:
            The address of the commit or the pull request.

        Raises:
            hsr_hub.hub.publish_model.PublishError: The Hub refused or could not be reached.
        """
        from hsr_hub.hub.publish_model import publish

        card = {"name": repo_id, **(model_card_kwargs or {})}
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, model_card_kwargs=card)
            return publish(
                folder,
                repo_id,
                private=private,
                branch=branch,
                create_pr=bool(create_pr),
                tag=tag,
                token=token,
                commit_message=commit_message,
                repeat=f"model.push_to_hub({repo_id!r}, ...)  # with the same arguments",
            )

    def _save_pretrained(self, save_directory: Path) -> None:
        checkpoint.write(save_directory, self.config, self.state_dict())

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The card that `save_pretrained` and `push_to_hub` write; see `hsr_hub.hub.model_card`."""
        from hsr_hub.hub.model_card import model_card

        return model_card(cast("HSRNet", self), *args, **kwargs)
