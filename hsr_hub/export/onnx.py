"""Export a network to an ONNX file."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from hsr_hub.images import atomic_write
from hsr_hub.network import HSRNetwork

TOLERANCE = 1e-4
"""Largest allowed difference between onnxruntime and torch, for values in [0, 1]."""

TEST_SHAPES = ((1, 3, 17, 31), (2, 3, 40, 23))
"""Input shapes for the comparison, which differ from the traced shape in every free axis."""


def export_onnx(model: HSRNetwork, path: Path) -> float:
    """Write the network up to its last level as an ONNX file.

    The input "lq" is (B,3,H,W) in [0, 1], the output "sr" is (B,3,H*scale,W*scale). Batch, height
    and width are free. The file is compared with torch in onnxruntime before it gets its name.

    Returns:
        The largest difference between onnxruntime and torch.

    Raises:
        ModuleNotFoundError: If onnx, onnxscript or onnxruntime is missing; says how to install.
        RuntimeError: If the results differ by more than `TOLERANCE`.
        OSError: If the file cannot be written.
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
    network.model = model  # as a submodule, so that its weights are exported
    network.eval()
    example = torch.rand(2, 3, 32, 24)
    free = {axis: torch.export.Dim(n) for axis, n in ((0, "batch"), (2, "height"), (3, "width"))}
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter warns about its own code
            torch.onnx.export(
                network,
                (example,),
                partial,
                input_names=["lq"],
                output_names=["sr"],
                dynamic_shapes=(free,),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        session = onnxruntime.InferenceSession(partial, providers=["CPUExecutionProvider"])
        difference = 0.0
        for shape in TEST_SHAPES:
            lq = torch.rand(shape)
            with torch.inference_mode():
                expected = network(lq).numpy()
            (sr,) = session.run(None, {"lq": lq.numpy()})
            difference = max(difference, float(np.abs(np.asarray(sr) - expected).max()))
        if not difference <= TOLERANCE:
            raise RuntimeError(
                f"{path} was not written: onnxruntime and torch differ by {difference:.2g}, more "
                f"than {TOLERANCE:g}. Another version of onnxruntime may help"
            )
    return difference
