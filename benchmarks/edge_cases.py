"""Enlarge unusual images by the command line and draw them on one sheet.

    python -m benchmarks.edge_cases FOLDER

Makes the images in FOLDER/in from the examples, runs `hsr-hub upscale` on them into FOLDER/out, and
draws both, as a viewer shows them, in FOLDER/sheet.png. Images with several frames are enlarged a
second time, with all frames and in their own formats, into FOLDER/frames; FOLDER/frames.png shows
each frame above its result.
"""

from __future__ import annotations

import argparse
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pyvips
from PIL import Image, ImageCms, ImageDraw, PngImagePlugin, TiffImagePlugin

from benchmarks.common import ROOT
from hsr_hub.images import (
    Frame,
    Frames,
    ImageData,
    ImageError,
    Metadata,
    has_frames,
    read_frames,
    read_image,
    read_pil,
    sixteen_bit,
    to_image,
    write_frames,
)
from hsr_hub.images.png import SIGNATURE, read_chunks, to_chunk

SIDE = 160
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    b'tiff:Orientation="6" tiff:ImageWidth="60" dc:creator="somebody"/></rdf:RDF></x:xmpmeta>'
)


def profile(name: str) -> bytes:
    """Return a colour profile of libvips: "p3", "cmyk" or "srgb"."""
    return pyvips.Image.profile_load(name)  # pyright: ignore


