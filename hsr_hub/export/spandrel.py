"""Load our weights in programs that use spandrel, such as chaiNNer and ComfyUI.

    import spandrel
    import hsr_hub.export.spandrel

    hsr_hub.export.spandrel.install()
    model = spandrel.ModelLoader().load_from_file("model.safetensors")

The network's configuration is derived from the shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from hsr_hub.network import UP_FACTORS, HSRNetwork

if TYPE_CHECKING:
    from spandrel import Architecture


class LastLevel(nn.Module):
    """The network with only the last level as its output, as spandrel expects."""

    def __init__(self, net: HSRNetwork) -> None:
        super().__init__()
        self.net = net

    def forward(self, lq: Tensor) -> Tensor:
        """Return (B,3,H*scale,W*scale) for (B,3,H,W)."""
        return self.net.super_resolve(lq, self.net.scale)


def read_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the constructor's arguments for weights.

    Raises:
        ValueError: If no HSRNet has such weights.
    """
    first = "extraction.branches.{}.convs.0.weight"
    branches = 0
    while first.format(branches) in state:
        branches += 1
    weights = [state[first.format(branch)] for branch in range(branches)]
    fusion_width = state["fusion.conv1.weight"].shape[0]
    # A head reads the features of its level. An up-sampler makes factor^2 times as many channels.
    widths, factors = [], []
    while (head := f"reconstruction.heads.{len(widths) + 1}.weight") in state:
        up = state[f"reconstruction.upsamplers.{len(widths)}.conv.weight"]
        widths.append(state[head].shape[1])
        factors.append(round((up.shape[0] / widths[-1]) ** 0.5))
    scales = [scale for scale, known in UP_FACTORS.items() if known == factors]
    if not scales:
        raise ValueError(
            f"no HSRNet up-samples by the factors {factors}, only by {list(UP_FACTORS.values())}"
        )
    return {
        "scale": scales[0],
        "kernel_sizes": [weight.shape[-1] for weight in weights],
        "widths": [weight.shape[0] for weight in weights],
        "dilations": [int(d) for d in state["extraction.dilations"].tolist()],
        "fusion_width": fusion_width,
        "reconstruction_widths": widths,
    }


def architecture() -> Architecture[LastLevel]:
    """Return the network as an architecture of spandrel."""
    # Imported here, because spandrel imports torchvision.
    from spandrel import Architecture, ImageModelDescriptor
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
            net = HSRNetwork(**read_config(state_dict))
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

    return HSRNetArch()


def install() -> None:
    """Add the architecture to spandrel's registry, unless it is there already."""
    from spandrel import MAIN_REGISTRY, ArchSupport

    if "HSRNet" not in {support.architecture.id for support in MAIN_REGISTRY.architectures()}:
        MAIN_REGISTRY.add(ArchSupport.from_architecture(architecture()))
