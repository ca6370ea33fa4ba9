"""`train`: the textbook's steps, determinism, refusals that change nothing."""

from __future__ import annotations

import hashlib
import threading

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import reference
from inhabit._native import Network, TrainingConfig, ensemble, train, train_many
from inhabit.exceptions import ConfigError, NonFiniteError, ShapeError
from networks import problems


def bits(array):
    return np.asarray(array, np.float32).view(np.uint32)


def samples(rows=80, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((rows, 10), np.float32)
    return X, (rng.random(rows) < X[:, 0]).astype(np.float32)


settings = {
    "epochs": st.integers(1, 5),
    "batch_size": st.integers(1, 80),
    "l2": st.sampled_from([0.0, 0.01]),
    "seed": st.integers(0, 2**64 - 1),
}
momentums = st.sampled_from([0.0, 0.5, 0.9])

configs = st.builds(
    TrainingConfig,
    optimizer=st.just("adam"),
    learning_rate=st.floats(1e-4, 0.02),
    patience=st.none() | st.integers(1, 3),
    **settings,
) | st.builds(
    TrainingConfig,
    optimizer=st.just("sgd"),
    learning_rate=st.floats(1e-4, 0.1),
    momentum=momentums,
    **settings,
)

# Steps in which a rounding error does not grow: longer ones may overshoot on a steep loss, and with
# Adam's usual epsilon the rounding of a gradient near 0 can turn a whole step around.
stable = st.builds(
    TrainingConfig,
    optimizer=st.just("adam"),
    learning_rate=st.floats(1e-3, 0.02),
    epsilon=st.just(0.01),
    **settings,
) | st.builds(
    TrainingConfig,
    optimizer=st.just("sgd"),
    learning_rate=st.floats(1e-3, 0.02),
    momentum=momentums,
    **settings,
)


@given(problems(hidden="tanh"), stable, st.booleans(), st.booleans())
def test_follows_the_textbook(problem, config, weighted, anchored):
    network = problem.network
    anchor = network.parameters * 0.5 if anchored else None
    weight = problem.weight if weighted else np.ones(len(problem.X), np.float32)
    config = config.replace(shuffle=False, anchor=anchor)
    *_, expected = reference.train(
        network.parameters,
        *problem.shape,
        problem.X.astype(np.float64),
        problem.y2,
        weight.astype(np.float64),
        config,
    )
    train(network, problem.X, problem.y, config, problem.weight if weighted else None)
    np.testing.assert_allclose(network.parameters, expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_each_step_follows_the_textbook(optimizer):
    X, y = samples()
    config = TrainingConfig(
        optimizer,
        learning_rate=0.01,
        momentum=0.9 if optimizer == "sgd" else 0.0,
        epochs=1,
        batch_size=16,
        l2=0.001,
        shuffle=False,
    )
    start = Network(hidden="tanh", seed=2)
    expected = reference.train(
        start.parameters,
        start.layers,
        "tanh",
        "bce_with_logits",
        X.astype(np.float64),
        y[:, None].astype(np.float64),
        np.ones(len(X)),
        config,
    )
    # One epoch over the first k batches is k steps.
    for step, parameters in enumerate(expected, 1):
        network = start.copy()
        train(network, X[: 16 * step], y[: 16 * step], config)
        np.testing.assert_allclose(network.parameters, parameters, rtol=1e-4, atol=2e-6)


@given(problems(), configs)
def test_is_deterministic(problem, config):
    assume(fits(problem, config))
    twin = problem.network.copy()
    first = outcome(problem.network, problem.X, problem.y, config)
    assert outcome(twin, problem.X.tolist(), problem.y.tolist(), config) == first


def outcome(network, X, y, config):
    """Parameters and losses, or, where long steps on a steep loss diverge, the error."""
    try:
        result = train(network, X, y, config)
    except NonFiniteError as error:
        return str(error)
    return bits(result.parameters).tolist(), result.loss


def fits(problem, config):
    """Whether there are enough rows to hold some out."""
    return config.patience is None or len(problem.X) > 1


def test_the_seed_decides_the_order():
    X, y = samples()

    def trained(**changes):
        network = Network(seed=1)
        train(network, X, y, TrainingConfig(epochs=2, learning_rate=0.01, **changes))
        return network.parameters

    assert (trained(seed=1) == trained(seed=1)).all()
    assert (trained(seed=1) != trained(seed=2)).any()
    assert (trained(seed=1, shuffle=False) == trained(seed=2, shuffle=False)).all()


def test_golden_bits():
    """The very parameters that every machine must reach; a change of them is a change of format."""
    X = (np.arange(3650) * 2_654_435_761 % 2**32 // 2**24 / 256).astype(np.float32).reshape(365, 10)
    y = (X[:, 0] > 0.5).astype(np.float32)
    digests = []
    for config in (TrainingConfig(seed=7), TrainingConfig("sgd", 0.05, momentum=0.9, seed=7)):
        network = Network(seed=7)
        train(network, X, y, config)
        digests.append(hashlib.sha256(network.parameters.astype("<f4").tobytes()).hexdigest()[:16])
    assert digests == GOLDEN


GOLDEN = ["5ccf9bfc0f3183ad", "d4278f518376e6db"]


def test_learns():
    X, _ = samples(400)
    y = (X[:, 0] > 0.5).astype(np.float32)
    network = Network(seed=1)
    result = train(network, X, y, TrainingConfig(learning_rate=0.01, epochs=60))
    assert result.network is network
    assert result.status == "finished"
    assert result.epochs == result.best_epoch == 60
    assert result.loss < 0.1
    assert ((network.predict_many(X) > 0.5) == (y > 0.5)).mean() > 0.97
    np.testing.assert_array_equal(result.parameters, network.parameters)


def test_l2_pulls_towards_its_anchor():
    X, y = samples()
    anchor = Network(seed=9).parameters
    network = Network(seed=1)
    config = TrainingConfig("sgd", 0.5, epochs=300, l2=1.0, anchor=anchor)
    distance = np.abs(network.parameters - anchor).max()
    train(network, X, y, config)
    assert np.abs(network.parameters - anchor).max() < 0.3 * distance
    np.testing.assert_array_equal(config.anchor, anchor)


def test_progress_sees_each_epoch():
    X, y = samples()
    seen = []
    network = Network(seed=1)
    result = train(network, X, y, TrainingConfig(epochs=4), progress=seen.append)
    assert [p.epoch for p in seen] == [1, 2, 3, 4]
    assert {p.epochs for p in seen} == {4}
    assert result.losses == [p.loss for p in seen]
    assert all(p.validation_loss is None for p in seen)
    assert result.validation_losses == []


def test_progress_does_not_change_the_bits():
    X, y = samples()
    with_progress, without = Network(seed=1), Network(seed=1)
    train(with_progress, X, y, progress=lambda _: None)
    train(without, X, y)
    np.testing.assert_array_equal(bits(with_progress.parameters), bits(without.parameters))


def test_progress_can_stop():
    X, y = samples()
    stopped, short = Network(seed=1), Network(seed=1)
    result = train(stopped, X, y, TrainingConfig(epochs=50), progress=lambda p: p.epoch < 3)
    assert (result.status, result.epochs) == ("cancelled", 3)
    train(short, X, y, TrainingConfig(epochs=3))
    np.testing.assert_array_equal(stopped.parameters, short.parameters)


def test_an_exception_in_progress_changes_nothing():
    X, y = samples()
    network = Network(seed=1)
    before = network.parameters

    def fail(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(network, X, y, progress=fail)
    np.testing.assert_array_equal(network.parameters, before)


def test_deadline():
    X, y = samples(2000)
    network = Network(seed=1)
    result = train(network, X, y, TrainingConfig(epochs=2**32 - 1), deadline_s=0.05)
    assert result.status == "deadline"
    assert result.epochs > 0
    with pytest.raises(ConfigError, match="deadline_s"):
        train(network, X, y, deadline_s=-1)


@pytest.mark.parametrize("layers", [(1, 1), (10, 16, 8, 1), (10, 200, 200, 1)])
def test_the_deadline_is_looked_at_as_often_however_large_the_network(layers):
    X, y = np.zeros((8, layers[0]), np.float32), np.zeros(8, np.float32)
    network = Network(layers)
    config = TrainingConfig("sgd", epochs=2**32 - 1, batch_size=8)
    done = train(network, X, y, config, deadline_s=0).epochs * len(X)
    assert 0 < done * max(321, network.parameters.size) <= 100_000 * 321


def test_patience_keeps_the_best():
    rng = np.random.default_rng(1)
    X = rng.random((60, 10), np.float32)
    y = rng.integers(0, 2, 60).astype(np.float32)  # nothing to learn
    network = Network(seed=1)
    start = network.copy()
    config = TrainingConfig(learning_rate=0.02, epochs=500, patience=5)
    result = train(network, X, y, config)
    assert result.status == "stopped_early"
    assert result.epochs == result.best_epoch + 5
    assert len(result.validation_losses) == result.epochs
    held_out = slice(48, 60)
    kept = network.gradient(X[held_out], y[held_out])[0]
    initial = start.gradient(X[held_out], y[held_out])[0]
    np.testing.assert_allclose(kept, min([initial, *result.validation_losses]), rtol=1e-6)


def test_runs_beside_other_threads():
    X, y = samples(365)
    expected = Network(seed=1)
    train(expected, X, y, TrainingConfig(epochs=50))
    networks = [Network(seed=1) for _ in range(8)]
    threads = [
        threading.Thread(target=train, args=(n, X, y, TrainingConfig(epochs=50))) for n in networks
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for network in networks:
        np.testing.assert_array_equal(network.parameters, expected.parameters)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"X": np.zeros((3, 9))}, ShapeError, r"X: expected shape \(n, 10\), got \(3, 9\)"),
        ({"X": np.zeros(10)}, ShapeError, "X"),
        ({"X": np.zeros((0, 10)), "y": []}, ConfigError, "X|x: expected .* rows"),
        ({"y": np.zeros(4)}, ShapeError, "y: expected 3 rows.* got 4"),
        ({"y": [0, 1, 2]}, ConfigError, r"y: expected targets in \[0, 1\], got 2"),
        ({"y": [0, 1, np.nan]}, NonFiniteError, "y: .* index 2"),
        ({"X": np.full((3, 10), np.inf)}, NonFiniteError, "index 0"),
        ({"sample_weight": [1, 1]}, ShapeError, "sample_weight"),
        ({"sample_weight": [1, -1, 1]}, ConfigError, "sample_weight: .* got -1"),
        ({"sample_weight": [1, np.nan, 1]}, NonFiniteError, "sample_weight"),
        ({"config": TrainingConfig(anchor=[1.0], l2=1)}, ShapeError, "anchor: expected 321"),
        ({"config": TrainingConfig(anchor=[np.inf] * 321)}, NonFiniteError, "anchor: .* index 0"),
        ({"config": TrainingConfig(patience=1), "X": [[0] * 10], "y": [1]}, ConfigError, "2 rows"),
        ({"config": TrainingConfig("sgd", 1e5, epochs=9)}, NonFiniteError, "loss: .* epoch"),
        ({"X": np.full((3, 10), 3e38)}, NonFiniteError, "loss: .* epoch 1"),
        # Weights that overflow with the samples, and squares of gradients that stop Adam.
        ({"X": [[1e9] * 10] * 3, "config": TrainingConfig("sgd", 1e6)}, NonFiniteError, "loss:"),
        ({"X": np.full((3, 10), 1e25)}, NonFiniteError, "loss: .* epoch 1"),
    ],
)  # fmt: skip
def test_refusals_change_nothing(changes, error, match):
    network = Network(seed=1, hidden="identity", loss="bce_with_logits")
    if "loss:" in match:
        network = Network(seed=1, hidden="identity", loss="mse")
    before = network.parameters
    arguments = {"X": np.ones((3, 10)), "y": [0, 1, 1], **changes}
    with pytest.raises(error, match=match):
        train(network, **arguments)
    np.testing.assert_array_equal(network.parameters, before)


@pytest.mark.parametrize("n_people", [1, 20])
@pytest.mark.parametrize("size", [3e38, 1e25])
def test_many_people_refuse_what_one_refuses(n_people, size):
    rng = np.random.default_rng(0)
    people = [(rng.random((5, 10)), [0, 1, 0, 1, 1]) for _ in range(n_people)]
    train_many(Network(), people)
    people[-1] = (np.full((5, 10), size), people[-1][1])
    with pytest.raises(NonFiniteError, match=rf"people\[{n_people - 1}\]"):
        train_many(Network(), people)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"optimizer": "lbfgs"}, "optimizer: .*lbfgs"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"optimizer": "sgd", "momentum": 1.0}, "momentum"),
        ({"momentum": 0.9}, "momentum: expected 0 with optimizer='adam'"),
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"l2": -1}, "l2"),
        ({"patience": 0}, "patience"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"beta1": 1.0}, "beta1"),
        ({"beta2": -0.1}, "beta2"),
        ({"epsilon": 0}, "epsilon"),
    ],
)
def test_config_refuses(arguments, match):
    with pytest.raises(ConfigError, match=match):
        TrainingConfig(**arguments)


