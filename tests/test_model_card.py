"""Model cards: their content, their metadata, and the merging with edited cards."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, ModelCardData

from hsr_hub import HSRNet
from hsr_hub.evaluation import Metrics
from hsr_hub.hub import (
    BUNDLED,
    DEMO,
    LIMITS,
    ORGANIZATION,
    PURPOSES,
    REPOSITORY,
    bundled_models,
    merged,
    metadata,
    model_card,
    read_metrics,
    same_prose,
    with_license,
    with_metrics,
    with_repo_id,
)
from tests.hub_client import client
from tests.hub_double import Hub
from tests.util import ROOT

METRICS = read_metrics(ROOT / "recipes" / "hsr-lite-x4" / "metrics.json")
PSNR = f"{METRICS[0].psnr_y:.2f}"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().serve() as hub:
        yield hub


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
            base_model=["org/start"],
            base_model_relation="finetune",
        )
    )


def test_metadata_survives_a_round_trip_through_the_library(card: str):
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    assert ModelCardData(**data.to_dict()).to_dict() == data.to_dict()
    again = str(ModelCard(str(ModelCard(card))))
    assert again == card
    known = data.to_dict()
    assert known["library_name"] == "hsr-hub"
    assert known["pipeline_tag"] == "image-to-image"
    assert known["license"] == "apache-2.0"
    assert known["datasets"] == ["org/photos"]
    assert (known["base_model"], known["base_model_relation"]) == (["org/start"], "finetune")
    assert known["metrics"] == ["psnr", "ssim", "lpips"]
    assert {"super-resolution", "image-restoration"} <= set(known["tags"])


def test_model_index_and_table_hold_every_metric_with_bicubic(card: str):
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    results = data.eval_results
    assert results is not None and len(results) == 3 * len(METRICS)
    assert not any(result.metric_args for result in results)
    for measured in METRICS:
        scale, config = f"x{measured.scale}", f"bicubic_x{measured.scale}"
        own = [
            r for r in results if r.dataset_name == measured.dataset and r.dataset_config == config
        ]
        assert {(r.dataset_type, r.dataset_split, r.task_name) for r in own} == {
            (f"eugenesiow/{measured.dataset}", "validation", f"{scale} super-resolution")
        }
        assert measured.lpips is not None
        assert {r.metric_type: r.metric_value for r in own} == {
            "psnr": round(measured.psnr_y, 2),
            "ssim": round(measured.ssim_y, 4),
            "lpips": round(measured.lpips, 3),
        }
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


def test_card_begins_with_purpose_and_sample_and_shows_how_to_install(card: str):
    order = [PURPOSES["bicubic"], "(sample.png)", REPOSITORY, DEMO, "pip install", "## Metrics"]
    assert [card.index(part) for part in order] == sorted(card.index(part) for part in order)
    assert f"pip install git+{REPOSITORY}\n" in card


def test_card_of_metrics_without_lpips(model: HSRNet):
    bare = replace(METRICS[0], lpips=None, bicubic_lpips=None)
    card = str(model_card(model, metrics=[bare]))
    assert metadata(card)["metrics"] == ["psnr", "ssim"]
    assert "metrics" not in metadata(str(model_card(model)))
    assert "lpips" not in str(metadata(card)["model-index"])
    assert "| - (-) |" in card


def headings(card: str) -> list[str]:
    return re.findall("^## (.+)$", card, re.MULTILINE)


def test_card_without_information_has_no_empty_sections(model: HSRNet):
    card = str(model_card(model))
    assert headings(card) == ["Use", "Limits"]
    assert headings(str(model_card(model, training="At home."))) == ["Use", "Training", "Limits"]
    assert not any(text and text in card for text in (*LIMITS.values(), *PURPOSES.values()))
    assert not {"model-index", "datasets", "base_model"} & set(metadata(card))
    assert "sample.png" not in card


def test_merging_the_same_card_changes_nothing(card: str):
    for same_weights in (True, False):
        assert merged(card, card, same_weights=same_weights) == card


def test_merging_for_new_weights_without_metrics_removes_the_old_metrics(card: str, model: HSRNet):
    bare = str(model_card(model, name="org/hsr"))
    kept = merged(card, bare, same_weights=True)
    assert kept == card
    gone = merged(card, bare, same_weights=False)
    assert PSNR not in gone and headings(gone) == ["Use", "Training", "Limits"]
    assert "model-index" not in metadata(gone)
    # The next metrics find their place.
    assert (
        merged(gone, card, same_weights=False).partition("## Use")[2] == card.partition("## Use")[2]
    )
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
    assert metadata(text)["library_name"] == "hsr-hub"
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
    assert "--model other/net\n" in text
    assert metadata(text)["model-index"][0]["name"] == "other/net"
    assert with_repo_id(text, "org/hsr") == card
    assert with_repo_id("# hand-made\n", "org/hsr") == "# hand-made\n"


def test_with_metrics_replaces_table_and_model_index_only(card: str):
    text = with_metrics(card, [replace(METRICS[0], psnr_y=12.345)])
    assert "| 12.35 (28.43)" in text or "| 12.34 (28.43)" in text
    assert f"{METRICS[1].psnr_y:.2f}" not in text  # Set14 was not measured this time
    assert same_prose(text, card) and not same_prose(text + "more", card)


def test_metrics_find_their_place_in_a_card_without_them(card: str, model: HSRNet):
    bare = str(model_card(model, name="org/hsr", training="For an hour."))
    text = with_metrics(bare, METRICS)
    assert metadata(text)["metrics"] == ["psnr", "ssim", "lpips"]
    assert headings(text) == ["Use", "Metrics", "Training", "Limits"]
    assert PSNR in text and metadata(text)["model-index"]
    assert same_prose(text, bare)
    # Cards of earlier versions have a sentence there.
    for name, said in (
        ("metrics", "Not measured yet: `hsr-hub evaluate --model DIR --data TESTSET` prints them."),
        ("training", "Not recorded."),
    ):
        marker = f"<!-- hsr-hub:{name} is written by the program; edit outside of it -->\n"
        empty = str(model_card(model, name="org/hsr"))
        old = empty.replace(marker, f"## {name.capitalize()}\n\n{marker}{said}")
        assert said in old and headings(old) != headings(empty)
        assert merged(old, empty, same_weights=True) == empty
        assert (
            merged(old, text, same_weights=False).partition("# hsr\n")[2]
            == text.partition("# hsr\n")[2]
        )


def test_a_heading_that_people_changed_stays(card: str, model: HSRNet):
    bare = str(model_card(model, name="org/hsr"))
    mine = card.replace("## Metrics", "### Results")
    gone = merged(mine, bare, same_weights=False)
    assert "### Results\n\n<!-- hsr-hub:metrics" in gone and PSNR not in gone
    again = merged(gone, card, same_weights=False)
    assert "### Results\n\n<!-- hsr-hub:metrics" in again and PSNR in again
    assert "## Metrics" not in again
    assert not same_prose(mine, card)


@pytest.mark.parametrize(
    ("front", "expected"),
    [
        ("license: mit\ntitle: mine # ours\n", "license: cc-by-4.0\ntitle: mine # ours\n"),
        (
            "title: mine\nlicense: other\nlicense_name: our-own\nlicense_link: LICENSE\n",
            "license: cc-by-4.0\ntitle: mine\n",
        ),
        ("tags: [a]\n", "license: cc-by-4.0\ntags: [a]\n"),
        ("license: cc-by-4.0 # asked\n", "license: cc-by-4.0 # asked\n"),
    ],
)
def test_with_license_replaces_the_licence_only(front: str, expected: str):
    text = with_license(f"---\n{front}---\n\n# Mine\n", "cc-by-4.0")
    assert text == f"---\n{expected}---\n\n# Mine\n"
    assert metadata(with_license("# Mine\n", "mit")) == {"license": "mit"}


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
    assert len(text.encode()) < 8000
    assert (BUNDLED / name / "sample.png").stat().st_size < 500_000


@pytest.mark.parametrize("name", bundled_models())
def test_relative_links_of_bundled_cards_exist(name: str):
    text = (BUNDLED / name / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\((.*?)\)", text) if "://" not in link]
    assert {"sample.png", "ATTRIBUTION.md"} <= set(links)
    assert all((BUNDLED / name / link).is_file() for link in links)
    for base in metadata(text).get("base_model", []):
        organization, _, base_name = base.partition("/")
        assert organization == ORGANIZATION and (BUNDLED / base_name).is_dir()


def test_a_new_model_needs_data_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from recipes import write_card

    name, old = "hsr-x4-real", "hsr-lite-x4-real"
    shutil.copytree(BUNDLED, tmp_path / "weights")
    shutil.copytree(BUNDLED / old, tmp_path / "weights" / name, dirs_exist_ok=True)
    recipe = tmp_path / "recipes" / name
    recipe.mkdir(parents=True)
    for file in ("README.md", "training.md", "metrics.json", "log.jsonl"):
        shutil.copy(ROOT / "recipes" / old / file, recipe)
    shutil.copy(ROOT / "recipes" / "ATTRIBUTION.md", tmp_path / "recipes")
    monkeypatch.setattr("hsr_hub.hub.bundled.BUNDLED", tmp_path / "weights")
    monkeypatch.setattr(write_card, "BUNDLED", tmp_path / "weights")
    monkeypatch.setattr(write_card, "ROOT", tmp_path)
    write_card.write(name, images=False)
    text = (tmp_path / "weights" / name / "README.md").read_text(encoding="utf-8")
    assert PURPOSES["real"] in text and "base_model" not in metadata(text)
    (recipe / "card.json").write_text(
        '{"purpose": "For scans, unlike `hsr-x4` and `other`.", "base_model": ["hsr-x4", "org/a"]}'
    )
    text = write_card.card_text(name)
    assert f"unlike [`hsr-x4`](https://huggingface.co/{ORGANIZATION}/hsr-x4) and `other`." in text
    assert metadata(text)["base_model"] == [f"{ORGANIZATION}/hsr-x4", "org/a"]


def test_attribution_names_sources_licences_and_numbers():
    attribution = (ROOT / "recipes" / "ATTRIBUTION.md").read_text(encoding="utf-8")
    copies = {p.read_text(encoding="utf-8") for p in BUNDLED.glob("*/ATTRIBUTION.md")}
    assert copies == {attribution}
    groups = re.findall(r"^## (.+)\n\n(.+); (\d+) photographs:\n\n(.+)$", attribution, re.MULTILINE)
    total = sum(int(count) for _, _, count, _ in groups)
    assert attribution.count("\n## ") == len(groups)
    assert f"{total} photographs in " in attribution
    for _, licence, count, names in groups:
        assert licence and len(names.split(", ")) == int(count)


@pytest.mark.slow
def test_relative_links_of_a_published_card_exist(hub: Hub, tmp_path: Path):
    done = client(hub, tmp_path, "-m", "hsr_hub", "push", "hsr-lite-x4-real", "org/real")
    assert done.returncode == 0, done.stderr
    files = hub.repo("org/real").files()
    card = files["README.md"].decode()
    links = {link for link in re.findall(r"\]\((.*?)\)", card) if "://" not in link}
    assert {"ATTRIBUTION.md", "sample.png"} <= links <= set(files)
    assert "--model org/real\n" in card
    assert metadata(card)["base_model"] == [f"{ORGANIZATION}/hsr-lite-x4"]


def test_other_weights_replace_their_origin_and_nothing_else_that_people_wrote():
    theirs = (
        "---\nlicense: mit\nbase_model:\n- org/old\nbase_model_relation: merge\n"
        "datasets: [org/old]\nlanguage: en # mine\n---\n\nMy words.\n"
    )
    ours = "---\nlicense: apache-2.0\nbase_model:\n- org/new\nbase_model_relation: finetune\n---\n"
    kept = merged(theirs, ours, same_weights=True)
    assert metadata(kept)["base_model"] == ["org/old"]
    text = merged(theirs, ours, same_weights=False)
    found = metadata(text)
    assert (found["base_model"], found["base_model_relation"]) == (["org/new"], "finetune")
    assert found["datasets"] == ["org/old"]  # the new card names none
    assert found["license"] == "mit" and "language: en # mine\n" in text and "My words." in text
    assert merged(text, ours, same_weights=False) == text
