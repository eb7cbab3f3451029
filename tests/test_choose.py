import dataclasses
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import auto_choice
from hsr_hub.hub import DEFAULT_MODEL, GPU_MODEL, bundled_models
from hsr_hub.hub.choose import (
    AUTO,
    LABELS,
    MAX_BLURRED,
    MAX_QUALITY,
    MIN_BLOCKINESS,
    MIN_CHROMA_NOISE,
    MIN_GREY_NOISE,
    MIN_LUMA_NOISE,
    MIN_REPETITION,
    MIN_RESAVED_BLOCKINESS,
    choose_model,
    model_for,
)
from hsr_hub.images import read_image
from hsr_hub.images.analysis import ImageTraits, inspect_file

NAMES = ["hsr-lite-x4", "hsr-lite-x4-detail", "hsr-lite-x4-real", "hsr-x4"]
CLEAN = ImageTraits(codec="PNG", sharpness=0.6)

TRAITS = st.builds(
    ImageTraits,
    codec=st.sampled_from(["", "JPEG", "WEBP", "WEBP-lossless", "AVIF", "HEIF", "PNG"]),
    quality=st.none() | st.integers(1, 100),
    blockiness=st.floats(0, 1),
    luma_noise=st.floats(0, 80),
    chroma_noise=st.floats(0, 80),
    sharpness=st.floats(0, 1),
    repetition=st.floats(0, 1),
)


def seen(**changes):
    return choose_model(dataclasses.replace(CLEAN, **changes), 4, NAMES)


def test_a_clean_photo_gets_detail_and_a_drawing_does_not():
    choice = seen()
    assert choice.kind == "detail"
    assert choice.reason == "Clean photo: enlarged, with some detail invented"
    for codec, limit in MAX_QUALITY.items():
        assert seen(codec=codec, quality=limit + 1).kind == "detail"
    assert seen(codec="WEBP-lossless").kind == "detail"
    choice = seen(repetition=MIN_REPETITION)
    assert choice.kind == "clean"
    assert choice.reason == "Clean drawing or screenshot: enlarged"
    assert choose_model(CLEAN, 4, ["hsr-x4", "hsr-x4-real"]).kind == "clean"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"codec": "JPEG", "quality": 40}, "Compressed photo, JPEG about 40"),
        ({"codec": "WEBP", "quality": 40}, "Compressed photo, WebP about 40"),
        ({"codec": "WEBP"}, "Compressed photo, WebP"),
        ({"codec": "AVIF"}, "Compressed photo, AVIF"),
        ({"codec": "HEIF"}, "Compressed photo, HEIC"),
        ({"blockiness": MIN_BLOCKINESS}, "Compressed photo, once a JPEG"),
        (
            {"codec": "JPEG", "quality": 95, "blockiness": MIN_RESAVED_BLOCKINESS},
            "Compressed photo, once a JPEG",
        ),
        ({"luma_noise": MIN_LUMA_NOISE, "chroma_noise": 0.5}, "Noisy photo"),
        ({"luma_noise": MIN_GREY_NOISE}, "Noisy photo"),
        ({"chroma_noise": MIN_CHROMA_NOISE}, "Noisy photo"),
        ({"sharpness": MAX_BLURRED}, "Blurred photo"),
    ],
)
def test_a_degraded_image_is_cleaned_and_enlarged(changes, reason):
    choice = seen(**changes)
    assert (choice.kind, choice.reason) == ("photo", f"{reason}: cleaned and enlarged")


@given(TRAITS)
def test_scale_1_always_cleans(traits):
    choice = choose_model(traits, 1, NAMES)
    assert choice.kind == "photo"
    assert choice.reason.endswith(": cleaned at its size")


