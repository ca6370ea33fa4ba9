"""Builds the static library for every target, and a shared one for this machine."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sysroot import DEPLOYMENT, Toolchain

__all__ = ["APPLE", "BUILD", "OTHERS", "ROOT", "build_all", "build_library", "host_library"]

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "target/ios"


@dataclass(frozen=True, slots=True)
class Apple:
    """A target whose library is linked into apps."""

    target: str
    platform: str
    minimum: str


APPLE = (
    Apple("aarch64-apple-ios", "ios", "13.0"),
    Apple("aarch64-apple-ios-sim", "ios-simulator", "14.0"),  # arm64 simulators begin with 14
    Apple("aarch64-apple-darwin", "macos", "11.0"),  # and arm64 Macs with 11
)
OTHERS = ("aarch64-linux-android", "wasm32-unknown-unknown", "thumbv7em-none-eabihf")


def build_library(toolchain: Toolchain, target: str, *, root: Path = ROOT) -> Path:
    """Build `libinhabit.a` for a target, without std and without an unwinder."""
    sysroot = toolchain.sysroot_of(target)
    flags = []
    if sysroot is not None:
        # Relative, so that the same sources give the same bytes in every folder.
        flags.append(f"--sysroot={os.path.relpath(sysroot, ROOT)}")
        link = root / os.path.relpath(BUILD, ROOT)
        if root != ROOT and not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(BUILD)
    if "apple" in target:
        # No memset_pattern16: it is not among the five functions that we promise to need.
        flags.append("-Cllvm-args=-disable-loop-idiom-memset")
    folder = BUILD / ("build" if root == ROOT else f"build-{root.name}")
    name = target.upper().replace("-", "_")
    environment = os.environ | DEPLOYMENT | {f"CARGO_TARGET_{name}_RUSTFLAGS": " ".join(flags)}
    environment["RUSTC"] = toolchain.rustc
    # `cargo rustc --crate-type`: as a staticlib only, which is what link-time optimisation needs.
    line = [toolchain.cargo, "rustc", "--quiet", "--locked", "--package", "inhabit-capi"]
    line += ["--profile", "ios", "--crate-type", "staticlib"]
    line += ["--target", target, "--target-dir", str(folder)]
    subprocess.run(line, cwd=root, env=environment, check=True)
    return folder / target / "ios/libinhabit.a"


def build_all(toolchain: Toolchain) -> dict[str, Path]:
    """Build for all targets; the sysroots two at a time, which is what takes long."""
    targets = [*(apple.target for apple in APPLE), *OTHERS]
    toolchain.prepare(targets)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(toolchain.sysroot_of, targets))
    return {target: build_library(toolchain, target) for target in targets}


def host_library(toolchain: Toolchain) -> Path:
    """Build a shared library of the same functions for this machine."""
    line = [toolchain.cargo, "rustc", "--quiet", "--locked", "--package", "inhabit-capi"]
    line += ["--release", "--crate-type", "cdylib", "--target-dir", str(BUILD / "build")]
    subprocess.run(line, cwd=ROOT, env=os.environ | {"RUSTC": toolchain.rustc}, check=True)
    release = BUILD / "build/release"
    found = [release / name for name in ("libinhabit.so", "libinhabit.dylib")]
    return next(path for path in found if path.exists())
