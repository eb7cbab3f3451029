"""Write the list of photographs that the bundled models were trained on.

    python -m recipes.attribution

Reads `train/manifest.csv` under HSR_DATA and writes recipes/ATTRIBUTION.md.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

from hsr_hub.evaluation import data_root

HEAD = """# Photographs that the bundled models were trained on

{photos} photographs in {tiles} tiles of 480x480 pixels, each scaled down at least twice from its
original, from collections under free or permissive licences. The licences are what each collection
states; they were not checked image by image. Written by `python -m recipes.attribution`.
"""


def main() -> None:
    """Group the tiles of the manifest by collection and licence."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    tiles = 0
    with (data_root() / "train" / "manifest.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            tiles += 1
            # photos-1/COLLECTION__NAME__TILE.avif
            name = re.sub(r"__\d+$", "", Path(row["tile"]).stem).partition("__")[2]
            groups[row["source"], row["licence"]].add(name)
    photos = sum(len(names) for names in groups.values())
    parts = [HEAD.format(photos=photos, tiles=tiles)]
    for (source, licence), names in sorted(groups.items()):
        parts.append(f"\n## {source}\n\n{licence}; {len(names)} photographs:\n")
        parts.append(", ".join(f"`{name}`" for name in sorted(names)) + "\n")
    (Path(__file__).parent / "ATTRIBUTION.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
