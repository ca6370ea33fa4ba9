"""One story through the C interface, on any machine: networks, training, checkpoints, models.

Whatever runs the library (the processor of this machine, or an emulated one), every byte that comes
out is compared with ``tests/vectors``, which the Python wheel made.
"""

from __future__ import annotations

import ctypes
import hashlib
import struct
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Figures", "HostLibrary", "Library", "MachineLibrary", "run"]

VECTORS = Path(__file__).parents[2] / "tests/vectors"
ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid")
LAYERS = (10, 16, 8, 1)
OK, CHECKPOINT, MISSING = 0, 10, 11
F64, F32, U32 = 0, 1, 2


class Library(ABC):
    """The library in some machine: memory and calls."""

    @abstractmethod
    def allocate(self, data: bytes | int) -> int:
        """Memory with these bytes, or so many zeros; the address, a multiple of 16."""

    @abstractmethod
    def read(self, address: int, size: int) -> bytes:
        """Bytes of memory."""

    @abstractmethod
    def invoke(self, name: str, arguments: Sequence[int]) -> int:
        """What a function returns, as an unsigned 32-bit number."""

    @abstractmethod
    def count(self, name: str, arguments: Sequence[int]) -> tuple[int, int]:
        """As `invoke`, and the number of instructions; 0 where nobody counts."""

    def call(self, name: str, *arguments: int, expect: int = OK) -> None:
        """Call a function that returns a status, and insist on the status."""
        if (status := self.invoke(f"inhabit_{name}", arguments)) != expect:
            raise AssertionError(f"inhabit_{name}: expected status {expect}, got {status}")

    def cost(self, name: str, *arguments: int) -> int:
        """Call a function that must succeed; how many instructions it took."""
        status, instructions = self.count(f"inhabit_{name}", arguments)
        if status != OK:
            raise AssertionError(f"inhabit_{name}: expected status {OK}, got {status}")
        return instructions

    def size(self, name: str, *arguments: int) -> int:
        """Call a function whose last argument is a `size_t *`; what it writes there."""
        out = self.allocate(8)
        self.call(name, *arguments, out)
        return int.from_bytes(self.read(out, 8), "little")


