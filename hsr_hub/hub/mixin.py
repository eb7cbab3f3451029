"""Load, save and publish a network: the Hub library's mixin, made strict."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import nn
from typing_extensions import Self

from hsr_hub.hub import checkpoint
from hsr_hub.hub.bundled import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME
from hsr_hub.hub.model_card import CardModel, model_card
from hsr_hub.hub.publish_model import MESSAGE, publish


class PretrainedMixin(nn.Module, PyTorchModelHubMixin):
    """A module with a `config`, and with `from_pretrained`, `save_pretrained` and `push_to_hub`.

    The library's mixin loads the tensors that fit and leaves the others random, builds the default
    network if config.json is missing, falls back to pickles, and deletes the old config.json before
    it writes the new one. Here, loading is strict and reads safetensors only, and each file is
    replaced as a whole.
    """

    config: dict[str, Any]
    """The constructor's arguments with the defaults filled in, as config.json holds them."""

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
        """Load weights strictly, and return the network in eval mode.

        Args:
            pretrained_model_name_or_path: A Hub id ("org/hsr"), a local folder, or the name of a
                bundled model ("hsr-lite-x4"), which needs no network connection.
            force_download: Download files again even if they are cached.
            token: Token for private repositories; by default HF_TOKEN or that of `hf auth login`.
            cache_dir: Folder for downloads; by default the Hub library's cache.
            local_files_only: Use cached files only, and fail if there are none.
            revision: Branch, tag or commit on the Hub.
            map_location: Device for the weights.

        Raises:
            FileNotFoundError: If there is no such model, or it lacks config.json or
                model.safetensors.
            ValueError: If one of the two files is broken, or they do not belong together.
            huggingface_hub.errors.HfHubHTTPError: If the Hub refuses; see its message.
        """
        # Not super().from_pretrained: it reads config.json itself, and ignores what is wrong in it.
        return cls._from_pretrained(
            model_id=pretrained_model_name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            map_location=map_location,
        )

    @classmethod
    def _from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        *,
        model_id: str | Path,
        revision: str | None,
        map_location: str | torch.device = "cpu",
        **download_options: Any,
    ) -> Self:
        config_path = checkpoint.resolve_file(
            model_id, CONFIG_NAME, revision=revision, **download_options
        )
        config = checkpoint.read_config(config_path, known=cls._hub_mixin_init_parameters)
        try:
            with torch.device("meta"):  # shapes only, so that absurd sizes allocate nothing
                shapes = cls(**config).state_dict()
        except (TypeError, ValueError, RuntimeError, OverflowError) as error:
            raise ValueError(f"{config_path} does not describe an HSRNet: {error}") from error
        # Pin the commit of the config, because the branch may have moved since. The weights come
        # last, so that gigabytes of another kind of model are not downloaded only to be refused.
        commit = checkpoint.commit_of(config_path) or revision
        weights_path = checkpoint.resolve_file(
            model_id, WEIGHTS_NAME, revision=commit, **download_options
        )
        state = checkpoint.read_weights(weights_path, shapes)
        model = cls(**config)
        model.load_state_dict(state)
        return model.to(map_location).eval()

    def save_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        save_directory: str | Path,
        *,
        config: dict[str, Any] | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        model_card_kwargs: dict[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write config.json, model.safetensors and, if there is none, README.md.

        Each file is replaced as a whole. If writing fails, the old files stay.

        Args:
            save_directory: The folder, which is created if needed.
            config: Must be the network's own `config`, which is always written.
            push_to_hub: Also publish to the Hub.
            repo_id: Repository to publish to; by default the folder's name.
            model_card_kwargs: Arguments of `hsr_hub.hub.model_card`: metrics, training, ...
            push_to_hub_kwargs: Arguments of `push_to_hub`.

        Returns:
            The address of the commit or the pull request if `push_to_hub` is set, else None.

        Raises:
            TypeError: If an argument is unknown, or is only for `push_to_hub`, which is not set.
            ValueError: If `config` is not the network's own.
        """
        folder = Path(save_directory)
        repo_id = repo_id or folder.resolve().name
        if config is not None and config != self.config:
            raise ValueError(f"config must be that of the network, {self.config}, not {config}")
        if push_to_hub_kwargs and not push_to_hub:
            raise TypeError(f"{sorted(push_to_hub_kwargs)} need push_to_hub=True")
        inspect.signature(self.push_to_hub).bind(repo_id, **push_to_hub_kwargs)
        folder.mkdir(parents=True, exist_ok=True)
        card_kwargs = model_card_kwargs or {}
        # The library's mixin deletes the old config.json first, so it writes to another folder.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as staging:
            card_for_folder = {"name": folder.resolve().name, **card_kwargs}
            super().save_pretrained(staging, model_card_kwargs=card_for_folder)
            for path in sorted(Path(staging).iterdir()):
                if path.name != CARD_NAME or not (folder / path.name).exists():
                    path.replace(folder / path.name)
        if not push_to_hub:
            return None
        return self.push_to_hub(repo_id, model_card_kwargs=card_kwargs, **push_to_hub_kwargs)

    def push_to_hub(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
        tag: str | None = None,
        commit_message: str = MESSAGE,
        model_card_kwargs: dict[str, Any] | None = None,
    ) -> str:
        """Publish to the Hub in one commit, as `hsr-hub push` does.

        Args:
            repo_id: "org/name"; the repository is created if needed.
            private: Visibility of a new repository; by default the organisation's default.
            token: By default HF_TOKEN or the one of `hf auth login`.
            branch: Branch to commit to, which is created if needed; by default main.
            create_pr: Propose the commit as a pull request to `branch` instead.
            tag: Version to give the commit, like "v1.0"; it must be new.
            commit_message: Message of the commit or title of the pull request.
            model_card_kwargs: Arguments of `hsr_hub.hub.model_card`: metrics, training, ...

        Returns:
            The address of the commit or the pull request.

        Raises:
            hsr_hub.hub.PublishError: If the Hub refuses or cannot be reached.
        """
        card = self.generate_model_card(**{"name": repo_id, **(model_card_kwargs or {})})
        with tempfile.TemporaryDirectory() as folder:
            self._save_pretrained(Path(folder))
            return publish(
                folder,
                repo_id,
                card=str(card),
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
        """Return the card that `save_pretrained` and `push_to_hub` write.

        The arguments are those of `hsr_hub.hub.model_card` after the model.
        """
        return model_card(cast(CardModel, self), *args, **kwargs)
