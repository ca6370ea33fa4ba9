"""Generations: what was learnt, in files that are whole or not there.

A `Generation` is tensors and a `Manifest`. Its bytes are a safetensors file that the Rust core
writes and verifies, the same on every platform (``tests/vectors/README.md`` has the layout). The
same content is always the same bytes: there is no clock and no counter in them, so forgetting an
event and training again gives the file that would have been, had the event never been recorded.

A `GenerationStore` keeps the last few in a folder. A new one is written to a sibling file, flushed
to the disk, renamed, and the folder flushed: after a crash at any point the folder holds the old
generations or the old ones and the new one. The newest that verifies is loaded; a damaged file is
passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from inhabit._native import checkpoint_decode, checkpoint_encode
from inhabit.durable import flush, flush_folder
from inhabit.exceptions import (
    CheckpointError,
    ConfigError,
    NonFiniteError,
    ShapeError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "FORMAT_VERSION",
    "Generation",
    "GenerationStore",
    "Manifest",
    "folder_name",
    "parameters_from_json",
    "parameters_to_json",
]

FORMAT_VERSION: Final = 1

_log = logging.getLogger(__name__)

_Tensor = npt.NDArray[np.float32] | npt.NDArray[np.float64] | npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a generation was made from. Stored as JSON with sorted keys.

    Parameters
    ----------
    schema : str
        Hash of the feature schema; a model only fits features of the same schema.
    features : tuple of str
        Names of the features, in order.
    seed : int
        Seed of the initial weights and the shuffling.
    parent : str or None
        `Generation.id` of the generation that training started from (a prior, for example).
    counts : dict of str to int
        Samples, positive labels and the like.
    metrics : dict of str to float
        Walk-forward log loss and the like; finite numbers.
    settings : dict
        The configuration of training, as JSON values.
    format_version : int
        Version of this format.
    """

    schema: str = ""
    features: tuple[str, ...] = ()
    seed: int = 0
    parent: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def to_json(self) -> str:
        """Write the manifest as JSON text with sorted keys.

        Raises
        ------
        NonFiniteError
            A metric is NaN or infinite.
        """
        for name, value in self.metrics.items():
            if not isfinite(value):
                raise NonFiniteError(f"metrics[{name!r}]: expected a finite number, got {value}")
        return msgspec.json.encode(self, order="sorted").decode()

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read a manifest from JSON text.

        Raises
        ------
        CheckpointError
            The text is not a manifest of this format version.
        """
        try:
            manifest = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise CheckpointError(f"the manifest is not what it should be: {error}") from error
        if manifest.format_version != FORMAT_VERSION:
            raise CheckpointError(
                f"format version: expected {FORMAT_VERSION}, got {manifest.format_version}; "
                "the generation was written by another version of inhabit"
            )
        return manifest


@dataclass(frozen=True, eq=False)
class Generation:
    """Tensors and a manifest; read-only.

    Parameters
    ----------
    tensors : dict of str to ndarray
        Vectors of float32, float64 or uint32 by name; finite numbers.
    manifest : Manifest
        What they were made from.
    number : int
        Its place in a store, counted from 1; 0 when it is in none. Not part of the bytes.
    """

    tensors: dict[str, Any]
    manifest: Manifest = field(default_factory=Manifest)
    number: int = 0

    @cached_property
    def data(self) -> bytes:
        """The bytes of the file.

        Raises
        ------
        CheckpointError
            A tensor cannot be stored: another type, a matrix, a number that is not finite.
        """
        tensors: list[tuple[str, Any]] = []
        for name, value in self.tensors.items():
            if value.ndim != 1 or value.dtype not in (np.float32, np.float64, np.uint32):
                raise CheckpointError(
                    f"tensors[{name!r}]: expected a vector of float32, float64 or uint32, "
                    f"got {value.dtype} of shape {value.shape}"
                )
            tensors.append((name, np.ascontiguousarray(value)))
        return checkpoint_encode(tensors, self.manifest.to_json())

    @cached_property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()[:16]

    @classmethod
    def from_bytes(cls, data: bytes, number: int = 0) -> Generation:
        """Verify the bytes of a file.

        Raises
        ------
        CheckpointError
            The bytes are not a whole, unaltered generation of a known format.
        """
        tensors, text = checkpoint_decode(data)
        for value in tensors.values():
            value.flags.writeable = False
        return cls(tensors, Manifest.from_json(text), number)


def folder_name(subject: str) -> str:
    """Return the name of the folder where the generations of a subject live.

    Any string is a subject; the name is its letters and digits, then a hash that tells subjects
    apart.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")[:32]
    digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "-".join(part for part in (readable, digest) if part)


