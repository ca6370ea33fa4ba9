"""Finds the linker, the compiler and cbindgen, or fetches them; nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from debian import Apt, AptError, unpack
from sysroot import Toolchain

__all__ = ["Tools"]

CBINDGEN_VERSION = "0.29.4"
CBINDGEN_SUITE = "forky"


@dataclass(frozen=True)
class Tools:
    """Programs of this machine, else Debian's, unpacked into `cache`."""

    cache: Path
    toolchain: Toolchain

    @cached_property
    def clang(self) -> list[str]:
        """The command line that starts clang."""
        if path := shutil.which("clang"):
            return [path]
        return self._unpacked("clang")

    @cached_property
    def linker(self) -> list[str]:
        """The command line that starts a linker for Mach-O: Apple's, or LLVM's."""
        if sys.platform == "darwin":
            return ["xcrun", "ld"]
        if path := shutil.which("ld64.lld"):
            return [path]
        return self._unpacked("ld64.lld")

    def cbindgen(self, config: Path, crate: Path) -> str:
        """The header that cbindgen makes of a crate."""
        line = [*self._cbindgen, "--quiet", "--config", str(config), "--crate", "inhabit-capi"]
        line = [*line, str(crate)]
        environment = os.environ | {"CARGO": self.toolchain.cargo}
        done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    @cached_property
    def _cbindgen(self) -> list[str]:
        if path := shutil.which("cbindgen"):
            return [path]
        try:
            return self._debian_cbindgen()
        except AptError:
            line = [self.toolchain.cargo, "install", "cbindgen", "--version", CBINDGEN_VERSION]
            line += ["--locked", "--debug", "--quiet", "--root", str(self.cache / "cbindgen-crate")]
            subprocess.run(line, check=True)
            return [str(self.cache / "cbindgen-crate/bin/cbindgen")]

    def _debian_cbindgen(self) -> list[str]:
        """A newer release's program, started by that release's loader with its own C library."""
        folder = self.cache / "cbindgen"
        if not folder.exists():
            apt = Apt(self.cache / "apt")
            apt.update()
            suite = Apt(self.cache / f"apt-{CBINDGEN_SUITE}", apt.sources_of_suite(CBINDGEN_SUITE))
            suite.update()
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            for package in ("cbindgen", "libc6", "libgcc-s1"):
                if (version := suite.version(package, "")) is None:
                    raise AptError(f"{CBINDGEN_SUITE} has no {package}")
                unpack(suite.download(package, version), part)
            part.rename(folder)
        loader = next(folder.glob("usr/lib*/ld-linux-*.so.*"), None)
        if loader is None:
            raise AptError("libc6 has no loader where it is expected")
        libraries = ":".join(str(path) for path in folder.glob("usr/lib/*-linux-gnu*"))
        return [str(loader), "--library-path", libraries, str(folder / "usr/bin/cbindgen")]

    def _unpacked(self, program: str) -> list[str]:
        folder = self.cache / "llvm"
        if not folder.exists():
            apt = Apt(self.cache / "apt")
            apt.update()
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            for package in apt.download_with_dependencies(["clang", "lld"]):
                unpack(package, part)
            part.rename(folder)
        binary = next(folder.glob(f"usr/lib/llvm-*/bin/{program}"))
        libraries = [binary.parents[1] / "lib", *folder.glob("usr/lib/*-linux-gnu")]
        path = ":".join(map(str, libraries))
        return ["env", f"LD_LIBRARY_PATH={path}", str(binary)]
