"""Checks of a static library before an app's linker sees it."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from build import APPLE, Apple
from macho import MachO, read_archive
from tools import Tools

__all__ = ["TEXT_BOUND", "check_library", "linked_text_size"]

ALLOWED = {"_memcpy", "_memmove", "_memset", "_bzero", "_memcmp"}
FORBIDDEN = re.compile(
    r"unwind_|personality|^_malloc$|^_free$|socket|connect|getaddrinfo|^_send|^_recv|URLSession|"
    r"CFNetwork|nw_connection|res_query"
)
TEXT_BOUND = 160 << 10  # bytes of linked machine code
LINK_PLATFORMS = {"ios": "ios", "ios-simulator": "ios-simulator", "macos": "macos"}


def check_library(archive: Path, target: str, functions: Sequence[str]) -> None:
    """Raise AssertionError unless the archive is what an app's linker and a reviewer expect."""
    apple = next(apple for apple in APPLE if apple.target == target)
    members = read_archive(archive)
    for member in members:
        found = (member.platform, member.minimum_version)
        _require(_is_at_most(member, apple), f"{member.name}: built for {found}")
    defined = set().union(*(member.defined for member in members))
    (ours,) = [member for member in members if "_inhabit_abi_version" in member.defined]
    exported = {symbol.name for symbol in ours.symbols if symbol.is_exported}
    expected = {f"_{name}" for name in functions}
    _require(exported == expected, f"exports differ from the header: {exported ^ expected}")
    undefined = {name for name in ours.undefined if name not in defined} | ours.undefined & ALLOWED
    _require(undefined <= ALLOWED, f"undefined symbols: {undefined - ALLOWED}")
    everything = {symbol.name for symbol in ours.symbols}
    suspicious = {name for name in everything if FORBIDDEN.search(name)}
    _require(not suspicious, f"symbols that must not be here: {suspicious}")
    sections = {section.name for section in ours.sections}
    _require("__eh_frame" not in sections, "there is unwind information for exceptions")


def linked_text_size(tools: Tools, archive: Path, target: str, folder: Path) -> int:
    """Link everything against a system that has five functions; bytes of machine code."""
    apple = next(apple for apple in APPLE if apple.target == target)
    out = folder / f"{target}.dylib"
    folder.mkdir(parents=True, exist_ok=True)
    line = [*tools.linker, "-arch", "arm64", "-dylib", "-dead_strip", "-o", str(out)]
    line += ["-platform_version", LINK_PLATFORMS[apple.platform], apple.minimum, apple.minimum]
    line += ["-exported_symbol", "_inhabit_*", "-force_load", str(archive)]
    line += [str(Path(__file__).with_name("libSystem.tbd"))]
    subprocess.run(line, check=True)
    return _text_size(out.read_bytes())


def _text_size(image: bytes) -> int:
    """The size of `__TEXT,__text` of a linked image."""
    at = image.index(b"__text\0\0\0\0\0\0\0\0\0\0__TEXT")
    return int(struct.unpack_from("<Q", image, at + 40)[0])


def _is_at_most(member: MachO, apple: Apple) -> bool:
    """Our own members have the minimum version asked for; rustup's may have a lower one."""
    version = tuple(map(int, member.minimum_version.split(".")))
    return member.platform == apple.platform and version <= tuple(
        map(int, apple.minimum.split("."))
    )


def _require(holds: object, message: str) -> None:
    if not holds:
        raise AssertionError(message)
