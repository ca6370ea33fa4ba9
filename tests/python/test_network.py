"""`Network`: predictions, parameters, arguments."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from inhabit._native import Network
from inhabit.exceptions import ConfigError, NonFiniteError, ShapeError
from networks import problems


def bits(array):
    return np.asarray(array, np.float32).view(np.uint32)


@given(problems())
def test_predicts_what_the_reference_predicts(problem):
    expected = reference.predict(
        problem.network.parameters.astype(np.float64),
        *problem.shape,
        problem.X.astype(np.float64),
    )
    actual = problem.network.predict_many(problem.X)
    assert actual.dtype == np.float32
    outputs = problem.network.layers[-1]
    assert actual.shape == ((len(problem.X),) if outputs == 1 else (len(problem.X), outputs))
    np.testing.assert_allclose(actual.reshape(expected.shape), expected, rtol=2e-5, atol=2e-6)


@given(problems())
def test_one_row_and_many_rows_give_the_same_bits(problem):
    many = problem.network.predict_many(problem.X)
    for row, expected in zip(problem.X[:20], many, strict=False):
        single = problem.network.predict_many(row[None])[0]
        np.testing.assert_array_equal(bits(single), bits(expected))
        if problem.network.layers[-1] == 1:
            for x in (row, row.tolist(), tuple(row.tolist()), row.astype(np.float64)):
                prediction = problem.network.predict(x)
                assert type(prediction) is float
                assert prediction == float(expected)


@given(problems(), st.floats(0, 38.5), st.floats(-1, 20))
def test_sums_are_finite_or_refused(problem, x_magnitude, parameter_magnitude):
    network = problem.network
    most = float(np.finfo(np.float32).max)
    X = np.clip(problem.X * 10.0**x_magnitude, -most, most).astype(np.float32)
    network.parameters = network.parameters * 10.0**parameter_magnitude
    with np.errstate(over="ignore"):
        largest = reference.largest_partial_sum(
            network.parameters.astype(np.float64), *problem.shape[:2], X.astype(np.float64)
        )
    overflow = ~(largest < most)
    clear = ~((0.9 * most < largest) & (largest < 1.1 * most))
    for x, refused in zip(X[clear][:20], overflow[clear], strict=False):
        ways = [lambda x: network.predict_many(x[None])]
        if network.layers[-1] == 1:
            ways += [network.predict, lambda x: network.predict(tuple(x.tolist()))]
        for predict in ways:
            if refused:
                with pytest.raises(NonFiniteError, match="a sum overflows in row 0"):
                    predict(x)
            else:
                assert np.isfinite(predict(x)).all()
    if clear.all() and overflow.any():
        with pytest.raises(NonFiniteError, match=rf"overflows in row {np.argmax(overflow)};"):
            network.predict_many(X)


def test_the_row_that_overflows_is_named_among_many():
    network = Network(seed=3)
    X = np.full((100_000, 10), 1e30, np.float32)  # on all cores, and fine
    X[70_000] = 3e38
    out = np.full(len(X), 7, np.float32)
    with pytest.raises(NonFiniteError, match="overflows in row 70000;"):
        network.predict_many(X, out=out)
    assert (out == 7).all()
    with pytest.raises(NonFiniteError, match="overflows in row 0;"):
        network.explain(X[70_000], X[:3])
    with pytest.raises(NonFiniteError, match="overflows in row 1;"):
        network.explain(X[0], X[69_999:70_002])


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 8192, 40_000])
def test_any_number_of_rows(rows):
    network = Network(seed=1)
    X = np.random.default_rng(rows).random((rows, 10), np.float32)
    many = network.predict_many(X)
    assert many.shape == (rows,)
    for index in {0, rows // 2, rows - 1} & set(range(rows)):
        assert network.predict(X[index]) == many[index]


def test_out_is_written_and_returned():
    network = Network(seed=1)
    X = np.random.default_rng(0).random((40, 10), np.float32)
    out = np.empty(40, np.float32)
    assert network.predict_many(X, out=out) is out
    np.testing.assert_array_equal(out, network.predict_many(X))


def test_out_is_as_it_was_after_an_error():
    network = Network(seed=1)
    X = np.zeros((40, 10), np.float32)
    X[39, 9] = np.nan
    out = np.full(40, 7, np.float32)
    with pytest.raises(NonFiniteError, match="X: .* at index 399"):
        network.predict_many(X, out=out)
    assert (out == 7).all()


def test_out_must_be_its_own_and_writable():
    X = np.zeros((40, 10), np.float32)
    with pytest.raises(ConfigError, match="out: expected memory of its own"):
        Network().predict_many(X, out=X.reshape(-1)[:40])
    locked = np.full(40, 7, np.float32)
    locked.flags.writeable = False
    with pytest.raises(ConfigError, match="out: .* got a read-only one"):
        Network().predict_many(X, out=locked)
    X.flags.writeable = False  # what is only read may be
    assert Network().predict_many(X).shape == (40,)


@pytest.mark.parametrize(
    "out",
    [np.empty(39, np.float32), np.empty(40), np.empty((40, 1), np.float32), [0.0] * 40,
     np.empty(80, np.float32)[::2], np.empty(161, np.uint8)[1:].view(np.float32)],
)  # fmt: skip
def test_out_must_fit(out):
    with pytest.raises(ShapeError, match="out"):
        Network().predict_many(np.zeros((40, 10), np.float32), out=out)


def unaligned(array):
    """The same numbers one byte beside where they should lie, as in a packed record."""
    packed = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:]
    return packed.view(array.dtype).reshape(array.shape)


@pytest.mark.parametrize(
    "convert",
    [
        np.asfortranarray,
        lambda X: X.astype(np.float64),
        lambda X: np.repeat(X, 2, axis=1)[:, ::2],
        lambda X: X[::-1][::-1],
        lambda X: X.tolist(),
        lambda X: X.astype(">f4"),
        lambda X: X.astype(np.longdouble),
        lambda X: np.ma.masked_less(X, -1),  # nothing is hidden
        lambda X: X.view(type("Subclass", (np.ndarray,), {})),
        unaligned,
    ],
)
def test_other_layouts_are_copied(convert):
    network = Network(seed=1)
    X = np.random.default_rng(0).random((20, 10), np.float32)
    np.testing.assert_array_equal(network.predict_many(convert(X)), network.predict_many(X))


def test_half_precision_is_a_number():
    X = np.random.default_rng(0).random((20, 10)).astype(np.float16)
    network = Network(seed=1)
    np.testing.assert_array_equal(
        network.predict_many(X), network.predict_many(X.astype(np.float32))
    )


def test_integers_and_booleans_are_numbers():
    network = Network(seed=1)
    row = [0, 1, 0, 1, 0, 1, 1, 1, 0, 0]
    expected = network.predict(np.array(row, np.float32))
    assert network.predict(row) == expected
    assert network.predict([bool(v) for v in row]) == expected


@pytest.mark.parametrize(
    ("x", "error", "match"),
    [
        ([0.0] * 9, ShapeError, r"x: expected shape \(10,\), got \(9,\)"),
        ([0.0] * 11, ShapeError, r"got \(11,\)"),
        (np.zeros((1, 10), np.float32), ShapeError, r"got \(1, 10\)"),
        ([0.0] * 9 + [float("nan")], NonFiniteError, "x: .* index 9"),
        (np.full(10, np.inf, np.float32), NonFiniteError, "x"),
        ((1e300,) * 10, NonFiniteError, "x"),
        ("ten numbers", TypeError, "x: expected numbers .* got str"),
        (0.5, ShapeError, r"x: expected shape \(10,\), got \(\)"),
        (None, TypeError, "x: expected numbers .* got NoneType of object"),
        ([object()] * 10, TypeError, "x: .* got list of object"),
        ([0.0] * 9 + [None], TypeError, "x: .* got list of object"),
        (["1"] * 10, TypeError, "x: .* got list of <U1"),
        (np.zeros(10, complex), TypeError, "x: .* got ndarray of complex128"),
        (np.zeros(10, "M8[s]"), TypeError, "x: .* got ndarray of datetime64"),
        (np.array(["1"] * 10, object), TypeError, "x: .* got ndarray of object"),
        (np.ma.masked_less(np.arange(10, dtype=np.float32), 1), TypeError, "x: .* masked values"),
        (np.ma.masked_less(np.arange(10.0), 1), TypeError, "x: .* masked values"),
        ([[0.0] * 9, [0.0]], TypeError, "x: .* got list"),
    ],
)
def test_predict_refuses(x, error, match):
    with pytest.raises(error, match=match):
        Network().predict(x)


def test_predict_needs_one_output():
    with pytest.raises(ShapeError, match="predict_many"):
        Network((3, 2)).predict([0.0] * 3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"layers": (3,)}, "layers: expected 2 to 16"),
        ({"layers": (1,) * 17}, "layers"),
        ({"layers": (3, 0, 1)}, "layers: .* 0"),
        ({"layers": (3, -2, 1)}, "layers"),
        ({"layers": (3, 5000, 1)}, "layers: .* 4096, got 5000"),
        ({"hidden": "swish"}, "hidden: expected 'relu'.*swish"),
        ({"loss": "hinge"}, "loss: .*hinge"),
    ],
)
def test_constructor_refuses(arguments, match):
    with pytest.raises(ConfigError, match=match):
        Network(**arguments)


def test_initial_weights():
    network = Network(seed=5)
    split = reference.unflatten(network.parameters, network.layers)
    for index, (weights, biases) in enumerate(split):
        fan = weights.shape[1] if index < 2 else sum(weights.shape)
        assert (biases == 0).all()
        assert abs(weights).max() <= np.sqrt(6 / fan)
        assert abs(weights).max() > 0.7 * np.sqrt(6 / fan)
    assert len(network.parameters) == 321
    np.testing.assert_array_equal(network.parameters, Network(seed=5).parameters)
    assert (network.parameters != Network(seed=6).parameters).any()


def test_parameters_are_a_copy_and_assignable():
    network = Network(seed=1)
    parameters = network.parameters
    parameters[:] = 0
    assert (network.parameters != 0).any()
    network.parameters = parameters
    assert (network.parameters == 0).all()
    assert network.predict([0.3] * 10) == 0.5


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.zeros(320, np.float32), ShapeError),
        (np.zeros((321, 1), np.float32), ShapeError),
        (np.full(321, np.nan, np.float32), NonFiniteError),
        (["a"] * 321, TypeError),
    ],
)
def test_refused_parameters_change_nothing(value, error):
    network = Network(seed=1)
    before = network.parameters
    with pytest.raises(error, match="parameters"):
        network.parameters = value
    np.testing.assert_array_equal(network.parameters, before)


@given(problems())
def test_pickle_and_copy(problem):
    network = problem.network
    for twin in (pickle.loads(pickle.dumps(network)), network.copy(), copy.deepcopy(network)):
        assert repr(twin) == repr(network)
        np.testing.assert_array_equal(bits(twin.parameters), bits(network.parameters))
        twin.parameters = np.zeros_like(twin.parameters)
        assert (network.parameters != 0).any()


def test_repr():
    assert repr(Network()) == "Network(layers=(10, 16, 8, 1), hidden='relu')"
    assert repr(Network((2, 1), "tanh", loss="mse")) == (
        "Network(layers=(2, 1), hidden='tanh', loss='mse')"
    )


def test_threads_see_one_assignment_or_the_other():
    network = Network(seed=1)
    choices = [Network(seed=seed).parameters for seed in (1, 2)]
    X = np.random.default_rng(0).random((50_000, 10), np.float32)
    expected = []
    for choice in choices:
        network.parameters = choice
        expected.append(network.predict_many(X))
    failures = []

    def read():
        for _ in range(30):
            result = network.predict_many(X)
            if not any(np.array_equal(result, e) for e in expected):
                failures.append(result)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for choice in choices:
            network.parameters = choice
    assert not failures


@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_reasons_sum_to_prediction_minus_mean(n_inputs, rows, seed):
    network = Network((n_inputs, 5, 1), "tanh", seed=seed)
    rng = np.random.default_rng(seed)
    background = rng.random((rows, n_inputs), np.float32)
    x = rng.random(n_inputs, np.float32)
    reasons = network.explain(x, background)
    mean = network.predict_many(background).mean(dtype=np.float64)
    assert abs(reasons.sum() - (network.predict(x) - mean)) < 1e-6


def test_reasons_are_those_of_the_definition():
    from itertools import permutations

    network = Network((4, 6, 1), "tanh", seed=2)
    rng = np.random.default_rng(2)
    background, x = rng.random((3, 4), np.float32), rng.random(4, np.float32)

    def value(members):
        rows = background.copy()
        rows[:, list(members)] = x[list(members)]
        return network.predict_many(rows).mean(dtype=np.float64)

    expected = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        for place, player in enumerate(order):
            expected[player] += value(order[: place + 1]) - value(order[:place])
    np.testing.assert_allclose(network.explain(x, background), expected / len(orders), atol=1e-9)


def test_reasons_for_many_rows_are_those_for_each():
    network = Network(seed=4)
    rng = np.random.default_rng(4)
    background, X = rng.random((20, 10), np.float32), rng.random((5, 10), np.float32)
    together = network.explain(X, background)
    assert together.shape == (5, 10)
    for row, reasons in zip(X, together, strict=True):
        np.testing.assert_array_equal(network.explain(row, background), reasons)


@pytest.mark.parametrize(
    ("network", "x", "background", "error", "match"),
    [
        (Network((17, 1)), [0.0] * 17, [[0.0] * 17], ConfigError, "16 inputs"),
        (Network((3, 2)), [0.0] * 3, [[0.0] * 3], ConfigError, "one output"),
        (Network((3, 1)), [0.0] * 4, [[0.0] * 3], ShapeError, "x"),
        (Network((3, 1)), [0.0] * 3, [[0.0] * 4], ShapeError, "background"),
        (Network((3, 1)), [0.0] * 3, np.zeros((0, 3)), ConfigError, "background"),
        (Network((3, 1)), [np.nan] * 3, [[0.0] * 3], NonFiniteError, "x"),
        (Network((3, 1)), [0.0] * 3, [[np.inf] * 3], NonFiniteError, "background"),
    ],
)
def test_explain_refuses(network, x, background, error, match):
    with pytest.raises(error, match=match):
        network.explain(x, background)
