"""Checks that inhabit.h says what the Rust functions are, and that every compiler reads it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from build import ROOT
from tools import Tools

__all__ = ["check_header", "declared_functions"]

HEADER = ROOT / "rust/capi/include/inhabit.h"
STRUCTS = {
    "Network": "inhabit_network",
    "TrainingConfig": "inhabit_training_config",
    "TrainingProgress": "inhabit_training_progress",
    "Tensor": "inhabit_tensor",
    "Prediction": "inhabit_prediction",
}
TRIPLES = (
    "arm64-apple-ios13.0",
    "arm64-apple-ios14.0-simulator",
    "arm64-apple-macosx11.0",
    "aarch64-linux-android",
    "x86_64-linux-gnu",
)


def declared_functions() -> list[str]:
    """The functions of the header, in order."""
    code = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    return re.findall(r"\b(inhabit_\w+)\(", code)


def check_header(tools: Tools, folder: Path) -> None:
    """Raise CalledProcessError, after the compiler's own words, where something does not agree."""
    folder.mkdir(parents=True, exist_ok=True)
    _check_signatures(tools, folder)
    for triple in TRIPLES:
        for language in ("c -std=c99", "c -std=c17", "c++ -std=c++11", "c++ -std=c++20"):
            _compile(
                tools, folder, '#include "inhabit.h"\n', "-x", *language.split(), triple=triple
            )
    module = "@import CInhabit;\nuint32_t version(void) { return inhabit_abi_version(); }\n"
    for triple in TRIPLES[:3]:
        flags = ["-fmodules", f"-fmodules-cache-path={folder / 'modules'}"]
        _compile(tools, folder, module, "-x", "objective-c", *flags, triple=triple)


def _check_signatures(tools: Tools, folder: Path) -> None:
    """Let C compare: it refuses two declarations of one function that differ."""
    functions = folder / "cbindgen-functions.toml"
    names = "\n".join(
        f'{rust} = "{c}"' for rust, c in {**STRUCTS, "Status": "inhabit_status"}.items()
    )
    excluded = ", ".join(f'"{name}"' for name in (*STRUCTS, "Status", *_constants()))
    functions.write_text(
        'language = "C"\nstyle = "type"\nno_includes = true\nusize_is_size_t = true\n'
        f"[export]\nexclude = [{excluded}]\n[export.rename]\n{names}\n"
    )
    structs = folder / "cbindgen-structs.toml"
    structs.write_text(
        'language = "C"\nstyle = "type"\nno_includes = true\nusize_is_size_t = true\n'
        '[export]\nitem_types = ["structs", "constants"]\n'
        f"include = [{', '.join(map(_quoted, STRUCTS))}]\n"
    )
    generated = [tools.cbindgen(config, ROOT / "rust/capi") for config in (functions, structs)]
    asserts = []
    for rust, c in STRUCTS.items():
        asserts.append(f'_Static_assert(sizeof({rust}) == sizeof({c}), "{c}");')
        (body,) = re.findall(rf"typedef struct {{([^}}]*)}} {rust};", generated[1])
        code = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
        for field in re.findall(r"(\w+)(?:\[\w+\])?;", code):
            same = f"offsetof({rust}, {field}) == offsetof({c}, {field})"
            asserts.append(f'_Static_assert({same}, "{c}.{field}");')
    source = '#include "inhabit.h"\n' + "".join(generated) + "\n".join(asserts) + "\n"
    _compile(tools, folder, source, "-x", "c", "-std=c11", triple=TRIPLES[0])
    declared = set(re.findall(r"\b(inhabit_\w+)\(", generated[0]))
    if declared != set(declared_functions()):
        raise AssertionError(f"only in one of both: {declared ^ set(declared_functions())}")


def _constants() -> list[str]:
    text = "".join(path.read_text() for path in (ROOT / "rust/capi/src").glob("*.rs"))
    return re.findall(r"^pub const (\w+):", text, flags=re.MULTILINE)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _compile(tools: Tools, folder: Path, source: str, *flags: str, triple: str) -> None:
    file = folder / "check.c"
    file.write_text(source)
    line = [
        *tools.clang,
        f"--target={triple}",
        "-fsyntax-only",
        "-ffreestanding",
        "-Wall",
        "-Wextra",
    ]
    line += ["-Werror", "-pedantic", "-nostdinc++", f"-I{HEADER.parent}", *flags]
    subprocess.run([*line, str(file)], check=True)
