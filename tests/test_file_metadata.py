"""EXIF, XMP, IPTC, texts and resolution in results are sound, and losses are said."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from PIL import Image, PngImagePlugin

from hsr_hub.images import ImageData, ImageWarning, Metadata, read_image, write_image
from hsr_hub.images.exif import (
    ASCII,
    EXIF,
    GPS,
    INTEROP,
    LONG,
    MAIN,
    MAKER_NOTE,
    UNDEFINED,
    Entry,
    ExifBlock,
    ExifError,
)
from hsr_hub.images.xmp import drop_lost_parts

SUFFIXES = ("jpg", "png", "webp", "avif", "tif")
MAKER = bytes(range(64)) * 2
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
    b'xmlns:Camera="http://ns.google.com/photos/1.0/camera/" Camera:MotionPhoto="1" '
    b'Camera:MotionPhotoVersion="1" Camera:BurstID="7" '
    b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:creator="somebody"><Container:Directory>'
    b'<rdf:Seq><rdf:li><Container:Item Container:Length="453"/></rdf:li></rdf:Seq>'
    b"</Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def camera_exif(order: Literal["<", ">"]) -> bytes:
    """Return the EXIF of a phone: letters beyond ASCII, a maker note, GPS and interoperability."""
    block = ExifBlock(order)
    block.get(MAIN).update(
        {
            270: Entry(ASCII, "Größe\0".encode()),
            271: Entry(ASCII, b"Maker\0"),
            274: block.integers(3, 6),
            282: block.rational(72),
            283: block.rational(72),
            296: block.integers(3, 2),
            305: Entry(ASCII, b"Camera 1.0\0"),
            315: Entry(ASCII, "Opa Müller\0".encode("latin-1")),
            531: block.integers(3, 1),
            33432: Entry(ASCII, "© Opa\0".encode()),
        }
    )
    block.get(EXIF).update(
        {
            0x9000: Entry(UNDEFINED, b"0232"),
            0x9101: Entry(UNDEFINED, b"\1\2\3\0"),
            MAKER_NOTE: Entry(UNDEFINED, MAKER),
            0xA000: Entry(UNDEFINED, b"0100"),
            0xA001: block.integers(3, 1),
            0xA002: block.integers(LONG, 61),
            0xA003: block.integers(LONG, 47),
        }
    )
    block.get(INTEROP).update({1: Entry(ASCII, b"R98\0"), 2: Entry(UNDEFINED, b"0100")})
    degrees = struct.pack(f"{order}6I", 41, 1, 54, 1, 0, 1)
    block.get(GPS).update({0: Entry(1, b"\2\3\0\0"), 1: Entry(ASCII, b"N\0"), 2: Entry(5, degrees)})
    block.maker_note_offset = 400
    return b"Exif\0\0" + block.tobytes()


def complaints(path: Path) -> set[str]:
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[1:])


def written(image: ImageData, path: Path, stamp: str | None = None) -> ImageData:
    """Write a result of twice the size, and read it again."""
    array = image.array.repeat(2, 0).repeat(2, 1)
    metadata = image.metadata.resized((array.shape[1], array.shape[0]), grey=image.grey)
    metadata = replace(metadata, stamp=stamp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        write_image(ImageData(array, metadata), path)
        return read_image(path)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("source", ["jpg", "tif"])
def test_exif_is_kept_and_sound(tmp_path: Path, small_photo, recwarn, order, source: str):
    path = tmp_path / f"in.{source}"
    if source == "jpg":
        small_photo.save(path, exif=camera_exif(order))
    else:
        image = ImageData.from_image(small_photo)
        metadata = Metadata(exif=camera_exif(order), dpi=(72, 72))
        write_image(replace(image, metadata=metadata), path)
    image = read_image(path)
    assert image.size == (47, 61)
    for suffix in SUFFIXES:
        out = tmp_path / f"out.{suffix}"
        result = written(image, out, "hsr-hub 2x tiny")
        assert result.size == (94, 122)
        assert result.metadata.exif is not None
        block = ExifBlock.parse(result.metadata.exif)
        main, details = block.directories[MAIN], block.directories[EXIF]
        assert main[270].data == "Größe\0".encode()
        assert main[315].data == "Opa Müller\0".encode("latin-1")
        assert main[33432].data == "© Opa\0".encode()
        assert 274 not in main
        assert details[0xA002] == block.integers(LONG, 94)
        assert details[0xA003] == block.integers(LONG, 122)
        assert (details[MAKER_NOTE].data, block.maker_note_offset) == (MAKER, 400)
        assert block.directories[INTEROP][1].data == b"R98\0"
        assert block.directories[GPS][1].data == b"N\0"
        software = {"png": b"Camera 1.0\0", "jpg": b"Camera 1.0\0"}
        stamped = b"Camera 1.0; hsr-hub 2x tiny\0"
        with Image.open(out) as opened:
            block = ExifBlock.parse(opened.info.get("exif") or opened.getexif().tobytes())
        assert block.directories[MAIN][305].data == software.get(suffix, stamped)
        # The standards of JPEG and TIFF demand and forbid different tags.
        if shutil.which("exiftool") and suffix != "tif":
            assert complaints(out) <= complaints(path)
    assert not recwarn.list


def test_maker_note_that_cannot_stay_is_left_out():
    block = ExifBlock.parse(camera_exif("<"))
    for offset in (None, 4, 1_000_000):
        block.maker_note_offset = offset
        assert MAKER_NOTE not in ExifBlock.parse(block.tobytes()).directories[EXIF]
    block.maker_note_offset = 30  # amid the other blocks
    again = ExifBlock.parse(block.tobytes())
    assert again == block


def test_broken_exif_is_read_as_far_as_it_is_sound():
    data = bytearray(camera_exif(">")[6:])
    for position in range(len(data)):
        broken = bytes(data[:position]) + b"\xff\xff" + bytes(data[position + 2 :])
        try:
            block = ExifBlock.parse(broken)
        except ExifError:
            continue
        ExifBlock.parse(block.tobytes())
    # Many entries that share one large value cost no more than the limit.
    shared = b"".join(struct.pack("<HHII", tag, 7, 1 << 20, 0) for tag in range(60_000))
    bomb = b"II*\0\x08\0\0\0" + struct.pack("<H", 60_000) + shared + bytes(1 << 20)
    assert len(ExifBlock.parse(bomb).directories[MAIN]) == 1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda image, path: image.save(path, "JPEG"), None),
        (lambda image, path: image.save(path, "TIFF"), None),
        (lambda image, path: image.save(path, "PNG", dpi=(300, 300)), (300, 300)),
        (lambda image, path: image.save(path, "JPEG", dpi=(1, 1)), None),
        (lambda image, path: image.save(path, "TIFF", tiffinfo={282: 1.0, 283: 1.0, 296: 1}), None),
    ],
)
def test_no_resolution_is_invented(tmp_path: Path, small_photo, make: Callable, expected):
    make(small_photo, tmp_path / "in.dat")
    image = read_image(tmp_path / "in.dat")
    for suffix in SUFFIXES:
        result = written(image, tmp_path / f"out.{suffix}").metadata
        if expected:
            assert result.dpi == pytest.approx(expected, abs=0.1) or suffix in {"webp", "avif"}
        else:
            assert (result.dpi, result.exif) == (None, None)


def test_absurd_resolution_does_not_cost_the_image(tmp_path: Path, small_photo):
    block = ExifBlock()
    block.get(MAIN)[282] = Entry(5, b"\xff\xff\xff\xff\0\0\0\1")
    block.get(MAIN)[296] = block.integers(3, 2)
    small_photo.save(tmp_path / "in.jpg", exif=b"Exif\0\0" + block.tobytes())
    for suffix in SUFFIXES:
        result = written(read_image(tmp_path / "in.jpg"), tmp_path / f"out.{suffix}")
        assert result.metadata.dpi in (None, (72, 72))


def test_sixteen_bit_png_has_no_metadata_of_its_own(tmp_path: Path, small_photo):
    image = ImageData.from_image(small_photo)
    deep = ImageData(image.array.astype("uint16") * 257)
    written(deep, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as opened:
        opened.load()
        assert opened.info == {}
    full = Metadata(exif=camera_exif("<"), xmp=b"<x/>", dpi=(300, 300), text={"prompt": "猫"})
    result = written(replace(deep, metadata=full), tmp_path / "out.png").metadata
    assert (result.xmp, result.text) == (full.xmp, full.text)
    assert result.dpi == pytest.approx((300, 300), abs=0.1)
    assert result.exif is not None


def test_xmp_of_parts_that_are_gone_is_removed_and_said(tmp_path: Path, small_photo):
    small_photo.save(tmp_path / "in.jpg", xmp=XMP)
    with pytest.warns(ImageWarning, match=r"in\.jpg: its gain map .* and its video are left out"):
        image = read_image(tmp_path / "in.jpg")
    xmp = image.metadata.xmp
    assert xmp is not None
    assert b'dc:creator="somebody"' in xmp and b'BurstID="7"' in xmp
    for gone in (b"hdrgm:Version", b"MotionPhoto", b"Container:Item", b"Container:Directory"):
        assert gone not in xmp
    long = XMP.replace(b"somebody", b"s" * 70_000)
    assert Metadata.from_image(with_info(xmp=long)).xmp is None


def with_info(**info: object) -> Image.Image:
    image = Image.new("RGB", (4, 4))
    image.info.update(info)
    return image


def test_texts_of_generators_are_kept(tmp_path: Path, small_photo):
    texts = PngImagePlugin.PngInfo()
    values = {"parameters": "a 猫\nSteps: 20", "prompt": '{"3": {}}', "Title": "für"}
    for key, value in values.items():
        texts.add_text(key, value, zip=key == "prompt")
    small_photo.save(tmp_path / "in.png", pnginfo=texts)
    image = read_image(tmp_path / "in.png")
    assert written(image, tmp_path / "out.png").metadata.text == values
    for suffix in ("jpg", "webp", "avif", "tif"):
        with pytest.warns(ImageWarning, match=f"out.{suffix}: .* cannot hold its text 'prompt'"):
            notes = write_image(image, tmp_path / f"out.{suffix}")
        assert len(notes) == 1 and "parameters" not in notes[0]
        exif = read_image(tmp_path / f"out.{suffix}").metadata.exif
        assert exif is not None
        comment = ExifBlock.parse(exif).directories[EXIF][0x9286].data
        assert comment == b"UNICODE\0" + values["parameters"].encode("utf-16-be")


def test_iptc_and_comments_are_kept_or_their_loss_is_said(tmp_path: Path, small_photo):
    iptc = b"\x1c\x02\x78\x00\x0bOpa in Rome"
    buffer = io.BytesIO()
    source = ImageData.from_image(small_photo)
    kept = Metadata(iptc=iptc, comment=b"made by grandpa")
    write_image(replace(source, metadata=kept), tmp_path / "in.jpg")
    small_photo.save(buffer, "JPEG")
    image = read_image(tmp_path / "in.jpg")
    assert (image.metadata.iptc, image.metadata.comment) == (iptc, b"made by grandpa")
    assert write_image(image, tmp_path / "again.jpg") == ()
    for suffix, array in (("png", source.array), ("deep.png", source.array.astype("uint16") * 257)):
        path = tmp_path / f"out.{suffix}"
        assert write_image(replace(image, array=array), path) == ()
        with Image.open(path) as opened:
            opened.load()
            assert opened.info["Comment"] == "made by grandpa"
        again = read_image(path).metadata
        assert (again.iptc, again.comment, again.text) == (iptc, b"made by grandpa", None)
        assert write_image(read_image(path), tmp_path / "back.jpg") == ()
        assert read_image(tmp_path / "back.jpg").metadata == image.metadata
        if shutil.which("exiftool"):
            command = ["exiftool", "-s3", "-IPTC:Caption-Abstract", "-Comment", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stdout.splitlines() == ["Opa in Rome", "made by grandpa"]
    with pytest.warns(ImageWarning, match="TIFF cannot hold its comment"):
        write_image(image, tmp_path / "out.tif")
    assert read_image(tmp_path / "out.tif").metadata.iptc == iptc


@pytest.mark.parametrize("text", ["", "\niptc\n 4\nzz", "\niptc\n 4\n3842494d04040000000000"])
def test_broken_iptc_of_a_png_is_left_out(tmp_path: Path, small_photo, text: str):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Raw profile type iptc", text)
    small_photo.save(tmp_path / "in.png", pnginfo=texts)
    metadata = read_image(tmp_path / "in.png").metadata
    assert (metadata.iptc, metadata.text) == (None, None)


def test_other_blocks_in_front_of_iptc_are_skipped(tmp_path: Path, small_photo):
    iptc = b"\x1c\x02\x78\x00\x04Rome"
    blocks = b"8BIM\x04\x25\x03abc" + b"\0\0\0\x05other\0"
    blocks += b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc
    for data in (blocks, b"Photoshop 3.0\0" + blocks, iptc):
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Raw profile type iptc", f"\niptc\n{len(data):8}\n{data.hex()}\n", zip=True)
        small_photo.save(tmp_path / "in.png", pnginfo=texts)
        assert read_image(tmp_path / "in.png").metadata.iptc == iptc


def test_a_loss_has_the_name_of_the_part_that_was_there(tmp_path: Path, small_photo):
    small_photo.info.clear()
    image = replace(
        ImageData.from_image(small_photo),
        metadata=Metadata(dpi=(300, 300), text={"parameters": "a cat"}),
    )
    with pytest.warns(ImageWarning):
        notes = write_image(image, tmp_path / "out.gif")
    assert notes[1:] == ("out.gif: GIF cannot hold its text 'parameters', print resolution",)
    with pytest.warns(ImageWarning):
        notes = write_image(image, tmp_path / "out.bmp")
    assert notes == ("out.bmp: BMP cannot hold its text 'parameters'",)


def test_long_prefixes_in_xmp_make_no_long_patterns():
    """Python keeps the last hundreds of patterns, so that they could fill the memory."""
    prefix = b".-" * 4000
    uri = b"http://ns.adobe.com/exif/1.0/"
    xmp = b"<r xmlns:" + prefix + b'="' + uri + b'" ' + prefix + b':GPSLatitude="1"/>'
    assert drop_lost_parts(xmp, location=True) == b""
    assert drop_lost_parts(xmp.replace(uri, b"other"), location=True) != b""


def test_places_in_xmp_are_removed_in_linear_time():
    start = (
        b'<r xmlns:p="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        b'xmlns:q="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/">'
    )
    parts = b"<p:LocationShown><p:LocationName>Rome</p:LocationName></p:LocationShown >"
    kept = b"<p:Event>May</p:Event>" + b"<p:LocationOpen>"
    xmp = start + parts + b'<p:LocationId a="1"/>' + kept + b"<q:Location>Rome</q:Location></r>"
    assert drop_lost_parts(xmp, location=True) == start + kept + b"</r>"
    for part in (b"<p:Location>", b"<p:Location/", b"<p:Location ", b"<p:Location></p:Location "):
        hostile = start + part * ((65_500 - len(start)) // len(part))
        started = time.perf_counter()
        drop_lost_parts(hostile, location=True)
        assert time.perf_counter() - started < 1, part


def test_coordinates_of_drones_are_removed():
    start = b'<r xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" drone-dji:SelfData="Untitled"'
    places = b" drone-dji:GpsLatitude=\"+52.5\" drone-dji:GpsLongtitude = '+13.4'"
    kept = b"><drone:Long-Exposure>1</drone:Long-Exposure>"
    elements = b"<geo:lat>52.5</geo:lat><geo:long>13.4</geo:long>"
    xmp = start + places + kept + elements + b"</r>"
    assert drop_lost_parts(xmp, location=True) == start + kept + b"</r>"
    assert drop_lost_parts(xmp) == xmp
    for part in (
        b" a:gps",
        b"<a:lat>",
        b"<a:latitud",
        b":a",
        b"a",
        b" a:gps=",
        b"a:lat ",
        b":gpsx",
    ):
        hostile = part * (65_000 // len(part))
        started = time.perf_counter()
        drop_lost_parts(hostile, location=True)
        assert time.perf_counter() - started < 1, part


def test_comments_of_older_programs_keep_their_letters(tmp_path: Path, small_photo):
    small_photo.save(tmp_path / "in.jpg", comment="Größe".encode("latin-1"))
    write_image(read_image(tmp_path / "in.jpg"), tmp_path / "out.png")
    assert read_image(tmp_path / "out.png").metadata.comment == "Größe".encode()


def test_stripping_and_the_location(tmp_path: Path, small_photo):
    metadata = Metadata(
        icc_profile=b"profile",
        exif=camera_exif(">"),
        xmp=XMP.replace(b"dc:creator", b'xmlns:e="http://ns.adobe.com/exif/1.0/" e:GPSLatitude'),
        dpi=(300, 300),
        iptc=b"\x1c\x02\x5a\x00\x04Rome",
        comment=b"Rome in May",
        text={
            "parameters": "cat",
            "hsr-hub-notes": "converted",
            "exif:GPSLatitude": "52/1",
            "Location": "Rome",
            "raw profile type APP1": "exif",
        },
    )
    assert metadata.stripped() == Metadata(icc_profile=b"profile", dpi=(300, 300))
    rest = metadata.without_location()
    assert rest.exif is not None and rest.xmp is not None
    assert GPS not in ExifBlock.parse(rest.exif).directories
    assert b"Maker" in rest.exif
    assert b"GPSLatitude" not in rest.xmp
    assert (rest.iptc, rest.comment) == (None, None)
    assert rest.text == {"parameters": "cat", "hsr-hub-notes": "converted"}