def test_the_reason_says_what_is_done_to_the_size():
    assert choose_model(CLEAN, 0.5, NAMES).reason == "Clean photo: made smaller"
    noisy = dataclasses.replace(CLEAN, luma_noise=20)
    assert choose_model(noisy, 0.5, NAMES).reason == "Noisy photo: cleaned and made smaller"
    assert choose_model(noisy, 1, ["hsr-x4"]).reason == "Noisy photo: kept as it is"


@given(TRAITS, st.floats(0.1, 16))
def test_without_weights_for_photos_nothing_is_said_to_be_cleaned(traits, scale):
    choice = choose_model(traits, scale, ["hsr-x4", "hsr-x4-detail"])
    assert choice.kind != "photo"
    assert "cleaned" not in choice.reason


@given(TRAITS, st.floats(1.01, 16), st.floats(0, 20), st.floats(0, 1))
def test_more_degradation_never_turns_a_photo_into_a_clean_image(traits, scale, noise, blur):
    worse = dataclasses.replace(
        traits,
        luma_noise=traits.luma_noise + noise,
        sharpness=traits.sharpness * (1 - blur),
        quality=traits.quality and max(1, traits.quality - int(noise)),
    )
    if choose_model(traits, scale, NAMES).kind == "photo":
        assert choose_model(worse, scale, NAMES).kind == "photo"


def test_code_names():
    assert model_for("clean", NAMES, "hsr-x4") == "hsr-x4"
    assert model_for("photo", NAMES, "hsr-lite-x4") == "hsr-lite-x4-real"
    assert model_for("photo", NAMES, "hsr-x4") == "hsr-lite-x4-real"
    assert model_for("photo", [*NAMES, "hsr-x4-real"], "hsr-x4") == "hsr-x4-real"
    assert model_for("photo", ["hsr-x4"], "hsr-x4") == "hsr-x4"
    for default in (DEFAULT_MODEL, GPU_MODEL):
        for kind in ("clean", "detail", "photo"):
            assert model_for(kind, bundled_models(), default) in bundled_models()


def test_labels_are_distinct():
    assert LABELS[AUTO] == "Auto"
    assert len(set(LABELS.values())) == len(LABELS) == 4


@pytest.mark.parametrize("case", auto_choice.CASES)
def test_every_case_of_the_benchmark_is_a_file_of_the_small_size(case):
    gt = np.random.default_rng(0).integers(0, 255, (96, 80, 3), dtype=np.uint8)
    file = io.BytesIO(auto_choice.CASES[case](auto_choice.resized(gt, 1 / 4), gt, 0))
    image = read_image(file, case)
    assert image.size == (20, 24)
    assert inspect_file(file, image).codec in {"PNG", "JPEG", "WEBP", "AVIF"}


def test_the_benchmark_counts_picks_near_the_best_and_worse_than_bicubic():
    plain = dataclasses.asdict(CLEAN)
    noisy = dataclasses.asdict(dataclasses.replace(CLEAN, luma_noise=20))
    rows = [
        {"case": "clean", "traits": plain, "lpips": {"bicubic": 0.3, "m": 0.1, "m-real": 0.096}},
        {"case": "clean", "traits": plain, "lpips": {"bicubic": 0.3, "m": 0.4, "m-real": 0.3}},
        {"case": "noise 20", "traits": noisy, "lpips": {"bicubic": 0.3, "m": 0.2, "m-real": 0.2}},
    ]
    first, second, both, clean, _detail, photo = auto_choice.summary(rows, "m")
    assert (first["case"], first["photo"], first["best"]) == ("clean", 0, 0.5)
    assert (first["auto"], first["worse than bicubic"]) == (0.25, 0.5)
    assert (second["case"], second["photo"], second["best"]) == ("noise 20", 1, 1)
    assert (both["case"], both["images"]) == ("all", 3)
    assert (clean["photo"], photo["photo"], photo["best"]) == (0, 1, 1)
    assert "| all | 3 | 0.300 |" in auto_choice.table([both])
    with pytest.raises(ValueError, match="no measurements of 'other'"):
        auto_choice.summary(rows, "other")
