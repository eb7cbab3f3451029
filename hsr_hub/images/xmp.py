"""Edit XMP, which is XML, without a parser: nothing else in it changes."""

from __future__ import annotations

import re

MAX_EDITED_BYTES = 1 << 16
"""Larger XMP is dropped instead of edited, because the patterns take quadratic time."""

_GOOGLE = b"http://ns.google.com/photos/1.0/"
LOST_PARTS = {
    b"http://ns.adobe.com/hdr-gain-map/1.0/": rb"\w+",
    b"http://ns.apple.com/HDRGainMap/1.0/": rb"\w+",
    _GOOGLE + b"container/": rb"\w+",
    _GOOGLE + b"container/item/": rb"\w+",
    _GOOGLE + b"depthmap/": rb"\w+",
    _GOOGLE + b"image/": rb"\w+",
    _GOOGLE + b"camera/": rb"(?:MotionPhoto|MicroVideo)\w*",
    b"http://ns.adobe.com/xmp/note/": rb"HasExtendedXMP",
}
"""Names of properties, by namespace, about parts of the file that a result does not have: gain
maps, videos and depth maps."""

LOCATION = {
    b"http://ns.adobe.com/exif/1.0/": rb"GPS\w*",
    b"http://ns.adobe.com/photoshop/1.0/": rb"(?:City|State|Country)",
    b"http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": rb"(?:Location|CountryCode)",
    b"http://iptc.org/std/Iptc4xmpExt/2008-02-29/": rb"Location\w*",
}
"""Names of properties, by namespace, that tell where a photo was taken."""

_DECLARATION = re.compile(rb"""xmlns:([\w.-]+)\s*=\s*["']([^"']*)["']""")


def drop_lost_parts(xmp: bytes, *, location: bool = False) -> bytes:
    """Remove properties about parts of the file that a result does not have.

    Args:
        xmp: The XMP.
        location: Remove the properties of `LOCATION` too.
    """
    unwanted = LOST_PARTS | LOCATION if location else LOST_PARTS
    names = [
        re.escape(prefix) + b":" + unwanted[uri]
        for prefix, uri in _DECLARATION.findall(xmp)
        if uri in unwanted
    ]
    if not names:
        return xmp
    if len(xmp) > MAX_EDITED_BYTES:
        return b""
    name = b"(?:" + b"|".join(dict.fromkeys(names)) + b")"
    xmp = re.sub(rb"<(" + name + rb")\b[^>]*?(?:/>|>.*?</\1\s*>)", b"", xmp, flags=re.DOTALL)
    return re.sub(rb"\s" + name + rb"""\s*=\s*(?:"[^"]*"|'[^']*')""", b"", xmp)


def replace_property(xmp: bytes, name: str, value: str) -> bytes:
    """Change a property, which can be an attribute or an element; nothing is added."""
    for pattern in (rf"({name}\s*=\s*[\"'])[^\"'<]*", rf"(<{name}>)[^<]*(?=</)"):
        xmp = re.sub(pattern.encode(), rb"\g<1>" + value.encode(), xmp)
    return xmp
