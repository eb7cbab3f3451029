"""The sheet of crops, and the peers on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import peers
from benchmarks.peers import Peer
from benchmarks.photo_sheet import HEIGHT, ROWS, WIDTH, Row, column_name, crops, page


def nearest(lq: np.ndarray, factor: int) -> np.ndarray:
    return lq.repeat(factor, axis=0).repeat(factor, axis=1)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_crops_show_the_same_part(row: Row):
    result, original = crops(row, [nearest])
    assert result.shape == original.shape == (HEIGHT, WIDTH, 3)
    # Dark images are darker, but their structure agrees: else the crop is from another place.
    blocks = [
        image.astype(float).reshape(HEIGHT // 8, 8, WIDTH // 8, 8, 3).mean(axis=(1, 3)).ravel()
        for image in (result, original)
    ]
    assert np.corrcoef(*blocks)[0, 1] > 0.6


def test_page_has_a_column_per_method_and_a_row_per_crop():
    parts = [np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (10, 200)]
    image = np.asarray(page([("a label", parts)] * 3, ["one", "two"], zoom=2))
    assert image.shape[1] >= 2 * 2 * WIDTH and image.shape[0] >= 3 * 2 * HEIGHT
    assert (
        (image == 10).all(axis=2).sum()
        == (image == 200).all(axis=2).sum()
        == 3 * 4 * parts[0].shape[0] * parts[0].shape[1]
    )


def test_columns_are_named_by_label_or_folder():
    assert column_name("mine=runs/last/best") == ("mine", "runs/last/best")
    assert column_name("hsr-lite-x4") == ("hsr-lite-x4", "hsr-lite-x4")
    assert column_name("runs/last/best") == ("last/best", "runs/last/best")


def test_peer_is_tiled_without_seams(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peers, "TILE", 16)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 48, 3, padding=1), torch.nn.Conv2d(48, 48, 3, padding=1)
    )
    peer = Peer(torch.nn.Sequential(network, torch.nn.PixelShuffle(4)), features=(48, 3))
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    lq = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        whole = peer(lq)[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    tiled = peer.upscale(image, dtype="float32")
    assert np.abs(tiled.astype(int) - whole.astype(int)).max() <= 1


def test_peer_refuses_other_scales():
    peer = Peer(torch.nn.ConvTranspose2d(3, 3, 4, stride=4), features=(3, 3))
    with pytest.raises(ValueError, match="by 4 only, not by 2"):
        peer.upscale(np.zeros((8, 8, 3), np.uint8), scale=2)
