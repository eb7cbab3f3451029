"""Write the mean of the averaged weights in the checkpoints of a run.

    python -m recipes.mean_of_checkpoints RUN OUT [--from-step 1000]

The weights of an adversarial run at a constant learning rate wander. Their mean leaves less noise
in flat areas than the points themselves, at about the same LPIPS. RUN is the `--output_dir` of a
run that kept its checkpoints (`--checkpoints_total_limit`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hsr_hub import HSRNet


def mean_of_checkpoints(run: Path, from_step: int = 0) -> HSRNet:
    """Return the mean of the weights of all checkpoints from a step on.

    Args:
        run: Folder with `checkpoint-STEP/`.
        from_step: The first step that counts.

    Raises:
        ValueError: If there is no such checkpoint.
    """
    steps = sorted(int(path.name.partition("-")[2]) for path in run.glob("checkpoint-*"))
    steps = [step for step in steps if step >= from_step]
    if not steps:
        raise ValueError(f"no checkpoint of step {from_step} or later in {run}")
    mean = HSRNet.from_pretrained(run / f"checkpoint-{steps[0]}")
    for count, step in enumerate(steps[1:], 2):
        other = HSRNet.from_pretrained(run / f"checkpoint-{step}")
        mean = HSRNet.interpolate(mean, other, 1 / count)
    return mean


def main() -> None:
    """Write the mean."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="--output_dir of the run")
    parser.add_argument("out", type=Path, help="folder for the mean")
    parser.add_argument("--from-step", type=int, default=1000, help="first step that counts")
    args = parser.parse_args()
    mean_of_checkpoints(args.run, args.from_step).save_pretrained(args.out)


if __name__ == "__main__":
    main()
