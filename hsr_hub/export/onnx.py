"""A network as an ONNX file, for programs that run those."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from hsr_hub.images import atomic_write

if TYPE_CHECKING:
    from hsr_hub.model import HSRNet

TOLERANCE = 1e-4
"""Largest difference between onnxruntime and torch, of values in [0, 1]."""

ODD_SHAPES = ((1, 3, 17, 31), (2, 3, 40, 23))
"""What the file is tried on: batches, heights and widths unlike those it was traced with."""


def export_onnx(model: HSRNet, path: Path) -> float:
    """Write the last level's network: "lq" (B,3,H,W) in [0, 1] to "sr" (B,3,H*scale,W*scale).

    Batch, height and width are free. The file is tried in onnxruntime beside torch before it takes
    its place.

    Returns:
        The largest difference between the two.

    Raises:
        ModuleNotFoundError: onnx, onnxscript or onnxruntime is missing; the message says how.
        RuntimeError: The two differ by more than `TOLERANCE`.
        OSError: The file cannot be written.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"exporting needs {error.name}: pip install 'hsr-hub[export]'", name=error.name
        ) from error

    class LastLevel(torch.nn.Module):
        def forward(self, lq: torch.Tensor) -> torch.Tensor:
            return model.super_resolve(lq, model.scale)

    network = LastLevel()
    network.model = model  # a submodule: its weights are exported
    network.eval()
    example = torch.rand(2, 3, 32, 24)
    free = {axis: torch.export.Dim(n) for axis, n in ((0, "batch"), (2, "height"), (3, "width"))}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's, about itself
            torch.onnx.export(
                *(network, (example,), partial),
                input_names=["lq"],
                output_names=["sr"],
                dynamic_shapes=(free,),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        difference = 0.0
        for shape in ODD_SHAPES:
            lq = torch.rand(shape)
            with torch.inference_mode():
                expected = network(lq).numpy()
            (sr,) = session.run(None, {"lq": lq.numpy()})
            difference = max(difference, float(np.abs(np.asarray(sr) - expected).max()))
        if not difference <= TOLERANCE:
            raise RuntimeError(f"onnxruntime and torch differ by {difference:.2g}: not written")
    return difference
