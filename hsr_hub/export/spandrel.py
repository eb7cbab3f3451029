"""Our weights in programs that load models through spandrel (chaiNNer, ComfyUI nodes).

    import hsr_hub.export.spandrel
    hsr_hub.export.spandrel.install()
    model = spandrel.ModelLoader().load_from_file("model.safetensors")

Needs spandrel; the network's shape is read off the weights alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from hsr_hub.model import HSRNet
from hsr_hub.network import UP_FACTORS


class LastLevel(nn.Module):
    """The network with one image out, as spandrel has it."""

    def __init__(self, net: HSRNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, lq: Tensor) -> Tensor:
        """(B,3,H,W) to (B,3,H*scale,W*scale)."""
        return self.net.super_resolve(lq, self.net.scale)


def read_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The constructor's arguments, from the shapes of its weights.

    Raises:
        ValueError: They are those of no such network.
    """
    first = "extraction.branches.{}.convs.0.weight"
    branches = 0
    while first.format(branches) in state:
        branches += 1
    weights = [state[first.format(branch)] for branch in range(branches)]
    fusion_width = state["fusion.conv1.weight"].shape[0]
    # A head reads its level's features; an up-sampler makes factor^2 times as many channels.
    widths, factors = [], []
    while (head := f"reconstruction.heads.{len(widths) + 1}.weight") in state:
        up = state[f"reconstruction.upsamplers.{len(widths)}.conv.weight"]
        widths.append(state[head].shape[1])
        factors.append(round((up.shape[0] / widths[-1]) ** 0.5))
    scales = [scale for scale, known in UP_FACTORS.items() if known == factors]
    if not scales:
        raise ValueError(f"no HSRNet up-samples by {factors}")
    return {
        "scale": scales[0],
        "kernel_sizes": [weight.shape[-1] for weight in weights],
        "widths": [weight.shape[0] for weight in weights],
        "dilations": [int(d) for d in state["extraction.dilations"].tolist()],
        "fusion_width": fusion_width,
        "reconstruction_widths": widths,
    }


def install() -> None:
    """Add the architecture to spandrel's registry; again changes nothing."""
    # Here, not above: spandrel brings torchvision along.
    from spandrel import MAIN_REGISTRY, Architecture, ArchSupport, ImageModelDescriptor
    from spandrel.util import KeyCondition

    class HSRNetArch(Architecture[LastLevel]):
        def __init__(self) -> None:
            super().__init__(
                id="HSRNet",
                detect=KeyCondition.has_all(
                    "extraction.dilations",
                    "extraction.branches.0.convs.7.weight",
                    "fusion.conv1.weight",
                    "reconstruction.heads.0.weight",
                ),
            )

        def load(self, state_dict: Mapping[str, Any]) -> ImageModelDescriptor[LastLevel]:
            net = HSRNet(**read_config(state_dict))
            branches = zip(net.config["kernel_sizes"], net.config["widths"], strict=True)
            return ImageModelDescriptor(
                LastLevel(net),
                {f"net.{name}": tensor for name, tensor in state_dict.items()},
                architecture=self,
                purpose="SR",
                tags=[f"{kernel}x{kernel}/{width}" for kernel, width in branches],
                supports_half=True,
                supports_bfloat16=True,
                scale=net.scale,
                input_channels=3,
                output_channels=3,
            )

    if "HSRNet" not in {support.architecture.id for support in MAIN_REGISTRY.architectures()}:
        MAIN_REGISTRY.add(ArchSupport.from_architecture(HSRNetArch()))