class HostLibrary(Library):
    """A shared library in this process."""

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._kept: list[ctypes.Array[ctypes.c_char]] = []

    def allocate(self, data: bytes | int) -> int:
        content = bytes(data)
        buffer = ctypes.create_string_buffer(len(content) + 16)
        address = -(-ctypes.addressof(buffer) // 16) * 16
        ctypes.memmove(address, content, len(content))
        self._kept.append(buffer)
        return address

    def read(self, address: int, size: int) -> bytes:
        return ctypes.string_at(address, size)

    def invoke(self, name: str, arguments: Sequence[int]) -> int:
        function = self._library[name]
        function.restype = ctypes.c_uint32
        return int(function(*(ctypes.c_uint64(argument) for argument in arguments)))

    def count(self, name: str, arguments: Sequence[int]) -> tuple[int, int]:
        return self.invoke(name, arguments), 0


class MachineLibrary(Library):
    """An archive of arm64 Mach-O code in an emulated machine."""

    def __init__(self, archive: Path, functions: Sequence[str]) -> None:
        from machine import Machine  # noqa: PLC0415 - needs unicorn

        self._machine = Machine(archive, functions)
        self.text_size = self._machine.text_size

    def allocate(self, data: bytes | int) -> int:
        return self._machine.allocate(data)

    def read(self, address: int, size: int) -> bytes:
        return self._machine.read(address, size)

    def invoke(self, name: str, arguments: Sequence[int]) -> int:
        return self._machine.call(name, *arguments) & 0xFFFFFFFF

    def count(self, name: str, arguments: Sequence[int]) -> tuple[int, int]:
        status, instructions = self._machine.count(name, *arguments)
        return status & 0xFFFFFFFF, instructions


@dataclass(frozen=True, slots=True)
class Figures:
    """What the story cost, in instructions, and what came out."""

    predict: int
    epoch: int
    model_predict: int
    weights: str  # SHA-256 of the trained parameters
    generation: str  # SHA-256 of the saved model


class _Files:
    """The vectors, read through the C interface itself."""

    def __init__(self, library: Library, name: str) -> None:
        self._library = library
        self.content = (VECTORS / name).read_bytes()
        self.address = library.allocate(self.content)
        self.size = len(self.content)

    def tensor(self, name: str, dtype: int) -> bytes:
        where = self._library.allocate(name.encode())
        query = (self.address, self.size, where, len(name), dtype)
        count = self._library.size("checkpoint_tensor", *query, 0, 0)
        size = count * (8 if dtype == F64 else 4)
        data = self._library.allocate(size)
        self._library.size("checkpoint_tensor", *query, data, count)
        return self._library.read(data, size)

    def manifest(self) -> bytes:
        length = self._library.size("checkpoint_manifest", self.address, self.size, 0, 0)
        text = self._library.allocate(length)
        self._library.size("checkpoint_manifest", self.address, self.size, text, length)
        return self._library.read(text, length)


def run(library: Library) -> Figures:
    """Tell the story; AssertionError where a byte or a status is not what it must be."""
    assert library.invoke("inhabit_abi_version", ()) == 1
    core = _Files(library, "core.safetensors")
    predict = _networks(library, core)
    epoch, weights = _trainings(library, core)
    _checkpoints(library, core)
    model_predict, generation = _models(library, core)
    return Figures(predict, epoch, model_predict, weights, generation)


def _network(library: Library, hidden: str) -> int:
    sizes = (*LAYERS, *[0] * (16 - len(LAYERS)))
    return library.allocate(struct.pack("<19I", len(LAYERS), ACTIVATIONS.index(hidden), 0, *sizes))


def _networks(library: Library, core: _Files) -> int:
    x = core.tensor("history.x", F32)
    rows = len(x) // 40
    inputs, cost = library.allocate(x), {}
    for seed, hidden in enumerate(ACTIVATIONS):
        network = _network(library, hidden)
        count = library.size("network_parameter_count", network)
        parameters = library.allocate(4 * count)
        library.call("network_initialize", network, seed, parameters, count)
        expected = core.tensor(f"network.{hidden}.parameters", F32)
        _same(library.read(parameters, 4 * count), expected, f"{hidden} parameters")
        out = library.allocate(4 * rows)
        library.call("predict", network, parameters, count, inputs, rows, out)
        expected = core.tensor(f"network.{hidden}.predictions", F32)
        _same(library.read(out, 4 * rows), expected, f"{hidden} predictions")
        one = (network, parameters, count, inputs + 40, 1, out)
        cost[hidden] = library.cost("predict", *one)
        _same(library.read(out, 4), expected[4:8], f"one {hidden} prediction")
    return cost["relu"]


def _trainings(library: Library, core: _Files) -> tuple[int, str]:
    """Train with every configuration, stopping after three batches and going on elsewhere."""
    labels = struct.unpack("<200I", core.tensor("history.label", U32))
    x = core.tensor("history.x", F32)
    known = [i for i, label in enumerate(labels) if label]
    rows = len(known)
    inputs = library.allocate(b"".join(x[40 * i : 40 * i + 40] for i in known))
    targets = library.allocate(struct.pack(f"<{rows}f", *(labels[i] - 1 for i in known)))
    network = _network(library, "relu")
    initial = library.allocate(core.tensor("network.relu.parameters", F32))
    size = library.size("training_size", network, rows)
    instructions, weights = 0, ""
    for name in ("sgd", "adam", "ordered", "patience"):
        numbers = struct.unpack("<14d", core.tensor(f"training.{name}.config", F64))
        head, rest = [int(number) for number in numbers[:7]], numbers[7:]
        config = library.allocate(struct.pack("<6IQ7d", *head, *rest))
        memory = library.allocate(size)
        samples = (inputs, targets, 0)
        library.call("training_begin", memory, size, network, config, *samples, rows, initial, 321)
        progress = library.allocate(32)
        if name == "adam":
            copy = library.allocate(library.read(memory, size))
            epoch = (copy, size, *samples, 0, -(-rows // head[2]), progress)
            instructions = library.cost("training_step", *epoch)
        running = True
        while running:
            library.call("training_step", memory, size, *samples, 0, 3, progress)
            memory = library.allocate(library.read(memory, size))  # goes on in another place
            running = library.read(progress, 4) == bytes(4)
        out = library.allocate(4 * 321)
        library.call("training_parameters", memory, size, out, 321)
        trained = library.read(out, 4 * 321)
        _same(trained, core.tensor(f"training.{name}.parameters", F32), f"{name} parameters")
        if name == "adam":
            weights = hashlib.sha256(trained).hexdigest()
    return instructions, weights


def _checkpoints(library: Library, core: _Files) -> None:
    """Take a file apart and put it together again; refuse a damaged one."""
    tensors, count = b"", 0
    for name, dtype, width in (
        ("history.x", F32, 4),
        ("history.slot", U32, 4),
        ("walk.probability", F64, 8),
    ):
        data, where = core.tensor(name, dtype), library.allocate(name.encode())
        address = library.allocate(data)
        tensors += struct.pack("<4Q", where, len(name), dtype, address)
        tensors += struct.pack("<Q", len(data) // width)
        count += 1
    text = '{"é":1}'.encode()
    content = (library.allocate(tensors), count, library.allocate(text), len(text))
    size = library.size("checkpoint_write", *content, 0, 0)
    out = library.allocate(size)
    library.size("checkpoint_write", *content, out, size)
    library.call("checkpoint_verify", out, size)
    library.call("checkpoint_verify", out, size - 1, expect=CHECKPOINT)
    damaged = bytearray(library.read(out, size))
    damaged[-9] ^= 1
    library.call("checkpoint_verify", library.allocate(bytes(damaged)), size, expect=CHECKPOINT)
    absent = library.allocate(b"absent")
    unwritten = library.allocate(8)
    query = (core.address, core.size, absent, 6, F32, 0, 0, unwritten)
    library.call("checkpoint_tensor", *query, expect=MISSING)
    _same(library.read(unwritten, 8), bytes(8), "an output after a refusal")


def _models(library: Library, core: _Files) -> tuple[int, str]:
    """Begin from a prior, train in slices, save; go on from the saved file."""
    _walked(library, core, "ensemble.safetensors", "ensemble.probability")
    memory, size = _walked(library, core, "prior.safetensors", "walk.probability")
    expected = _Files(library, "generation.safetensors")
    text = expected.manifest()
    manifest = (library.allocate(text), len(text))
    written = library.size("model_save", memory, size, *manifest, 0, 0)
    out = library.allocate(written)
    library.size("model_save", memory, size, *manifest, out, written)
    _same(library.read(out, written), expected.content, "the generation")

    again = library.allocate(size)
    library.call("model_begin", again, size, expected.address, expected.size, 0, 0)
    x = library.allocate(core.tensor("history.x", F32))
    prediction = [library.allocate(152), library.allocate(152)]
    for block, said_here in zip((memory, again), prediction, strict=True):
        library.call("model_learn", block, size, x, 10, 0, 1)
        instructions = library.cost("model_predict", block, size, x + 40, 10, 0, said_here)
    _same(library.read(prediction[0], 152), library.read(prediction[1], 152), "a resumed model")
    return instructions, hashlib.sha256(library.read(out, written)).hexdigest()


def _walked(library: Library, core: _Files, start: str, said: str) -> tuple[int, int]:
    """Walk a model in slices from the prior file `start`; return its memory and size."""
    prior = _Files(library, start)
    label = bytes((b - 1) % 256 for b in core.tensor("history.label", U32)[::4])
    slot = core.tensor("history.slot", U32)[::4]
    rows = len(label)
    columns = (
        library.allocate(core.tensor("history.x", F32)),
        library.allocate(label),
        library.allocate(slot),
        library.allocate(core.tensor("history.learn_at", U32)),
        rows,
    )
    size = library.size("model_size", prior.address, prior.size, 0)
    memory = library.allocate(size)
    library.call("model_begin", memory, size, prior.address, prior.size, 0, 0)
    work_size = library.size("model_walk_size", memory, size, rows)
    work, probability = library.allocate(work_size), library.allocate(8 * rows)
    for start in range(0, rows, 70):
        memory = library.allocate(library.read(memory, size))  # goes on in another place
        end = min(start + 70, rows)
        model = (memory, size)
        library.call("model_walk", *model, *columns, start, end, probability, work, work_size)
    _same(library.read(probability, 8 * rows), core.tensor(said, F64), f"a walk from {start}")
    return memory, size


def _same(actual: bytes, expected: bytes, what: str) -> None:
    if actual != expected:
        count = sum(a != b for a, b in zip(actual, expected, strict=False))
        raise AssertionError(f"{what}: {count} of {len(expected)} bytes differ ({sys.byteorder})")
