"""Fetches Debian packages by name, through the machine's own apt configuration, without root.

apt runs with a state and a cache of its own in a folder of ours, so nothing on the machine
changes and no lock is taken. Packages are unpacked, never installed. Signatures are checked by apt
as always; no host name is known here.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["Apt", "AptError"]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class AptError(RuntimeError):
    """apt is not there, or could not do what it was asked."""


class Apt:
    """An apt of our own: the machine's sources (or some derived from them), a private state."""

    def __init__(self, folder: Path, sources: str | None = None) -> None:
        if shutil.which("apt-get") is None:
            raise AptError("apt-get is not on this machine")
        self.folder = folder.resolve()
        for part in ("state/lists/partial", "cache/archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        options = {
            "Dir::State": self.folder / "state",
            "Dir::State::status": "/var/lib/dpkg/status",
            "Dir::Cache": self.folder / "cache",
            "Debug::NoLocking": "true",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "APT::Sandbox::User": "",  # keep the files ours, also for root
            "APT::Get::List-Cleanup": "false",
        }
        if sources is not None:
            listing = self.folder / "sources.list"
            listing.write_text(sources)
            options |= {"Dir::Etc::SourceList": listing, "Dir::Etc::SourceParts": "/dev/null"}
        self.options = [x for key, value in options.items() for x in ("-o", f"{key}={value}")]

    def run(self, command: str, *arguments: str, cwd: Path | None = None) -> str:
        """Run `apt-get` or `apt-cache`; its output, or AptError with what it said."""
        line = [command, *self.options, "-qq", *arguments]
        done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AptError(f"{command} {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout

    def update(self) -> None:
        """Fetch the package lists."""
        self.run("apt-get", "update")

    def version(self, package: str, prefix: str) -> str | None:
        """The first version of `package` that starts with `prefix`, if there is one."""
        for line in self.run("apt-cache", "madison", package).splitlines():
            version = line.split("|")[1].strip()
            if version.startswith(prefix):
                return version
        return None

    def download(self, package: str, version: str) -> Path:
        """One package without its dependencies."""
        self.run("apt-get", "download", f"{package}={version}", cwd=self.folder)
        return next(self.folder.glob(f"{package}_*.deb"))

    def download_with_dependencies(self, packages: Sequence[str]) -> list[Path]:
        """The packages and whatever they need that this machine does not have."""
        self.run(
            "apt-get", "install", "--download-only", "--yes", "--no-install-recommends", *packages
        )
        return sorted((self.folder / "cache/archives").glob("*.deb"))

    def sources_of_suite(self, suite: str) -> str:
        """A source line for another suite of the archive that this release of Debian comes from."""
        codename = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
        rows = self.run(
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI)",
            "Created-By: Packages",
            f"Codename: {codename}",
            "Origin: Debian",
            "Component: main",
        ).split()
        if not rows:
            raise AptError(f"apt has no Debian archive for {codename or 'this release'}")
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        return f"deb {signed}{rows[0]} {suite} main\n"


def unpack(package: Path, folder: Path, only: Iterable[str] = ()) -> None:
    """Unpack a .deb (or only what matches the patterns) below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    patterns = [*(("--wildcards",) if only else ()), *only]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as deb:
        subprocess.run(["tar", "-x", "-C", folder, *patterns], stdin=deb.stdout, check=True)
    if deb.returncode:
        raise AptError(f"dpkg-deb could not read {package.name}")
