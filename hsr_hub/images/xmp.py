"""Edit XMP, which is XML, without a parser: nothing else in it changes."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict

MAX_EDITED_BYTES = 1 << 16
"""Larger XMP is dropped instead of edited, because it can declare thousands of prefixes, each of
which is looked for at each place."""
MAX_NAME_BYTES = 1 << 12
"""XMP is dropped too if the names to remove are longer together. Python keeps the last hundreds of
patterns, and a pattern of 64 KB takes a megabyte."""

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

_COORDINATE = rb":(?i:gps\w*|\w*latitude|\w*longitude|lat|long?)"
_COORDINATES = rb"[\w.-]+" + _COORDINATE
"""Names of coordinates in any namespace. Drones and other devices have some of their own."""

# Without the prefix, because to look for one at each place would take quadratic time.
_HAS_COORDINATES = re.compile(_COORDINATE + rb"\b")
_DECLARATION = re.compile(rb"""xmlns:([\w.-]+)\s*=\s*["']([^"']*)["']""")
_END_TAG = re.compile(rb"</([\w:.-]+)\s*>")


def drop_lost_parts(xmp: bytes, *, location: bool = False) -> bytes:
    """Remove properties about parts of the file that a result does not have.

    Args:
        xmp: The XMP.
        location: Remove the properties of `LOCATION` and all coordinates too.
    """
    unwanted = LOST_PARTS | LOCATION if location else LOST_PARTS
    names = {
        re.escape(found[1]) + b":" + unwanted[found[2]]: None
        for found in _DECLARATION.finditer(xmp)
        if found[2] in unwanted
    }
    if location and _HAS_COORDINATES.search(xmp):
        names[_COORDINATES] = None
    if not names:
        return xmp
    name = b"(?:" + b"|".join(names) + b")"
    if len(xmp) > MAX_EDITED_BYTES or len(name) > MAX_NAME_BYTES:
        return b""
    xmp = _drop_elements(xmp, name)
    return re.sub(rb"\s" + name + rb"""\s*=\s*(?:"[^"]*"|'[^']*')""", b"", xmp)


def _drop_elements(xmp: bytes, name: bytes) -> bytes:
    """Remove the elements whose name matches a pattern.

    The time is linear in the size. One pattern from each start to its end would take quadratic time
    where ends are missing, and nothing else runs in this process meanwhile.
    """
    ends: defaultdict[bytes, list[int]] = defaultdict(list)
    for tag in _END_TAG.finditer(xmp):
        ends[tag[1]].append(tag.end())
    kept, done = [], 0
    for tag in re.finditer(rb"<(" + name + rb")\b[^<>]*>", xmp):
        if tag.start() < done:  # inside one that is removed
            continue
        end = tag.end()
        if not tag[0].endswith(b"/>"):
            found = ends[tag[1]]
            place = bisect_left(found, end)
            if place == len(found):
                continue
            end = found[place]
        kept.append(xmp[done : tag.start()])
        done = end
    return b"".join(kept) + xmp[done:]


def replace_property(xmp: bytes, name: str, value: str) -> bytes:
    """Change a property, which can be an attribute or an element; nothing is added."""
    for pattern in (rf"({name}\s*=\s*[\"'])[^\"'<]*", rf"(<{name}>)[^<]*(?=</)"):
        xmp = re.sub(pattern.encode(), rb"\g<1>" + value.encode(), xmp)
    return xmp