class GenerationStore:
    """The last few generations of one subject, in a folder of their own.

    Parameters
    ----------
    folder : Path
        Made on the first `save`, readable by its owner only.
    keep : int
        How many generations stay; at least 1.

    Examples
    --------
    >>> import tempfile
    >>> store = GenerationStore(Path(tempfile.mkdtemp()) / "meditate")
    >>> first = store.save(Generation({"model.state": np.array([0.5])}))
    >>> second = store.save(Generation({"model.state": np.array([0.7])}))
    >>> store.load().number
    2
    >>> store.rollback().number
    1
    """

    def __init__(self, folder: Path | str, *, keep: int = 5) -> None:
        if not (isinstance(keep, int) and keep >= 1):
            raise ConfigError(f"keep: expected a whole number >= 1, got {keep!r}")
        self.folder = Path(folder)
        self.keep = keep

    def __repr__(self) -> str:
        return f"GenerationStore({str(self.folder)!r}, keep={self.keep})"

    def numbers(self) -> tuple[int, ...]:
        """List the numbers of the stored generations, oldest first; nothing is verified."""
        return tuple(sorted(number for number, kind in self._files() if kind == ""))

    def save(self, generation: Generation) -> Generation:
        """Store a generation durably under the next number, and let the oldest go.

        Returns
        -------
        Generation
            The same, with its number.

        Raises
        ------
        CheckpointError
            It cannot be stored, see `Generation.data`.
        StorageError
            The disk said no (full, read-only, failed flush). The folder is as it was.
        """
        data = generation.data
        with _storage("save a generation to", self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = self._write(data)
            self._prune(number)
        return replace(generation, number=number)

    def load(self, number: int | None = None) -> Generation | None:
        """Load the newest generation that verifies, or the one with this number.

        Returns
        -------
        Generation or None
            None when nothing has been stored yet.

        Raises
        ------
        CheckpointError
            There are files, but none verifies; or the one that was asked for does not.
        StorageError
            The folder cannot be read.
        """
        while True:
            with _storage("read generations from", self.folder):
                candidates = self.numbers() if number is None else (number,)
            generation, refused = self._newest_valid(candidates)
            # What was listed may be gone when it is read: another process has saved newer ones.
            if generation or number is not None or candidates == self.numbers():
                break
        if generation is None and refused:
            raise CheckpointError(f"no generation in {self.folder} verifies ({'; '.join(refused)})")
        return generation

    def rollback(self) -> Generation:
        """Take the newest generation out of service; the one before it is loaded from now on.

        The file stays, under a name that is not loaded, until newer generations push it out. Its
        number is not given again.

        Returns
        -------
        Generation
            The one that is in service now.

        Raises
        ------
        CheckpointError
            There is no earlier generation that verifies. Nothing has changed.
        StorageError
            The disk said no. Nothing has changed.
        """
        current = self.load()
        numbers = self.numbers()
        earlier, _ = self._newest_valid(n for n in numbers if current and n < current.number)
        if earlier is None:
            raise CheckpointError(f"no earlier generation in {self.folder} to roll back to")
        with _storage("roll back in", self.folder):
            for number in reversed(numbers):  # newest first: a crash in between goes halfway back
                if number > earlier.number:
                    self._path(number).rename(self._path(number, ".rejected"))
            flush_folder(self.folder)
        return earlier

    def purge(self) -> None:
        """Remove every trace of all generations.

        This is how forgetting ends: what was learnt from a forgotten event leaves the disk, the
        rejected and half-written files included.

        Raises
        ------
        StorageError
            The disk said no.
        """
        with _storage("remove generations from", self.folder):
            for number, kind in self._files():
                self._path(number, kind).unlink(missing_ok=True)
            if self.folder.exists():
                flush_folder(self.folder)

    def _path(self, number: int, kind: str = "") -> Path:
        return self.folder / f"generation-{number:06d}.safetensors{kind}"

    def _files(self) -> Iterator[tuple[int, str]]:
        """Yield number and kind (``""``, ``".rejected"``, ``".<token>.part"``) of all our files."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if match := re.fullmatch(r"generation-(\d{6,})\.safetensors(\..+|)", path.name):
                    yield int(match[1]), match[2]

    def _newest_valid(self, numbers: Iterable[int]) -> tuple[Generation | None, list[str]]:
        """Load the newest of these that verifies; say what was wrong with those passed over."""
        refused: list[str] = []
        for number in sorted(numbers, reverse=True):
            path = self._path(number)
            try:
                return Generation.from_bytes(path.read_bytes(), number), refused
            except (CheckpointError, OSError) as error:
                refused.append(f"{path.name}: {error}")
                _log.warning("generation %d is passed over: %s", number, error)
        return None, refused

    def _write(self, data: bytes) -> int:
        """Write a file under the next number, and return the number."""
        while True:
            number = max((number for number, _ in self._files()), default=0) + 1
            final = self._path(number)
            handle, name = tempfile.mkstemp(".part", f"{final.name}.", self.folder)
            written = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    flush(file.fileno())
                _publish(written, final)
                written = final
                flush_folder(self.folder)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    written.unlink()
                # Another process took the number, or newer ones, and this file for a leftover.
                lost = isinstance(error, FileExistsError | FileNotFoundError)
                if lost and self.folder.exists():
                    continue
                raise
            return number

    def _prune(self, newest: int) -> None:
        """Let go what is older than the last `keep`, and what a killed process left half-written.

        The new generation is safe by now, so a file that cannot be removed is not an error.
        """
        oldest = min(self.numbers()[-self.keep :], default=0)
        for number, kind in list(self._files()):
            if number < oldest or (kind.endswith(".part") and number < newest):
                with contextlib.suppress(OSError):
                    self._path(number, kind).unlink()


@contextlib.contextmanager
def _storage(doing: str, folder: Path) -> Iterator[None]:
    """Turn what the operating system says into a StorageError that says what was being done."""
    try:
        yield
    except OSError as error:
        message = f"cannot {doing} {folder}: {error.strerror or error}"
        raise StorageError(error.errno, message) from error


def _publish(written: Path, final: Path) -> None:
    """Rename a file unless the new name is taken: then FileExistsError, nothing changed."""
    try:
        final.hardlink_to(written)  # a rename would overwrite what another process has just saved
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without links
        written.replace(final)
    else:
        written.unlink(missing_ok=True)


# ------------------------------------------------------ the JSON of Swift's `ModelCheckpoint`


def parameters_to_json(
    parameters: npt.NDArray[np.float32], layers: Sequence[int] = (10, 16, 8, 1), version: int = 1
) -> str:
    """Flat parameters as the JSON of Swift's ``ModelCheckpoint(weights, biases, version)``.

    ``weights`` has one row-major list per layer, ``biases`` one list for all layers. Every number
    is exact. Swift's ``JSONDecoder`` reads it with a struct of these three properties.

    Raises
    ------
    ShapeError
        `parameters` does not have the length that `layers` asks for.
    NonFiniteError
        A parameter is NaN or infinite, which JSON cannot say.
    """
    if parameters.shape != (expected := _n_parameters(layers),):
        raise ShapeError(f"parameters: expected shape ({expected},), got {parameters.shape}")
    if not np.isfinite(parameters).all():
        raise NonFiniteError("parameters: expected finite numbers, got a NaN or an infinity")
    weights, biases = [], []
    at = 0
    for n_in, n_out in pairwise(layers):
        weights.append(parameters[at : at + n_in * n_out].tolist())
        at += n_in * n_out
        biases += parameters[at : at + n_out].tolist()
        at += n_out
    return json.dumps({"biases": biases, "version": version, "weights": weights})


def parameters_from_json(
    text: str, layers: Sequence[int] = (10, 16, 8, 1)
) -> tuple[npt.NDArray[np.float32], int]:
    """Flat parameters and version from the JSON of Swift's ``ModelCheckpoint``.

    Raises
    ------
    CheckpointError
        The text is not such JSON, does not fit `layers`, or has a number that float32 cannot hold.
    """

    class ModelCheckpoint(msgspec.Struct):
        weights: list[list[float]]
        biases: list[float]
        version: int

    try:
        stored = msgspec.json.decode(text, type=ModelCheckpoint)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CheckpointError(f"not a ModelCheckpoint: {error}") from error
    pairs = list(pairwise(layers))
    if [len(w) for w in stored.weights] != [n_in * n_out for n_in, n_out in pairs]:
        raise CheckpointError(f"weights: do not fit the layers {tuple(layers)}")
    if len(stored.biases) != sum(layers[1:]):
        raise CheckpointError(f"biases: expected {sum(layers[1:])}, got {len(stored.biases)}")
    flat: list[float] = []
    biases = iter(stored.biases)
    for weights, (_, n_out) in zip(stored.weights, pairs, strict=True):
        flat += weights
        flat += (next(biases) for _ in range(n_out))
    with np.errstate(over="ignore"):
        parameters = np.array(flat, dtype=np.float64).astype(np.float32)
    if not np.isfinite(parameters).all():
        raise CheckpointError("weights, biases: a number is not finite as float32")
    return parameters, stored.version


def _n_parameters(layers: Sequence[int]) -> int:
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise(layers))