def test_config_replace_and_equality():
    config = TrainingConfig("sgd", 0.1, momentum=0.5, patience=3)
    assert config.replace() == config
    assert config.replace(epochs=7).epochs == 7
    assert config.replace(epochs=7) != config
    assert config.replace(optimizer="adam", momentum=0.0).optimizer == "adam"
    assert "momentum=0.5" in repr(config)
    with pytest.raises(TypeError):
        config.replace(lr=1)


@given(st.lists(st.integers(2, 50), max_size=6), configs, st.sampled_from((None, 1, 3)))
def test_many_people_get_what_each_would_alone(rows, config, workers):
    network = Network(seed=3)
    before = network.parameters
    people = [samples(n, seed) for seed, n in enumerate(rows)]
    together = train_many(network, people, config, workers=workers)
    assert together.shape == (len(rows), 321)
    for (X, y), parameters in zip(people, together, strict=True):
        alone = network.copy()
        train(alone, X, y, config)
        np.testing.assert_array_equal(bits(alone.parameters), bits(parameters))
    np.testing.assert_array_equal(network.parameters, before)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_ensemble(bootstrap):
    X, y = samples(100)
    network = Network(seed=3)
    config = TrainingConfig(learning_rate=0.01, seed=11)
    members = ensemble(network, X, y, config, members=4, bootstrap=bootstrap)
    again = ensemble(network, X, y, config, members=2, bootstrap=bootstrap)
    assert len(members) == 4
    for member, twin in zip(members, again, strict=False):
        np.testing.assert_array_equal(member.parameters, twin.parameters)
    predictions = np.array([member.predict_many(X) for member in members])
    assert (predictions.std(axis=0) > 0).all()
    if not bootstrap:
        alone = Network(seed=13)
        train(alone, X, y, config.replace(seed=13))
        np.testing.assert_array_equal(alone.parameters, members[2].parameters)
    with pytest.raises(ConfigError, match="members"):
        ensemble(network, X, y, members=0)
