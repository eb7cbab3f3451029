"""A narrower set's detail, for a wider set that was grown from its twin.

    python recipes/hsr-x4-detail/transfer.py hsr-x4 hsr-lite-x4 hsr-lite-x4-detail OUT

hsr-x4 began as hsr-lite-x4 with more channels (../hsr-x4/widen.py) and its old channels still do
much what they did. So what the training for detail added to the weights of hsr-lite-x4 is added to
theirs (task arithmetic: Ilharco et al. 2022, https://arxiv.org/abs/2212.04089). OUT is a folder as
`save_pretrained` writes it.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hsr_hub import HSRNet

wide = runpy.run_path(str(ROOT / "recipes" / "hsr-x4" / "widen.py"))["wide"]


def transfer(target: HSRNet, fidelity: HSRNet, detail: HSRNet) -> HSRNet:
    """Add to `target` what leads from `fidelity` to `detail`.

    Args:
        target: Of the widths that `wide` gives.
        fidelity: What `target` was grown from.
        detail: Its twin.

    Returns:
        A network of the shape of `target`, which stays as it is.
    """
    start, end = wide(fidelity).state_dict(), wide(detail).state_dict()
    result = HSRNet(**target.config)
    with torch.no_grad():
        result.load_state_dict(
            {name: own + (end[name] - start[name]) for name, own in target.state_dict().items()}
        )
    return result.eval()


def main(names: list[str], out: Path) -> None:
    """Write the result."""
    transfer(*(HSRNet.from_pretrained(name) for name in names)).save_pretrained(out)


if __name__ == "__main__":
    main(sys.argv[1:4], Path(sys.argv[4]))