def make(folder: Path) -> None:
    """Write the images."""
    folder.mkdir(parents=True, exist_ok=True)
    with Image.open(ROOT / "examples" / "cat.png") as image:
        cat = image.convert("RGB").crop((60, 20, 140, 80))  # 80x60
    grey = cat.convert("L")
    y, x = np.mgrid[:60, :80]
    disc = np.clip(28 - np.hypot(y - 30, x - 40), 0, 1) * 255  # soft at its edge
    cut_out = cat.copy()
    cut_out.putalpha(Image.fromarray(disc.astype(np.uint8)))
    black_below = np.array(cut_out)
    black_below[disc == 0] = 0
    cut_out = Image.fromarray(black_below)
    # A fine ramp between the 8-bit steps of the photo, so that 16 bits matter.
    fine = np.asarray(cat).astype(np.uint16) * 257
    fine = np.minimum(65535, fine + (x[:, :, None] * 3).astype(np.uint16))

    exif = Image.Exif()
    exif[271], exif[274], exif[306] = "Maker", 6, "2026:01:02 03:04:05"
    exif.get_ifd(0x8769).update({0xA002: 80, 0xA003: 60, 0x829A: 0.01})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})
    cat.save(folder / "rotated.jpg", exif=exif, xmp=XMP, quality=95, dpi=(300, 300))
    exif[274] = 5
    cat.save(folder / "mirrored.tif", exif=exif)
    to_p3 = ImageCms.profileToProfile(
        cat, ImageCms.createProfile("sRGB"), _opened(profile("p3")), outputMode="RGB"
    )
    assert to_p3 is not None
    vivid = np.asarray(to_p3).copy()
    vivid[:20, :20], vivid[-20:, -20:] = (255, 0, 0), (0, 255, 0)  # beyond sRGB
    Image.fromarray(vivid).save(folder / "wide_gamut.png", icc_profile=profile("p3"))
    to_cmyk = ImageCms.profileToProfile(
        cat,
        ImageCms.createProfile("sRGB"),
        _opened(profile("cmyk")),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        "CMYK",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert to_cmyk is not None
    to_cmyk.save(folder / "cmyk.jpg", icc_profile=profile("cmyk"), quality=95)
    cat.convert("CMYK").save(folder / "cmyk_plain.jpg", quality=95)
    to_lab = ImageCms.profileToProfile(
        cat, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert to_lab is not None
    to_lab.save(folder / "lab.tif")
    grey.save(folder / "grey.png")
    Image.fromarray(fine[:, :, 1]).save(folder / "grey16.png")
    sixteen_bit.write_png(fine, folder / "rgb16.png", Metadata(icc_profile=profile("p3")))
    pyvips.Image.new_from_array(fine).tiffsave(str(folder / "rgb16.tif"), compression="lzw")
    alpha16 = (disc * 257).astype(np.uint16)[:, :, None]
    rgba16 = np.concatenate([fine, alpha16], axis=2)
    sixteen_bit.write_png(rgba16, folder / "rgba16.png", Metadata())
    sixteen_bit.write_png(rgba16[:, :, [1, 3]], folder / "grey_alpha16.png", Metadata())
    cat.quantize(32).save(folder / "palette.png", transparency=0)
    cut_out.save(folder / "alpha.png")
    cut_out.save(folder / "alpha.webp", lossless=True, exact=True)
    grey.convert("1").save(folder / "one_bit.png")
    make_animations(folder, cat)
    cat.save(folder / "pages.tif", save_all=True, append_images=[cat.rotate(180)])
    cat.crop((0, 0, 1, 1)).save(folder / "dot.png")
    cat.resize((300, 1)).save(folder / "line.png")
    cat.save(folder / "photo.avif", quality=95)
    cat.save(folder / "photo.bmp")
    make_phone_and_web_images(folder, cat, fine)
    make_wrong_images(folder, cat)


def make_phone_and_web_images(folder: Path, cat: Image.Image, fine: np.ndarray) -> None:
    """Write images as phones, generators, scanners and games write them.

    Args:
        folder: The output folder.
        cat: An RGB image.
        fine: The same in 16 bits.
    """
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    pillow_heif.from_pillow(cat).save(folder / "phone.heic", quality=95, exif=exif.tobytes())
    deep = pillow_heif.from_bytes("RGB;16", cat.size, fine.tobytes())
    deep.save(folder / "deep.heic", color_primaries=12, transfer_characteristics=13)
    gain_map = XMP.replace(
        b"dc:creator", b'xmlns:h="http://ns.adobe.com/hdr-gain-map/1.0/" h:Version="1.0" dc:creator'
    )
    cat.save(folder / "gain_map.jpg", xmp=gain_map, quality=95, comment="a comment")
    texts = PngImagePlugin.PngInfo()
    texts.add_text("parameters", "a cat 猫", zip=True)
    texts.add(b"cICP", bytes((12, 13, 0, 1)))
    cat.save(folder / "prompt.png", pnginfo=texts)
    linear = PngImagePlugin.PngInfo()
    linear.add(b"gAMA", (100_000).to_bytes(4, "big"))
    light = (np.asarray(cat) / 255) ** 2.2 * 255
    Image.fromarray(light.astype(np.uint8)).save(folder / "linear.png", pnginfo=linear)
    cat.save(folder / "game.dds")
    large_grey = np.asarray(cat.convert("L").resize((240, 180)))
    large_text = Image.fromarray(np.where(large_grey > 110, 255, 0).astype(np.uint8))
    large_text.convert("1").save(folder / "fax.tif", compression="group4")
    hard = cat.copy()
    hard.putalpha(large_text.resize(cat.size, Image.Resampling.NEAREST))
    hard.save(folder / "sticker.png")
    grey = fine[:, :, 1]
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[262] = 0  # 0 is white
    Image.fromarray(65535 - grey).save(folder / "white.tif", tiffinfo=directory)


def make_animations(folder: Path, cat: Image.Image) -> None:
    """Write animations: one that moves a little, and a sticker with hard transparency."""
    moving, sticker = [], []
    for step in range(4):
        frame = cat.copy()
        place = (10 + 15 * step, 5, 24 + 15 * step, 19)
        ImageDraw.Draw(frame).ellipse(place, fill=(230, 60, 40))
        moving.append(frame)
        mask = Image.new("L", cat.size)
        ImageDraw.Draw(mask).ellipse((5 * step, 4 * step, 79 - 5 * step, 59 - 4 * step), fill=255)
        cut = cat.copy()
        cut.putalpha(mask)
        sticker.append(cut)
    for frames, name, more in (
        (moving, "animation.gif", {"loop": 0}),
        (moving, "animation.apng", {}),
        (moving, "animation.webp", {"quality": 95}),
        (moving, "animation.avif", {"quality": 95}),
        (sticker, "sticker.gif", {"loop": 2, "disposal": 2}),
        (sticker, "sticker_frames.png", {}),
        (sticker, "sticker_frames.webp", {"lossless": True}),
    ):
        options = {"save_all": True, "duration": [100, 200, 300, 50], **more}
        frames[0].save(folder / name, append_images=frames[1:], **options)
    # Pages of different sizes, depths and channels, as scanners write them.
    pages = [
        np.asarray(cat),
        np.asarray(cat.convert("L").resize((60, 80))).astype(np.uint16) * 257,
        np.asarray(sticker[2]),
    ]
    images = [ImageData(page) for page in pages]
    write_frames(map(Frame, images), Frames(folder, images[0], [], []), folder / "scan.tif")


def make_wrong_images(folder: Path, cat: Image.Image) -> None:
    """Write images with wrong names, broken chunks and unusual colours, and some to be refused."""
    pillow_heif.from_pillow(cat).save(folder / "heic_inside.jpg", quality=95)
    cat.save(folder / "photo.jfif", "JPEG", quality=95)
    cat.save(folder / "no_suffix", "PNG")
    cat.save(folder / "colours.avif", quality=95)
    data = bytearray((folder / "colours.avif").read_bytes())
    at = data.index(b"colrnclx") + 8
    data[at : at + 4] = struct.pack(">2H", 12, 13)  # Display P3
    (folder / "colours.avif").write_bytes(data)
    buffer = io.BytesIO()
    cat.save(buffer, "PNG")
    header, *rest = [to_chunk(chunk.kind, chunk.data) for chunk in read_chunks(buffer.getvalue())]
    for name, chunk in (
        ("checksum.png", to_chunk(b"tEXt", b"Title\0cat")[:-4] + b"oops"),
        ("large_profile.png", to_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(3 << 20)))),
        ("hdr.png", to_chunk(b"cICP", bytes((9, 16, 0, 1)))),
    ):
        (folder / name).write_bytes(SIGNATURE + header + chunk + b"".join(rest))
    signed = np.asarray(cat.convert("L")).astype(np.int16) * 100 - 10_000
    pyvips.Image.new_from_array(signed).tiffsave(str(folder / "signed.tif"))
    five = np.dstack([np.asarray(cat), np.asarray(cat)[:, :, :2]])
    pyvips.Image.new_from_array(five).tiffsave(str(folder / "five_channels.tif"))
    (folder / "camera.nef").write_bytes((folder / "signed.tif").read_bytes())


