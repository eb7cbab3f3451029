"""Cards: what they say, that the Hub can read them, and that people's words stay in them."""

from __future__ import annotations

import re
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
    named,
    read_metrics,
    same_prose,
    with_metrics,
)
from tests.util import ROOT

FIGURES = read_metrics(ROOT / "recipes" / "hsr-lite-x4" / "metrics.json")
PSNR = f"{FIGURES[0].psnr_y:.2f}"


@pytest.fixture(scope="module")
def card(model: HSRNet) -> str:
    return str(
        model_card(
            model,
            name="org/hsr",
            figures=FIGURES,
            training="For an hour.",
            degradation="bicubic",
            datasets=["org/photos"],
            sample=True,
        )
    )


def test_metadata_round_trips(card: str):
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


def test_model_index_is_the_evaluation_with_bicubic_beside_every_figure(card: str):
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    results = data.eval_results
    assert results is not None and len(results) == 2 * len(FIGURES)
    for figure in FIGURES:
        scale = f"x{figure.scale}"
        psnr, ssim = (
            r for r in results if r.dataset_name == figure.dataset and r.dataset_config == scale
        )
        assert psnr.dataset_type == f"eugenesiow/{figure.dataset}"
        assert psnr.task_name == f"{scale} super-resolution"
        assert psnr.metric_value == round(figure.psnr_y, 2)
        assert psnr.metric_args == {"bicubic": round(figure.bicubic_psnr_y, 2)}
        assert ssim.metric_value == round(figure.ssim_y, 4)
        assert ssim.metric_args == {"bicubic": round(figure.bicubic_ssim_y, 4)}
        row = next(
            line
            for line in card.splitlines()
            if line.startswith(f"| {figure.dataset} (") and f"| {scale} |" in line
        )
        cells = [cell.strip() for cell in row.split("|")[3:6]]
        assert all(re.fullmatch(r"\d+\.\d+ \(\d+\.\d+\)", cell) for cell in cells)


def test_what_it_must_say(card: str):
    words = " ".join(card.split())
    for said in ("made up", "forensic, medical", "For an hour.", LIMITS["bicubic"], "(sample.png)"):
        assert said in words
    assert 'from_pretrained("org/hsr")' in card


def test_what_is_not_known_is_not_claimed(model: HSRNet):
    card = str(model_card(model))
    assert "Not measured yet" in card and "Not recorded." in card
    assert not any(text and text in card for text in LIMITS.values())
    assert not {"model-index", "datasets"} & set(metadata(card))
    assert "sample.png" not in card


def test_merging_the_same_card_changes_nothing(card: str):
    for same_weights in (True, False):
        assert merged(card, card, same_weights=same_weights) == card


def test_new_weights_without_figures_lose_the_old_ones(card: str, model: HSRNet):
    bare = str(model_card(model, name="org/hsr"))
    kept = merged(card, bare, same_weights=True)
    assert kept == card
    gone = merged(card, bare, same_weights=False)
    assert PSNR not in gone and "Not measured yet" in gone
    assert "model-index" not in metadata(gone)
    assert "For an hour." in gone  # written by hand or not, it is all that is known


def test_line_ends_of_another_system(card: str):
    assert merged(card.replace("\n", "\r\n"), card, same_weights=False) == card


@pytest.mark.parametrize(
    "theirs",
    ["---\nlicense: mit\n---\n", "---\nlicense: mit\n---", "---\nlicense: mit\n---\n\n\n"],
)
def test_a_card_that_the_hubs_form_made_becomes_ours_with_its_licence(theirs: str, card: str):
    text = merged(theirs, card, same_weights=False)
    assert metadata(text)["license"] == "mit"
    assert metadata(text)["library_name"] == "hsr_hub"
    assert "## Limits" in text and PSNR in text
    ModelCard(text)


def test_a_card_without_our_markers_gets_the_figures_at_its_end(card: str):
    text = merged("# Mine\n\nMy words.\n", card, same_weights=False)
    assert "\n# Mine\n\nMy words.\n" in text
    assert text.index("My words.") < text.index("## Figures") < text.index("## Training")
    assert metadata(text)["model-index"]
    assert merged(text, card, same_weights=False) == text


def test_a_block_that_somebody_took_out_stays_out(card: str):
    without = re.sub(r"<!-- hsr-hub:sample.*?/hsr-hub:sample -->\n", "", card, flags=re.DOTALL)
    assert "sample.png" not in merged(without, card, same_weights=False)


def test_broken_metadata_is_replaced_on_the_hub_and_named_here(card: str):
    broken = card.replace("license: apache-2.0", "license: [")
    assert metadata(merged(broken, card, same_weights=False)) == metadata(card)
    with pytest.raises(ValueError, match="not valid YAML"):
        named(broken, "org/other")


def test_a_card_is_renamed_everywhere(card: str):
    text = named(card, "other/net")
    assert "org/hsr" not in text
    assert 'from_pretrained("other/net")' in text and "\n# net\n" in text
    assert metadata(text)["model-index"][0]["name"] == "other/net"
    assert named(text, "org/hsr") == card
    assert named("# hand-made\n", "org/hsr") == "# hand-made\n"


def test_other_figures_in_a_card(card: str):
    text = with_metrics(card, [replace(FIGURES[0], psnr_y=12.345)])
    assert "| 12.35 (28.43)" in text or "| 12.34 (28.43)" in text
    assert f"{FIGURES[1].psnr_y:.2f}" not in text  # Set14 was not measured this time
    assert same_prose(text, card) and not same_prose(text + "more", card)


@pytest.mark.parametrize("content", ["", "[1]", '{"psnr_y": 1}', "[" * 100_000])
def test_a_file_that_holds_no_figures_is_named(tmp_path: Path, content: str):
    (tmp_path / "figures.json").write_text(content)
    with pytest.raises(ValueError, match=r"figures\.json was not written by"):
        read_metrics(tmp_path / "figures.json")


def test_figures_read_are_figures(tmp_path: Path):
    assert all(isinstance(figure, Metrics) for figure in FIGURES)


@pytest.mark.parametrize("name", bundled_models())
def test_shipped_cards_are_what_the_recipe_says(name: str):
    from recipes.write_card import card_text

    text = (BUNDLED / name / "README.md").read_text()
    assert text == card_text(name), f"run: python -m recipes.write_card --text {name}"
    assert (BUNDLED / name / "sample.png").stat().st_size < 500_000
    # It stands alone: sources, licences and numbers of the photographs are in it.
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
    assert sorted(shown) == ["sample.png", "training-curve.png"], "links that the Hub has"
    assert all((BUNDLED / name / picture).is_file() for picture in shown)
