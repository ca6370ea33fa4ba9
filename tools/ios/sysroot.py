"""`core` and `compiler_builtins` for a target, from the sources that belong to the installed rustc.

Where `rustup target add` has been here, nothing is to do. Elsewhere the sources come from, in this
order: rustup's rust-src component, a rust-src package that is installed, Debian's rust-src package
of exactly this version (`debian.Apt`). They are compiled by rustc itself, once per target and
compiler, in about 20 seconds, into a folder that rustc takes as `--sysroot`.

Debian lets old versions go. Where no sources for the installed rustc can be had, Debian's newest
compiler for its stable release takes over, with its own sources, unpacked beside the rest.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from debian import Apt, AptError, unpack

__all__ = ["DEPLOYMENT", "SysrootError", "Toolchain", "find_toolchain"]

MINIMUM_IOS = "13.0"
MINIMUM_MACOS = "11.0"
# rustc takes the minimum versions from here, for libcore as for our code.
DEPLOYMENT = {
    "IPHONEOS_DEPLOYMENT_TARGET": MINIMUM_IOS,
    "MACOSX_DEPLOYMENT_TARGET": MINIMUM_MACOS,
}
RECIPE = "1"  # counts the changes of `_compile` that change what it makes
SUITES = ("trixie-backports", "forky", "sid")  # where newer compilers are packaged
LIBRARIES = ("core", "compiler-builtins", "portable-simd", "stdarch")


class SysrootError(RuntimeError):
    """No standard library for a target, and no way to make one."""


@dataclass(frozen=True)
class Toolchain:
    """A rustc, its cargo, and a cache folder that holds what we made for them.

    `RUSTC` and `CARGO` in the environment choose other ones, such as a distribution's.
    """

    cache: Path
    rustc: str = os.environ.get("RUSTC", "rustc")
    cargo: str = os.environ.get("CARGO", "cargo")

    @cached_property
    def verbose_version(self) -> str:
        return self._ask("-vV")

    @cached_property
    def version(self) -> str:
        """For example ``1.95.0``."""
        return self.verbose_version.split()[1]

    @cached_property
    def llvm_version(self) -> str:
        return self.verbose_version.rsplit("LLVM version:", 1)[1].strip()

    def has_target(self, target: str) -> bool:
        """True where rustup (or a package) installed a standard library for `target`."""
        libdir = Path(self._ask("--print", "target-libdir", "--target", target))
        return any(libdir.glob("libcore-*.rlib"))

    def prepare(self, targets: Iterable[str]) -> None:
        """Fetch, before any thread is started, what `sysroot_of` will need."""
        if not all(self.has_target(target) for target in targets):
            _ = self.library_sources

    def sysroot_of(self, target: str) -> Path | None:
        """A sysroot for `target`, cached by rustc and recipe; None where rustc brings its own."""
        if self.has_target(target):
            return None
        recipe = (self.verbose_version, RECIPE, str(sorted(DEPLOYMENT.items())))
        key = hashlib.sha256("\0".join(recipe).encode()).hexdigest()[:12]
        place = self.cache / f"sysroot-{self.version}-{key}" / target
        if not place.exists():
            part = place.with_name(f"{target}.part")
            shutil.rmtree(part, ignore_errors=True)
            self._compile(target, part)
            part.rename(place)  # a half-made sysroot is never seen
        return place

    @cached_property
    def library_sources(self) -> Path:
        """The folder ``library`` of the rust repository, of this rustc's version."""
        for place in (
            Path(self._ask("--print", "sysroot"), "lib/rustlib/src/rust/library"),
            Path(f"/usr/src/rustc-{self.version}/library"),
            *self.cache.glob(f"rust-src-{self.version}/usr/src/rustc-*/library"),
            self.cache / f"debian-toolchain/usr/src/rustc-{self.version}/library",
        ):
            if (place / "core/src/lib.rs").exists():
                return place
        return self._debian_sources()

    def _debian_sources(self) -> Path:
        folder = self.cache / f"rust-src-{self.version}"
        try:
            machine = Apt(self.cache / "apt")
            machine.update()
            apts = [machine]
            for suite in (None, *SUITES):
                if suite is not None:
                    apt = Apt(self.cache / f"apt-{suite}", machine.sources_of_suite(suite))
                    apt.update()
                    apts.append(apt)
                if (version := apts[-1].version("rust-src", f"{self.version}+")) is not None:
                    wanted = (f"./usr/src/*/library/{name}" for name in LIBRARIES)
                    part = folder.with_suffix(".part")
                    shutil.rmtree(part, ignore_errors=True)
                    unpack(apts[-1].download("rust-src", version), part, wanted)
                    part.rename(folder)
                    return next(folder.glob("usr/src/rustc-*/library"))
        except (AptError, OSError, subprocess.CalledProcessError) as error:
            raise SysrootError(self._advice(str(error))) from error
        raise SysrootError(self._advice(f"no suite of Debian has rust-src {self.version} any more"))

    def _advice(self, reason: str) -> str:
        return (
            f"no sources of the standard library for rustc {self.version}: {reason}.\n"
            "Either:  rustup target add aarch64-apple-ios aarch64-apple-ios-sim ...\n"
            "or:      rustup component add rust-src"
        )

    def _compile(self, target: str, sysroot: Path) -> None:
        libdir = sysroot / "lib/rustlib" / target / "lib"
        libdir.mkdir(parents=True)
        core = ["--extern", f"core={libdir}/libcore.rlib"]
        self._compile_crate("core", "core", target, sysroot, libdir)
        # The same features that compiler-builtins' build script derives from the target.
        features = ["compiler-builtins", "unstable-intrinsics"]
        if "-none" in target or target.startswith("wasm32-unknown"):
            features.append("mem")
        if target.startswith(("aarch64-", "x86_64-")):
            features.append("mem-unaligned")
        configuration = [f'feature="{name}"' for name in features]
        configuration += ["intrinsics_enabled", "arch_enabled", "optimizations_enabled"]
        flags = [x for item in configuration for x in ("--cfg", item)]
        source = "compiler-builtins/compiler-builtins"
        self._compile_crate("compiler_builtins", source, target, sysroot, libdir, *core, *flags)

    def _compile_crate(
        self, name: str, source: str, target: str, sysroot: Path, libdir: Path, *more: str
    ) -> None:
        """One crate of the standard library; what cargo would do with -Zbuild-std."""
        sources = self.library_sources
        line = [self.rustc, "--crate-name", name, "--crate-type", "rlib", "--edition", "2024"]
        line += ["--target", target, "--sysroot", str(sysroot), "--out-dir", str(libdir)]
        line += ["-Copt-level=3", "-Cpanic=abort", "-Cembed-bitcode=yes"]
        # compiler_builtins in many units: a linker then takes only the members that are used.
        line += [f"-Ccodegen-units={1 if name == 'core' else 16}"]
        line += ["-Zunstable-options", "-Zforce-unstable-if-unmarked", f"-Cmetadata=inhabit-{name}"]
        line += ["--cap-lints", "allow", f"--remap-path-prefix={sources}=/rustc/library"]
        environment = os.environ | DEPLOYMENT | {"RUSTC_BOOTSTRAP": "1"}
        environment |= {
            "CFG_CARGO_FEATURES": "[]",
            "CFG_OPT_LEVEL": "3",
            "CFG_TARGET_FEATURES": "[]",
        }
        subprocess.run(
            [*line, *more, str(sources / source / "src/lib.rs")], env=environment, check=True
        )

    def _ask(self, *arguments: str) -> str:
        done = subprocess.run([self.rustc, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()


def find_toolchain(cache: Path, targets: Sequence[str]) -> Toolchain:
    """A compiler that can build for the targets: the installed one, or else Debian's.

    `INHABIT_TOOLCHAIN=debian` takes Debian's at once.
    """
    installed = Toolchain(cache)
    if os.environ.get("INHABIT_TOOLCHAIN") == "debian":
        return _debian_toolchain(cache)
    try:
        installed.prepare(targets)
    except SysrootError as error:
        try:
            return _debian_toolchain(cache)
        except (AptError, OSError, subprocess.CalledProcessError) as another:
            raise SysrootError(f"{error}\nDebian's own compiler: {another}") from another
    return installed


def _debian_toolchain(cache: Path) -> Toolchain:
    """Debian's compiler for building browsers, which its security team keeps new."""
    folder = cache.resolve() / "debian-toolchain"
    if not folder.exists():
        apt = Apt(cache / "apt-toolchain")
        apt.update()
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        packages = ["rustc-web", "cargo-web", "rust-web-src"]
        for package in apt.download_with_dependencies(packages):
            unpack(package, part)
        libraries = {path.parent for path in (part / "usr/lib").rglob("*.so*")}
        search = ":".join(str(folder / path.relative_to(part)) for path in sorted(libraries))
        for name in ("rustc", "cargo"):
            script = part / name
            script.write_text(
                f'#!/bin/sh\nLD_LIBRARY_PATH={search} exec {folder}/usr/bin/{name} "$@"\n'
            )
            script.chmod(0o755)
        part.rename(folder)
    return Toolchain(cache, str(folder / "rustc"), str(folder / "cargo"))
