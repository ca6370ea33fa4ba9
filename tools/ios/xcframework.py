"""Lays out Inhabit.xcframework by hand, as `xcodebuild` would; not checked with Xcode."""

from __future__ import annotations

import plistlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from build import APPLE, ROOT

__all__ = ["assemble"]

INCLUDE = ROOT / "rust/capi/include"
# platform -> (SupportedPlatform, SupportedPlatformVariant)
SLICES = {"ios": ("ios", None), "ios-simulator": ("ios", "simulator"), "macos": ("macos", None)}


def assemble(libraries: Mapping[str, Path], out: Path) -> Path:
    """Write the bundle, replacing an earlier one; every file has the same content each time."""
    shutil.rmtree(out, ignore_errors=True)
    entries = []
    for apple in APPLE:
        platform, variant = SLICES[apple.platform]
        identifier = "-".join(part for part in (platform, "arm64", variant) if part)
        headers = out / identifier / "Headers"
        headers.mkdir(parents=True)
        for name in ("inhabit.h", "module.modulemap"):
            shutil.copyfile(INCLUDE / name, headers / name)
        shutil.copyfile(
            INCLUDE / "PrivacyInfo.xcprivacy", out / identifier / "PrivacyInfo.xcprivacy"
        )
        shutil.copyfile(libraries[apple.target], out / identifier / "libinhabit.a")
        entry = {
            "BinaryPath": "libinhabit.a",
            "HeadersPath": "Headers",
            "LibraryIdentifier": identifier,
            "LibraryPath": "libinhabit.a",
            "SupportedArchitectures": ["arm64"],
            "SupportedPlatform": platform,
        }
        entries.append(entry | ({"SupportedPlatformVariant": variant} if variant else {}))
    information = {
        "AvailableLibraries": entries,
        "CFBundlePackageType": "XFWK",
        "XCFrameworkFormatVersion": "1.0",
    }
    (out / "Info.plist").write_bytes(plistlib.dumps(information))
    return out