def _opened(icc: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(icc))


def as_shown(path: Path) -> Image.Image:
    """Return an image as a colour-managed viewer shows it, on a checkerboard."""
    return draw_shown(read_pil(path))


def draw_shown(image: Image.Image) -> Image.Image:
    """Return a Pillow image as a colour-managed viewer shows it, on a checkerboard."""
    icc = image.info.get("icc_profile")
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    alpha = image.getchannel("A") if image.mode.endswith("A") else None
    image = image.convert("RGB")
    if icc and icc[16:20] == b"RGB ":
        managed = ImageCms.profileToProfile(image, _opened(icc), ImageCms.createProfile("sRGB"))
        assert managed is not None
        image = managed
    image.thumbnail((SIDE, SIDE))
    background = Image.fromarray(
        np.where((np.indices((SIDE, SIDE)) // 8).sum(0) % 2, 200, 255).astype(np.uint8)
    ).convert("RGB")
    factor = max(1, SIDE // max(image.size))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    mask = alpha.resize(image.size) if alpha else None
    background.paste(image, (0, 0), mask)
    return background


def upscale(*arguments: str | Path) -> int:
    """Run `hsr-hub upscale`, and return its exit code."""
    command = [sys.executable, "-m", "hsr_hub", "upscale", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def draw_frames(folder: Path) -> None:
    """Enlarge all frames in their own formats, and draw them above their results."""
    sources = [path for path in sorted((folder / "in").iterdir()) if has_frames(path)]
    out = folder / "frames"
    upscale(*sources, "-o", out, "--frames", "all", "--format", "same")
    sheet = Image.new("RGB", (4 * (SIDE + 4), len(sources) * 2 * (SIDE + 18)), "white")
    draw = ImageDraw.Draw(sheet)
    for row, path in enumerate(sources):
        suffix = ".png" if path.suffix == ".apng" else path.suffix
        results = sorted(out.glob(f"{path.stem}-4x*{suffix}"))
        for line, names in enumerate(([path], results)):
            top = (2 * row + line) * (SIDE + 18)
            images, facts = [], [name.name for name in names]
            for name in names:
                frames = read_frames(name)
                images += [frame.image for frame in frames] if frames else [read_image(name)]
                facts += [f"{frames.durations} ms, {frames.plays} plays"] if frames else []
            draw.text((0, top), ", ".join(facts), "black")
            for column, image in enumerate(images):
                sheet.paste(draw_shown(to_image(image)), (column * (SIDE + 4), top + 14))
    sheet.save(folder / "frames.png")


def main() -> int:
    """Make the images, enlarge them and draw the sheet. Return the exit code of the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    make(folder / "in")
    code = upscale(folder / "in", "-o", folder / "out")
    draw_frames(folder)
    images = sorted((folder / "in").iterdir())
    columns = 6
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * 2 * (SIDE + 4), rows * (SIDE + 18)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, path in enumerate(images):
        results = [
            *(folder / "out").glob(f"{path.stem}-4x.*"),
            *(folder / "out").glob(f"{path.stem}-{path.suffix[1:]}-4x.png"),
        ]
        left, top = number % columns * 2 * (SIDE + 4), number // columns * (SIDE + 18)
        draw.text((left, top), path.name, "black")
        for place, shown in ((0, path), (SIDE + 2, results[-1] if results else None)):
            if shown is not None:
                try:
                    sheet.paste(as_shown(shown), (left + place, top + 14))
                except ImageError as error:
                    draw.text((left + place, top + 30), str(error)[:30], "red")
    sheet.save(folder / "sheet.png")
    return code


if __name__ == "__main__":
    sys.exit(main())
