"""Generations: every byte is checked, every crash leaves something to load."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from inhabit import checkpoints
from inhabit._native import Model, Network, Prior, checkpoint_decode, checkpoint_encode
from inhabit.checkpoints import (
    Generation,
    GenerationStore,
    Manifest,
    folder_name,
    parameters_from_json,
    parameters_to_json,
)
from inhabit.exceptions import (
    CheckpointError,
    ConfigError,
    NonFiniteError,
    ShapeError,
    StorageError,
)
from inhabit.settings import Settings

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=12).filter(
    lambda name: name != "checksum"
)
VECTORS = st.one_of(
    hnp.arrays(np.float32, st.integers(0, 9), elements=st.floats(width=32, allow_nan=False)).filter(
        lambda a: bool(np.isfinite(a).all())
    ),
    hnp.arrays(np.float64, st.integers(0, 9), elements=st.floats(-1e300, 1e300)),
    hnp.arrays(np.uint32, st.integers(0, 9)),
)
TENSORS = st.dictionaries(NAMES, VECTORS, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
MANIFESTS = st.builds(
    Manifest,
    schema=st.text(max_size=8),
    features=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    seed=st.integers(0, 2**64 - 1),
    parent=st.none() | st.text(max_size=16),
    counts=st.dictionaries(st.text(max_size=5), st.integers(0, 2**53), max_size=3),
    metrics=st.dictionaries(st.text(max_size=5), st.floats(-1e9, 1e9), max_size=3),
    settings=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(
        a[name].dtype == b[name].dtype and a[name].tobytes() == b[name].tobytes() for name in a
    )


def generation(value: float = 0.5) -> Generation:
    return Generation({"model.state": np.array([value, 0.25])}, Manifest(seed=3))


@pytest.fixture
def store(tmp_path: Path) -> GenerationStore:
    return GenerationStore(tmp_path / "generations")


# ------------------------------------------------------------------------------------- the bytes


@given(TENSORS, MANIFESTS)
def test_what_is_stored_is_read_back(tensors: dict[str, np.ndarray], manifest: Manifest) -> None:
    data = Generation(tensors, manifest).data
    back = Generation.from_bytes(data, 7)
    assert same(back.tensors, tensors)
    assert back.manifest == manifest
    assert back.number == 7
    assert back.data == data


@given(TENSORS, st.text())
def test_the_bytes_are_those_of_the_reference_implementation(
    tensors: dict[str, np.ndarray], text: str
) -> None:
    data = checkpoint_encode(list(tensors.items()), text)
    checksum = np.frombuffer(data[-4:], dtype=np.uint8)
    assert int.from_bytes(checksum.tobytes(), "little") == zlib.crc32(data[:-4])
    assert safetensors.numpy.save(tensors | {"checksum": checksum}, {"inhabit/1": text}) == data
    read = safetensors.numpy.load(data)
    del read["checksum"]
    assert same(read, tensors)


@given(TENSORS, st.randoms())
def test_the_order_of_the_tensors_does_not_matter(tensors: dict[str, np.ndarray], rng) -> None:
    items = list(tensors.items())
    data = checkpoint_encode(items, "")
    rng.shuffle(items)
    assert checkpoint_encode(items, "") == data


def test_no_prefix_is_accepted() -> None:
    data = generation().data
    for end in range(len(data)):
        with pytest.raises(CheckpointError):
            Generation.from_bytes(data[:end])
    with pytest.raises(CheckpointError):
        Generation.from_bytes(data + b"\0")


@given(st.data())
def test_up_to_three_flipped_bits_are_found(draw) -> None:
    data = generation().data
    flips = draw.draw(st.sets(st.integers(0, len(data) * 8 - 1), min_size=1, max_size=3))
    damaged = bytearray(data)
    for bit in flips:
        damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CheckpointError):
        Generation.from_bytes(bytes(damaged))


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError):
        Generation.from_bytes(data)


@given(st.binary(max_size=200), st.binary(max_size=16))
def test_garbage_in_a_right_frame_is_refused(header: bytes, body: bytes) -> None:
    content = len(header).to_bytes(8, "little") + header + body
    with pytest.raises(CheckpointError):
        Generation.from_bytes(content + zlib.crc32(content).to_bytes(4, "little"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format_version": 2}', '{"seed": "x"}', "[" * 10_000]
)
def test_a_manifest_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        Generation.from_bytes(checkpoint_encode([], text))


def test_a_manifest_is_json_with_sorted_keys() -> None:
    manifest = Manifest(seed=1, settings={"b": 1, "a": {"d": 0, "c": "é"}})
    text = checkpoint_decode(Generation({}, manifest).data)[1]
    parsed = json.loads(text)
    assert text == json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert parsed["format_version"] == 1


@pytest.mark.parametrize(
    "value",
    [
        np.array([np.nan]),
        np.array([np.inf], dtype=np.float32),
        np.zeros((2, 2)),
        np.zeros(2, dtype=np.int64),
        np.array(0.5),
    ],
)
def test_what_cannot_be_read_back_is_not_written(value: np.ndarray) -> None:
    with pytest.raises(CheckpointError):
        _ = Generation({"a": value}).data


def test_a_metric_that_is_not_finite_is_refused() -> None:
    with pytest.raises(NonFiniteError, match="log_loss"):
        Manifest(metrics={"log_loss": float("nan")}).to_json()


def test_tensors_of_a_loaded_generation_are_read_only() -> None:
    back = Generation.from_bytes(generation().data)
    with pytest.raises(ValueError, match="read-only"):
        back.tensors["model.state"][0] = 1


def test_a_strided_vector_is_stored_as_it_reads() -> None:
    strided = np.arange(8.0)[::2]
    back = Generation.from_bytes(Generation({"a": strided}).data)
    assert back.tensors["a"].tolist() == [0, 2, 4, 6]


def test_a_model_goes_on_after_storage() -> None:
    prior = Prior(network=Network((10, 16, 8, 1), "tanh", seed=1).parameters)
    model = Model(prior.config, prior)
    rows = np.random.default_rng(0).random((40, 10), dtype=np.float32)
    for i, x in enumerate(rows):
        model.learn(x, i % 3, i % 2)
    stored = Generation.from_bytes(Generation(model.tensors()).data)
    again = Model.from_tensors(stored.tensors)
    for i, x in enumerate(rows):
        assert again.predict(x, i % 3) == model.predict(x, i % 3)
        again.learn(x, i % 3, 1)
        model.learn(x, i % 3, 1)
    assert same(again.tensors(), model.tensors())
    assert same(Prior.from_tensors(stored.tensors).tensors(), prior.tensors())


def test_files_of_format_1_are_read_for_ever() -> None:
    folder = Path(__file__).parents[1] / "vectors"
    for name in ("prior", "generation"):
        data = (folder / f"{name}.safetensors").read_bytes()
        assert Generation.from_bytes(data).data == data


# ------------------------------------------------------------------------------------- the store


def test_generations_are_numbered_and_pruned(tmp_path: Path) -> None:
    store = GenerationStore(tmp_path / "a" / "b", keep=3)
    assert store.numbers() == ()
    assert store.load() is None
    for number in range(1, 6):
        assert store.save(generation(number)).number == number
    assert store.numbers() == (3, 4, 5)
    newest, earlier = store.load(), store.load(4)
    assert newest is not None
    assert earlier is not None
    assert (newest.number, newest.tensors["model.state"][0]) == (5, 5.0)
    assert (earlier.number, earlier.tensors["model.state"][0]) == (4, 4.0)
    with pytest.raises(CheckpointError):
        store.load(1)


def test_only_the_owner_can_read(store: GenerationStore) -> None:
    store.save(generation())
    if os.name == "posix":
        (file,) = store.folder.iterdir()
        assert file.stat().st_mode & 0o077 == 0
        assert store.folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_the_newest_that_verifies_is_loaded(
    store: GenerationStore, damage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    store.save(generation(1))
    store.save(generation(2))
    file = store.folder / "generation-000002.safetensors"
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    loaded = store.load()
    assert loaded is not None
    assert loaded.number == 1
    assert "generation 2 is passed over" in caplog.text
    assert store.save(generation(3)).number == 3  # a number is never given twice


def test_damaged_files_only_are_an_error(store: GenerationStore) -> None:
    store.save(generation())
    (store.folder / "generation-000001.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="generation-000001"):
        store.load()


def test_rollback_is_one_call_and_lasts(store: GenerationStore) -> None:
    for value in (1, 2, 3):
        store.save(generation(value))
    assert store.rollback().number == 2
    again = GenerationStore(store.folder)
    loaded = again.load()
    assert loaded is not None
    assert loaded.number == 2
    assert again.save(generation(4)).number == 4
    assert again.rollback().number == 2
    assert again.rollback().number == 1
    with pytest.raises(CheckpointError, match="no earlier generation"):
        again.rollback()
    assert again.numbers() == (1,)


def test_rollback_passes_over_what_is_damaged(store: GenerationStore) -> None:
    for value in (1, 2, 3):
        store.save(generation(value))
    (store.folder / "generation-000002.safetensors").write_bytes(b"x")
    assert store.rollback().number == 1
    with pytest.raises(CheckpointError):
        GenerationStore(store.folder / "empty").rollback()


def test_purge_leaves_no_trace(store: GenerationStore) -> None:
    for value in (1, 2, 3):
        store.save(generation(value))
    store.rollback()
    store.save(generation(4))
    (store.folder / "generation-000002.safetensors.abc.part").write_bytes(b"secret")
    store.purge()
    assert list(store.folder.iterdir()) == []
    GenerationStore(store.folder / "absent").purge()


@pytest.mark.parametrize("keep", [0, -1, 2.5, "5", None])
def test_settings_are_checked(keep: Any) -> None:
    with pytest.raises(ConfigError, match=f"keep: expected a whole number >= 1, got {keep!r}"):
        GenerationStore("x", keep=keep)
    with pytest.raises(ConfigError, match=f"keep: expected a whole number >= 1, got {keep!r}"):
        Settings(keep=keep)


@pytest.mark.parametrize("call", ["write", "fsync", "rename", "fsync_folder"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_says_no_changes_nothing(
    store: GenerationStore, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    store.save(generation(1))
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        if call == "write":
            fdopen = os.fdopen
            patch.setattr(
                checkpoints.os, "fdopen", lambda *a: Refusing(fdopen(*a), OSError(code, "no"))
            )
        elif call == "fsync":
            patch.setattr(checkpoints, "flush", refuse)
        elif call == "rename":
            patch.setattr(Path, "hardlink_to", refuse)
            patch.setattr(Path, "replace", refuse)
        else:
            patch.setattr(checkpoints, "flush_folder", refuse)
        with pytest.raises(StorageError) as caught:
            store.save(generation(2))
        assert caught.value.errno == code
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before
    assert store.save(generation(2)).number == 2


class Refusing:
    """A file on a full disk."""

    def __init__(self, file, error: OSError) -> None:
        self.file, self.error = file, error

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        self.file.write(data[:10])
        raise self.error


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
@pytest.mark.parametrize("point", ["flush", "_publish", "Path.unlink", "flush_folder"])
def test_a_killed_process_leaves_something_to_load(store: GenerationStore, point: str) -> None:
    """Kill -9 between the steps of writing; the next process loads, saves and cleans up."""
    store.save(generation(1))
    owner, _, name = point.rpartition(".")
    script = f"""
        import os, signal
        import numpy as np
        from inhabit import checkpoints
        from inhabit.checkpoints import Generation, GenerationStore
        def die(*_):
            os.kill(os.getpid(), signal.SIGKILL)
        setattr(checkpoints{"." + owner if owner else ""}, {name!r}, die)
        GenerationStore({str(store.folder)!r}).save(Generation({{"model.state": np.array([2.0])}}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    loaded = store.load()
    assert loaded is not None
    assert loaded.tensors["model.state"][0] == (1.0 if point in ("flush", "_publish") else 2.0)
    for value in (3, 4):
        store.save(generation(value))
    assert not list(store.folder.glob("*.part"))


def test_many_may_save_and_load_at_once(store: GenerationStore) -> None:
    """Two processes on one home: each sees a whole generation at any time."""
    store.save(generation(0))

    def live(worker: int) -> list[int]:
        mine = GenerationStore(store.folder, keep=100 if worker else 2)
        numbers = []
        for value in range(20):
            numbers.append(mine.save(generation(value)).number)
            assert mine.load() is not None
        return numbers

    with ThreadPoolExecutor(4) as pool:
        given = [number for numbers in pool.map(live, range(4)) for number in numbers]
    assert len(set(given)) == 80  # no number twice: nothing was overwritten
    assert store.load() is not None
    store.save(generation(1))
    assert not list(store.folder.glob("*.part"))


def test_a_file_system_without_links_will_do(
    store: GenerationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    assert [store.save(generation(value)).number for value in (1, 2)] == [1, 2]
    assert len(list(store.folder.iterdir())) == 2


def test_subjects_do_not_share_a_folder() -> None:
    subjects = ["", ".", "..", "a/b", "a b", "A", "a", "meditate", "冥想", "\ud800", "x" * 300]
    names = [folder_name(subject) for subject in subjects]
    assert len({name.lower() for name in names}) == len(subjects)
    assert all(Path(name).name == name for name in names)
    assert all(len(name) < 60 for name in names)


# ------------------------------------------------------------------ the JSON of `ModelCheckpoint`


@given(
    hnp.arrays(np.float32, 321, elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
)
def test_json_of_the_seed_is_exact(parameters: np.ndarray) -> None:
    text = parameters_to_json(parameters, version=4)
    assert sorted(json.loads(text)) == ["biases", "version", "weights"]
    back, version = parameters_from_json(text)
    assert version == 4
    assert back.tobytes() == parameters.tobytes()


def test_json_has_the_shape_that_swift_reads() -> None:
    parameters = Network((2, 3, 1)).parameters
    stored = json.loads(parameters_to_json(parameters, (2, 3, 1)))
    assert [len(weights) for weights in stored["weights"]] == [6, 3]
    assert stored["weights"][0] == parameters[:6].tolist()
    assert stored["weights"][1] == parameters[9:12].tolist()
    assert stored["biases"] == [*parameters[6:9].tolist(), *parameters[12:].tolist()]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"weights": [], "biases": [], "version": 1}',
        '{"weights": [[1, 2]], "biases": [1, 2], "version": 1}',
        '{"weights": [[1, 2]], "biases": [1], "version": "1"}',
        '{"weights": [[1, 1e39]], "biases": [1], "version": 1}',
        '{"weights": [[1, null]], "biases": [1], "version": 1}',
        "[" * 10_000,
    ],
)
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        parameters_from_json(text, (2, 1))


def test_parameters_that_json_cannot_say_are_refused() -> None:
    with pytest.raises(ShapeError):
        parameters_to_json(np.zeros(320, dtype=np.float32))
    with pytest.raises(NonFiniteError):
        parameters_to_json(np.full(321, np.nan, dtype=np.float32))


def test_the_reference_reader_sees_the_manifest(store: GenerationStore) -> None:
    saved = store.save(generation())
    path = store.folder / "generation-000001.safetensors"
    with safetensors.safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["inhabit/1"])["seed"] == saved.manifest.seed
