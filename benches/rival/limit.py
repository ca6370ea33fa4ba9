"""The limit of the machine: `limit.c`, built for the processor that runs it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).resolve().parents[1] / "limit.c"
SAME_BITS = ("-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno")
FAST_MATH = ("-Ofast", "-march=native")


def load(flags: tuple[str, ...] = SAME_BITS):
    """Build `limit.c` and import it; None without a C compiler or x86-64."""
    compiler = os.environ.get("CC") or shutil.which("cc")
    if compiler is None or platform.machine() != "x86_64":
        return None
    target = SOURCE.parents[1] / "target" / f"limit{flags[0]}"
    target.mkdir(parents=True, exist_ok=True)
    library = target / f"limit{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not library.exists() or library.stat().st_mtime < SOURCE.stat().st_mtime:
        command = [compiler, *flags, "-shared", "-fPIC", f"-I{sysconfig.get_paths()['include']}"]
        command += [f"-I{np.get_include()}", str(SOURCE), "-lm", "-o", str(library)]
        if subprocess.run(command, check=False).returncode != 0:
            return None
    spec = importlib.util.spec_from_file_location("limit", library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
