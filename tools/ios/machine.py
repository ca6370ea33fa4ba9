"""Executes arm64 Mach-O code on any machine: a static linker and loader around the Unicorn engine.

The archive that Xcode would link is linked here, in memory: its members are pulled in as a linker
does, placed, and relocated; the C library's memory functions are answered by Python. Then functions
are called by the C ABI (AAPCS64 as Apple uses it). Instructions are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from macho import MachO, Section, read_archive
from unicorn import UC_ARCH_ARM64, UC_HOOK_BLOCK, UC_HOOK_CODE, UC_MODE_ARM, Uc
from unicorn.arm64_const import (
    UC_ARM64_REG_CPACR_EL1,
    UC_ARM64_REG_LR,
    UC_ARM64_REG_SP,
    UC_ARM64_REG_X0,
)

__all__ = ["Machine"]

IMAGE = 0x1_0000_0000
GOT = IMAGE + (1 << 24)
LIBC = GOT + (1 << 20)  # within reach of a branch from the image
HEAP = 0x2_0000_0000
STACK = 0x3_0000_0000
RETURN = 0xD65F03C0  # ret

# Relocation kinds of arm64 Mach-O.
UNSIGNED, SUBTRACTOR, BRANCH26, PAGE21, PAGEOFF12 = range(5)
GOT_LOAD_PAGE21, GOT_LOAD_PAGEOFF12, ADDEND = 5, 6, 10

IMPORTS = ("_memcpy", "_memmove", "_memset", "_bzero", "_memcmp")


class Machine:
    """A processor with the library loaded.

    Parameters
    ----------
    archive : Path
        A static library of arm64 Mach-O objects.
    roots : sequence of str
        C names of the functions that will be called.
    """

    def __init__(self, archive: Path, roots: Sequence[str]) -> None:
        self._engine = engine = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
        engine.reg_write(UC_ARM64_REG_CPACR_EL1, 3 << 20)  # floating point is on
        for base, size in ((IMAGE, 1 << 24), (GOT, 1 << 20), (LIBC, 1 << 14), (HEAP, 1 << 26)):
            engine.mem_map(base, size)
        engine.mem_map(STACK, 512 << 10)  # a secondary thread of iOS has 512 KB
        engine.mem_write(LIBC, struct.pack("<I", RETURN) * (1 << 12))
        self._imports = {name: LIBC + 16 * (i + 1) for i, name in enumerate(IMPORTS)}
        engine.hook_add(
            UC_HOOK_CODE, self._import, begin=LIBC + 16, end=LIBC + 16 * len(IMPORTS) + 3
        )
        self._heap = HEAP
        self._got: dict[int, int] = {}
        members = _needed(read_archive(archive), {f"_{name}" for name in roots})
        self.text_size = 0
        self._symbols = self._load(members)

    def allocate(self, data: bytes | int, *, alignment: int = 16) -> int:
        """Memory on the heap: these bytes, or so many zeros. The address."""
        content = bytes(data)
        self._heap = -(-self._heap // alignment) * alignment
        address = self._heap
        self._heap += max(len(content), 1)
        self._engine.mem_write(address, content)
        return address

    def read(self, address: int, size: int) -> bytes:
        """Bytes of memory."""
        return bytes(self._engine.mem_read(address, size))

    def call(self, name: str, *arguments: int) -> int:
        """Call a function with integers and addresses; what it returns, as 64 bits."""
        engine = self._engine
        stack = STACK + (512 << 10) - 256
        for i, argument in enumerate(arguments[:8]):
            engine.reg_write(UC_ARM64_REG_X0 + i, argument & (2**64 - 1))
        for i, argument in enumerate(arguments[8:]):  # every one of ours is 8 bytes wide
            engine.mem_write(stack + 8 * i, struct.pack("<Q", argument & (2**64 - 1)))
        engine.reg_write(UC_ARM64_REG_SP, stack)
        engine.reg_write(UC_ARM64_REG_LR, LIBC)
        engine.emu_start(self._symbols[f"_{name}"], LIBC)
        return int(engine.reg_read(UC_ARM64_REG_X0))

    def count(self, name: str, *arguments: int) -> tuple[int, int]:
        """As `call`, and the number of instructions, without the imports; much slower."""
        total = 0

        def count(_engine: Uc, address: int, size: int, _data: object) -> None:
            nonlocal total
            if address < LIBC:
                total += size // 4

        self._engine.ctl_flush_tb()  # blocks that were translated without the hook would not count
        hook = self._engine.hook_add(UC_HOOK_BLOCK, count)
        try:
            result = self.call(name, *arguments)
            return result, total
        finally:
            self._engine.hook_del(hook)

    def _import(self, engine: Uc, address: int, _size: int, _data: object) -> None:
        x0, x1, x2 = (engine.reg_read(UC_ARM64_REG_X0 + i) for i in range(3))
        match IMPORTS[(address - LIBC) // 16 - 1]:
            case "_memcpy" | "_memmove":
                engine.mem_write(x0, bytes(engine.mem_read(x1, x2)))
            case "_memset":
                engine.mem_write(x0, bytes([x1 & 255]) * x2)
            case "_bzero":
                engine.mem_write(x0, bytes(x1))
            case _:
                a, b = bytes(engine.mem_read(x0, x2)), bytes(engine.mem_read(x1, x2))
                engine.reg_write(UC_ARM64_REG_X0, ((a > b) - (a < b)) & (2**64 - 1))

    def _load(self, members: Sequence[MachO]) -> dict[str, int]:
        """Place the sections of all members, then relocate them; the addresses of the symbols."""
        places: list[dict[int, int]] = []
        symbols = dict(self._imports)
        at = IMAGE
        for member in members:
            place: dict[int, int] = {}
            for number, section in enumerate(member.sections, 1):
                if section.segment in ("__LD", "__DWARF", "__LLVM"):
                    continue
                place[number] = at = -(-at // 64) * 64
                self._engine.mem_write(at, section.data)
                at += section.size
                if (section.segment, section.name) == ("__TEXT", "__text"):
                    self.text_size += section.size
            places.append(place)
            for symbol in member.symbols:
                if symbol.is_external and symbol.section in place:
                    home = member.sections[symbol.section - 1]
                    symbols[symbol.name] = place[symbol.section] + symbol.value - home.address
        for member, place in zip(members, places, strict=True):
            for number in place:
                self._relocate(member, member.sections[number - 1], place[number], place, symbols)
        return symbols

    def _relocate(
        self,
        member: MachO,
        section: Section,
        base: int,
        place: dict[int, int],
        symbols: dict[str, int],
    ) -> None:
        def address_of(index: int) -> int:
            symbol = member.symbols[index]
            if symbol.section in place:
                home = member.sections[symbol.section - 1]
                return place[symbol.section] + symbol.value - home.address
            return symbols[symbol.name]

        addend = subtrahend = 0
        for relocation in section.relocations:
            at = base + relocation.address
            if relocation.kind == ADDEND:
                addend = relocation.number - (relocation.number >> 23 << 24)  # 24 bits, signed
                continue
            if relocation.kind == SUBTRACTOR:
                subtrahend = address_of(relocation.number)
                continue
            if relocation.is_external:
                target = address_of(relocation.number)
            else:
                home = member.sections[relocation.number - 1]
                target = place[relocation.number] - home.address
            self._patch(relocation.kind, relocation.length, at, target + addend - subtrahend)
            addend = subtrahend = 0

    def _patch(self, kind: int, length: int, at: int, target: int) -> None:
        """Write one address into data, or into an instruction."""
        if kind == UNSIGNED:
            size = 1 << length
            value = int.from_bytes(self.read(at, size), "little") + target
            self._engine.mem_write(at, (value % (1 << 8 * size)).to_bytes(size, "little"))
            return
        (word,) = struct.unpack("<I", self.read(at, 4))
        if kind in (GOT_LOAD_PAGE21, GOT_LOAD_PAGEOFF12):
            entry = self._got.setdefault(target, GOT + 8 * len(self._got))
            self._engine.mem_write(entry, struct.pack("<Q", target))
            target = entry
        if kind == BRANCH26:
            word = word & 0xFC000000 | (target - at) >> 2 & 0x3FFFFFF
        elif kind in (PAGE21, GOT_LOAD_PAGE21):
            pages = (target >> 12) - (at >> 12)
            word = word & 0x9F00001F | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
        elif kind in (PAGEOFF12, GOT_LOAD_PAGEOFF12):
            offset = target & 0xFFF
            if word & 0x3B000000 == 0x39000000:  # a load or store counts in units of its size
                scale = word >> 30
                if scale == 0 and word & 0x04800000 == 0x04800000:
                    scale = 4  # a 128-bit register
                offset >>= scale
            word = word & ~(0xFFF << 10) | offset << 10
        else:
            raise ValueError(f"relocation of unknown kind {kind}")
        self._engine.mem_write(at, struct.pack("<I", word))


def _needed(members: Sequence[MachO], roots: set[str]) -> list[MachO]:
    """The members that a linker would take for these symbols, and no others."""
    taken: list[MachO] = []
    wanted = set(roots)
    while True:
        have = set().union(*(member.defined for member in taken))
        missing = {name for name in wanted - have if name not in IMPORTS}
        more = [m for m in members if m not in taken and m.defined & missing]
        if not more:
            if missing:
                raise ValueError(f"no member defines {sorted(missing)}")
            return taken
        taken.append(more[0])
        wanted |= more[0].undefined
