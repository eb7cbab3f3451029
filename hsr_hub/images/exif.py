"""EXIF as directories of raw entries.

Pillow translates the values of EXIF and loses some: letters beyond ASCII, types, and directories
inside directories. Here the entries keep their bytes, and only the offsets are new.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Container
from dataclasses import dataclass, field
from fractions import Fraction
from typing import BinaryIO, Literal

PREFIX = b"Exif\0\0"

MAIN, EXIF, GPS, INTEROP = 0, 34665, 34853, 40965
"""Keys of the directories: the tag that points to it, or 0 for the main one."""

PARENTS = {EXIF: MAIN, GPS: MAIN, INTEROP: EXIF}
"""The directory in which each pointer is."""

MAKER_NOTE = 37500
"""Tag of a block in the format of the camera's maker. It can contain offsets from the start of the
EXIF block, so it stays at its place or is left out."""

TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
"""Bytes per value, by type number."""

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED = 1, 2, 3, 4, 5, 7

MAX_BYTES = 1 << 20
"""Entries are left out beyond this total, so that a small file cannot claim huge ones."""

MAX_MAKER_NOTE_OFFSET = 60_000
"""A maker note further behind is left out, because a JPEG holds 64 KB."""


class ExifError(ValueError):
    """A block is not EXIF."""


@dataclass
class Entry:
    """A tag's type and its values as they are in the file."""

    type: int
    data: bytes


@dataclass
class ExifBlock:
    """An EXIF block, or the directories of a TIFF."""

    order: Literal["<", ">"] = ">"
    """Byte order, "<" or ">"."""
    directories: dict[int, dict[int, Entry]] = field(default_factory=dict)
    """Entries by directory and tag, without pointers."""
    maker_note_offset: int | None = None

    @classmethod
    def parse(cls, source: bytes | BinaryIO, skip: Container[int] = ()) -> ExifBlock:
        """Read the directories; entries and directories that are broken are left out.

        Args:
            source: A block with or without `PREFIX`, or a TIFF file.
            skip: Tags of the main directory that are not read.

        Raises:
            ExifError: It does not start like a TIFF.
        """
        if isinstance(source, bytes):
            while source.startswith(PREFIX):
                source = source[len(PREFIX) :]
            source = io.BytesIO(source)
        source.seek(0)
        head = source.read(8)
        if len(head) < 8 or head[:4] not in (b"II*\0", b"MM\0*"):
            raise ExifError("it does not start like a TIFF")
        block = cls("<" if head[:2] == b"II" else ">")
        reader = _Reader(source, block.order)
        offsets = {MAIN: reader.unpack("I", head[4:])}
        for key in (MAIN, *PARENTS):
            if key in offsets:
                entries, pointers = reader.read(offsets[key], skip if key == MAIN else ())
                block.directories[key] = entries
                if MAKER_NOTE in entries and key == EXIF:
                    block.maker_note_offset = reader.maker_note_offset
                offsets |= {tag: at for tag, at in pointers.items() if PARENTS[tag] == key}
        return block

    def get(self, directory: int) -> dict[int, Entry]:
        """Return the entries of a directory, which is made if it is missing."""
        return self.directories.setdefault(directory, {})

    def integers(self, kind: int, *values: int) -> Entry:
        """Return an entry of SHORT or LONG values."""
        return Entry(kind, struct.pack(f"{self.order}{len(values)}{'HI'[kind == LONG]}", *values))

    def rational(self, value: float) -> Entry:
        """Return an entry of one RATIONAL value."""
        fraction = Fraction(value).limit_denominator(10_000)
        data = struct.pack(f"{self.order}2I", fraction.numerator, fraction.denominator)
        return Entry(RATIONAL, data)

    def __bool__(self) -> bool:
        return any(self.directories.values())

    def tobytes(self, start: int = 0) -> bytes:
        """Return the block, without `PREFIX`.

        Args:
            start: Offset of the block in a file that starts with another one, which must be even.
                Offsets in the block are from the start of the file, and there is no maker note.
        """
        note, directories = self._pinned_note(movable=start > 0)
        kept = [MAIN, *(key for key in PARENTS if directories.get(key))]
        if INTEROP in kept and EXIF not in kept:
            kept.remove(INTEROP)
        tables = {key: dict(directories.get(key, {})) for key in kept}
        for key in kept[1:]:
            tables[PARENTS[key]][key] = self.integers(LONG, 0)

        at = _Allocator(note)
        places: dict[tuple[int, int], int] = {}
        starts = {}
        for key, table in tables.items():
            starts[key] = at.place(2 + 12 * len(table) + 4)
            for tag, entry in table.items():
                if len(entry.data) > 4:
                    if note and (key, tag) == (EXIF, MAKER_NOTE):
                        places[key, tag] = note[0]
                    else:
                        places[key, tag] = at.place(len(entry.data))
        for key in kept[1:]:
            tables[PARENTS[key]][key] = self.integers(LONG, start + starts[key])

        out = bytearray(max(at.position, note[1] if note else 0))
        magic = b"II*\0" if self.order == "<" else b"MM\0*"
        out[:8] = magic + struct.pack(f"{self.order}I", start + starts[MAIN])
        for key, table in tables.items():
            rows = [struct.pack(f"{self.order}H", len(table))]
            for tag, entry in sorted(table.items()):
                count = len(entry.data) // TYPE_SIZES[entry.type]
                value = entry.data.ljust(4, b"\0")
                if (key, tag) in places:
                    place = places[key, tag]
                    out[place : place + len(entry.data)] = entry.data
                    value = struct.pack(f"{self.order}I", start + place)
                rows.append(struct.pack(f"{self.order}HHI", tag, entry.type, count) + value)
            directory = b"".join(rows)
            out[starts[key] : starts[key] + len(directory)] = directory
        return bytes(out)

    def _pinned_note(
        self, movable: bool
    ) -> tuple[tuple[int, int] | None, dict[int, dict[int, Entry]]]:
        """Return the range of the maker note, and the directories without one that must move.

        Args:
            movable: Whether the whole block moves, so that the note cannot stay at its place.
        """
        entry = self.directories.get(EXIF, {}).get(MAKER_NOTE)
        if entry is None:
            return None, self.directories
        start = self.maker_note_offset
        if (
            not movable
            and start is not None
            and 8 <= start <= MAX_MAKER_NOTE_OFFSET
            and len(entry.data) > 4
        ):
            return (start, start + len(entry.data)), self.directories
        details = {tag: e for tag, e in self.directories[EXIF].items() if tag != MAKER_NOTE}
        return None, {**self.directories, EXIF: details}


