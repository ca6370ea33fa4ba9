"""Many people in one call: the bits of one after the other, progress, errors, interruption."""

import _thread
import itertools
import signal
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhabit._native import (
    ModelConfig,
    Network,
    Prior,
    TrainingConfig,
    train_many,
    walk_forward,
    walk_forward_many,
)
from inhabit.exceptions import ConfigError, NonFiniteError, ShapeError

SMALL = ModelConfig(3, [1], hidden_layers=(4,), retrain_every=3)


def history(n, seed=0, *, n_inputs=3, delay=1, unknown=0.0):
    """The columns of one person: inputs, labels, slots, the row before which each is learnt."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, n).astype(np.int8)
    label[random.random(n) < unknown] = -1
    late = np.arange(n) + random.integers(1, delay + 1, n)
    return (
        random.random((n, n_inputs)).astype(np.float32),
        label,
        random.integers(0, 3, n).astype(np.uint8),
        np.minimum(late, n).astype(np.uint32),
    )


def samples(n, seed=0):
    random = np.random.default_rng(seed)
    X = random.random((n, 10), np.float32)
    return X, (random.random(n) < X[:, 0]).astype(np.float32)


def bytes_of(walked):
    tensors = [tensor.tobytes() for tensor in walked.model.tensors().values()]
    said = [walked.probability, walked.experts, walked.promotions]
    return [column.tobytes() for column in said] + tensors


histories = st.builds(
    history,
    n=st.integers(0, 60),
    seed=st.integers(0, 10**6),
    delay=st.integers(1, 9),
    unknown=st.sampled_from((0.0, 0.3, 1.0)),
)


@given(st.lists(histories, max_size=12), st.sampled_from((None, 1, 2, 5)), st.booleans())
def test_each_walk_has_the_bits_it_has_alone(people, workers, with_prior):
    random = np.random.default_rng(0)
    parameters = random.normal(0, 1, SMALL.n_parameters).astype(np.float32)
    prior = Prior(SMALL, network=parameters) if with_prior else None
    many = walk_forward_many(people, SMALL, prior, workers=workers)
    assert len(many) == len(people)
    for columns, walked in zip(people, many, strict=True):
        assert bytes_of(walked) == bytes_of(walk_forward(*columns, SMALL, prior))


def test_a_walk_of_many_takes_people_from_any_iterable_and_defaults_as_one_does():
    people = [history(30, seed, n_inputs=10) for seed in range(3)]
    many = walk_forward_many(iter(people))
    for columns, walked in zip(people, many, strict=True):
        assert bytes_of(walked) == bytes_of(walk_forward(*columns))


# --- progress and interruption, of people who are minutes of work if nobody stops it ------------


def walk_slowly(progress=None):
    person = history(1500, n_inputs=10)
    return walk_forward_many([person] * 2000, progress=progress)


def train_slowly(progress=None):
    person = samples(500)
    config = TrainingConfig(epochs=500)
    return train_many(Network(seed=1), [person] * 20_000, config, progress=progress)


slowly = pytest.mark.parametrize("work", [walk_slowly, train_slowly])


@slowly
def test_progress_is_told_now_and_then_and_what_it_raises_ends_the_work(work):
    seen = []

    def watch(done, total):
        seen.append((done, total))
        if len(seen) == 3:
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        work(watch)
    done, totals = zip(*seen, strict=True)
    assert 0 < done[0] < done[1] < done[2] < totals[0]
    assert len(set(totals)) == 1
    assert len(seen) == 3


@pytest.fixture
def ctrl_c():
    """Let Ctrl-C be heard, which a shell switches off for what runs in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@slowly
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_the_work(work):
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        work()
    timer.join()


@given(st.lists(histories, min_size=1, max_size=20), st.sampled_from((None, 1, 3)))
@settings(max_examples=20)
def test_progress_ends_with_everybody(people, workers):
    seen = []
    told = lambda done, total: seen.append((done, total))  # noqa: E731
    walk_forward_many(people, SMALL, workers=workers, progress=told)
    done, totals = zip(*seen, strict=True)
    assert all(a < b for a, b in itertools.pairwise(done))
    assert done[-1] == len(people)
    assert set(totals) == {len(people)}


