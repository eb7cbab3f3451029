"""Model cards: their content, their metadata, and the merging with edited cards."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData

from hsr_hub import HSRNet
from hsr_hub.evaluation import Metrics
from hsr_hub.hub import (
    BUNDLED,
    LIMITS,
    bundled_models,
    merged,
    metadata,
    model_card,
    read_metrics,
    same_prose,
    with_metrics,
    with_repo_id,
)
from tests.util import ROOT

METRICS = read_metrics(ROOT / "recipes" / "hsr-lite-x4" / "metrics.json")
PSNR = f"{METRICS[0].psnr_y:.2f}"


@pytest.fixture(scope="module")
def card(model: HSRNet) -> str:
    return str(
        model_card(
            model,
            name="org/hsr",
            metrics=METRICS,
            training="For an hour.",
            degradation="bicubic",
            datasets=["org/photos"],
            sample=True,
        )
    )


def test_metadata_survives_a_round_trip_through_the_library(card: str):
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    assert ModelCardData(**data.to_dict()).to_dict() == data.to_dict()
    again = str(ModelCard(str(ModelCard(card))))
    assert again == card
    known = data.to_dict()
    assert known["library_name"] == "hsr_hub"
    assert known["pipeline_tag"] == "image-to-image"
    assert known["license"] == "apache-2.0"
    assert known["datasets"] == ["org/photos"]
    assert known["metrics"] == ["psnr", "ssim"]
    assert {"super-resolution", "image-restoration"} <= set(known["tags"])


def test_model_index_and_table_hold_every_metric_with_bicubic(card: str):
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    results = data.eval_results
    assert results is not None and len(results) == 2 * len(METRICS)
    for measured in METRICS:
        scale = f"x{measured.scale}"
        psnr, ssim = (
            r for r in results if r.dataset_name == measured.dataset and r.dataset_config == scale
        )
        assert psnr.dataset_type == f"eugenesiow/{measured.dataset}"
        assert psnr.task_name == f"{scale} super-resolution"
        assert psnr.metric_value == round(measured.psnr_y, 2)
        assert psnr.metric_args == {"bicubic": round(measured.bicubic_psnr_y, 2)}
        assert ssim.metric_value == round(measured.ssim_y, 4)
        assert ssim.metric_args == {"bicubic": round(measured.bicubic_ssim_y, 4)}
        row = next(
            line
            for line in card.splitlines()
            if line.startswith(f"| {measured.dataset} (") and f"| {scale} |" in line
        )
        cells = [cell.strip() for cell in row.split("|")[3:6]]
        assert all(re.fullmatch(r"\d+\.\d+ \(\d+\.\d+\)", cell) for cell in cells)


def test_card_has_warning_training_limits_and_snippet(card: str):
    words = " ".join(card.split())
    for said in ("made up", "forensic, medical", "For an hour.", LIMITS["bicubic"], "(sample.png)"):
        assert said in words
    assert 'from_pretrained("org/hsr")' in card


def test_card_without_information_has_placeholders(model: HSRNet):
    card = str(model_card(model))
    assert "Not measured yet" in card and "Not recorded." in card
    assert not any(text and text in card for text in LIMITS.values())
    assert not {"model-index", "datasets"} & set(metadata(card))
    assert "sample.png" not in card


def test_merging_the_same_card_changes_nothing(card: str):
    for same_weights in (True, False):
        assert merged(card, card, same_weights=same_weights) == card


def test_merging_for_new_weights_without_metrics_removes_the_old_metrics(card: str, model: HSRNet):
    bare = str(model_card(model, name="org/hsr"))
    kept = merged(card, bare, same_weights=True)
    assert kept == card
    gone = merged(card, bare, same_weights=False)
    assert PSNR not in gone and "Not measured yet" in gone
    assert "model-index" not in metadata(gone)
    assert "For an hour." in gone  # written by hand or not, it is all that is known


def test_merging_accepts_windows_line_ends(card: str):
    assert merged(card.replace("\n", "\r\n"), card, same_weights=False) == card


@pytest.mark.parametrize(
    "theirs",
    ["---\nlicense: mit\n---\n", "---\nlicense: mit\n---", "---\nlicense: mit\n---\n\n\n"],
)
def test_merging_with_a_card_of_the_hubs_form_keeps_its_licence(theirs: str, card: str):
    text = merged(theirs, card, same_weights=False)
    assert metadata(text)["license"] == "mit"
    assert metadata(text)["library_name"] == "hsr_hub"
    assert "## Limits" in text and PSNR in text
    ModelCard(text)


def test_merging_with_a_card_without_markers_appends_the_metrics(card: str):
    text = merged("# Mine\n\nMy words.\n", card, same_weights=False)
    assert "\n# Mine\n\nMy words.\n" in text
    assert text.index("My words.") < text.index("## Metrics") < text.index("## Training")
    assert metadata(text)["model-index"]
    assert merged(text, card, same_weights=False) == text


def test_merging_does_not_restore_a_removed_block(card: str):
    without = re.sub(r"<!-- hsr-hub:sample.*?/hsr-hub:sample -->\n", "", card, flags=re.DOTALL)
    assert "sample.png" not in merged(without, card, same_weights=False)


def test_broken_metadata_is_replaced_in_a_merge_and_an_error_in_a_rename(card: str):
    broken = card.replace("license: apache-2.0", "license: [")
    assert metadata(merged(broken, card, same_weights=False)) == metadata(card)
    with pytest.raises(ValueError, match="not valid YAML"):
        with_repo_id(broken, "org/other")


def test_with_repo_id_renames_snippet_heading_and_model_index(card: str):
    text = with_repo_id(card, "other/net")
    assert "org/hsr" not in text
    assert 'from_pretrained("other/net")' in text and "\n# net\n" in text
    assert metadata(text)["model-index"][0]["name"] == "other/net"
    assert with_repo_id(text, "org/hsr") == card
    assert with_repo_id("# hand-made\n", "org/hsr") == "# hand-made\n"


def test_with_metrics_replaces_table_and_model_index_only(card: str):
    text = with_metrics(card, [replace(METRICS[0], psnr_y=12.345)])
    assert "| 12.35 (28.43)" in text or "| 12.34 (28.43)" in text
    assert f"{METRICS[1].psnr_y:.2f}" not in text  # Set14 was not measured this time
    assert same_prose(text, card) and not same_prose(text + "more", card)


@pytest.mark.parametrize("content", ["", "[1]", '{"psnr_y": 1}', "[" * 100_000])
def test_read_metrics_names_a_wrong_file(tmp_path: Path, content: str):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.json was not written by"):
        read_metrics(tmp_path / "metrics.json")


def test_read_metrics_returns_metrics():
    assert METRICS and all(isinstance(measured, Metrics) for measured in METRICS)


def test_merging_renames_the_blocks_of_earlier_versions(card: str):
    old = card.replace("## Metrics", "## Figures").replace("hsr-hub:metrics", "hsr-hub:figures")
    assert old != card
    assert merged(old, card, same_weights=False) == card
    assert same_prose(old, card)
    assert merged(card, old, same_weights=False) == card


def test_merging_ignores_markers_without_a_partner(card: str):
    opening, closing = "<!-- hsr-hub:{} -->", "<!-- /hsr-hub:{} -->"
    stray = f"{opening.format('sample')} {closing.format('limits')} {opening.format('a')}\n"
    text = merged(card + stray, card, same_weights=False)
    assert text == card + stray


@pytest.mark.parametrize(
    "hostile",
    [
        "<!-- hsr-hub:metrics -->\n" * 40_000,
        "<!-- hsr-hub:metrics " * 50_000,
        "<!-- hsr-hub:" + "a" * 1_000_000,
        "<!-- hsr-hub:a -->\n<!-- hsr-hub:b -->\n<!-- /hsr-hub:a -->\n" * 16_000,
        "<!-- /hsr-hub:metrics -->\n" * 20_000 + "<!-- hsr-hub:metrics -->\n" * 20_000,
        "".join(f"<!-- hsr-hub:a{i} -->\n" for i in range(40_000)),
        "---\n" * 250_000,
        "model-index:\n" * 80_000,
        'from_pretrained("' * 60_000,
        "## Figures\n\n" * 80_000,
    ],
    ids=lambda text: text[:20].strip(),
)
def test_merging_takes_linear_time(hostile: str, card: str):
    theirs = card + hostile
    for work in (
        lambda: merged(theirs, card, same_weights=False),
        lambda: same_prose(theirs, card),
        lambda: with_repo_id(theirs, "org/other"),
    ):
        start = time.process_time()  # does not count other processes
        work()
        assert time.process_time() - start < 1


def test_metadata_that_is_nested_too_deeply_is_broken_metadata(card: str):
    deep = f"---\na: {'[' * 2_000}\n---\n"
    assert metadata(merged(deep + "Mine.\n", card, same_weights=False)) == metadata(card)
    with pytest.raises(ValueError, match="not valid YAML"):
        metadata(deep)


@pytest.mark.parametrize("index", ["{a: 1}", "text", "[1]", "[{results: 3}]"])
def test_a_broken_model_index_is_replaced(index: str, card: str):
    theirs = f"---\nmodel-index: {index}\n---\nMine.\n"
    text = merged(theirs, card, same_weights=False)
    assert metadata(text)["model-index"] == metadata(card)["model-index"]
    with_repo_id(theirs, "org/other")


@pytest.mark.parametrize("name", bundled_models())
def test_bundled_cards_are_written_by_the_recipe(name: str):
    from recipes.write_card import card_text

    text = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    assert text == card_text(name), f"run: python -m recipes.write_card --text {name}"
    assert (BUNDLED / name / "sample.png").stat().st_size < 500_000
    # The card itself has sources, licences and numbers of the photographs.
    attribution = (ROOT / "recipes" / "ATTRIBUTION.md").read_text()
    total = 0
    for collection in re.findall(
        r"^## (.+)\n\n(.+); (\d+) photographs:", attribution, re.MULTILINE
    ):
        source, licence, count = collection
        assert f"| {source} | {count} | {licence} |" in text
        total += int(count)
    assert f"from {total} photographs" in text
    shown = re.findall(r"\]\((.*?)\)", text)
    assert sorted(shown) == ["sample.png", "training-curve.png"], "the only files on the Hub"
    assert all((BUNDLED / name / image).is_file() for image in shown)