class _Allocator:
    """Places blocks one after the other, around a range that is taken."""

    def __init__(self, taken: tuple[int, int] | None) -> None:
        self.position = 8
        self._taken = taken

    def place(self, size: int) -> int:
        """Return the start of a block, which is even."""
        start = self.position + self.position % 2
        if self._taken and start < self._taken[1] and start + size > self._taken[0]:
            start = self._taken[1] + self._taken[1] % 2
        self.position = start + size
        return start


class _Reader:
    """Reads directories, up to `MAX_BYTES` in total."""

    def __init__(self, file: BinaryIO, order: str) -> None:
        self._file = file
        self._order = order
        self._left = MAX_BYTES
        self.maker_note_offset: int | None = None

    def unpack(self, kind: str, data: bytes) -> int:
        return struct.unpack(self._order + kind, data)[0]

    def read(self, offset: int, skip: Container[int]) -> tuple[dict[int, Entry], dict[int, int]]:
        """Return the entries of a directory, and the offsets of those that it points to."""
        entries: dict[int, Entry] = {}
        pointers: dict[int, int] = {}
        self._file.seek(offset)
        head = self._file.read(2)
        count = self.unpack("H", head) if len(head) == 2 else 0
        table = self._file.read(12 * count)
        for start in range(0, len(table) - 11, 12):
            tag, kind, number = struct.unpack_from(self._order + "HHI", table, start)
            value = table[start + 8 : start + 12]
            if tag in PARENTS:
                pointers.setdefault(tag, self.unpack("I", value))
                continue
            if tag in skip or tag in entries or kind not in TYPE_SIZES:
                continue
            size = number * TYPE_SIZES[kind]
            if not 0 < size <= self._left:
                continue
            if size > 4:
                at = self.unpack("I", value)
                self._file.seek(at)
                data = self._file.read(size)
                if tag == MAKER_NOTE:
                    self.maker_note_offset = at
            else:
                data = value[:size]
            if len(data) == size:
                self._left -= size
                entries[tag] = Entry(kind, data)
        return entries, pointers
