"""Transfer the detail of a narrower model to a wider one that started from the same weights.

    python -m recipes.transfer hsr-x4 hsr-lite-x4 hsr-lite-x4-detail OUT

hsr-x4 started as hsr-lite-x4 with more channels (see recipes/widen.py), and its old channels still
compute nearly the same. So the difference between the weights of hsr-lite-x4-detail and hsr-lite-x4
is added to those of hsr-x4 (task arithmetic: Ilharco et al. 2022, https://arxiv.org/abs/2212.04089).
OUT is a folder as `save_pretrained` writes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from hsr_hub import HSRNet
from recipes.widen import widen_to_x4


def transfer(target: HSRNet, fidelity: HSRNet, detail: HSRNet) -> HSRNet:
    """Return `target` plus the difference between `detail` and `fidelity`.

    Args:
        target: Network with the widths of hsr-x4.
        fidelity: Network that `target` was widened from.
        detail: Detail model of `fidelity`.

    Returns:
        A new network. `target` does not change.
    """
    start, end = widen_to_x4(fidelity).state_dict(), widen_to_x4(detail).state_dict()
    result = HSRNet(**target.config)
    with torch.no_grad():
        result.load_state_dict(
            {name: own + (end[name] - start[name]) for name, own in target.state_dict().items()}
        )
    return result.eval()


def main() -> None:
    """Write the resulting network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("target", "fidelity", "detail"):
        parser.add_argument(name, help="bundled model, folder or repository")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    names = (args.target, args.fidelity, args.detail)
    transfer(*(HSRNet.from_pretrained(name) for name in names)).save_pretrained(args.out)


if __name__ == "__main__":
    main()