def test_nobody_is_no_work():
    seen = []
    told = lambda done, total: seen.append((done, total))  # noqa: E731
    assert walk_forward_many([], progress=told) == []
    assert train_many(Network(), [], progress=told).shape == (0, 321)
    assert seen == []


# --- errors: whose, and what; nothing is computed ------------------------------------------------


X, LABEL, SLOT, LEARN_AT = history(9)


@pytest.mark.parametrize(
    ("person", "error", "match"),
    [
        (
            (X, LABEL, SLOT),
            ShapeError,
            r"people\[2\]: expected a tuple \(X, label, slot, learn_at\)",
        ),
        (None, ShapeError, r"people\[2\]: expected a tuple"),
        ((X[:, :2], LABEL, SLOT, LEARN_AT), ShapeError, r"people\[2\]: X: expected shape \(n, 3\)"),
        ((X * np.nan, LABEL, SLOT, LEARN_AT), NonFiniteError, r"people\[2\]: x"),
        ((X, LABEL[:8], SLOT, LEARN_AT), ShapeError, r"people\[2\]: label"),
        ((X, LABEL.astype(int), SLOT, LEARN_AT), TypeError, r"people\[2\]: label: .* int8"),
        ((X, LABEL + np.int8(2), SLOT, LEARN_AT), ConfigError, r"people\[2\]: label"),
        ((X, LABEL, SLOT + np.uint8(24), LEARN_AT), ConfigError, r"people\[2\]: slot"),
        ((X, LABEL, SLOT, np.zeros(9, np.uint32)), ConfigError, r"people\[2\]: learn_at"),
    ],
)
def test_a_walk_of_many_says_whose_columns_are_wrong(person, error, match):
    seen = []
    told = lambda done, total: seen.append((done, total))  # noqa: E731
    people = [history(9, 1), history(0), person, history(9, 2)]
    with pytest.raises(error, match=match):
        walk_forward_many(people, SMALL, progress=told)
    assert seen == []


def test_training_for_many_says_whose_samples_are_wrong():
    people = [samples(20, seed) for seed in range(30)]
    people[28] = (people[28][0], np.full(20, np.nan))
    with pytest.raises(NonFiniteError, match=r"people\[28\]: y"):
        train_many(Network(), people)
    with pytest.raises(ShapeError, match=r"people\[0\]: expected a tuple"):
        train_many(Network(), [1])


@pytest.mark.parametrize("workers", [1, 4])
def test_of_several_whose_samples_are_wrong_the_first_is_named(workers):
    people = [samples(20, seed) for seed in range(300)]
    wrong = [(np.full((20, 10), np.inf), people[0][1]), (people[0][0], np.full(20, 2.0))]
    people[130], people[131], people[299] = *wrong, wrong[0]
    told = []
    for _ in range(5):
        with pytest.raises(NonFiniteError, match=r"people\[130\]: x"):
            train_many(
                Network(), people, workers=workers, progress=lambda *so_far: told.append(so_far)
            )
    people[130] = people[0]
    with pytest.raises(ConfigError, match=r"people\[131\]: y: .*targets in \[0, 1\]"):
        train_many(Network(), people, workers=workers)
    assert told == []


@pytest.mark.parametrize("workers", [1, 4])
def test_of_several_whose_training_diverges_the_first_is_named(workers):
    huge, fine = np.full((40, 10), 1e30, np.float32), samples(400)
    y = samples(40)[1]
    people = [fine, fine, (huge, y), fine, (huge, y), (np.tile(huge, (30, 1)), np.tile(y, 30))]
    config = TrainingConfig("sgd", 1.0)
    for _ in range(5):
        with pytest.raises(NonFiniteError, match=r"people\[2\]"):
            train_many(Network(), people, config, workers=workers)


@pytest.mark.parametrize("workers", [0, 1025])
def test_refuses_a_number_of_workers(workers):
    with pytest.raises(ConfigError, match=f"workers: .* 1 to 1024, got {workers}"):
        walk_forward_many([history(9)], SMALL, workers=workers)
    with pytest.raises(ConfigError, match="workers"):
        train_many(Network(), [samples(9)], workers=workers)
