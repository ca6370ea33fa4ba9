"""Reads arm64 Mach-O object files and the archives they come in. Only what rustc and LLVM emit."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MachO", "Relocation", "Section", "Symbol", "read_archive"]

ARM64 = 0x0100000C
MAGIC_64 = 0xFEEDFACF
LC_SYMTAB = 0x02
LC_SEGMENT_64 = 0x19
LC_BUILD_VERSION = 0x32
LC_VERSION_MIN = (0x24, 0x25)  # macOS, iOS: what an old deployment target gives

PLATFORMS = {1: "macos", 2: "ios", 7: "ios-simulator"}


@dataclass(frozen=True, slots=True)
class Relocation:
    address: int
    number: int  # symbol index, section number or addend
    is_external: bool
    length: int  # log2 of bytes
    kind: int


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    segment: str
    address: int
    size: int
    data: bytes
    is_zero_fill: bool
    relocations: tuple[Relocation, ...]


@dataclass(frozen=True, slots=True)
class Symbol:
    name: str
    section: int  # counted from 1; 0 if undefined
    value: int
    is_external: bool
    is_private: bool  # private extern: visible to the linker only
    is_debug: bool

    @property
    def is_undefined(self) -> bool:
        return self.is_external and self.section == 0 and not self.is_debug

    @property
    def is_exported(self) -> bool:
        return self.is_external and not self.is_private and self.section != 0 and not self.is_debug


class MachO:
    """One object file."""

    def __init__(self, data: bytes, name: str = "") -> None:
        magic, cpu, _, _, commands, _, _, _ = struct.unpack_from("<8I", data)
        if magic != MAGIC_64 or cpu != ARM64:
            raise ValueError(f"{name}: not a 64-bit arm64 Mach-O file")
        self.name = name
        self.sections: list[Section] = []
        self.symbols: list[Symbol] = []
        self.platform = ""
        self.minimum_version = ""
        at = 32
        for _ in range(commands):
            command, size = struct.unpack_from("<2I", data, at)
            if command == LC_SEGMENT_64:
                self._read_sections(data, at)
            elif command == LC_SYMTAB:
                self._read_symbols(data, *struct.unpack_from("<3I", data, at + 8))
            elif command == LC_BUILD_VERSION:
                platform, version = struct.unpack_from("<2I", data, at + 8)
                self.platform = PLATFORMS.get(platform, str(platform))
                self.minimum_version = _version(version)
            elif command in LC_VERSION_MIN:
                self.platform = "ios" if command == LC_VERSION_MIN[1] else "macos"
                self.minimum_version = _version(*struct.unpack_from("<I", data, at + 8))
            at += size

    def _read_sections(self, data: bytes, at: int) -> None:
        (count,) = struct.unpack_from("<I", data, at + 64)
        for i in range(count):
            name, segment, address, size, offset, _, reloff, nreloc, flags = struct.unpack_from(
                "<16s16s2Q5I", data, at + 72 + 80 * i
            )
            is_zero_fill = flags & 0xFF == 1
            body = b"" if is_zero_fill else data[offset : offset + size]
            relocations = []
            for k in range(nreloc):
                where, word = struct.unpack_from("<iI", data, reloff + 8 * k)
                external, length, kind = bool(word >> 27 & 1), word >> 25 & 3, word >> 28
                relocations.append(Relocation(where, word & 0xFFFFFF, external, length, kind))
            self.sections.append(
                Section(
                    name.rstrip(b"\0").decode(),
                    segment.rstrip(b"\0").decode(),
                    address,
                    size,
                    body,
                    is_zero_fill,
                    tuple(relocations),
                )
            )

    def _read_symbols(self, data: bytes, offset: int, count: int, strings: int) -> None:
        for i in range(count):
            at, kind, section, _, value = struct.unpack_from("<IBBHQ", data, offset + 16 * i)
            name = data[strings + at : data.index(b"\0", strings + at)].decode()
            is_defined = kind & 0x0E == 0x0E
            self.symbols.append(
                Symbol(
                    name,
                    section if is_defined else 0,
                    value,
                    is_external=bool(kind & 0x01),
                    is_private=bool(kind & 0x10),
                    is_debug=bool(kind & 0xE0),
                )
            )

    @property
    def defined(self) -> set[str]:
        """Names that other members may refer to."""
        return {s.name for s in self.symbols if s.is_external and s.section and not s.is_debug}

    @property
    def undefined(self) -> set[str]:
        """Names that other members must bring."""
        return {s.name for s in self.symbols if s.is_undefined}


def read_archive(path: Path) -> list[MachO]:
    """The object files of a static library, in order."""
    return [MachO(body, name) for name, body in _members(path.read_bytes()) if _is_macho(body)]


def _is_macho(body: bytes) -> bool:
    return body[:4] == struct.pack("<I", MAGIC_64)


def _members(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data[:8] != b"!<arch>\n":
        raise ValueError("not an archive")
    at = 8
    while at < len(data):
        name = data[at : at + 16].decode().strip()
        size = int(data[at + 48 : at + 58])
        body = data[at + 60 : at + 60 + size]
        if name.startswith("#1/"):  # BSD: the name stands before the content
            length = int(name[3:])
            name, body = body[:length].rstrip(b"\0").decode(), body[length:]
        yield name, body
        at += 60 + size + (size & 1)


def _version(word: int) -> str:
    return f"{word >> 16}.{word >> 8 & 255}"
