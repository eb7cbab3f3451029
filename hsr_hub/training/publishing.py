"""The folder that a run leaves behind, with its card, and its repository on the Hub."""

from __future__ import annotations

import logging
import shlex
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import ModelCard

from hsr_hub.evaluation import Metrics, evaluate
from hsr_hub.hub import (
    BUNDLED,
    CARD_NAME,
    ORGANIZATION,
    error_text,
    hide_token,
    hub_api,
    merged,
    metadata,
    model_card,
    publish,
    push_command,
    refuse_public,
    resolve_folder,
    with_license,
)
from hsr_hub.images import atomic_write
from hsr_hub.model import HSRNet
from hsr_hub.training.stop import Interrupted, StopRequest

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)


def prepare_repository(args: Namespace, accelerator: Accelerator) -> None:
    """Make the repository on the Hub, so that a missing right is known before the first step.

    `--hub_model_id` becomes "org/name".

    Raises:
        SystemExit: The Hub refuses or cannot be reached.
    """
    from accelerate.utils import broadcast_object_list

    if not args.push_to_hub:
        return
    answer = [args.hub_model_id, ""]
    if accelerator.is_main_process:
        try:
            api = hub_api()
            private = args.hub_private_repo or None
            repo_id = api.create_repo(args.hub_model_id, private=private, exist_ok=True).repo_id
            # An existing repository is found without the right to write into it.
            api.auth_check(repo_id, write=True)
            refuse_public(api.model_info(repo_id), private)
            answer[0] = repo_id
        except Exception as error:  # the Hub's, the network's and ours
            hide_token(error)
            answer[1] = error_text(error)
    args.hub_model_id, problem = broadcast_object_list(answer)
    if problem:
        raise SystemExit(
            f"--push_to_hub: {args.hub_model_id} cannot be published: {problem}\n"
            "Nothing was trained. Log in with `hf auth login`, choose another --hub_model_id, or "
            "leave out --push_to_hub and publish later with `hsr-hub push`."
        )
    logger.info("the result will be published to %s", args.hub_model_id)


def write_card(
    net: HSRNet, args: Namespace, training: str, metrics: Sequence[Metrics] = ()
) -> ModelCard:
    """Return the card of weights of this run, before `--hub_license`.

    Args:
        net: The network.
        args: The flags of the run.
        training: The card's text about the training.
        metrics: Results of the validation sets.
    """
    return model_card(
        net,
        name=args.hub_model_id or args.output_dir.resolve().name,
        metrics=metrics,
        training=training,
        # The limits of pairs are those of their low-resolution images, which are not known here.
        degradation=None if args.train_pairs_dir else args.degradation,
        datasets=dataset_ids(args),
        sample=(args.output_dir / "sample.png").exists(),
        base_model=lineage(args.pretrained_model),
        base_model_relation="finetune",
    )


def dataset_ids(args: Namespace) -> list[str]:
    """Return the Hub ids of the training photographs."""
    ids = list(args.hub_dataset_ids)
    name = args.dataset_name
    if name and not Path(name).exists() and name not in ids:
        ids.append(name)
    return ids


def lineage(pretrained: str | None) -> list[str]:
    """Return the Hub ids of the weights that a run started from.

    A folder has no address. Its card passes on the base models that it names.
    """
    if not pretrained:
        return []
    folder = resolve_folder(pretrained)
    if folder.parent == BUNDLED:
        return [f"{ORGANIZATION}/{folder.name}"]
    if not folder.is_dir():
        return [pretrained]
    try:
        found = metadata((folder / CARD_NAME).read_text(encoding="utf-8")).get("base_model") or []
    except (OSError, ValueError):  # no card, or a damaged one
        return []
    return [found] if isinstance(found, str) else [str(name) for name in found]


def save(net: HSRNet, args: Namespace, training: str) -> None:
    """Write weights, config and card to the output folder.

    A card that is there keeps what people wrote, except its licence if `--hub_license` is given.

    Args:
        net: What to save.
        args: The flags of the run.
        training: The card's text about the training.
    """
    card_path = args.output_dir / CARD_NAME
    earlier = card_path.read_text(encoding="utf-8") if card_path.is_file() else ""
    net.save_pretrained(args.output_dir)
    metrics = [
        evaluate(net, folder, metric_weights=args.metric_weights, dtype="float32", progress=False)
        for folder in args.validation_data_dir
    ]
    # The memory would be that of the training.
    card = write_card(net, args, training, [replace(m, peak_memory_mib=None) for m in metrics])
    text = merged(earlier, str(card), same_weights=False) if earlier else str(card)
    if args.hub_license:
        text = with_license(text, args.hub_license)
    with atomic_write(card_path) as partial:
        partial.write_text(text, encoding="utf-8")
    logger.info("saved: %s", args.output_dir)


def publish_result(args: Namespace, stop: StopRequest) -> None:
    """Publish the output folder.

    Args:
        args: The flags of the run.
        stop: Signals, which end this at once.

    Raises:
        SystemExit: Publishing failed, or a signal came. The folder is complete, and the message
            says how to repeat.
    """
    options = {"license_id": args.hub_license, "private": args.hub_private_repo or None}
    try:
        with stop.interrupts():
            address = publish(args.output_dir, args.hub_model_id, **options)
    except Interrupted as interruption:
        repeat = push_command(args.output_dir, args.hub_model_id, **options)
        raise SystemExit(
            f"stopped by {interruption} while publishing to {args.hub_model_id}, which gets the "
            f"whole commit or none of it. {args.output_dir} is complete. To publish it:\n  {repeat}"
        ) from None
    except Exception as error:  # any failure of the network or the Hub
        raise SystemExit(f"publishing failed: {error}") from error
    logger.info("published: %s", address)


def publish_checkpoint(
    net: HSRNet, args: Namespace, checkpoint: Path, training: str, stop: StopRequest
) -> None:
    """Publish the averaged weights of a checkpoint. A failure is reported and changes nothing.

    Args:
        net: The averaged weights.
        args: The flags of the run.
        checkpoint: The folder.
        training: The card's text about the training.
        stop: Signals, which end this at once. The training loop then ends after its next step.
    """
    step = checkpoint.name.partition("-")[2]
    try:
        with stop.interrupts():
            address = publish(
                checkpoint,
                args.hub_model_id,
                card=str(write_card(net, args, training)),
                license_id=args.hub_license,
                private=args.hub_private_repo or None,
                commit_message=f"Averaged weights of step {step}",
            )
    except Interrupted as interruption:
        logger.warning("%s was not published: stopped by %s", checkpoint.name, interruption)
    except Exception as error:  # any failure of the network or the Hub
        hide_token(error)
        logger.warning("%s was not published: %s", checkpoint.name, error_text(error))
    else:
        logger.info("published: %s", address)


def next_command(args: Namespace) -> str:
    """Return a command that uses the weights of this run."""
    model = args.hub_model_id if args.push_to_hub else str(args.output_dir)
    return f"hsr-hub upscale photo.jpg -o sharp.png --model {shlex.quote(model)}"
