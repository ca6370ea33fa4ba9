"""LiteRT: inference, and training on the device through a signature of the model file.

The files have to be authored with TensorFlow. That happens once, in a process of its own; they are
kept in target/litert, and without TensorFlow and without a file there is nothing to measure.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from rival import BATCH

BENCHES = Path(__file__).resolve().parent.parent
FILES = BENCHES.parent / "target" / "litert"


def single(flat):
    interpreter, x_at, out_at = _inference(flat, 1)
    set_tensor, invoke, get_tensor = (
        interpreter.set_tensor,
        interpreter.invoke,
        interpreter.get_tensor,
    )

    def predict(x):
        set_tensor(x_at, x[None])
        invoke()
        return get_tensor(out_at)

    return {"ai-edge-litert": predict}


def many(flat):
    interpreter, x_at, out_at = _inference(flat, 100_000)

    def predict(X):
        interpreter.set_tensor(x_at, X)
        interpreter.invoke()
        return interpreter.get_tensor(out_at)

    return {"ai-edge-litert": predict}


def training(task):
    flat, X, y, order, optimizer, rate = task
    interpreter = Interpreter(str(_file(optimizer, flat, rate)), num_threads=1)
    start, step, result = map(interpreter.get_signature_runner, ("start", "step", "parameters"))
    weights = {n: np.full(n, 1 / n, np.float32) for n in (BATCH, order.shape[1] % BATCH)}
    weights = {n: np.pad(weight, (0, BATCH - n))[:, None] for n, weight in weights.items()}

    target = y[:, None]

    def train():
        start(flat=flat)
        for rows in order:
            for at in range(0, len(rows), BATCH):
                batch = rows[at : at + BATCH]
                n = len(batch)
                if n < BATCH:  # filled up with rows of weight 0
                    batch = np.pad(batch, (0, BATCH - n))
                step(x=X[batch], y=target[batch], weight=weights[n])
        return result()["flat"]

    return {"ai-edge-litert training signature": train}


def _inference(flat, rows):
    interpreter = Interpreter(str(_file("inference", flat, 0.0)), num_threads=1)
    x_at = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(x_at, [rows, 10])
    interpreter.allocate_tensors()
    return interpreter, x_at, interpreter.get_output_details()[0]["index"]


def _file(kind, flat, rate):
    """Return the path of a model file; author it if it is not there."""
    path = FILES / f"{kind}-{rate:g}-{zlib.crc32(flat.tobytes()):08x}.tflite"
    if not path.exists():
        FILES.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "rival.author_litert", kind, str(rate), str(path)]
        subprocess.run(command, input=flat.tobytes(), check=True, capture_output=True, cwd=BENCHES)
    return path
