"""The served model: against an oracle, and laws that hold for every sequence of outcomes."""

import gc
import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inhabit._native import EXPERTS, Model, ModelConfig, Prior, walk_forward
from inhabit.exceptions import ConfigError, NonFiniteError, ShapeError
from reference_model import ReferenceModel

N_INPUTS, RATES = 3, [1]
PLAIN = ModelConfig(N_INPUTS, RATES, hidden_layers=None)
SMALL = ModelConfig(N_INPUTS, RATES, hidden_layers=(4,), retrain_every=3)


def history(n, seed=0, *, delay=1, unknown=0.0):
    """Columns of a walk: inputs, labels, slots, and the row before which each label is known."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, n).astype(np.int8)
    label[random.random(n) < unknown] = -1
    late = np.arange(n) + random.integers(1, delay + 1, n)
    return {
        "X": random.random((n, N_INPUTS)).astype(np.float32),
        "label": label,
        "slot": random.integers(0, 3, n).astype(np.uint8),
        "learn_at": np.minimum(late, n).astype(np.uint32),
    }


def losses(p, label):
    label = np.asarray(label)
    return -np.log(np.where(label.reshape(-1, *[1] * (np.ndim(p) - 1)) == 1, p, 1 - p))


histories = st.builds(
    history,
    n=st.integers(0, 40),
    seed=st.integers(0, 10**6),
    delay=st.integers(1, 9),
    unknown=st.sampled_from((0.0, 0.3)),
)
outcomes = st.one_of(
    st.lists(st.booleans(), min_size=1, max_size=200),
    st.tuples(st.integers(1, 60), st.integers(1, 60), st.booleans()).map(
        lambda runs: [runs[2]] * runs[0] + [not runs[2]] * runs[1]  # a habit that stops or starts
    ),
    st.tuples(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 25)).map(
        lambda cycle: cycle[0] * cycle[1]
    ),
)


# --- against the oracle ------------------------------------------------------------------------


steps = st.tuples(st.booleans(), st.integers(0, 2))  # an outcome and its slot
groups = st.lists(st.lists(steps, min_size=1, max_size=4), max_size=25)


@given(groups, st.integers(0, 10**6))
@settings(max_examples=30)
def test_does_what_the_plain_model_does(groups, seed):
    random = np.random.default_rng(seed)
    prior = Prior(
        PLAIN,
        mean=random.normal(0, 0.5, PLAIN.n_weights),
        variance=random.uniform(0.01, 1, PLAIN.n_weights),
        experts=random.dirichlet(np.ones(len(EXPERTS))),
    )
    model, reference = Model(PLAIN, prior), ReferenceModel(PLAIN, prior)
    for group in groups:
        rows = random.random((len(group), N_INPUTS)).astype(np.float32)
        labels, slots = ([int(value) for value in column] for column in zip(*group, strict=True))
        for x, slot in zip(rows, slots, strict=True):
            assert model.experts(x, slot) == pytest.approx(reference.experts(x, slot), abs=1e-9)
            assert model.predict(x, slot) == pytest.approx(reference.predict(x, slot), abs=1e-9)
        model.learn_together(rows, slots, labels)
        reference.learn_together(rows, slots, labels)
    assert model.weights == pytest.approx(reference.mixture.weights, abs=1e-9)
    steady = reference.logistic[0]
    assert model.mean == pytest.approx(steady.mean, abs=1e-9)
    assert model.variance == pytest.approx(np.diag(steady.covariance), abs=1e-9)


def test_mean_and_variance_begin_as_those_of_the_prior():
    random = np.random.default_rng(0)
    mean, variance = random.normal(0, 0.5, PLAIN.n_weights), random.random(PLAIN.n_weights)
    model = Model(prior=Prior(PLAIN, mean=mean, variance=variance))
    assert np.array_equal(model.mean, mean)
    assert np.array_equal(model.variance, variance)


# --- the theorem -------------------------------------------------------------------------------


def readiness(share, n):
    """What it costs over n outcomes to be ready for another expert."""
    return math.log((1 + share * max(n - 1, 0)) / (1 - share))


@given(outcomes, st.sampled_from((0.0, 0.05, 0.5)), st.integers(0, 10**6))
def test_loss_is_at_most_that_of_any_expert_plus_the_price_of_choosing(sequence, share, seed):
    config = ModelConfig(N_INPUTS, RATES, hidden_layers=None, share=share)
    prior = Prior(config, experts=np.ones(len(EXPERTS)))
    columns = history(len(sequence), seed)
    columns["label"] = np.array(sequence, np.int8)
    walked = walk_forward(**columns, config=config, prior=prior)
    loss = losses(walked.probability, sequence).sum()
    own = losses(walked.experts, sequence).sum(axis=0)
    n_experts = np.count_nonzero(prior.experts)
    choosing = math.log(n_experts) + readiness(share, len(sequence))
    calibrating = math.log(1 / 0.75) + readiness(share, len(sequence))
    there = prior.experts > 0
    assert loss <= own[there].min() + choosing + calibrating + 1e-9


@given(outcomes)
def test_loss_is_bounded_with_the_weights_that_are_served_by_default(sequence):
    columns = history(len(sequence))
    columns["label"] = np.array(sequence, np.int8)
    walked = walk_forward(**columns, config=PLAIN)
    loss = losses(walked.probability, sequence).sum()
    own = losses(walked.experts, sequence).sum(axis=0)
    weight = Prior(PLAIN).experts
    there = weight > 0
    switching = 2 * readiness(PLAIN.share, len(sequence))
    bound = (own[there] + np.log(1 / weight[there])).min() + math.log(1 / 0.75) + switching
    assert loss <= bound + 1e-9


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 6)), min_size=1, max_size=40))
def test_labels_that_become_known_together_count_as_one_and_the_bound_holds(days):
    """Each day one outcome, told by 1 to 6 moments that mature together."""
    label = np.concatenate([[int(positive)] * n for positive, n in days]).astype(np.int8)
    ends = np.cumsum([n for _, n in days])
    columns = history(len(label))
    columns |= {"label": label, "learn_at": np.repeat(ends, [n for _, n in days]).astype(np.uint32)}
    walked = walk_forward(**columns, config=PLAIN)
    counts = np.concatenate([[1 / n] * n for _, n in days])
    loss = counts @ losses(walked.probability, label)
    own = counts @ losses(walked.experts, label)
    weight = Prior(PLAIN).experts
    there = weight > 0
    switching = 2 * readiness(PLAIN.share, len(days))
    bound = (own[there] + np.log(1 / weight[there])).min() + math.log(1 / 0.75) + switching
    assert loss <= bound + 1e-9


# --- calibration -------------------------------------------------------------------------------


@given(outcomes, st.integers(0, 10**6))
def test_calibration_ranks_as_before(sequence, seed):
    columns = history(len(sequence), seed)
    columns["label"] = np.array(sequence, np.int8)
    model = walk_forward(**columns, config=PLAIN).model
    grid = np.linspace(0.001, 0.999, 200)
    mapped = np.array([model.calibrate(p) for p in grid])
    assert (np.diff(mapped) > 0).all()
    assert ((mapped > 0) & (mapped < 1)).all()


def test_calibration_starts_as_the_identity():
    model = Model(PLAIN)
    for p in (0.001, 0.2, 0.5, 0.999):
        assert model.calibrate(p) == pytest.approx(p, abs=1e-15)


def test_calibration_learns_that_probabilities_are_too_bold():
    """A model that says 0.95 where half is true is pulled towards the middle, and no further."""
    random = np.random.default_rng(5)
    mean = np.zeros(PLAIN.n_weights)
    mean[-1] = 6.0  # log odds from -3 to 3 by an input that means nothing
    config = ModelConfig(N_INPUTS, [], hidden_layers=None, share=0.0)
    prior = Prior(
        config,
        mean=mean,
        variance=np.zeros(config.n_weights),
        experts=[name == "logistic" for name in EXPERTS],
    )
    model = Model(config, prior)
    for _ in range(2000):
        x = np.array([0, 0, random.integers(0, 2)], np.float32)
        model.learn(x, 0, int(random.integers(0, 2)))
    assert model.experts([0, 0, 1])[7] > 0.9
    assert 0.5 < model.calibrate(0.95) < 0.8


# --- walks -------------------------------------------------------------------------------------


@given(histories)
@settings(max_examples=40)
def test_a_walk_is_predicting_and_learning_in_turn(columns):
    walked = walk_forward(**columns, config=PLAIN)
    model = Model(PLAIN)
    rows, label, slot, learn_at = columns.values()
    n = len(label)
    for t in range(n + 1):
        known = np.flatnonzero((learn_at == t) & (label >= 0))
        late = learn_at[(learn_at < t) & (label >= 0)].max(initial=0) > known
        model.learn_together(
            rows[known], slot[known].tolist(), label[known].tolist(), late.tolist()
        )
        if t < n:
            assert model.predict(rows[t], int(slot[t])) == walked.probability[t]
            assert (model.experts(rows[t], int(slot[t])) == walked.experts[t]).all()
    assert model.tensors()["model.state"].tobytes() == state_of(walked.model)


def test_labels_that_become_known_together_are_judged_before_any_is_learnt():
    """On coin flips that each two moments tell of, weights and gate stay near where they began."""
    rng = np.random.default_rng(0)
    gained, promotions = [], 0
    for _ in range(20):
        label = np.repeat(rng.integers(0, 2, 150), 2).astype(np.int8)
        n = len(label)
        walked = walk_forward(
            rng.random((n, N_INPUTS), dtype=np.float32),
            label,
            np.tile([0, 1], n // 2).astype(np.uint8),
            np.repeat(np.arange(2, n + 2, 2), 2).astype(np.uint32),
            config=SMALL,
        )
        p = np.where(label == 1, walked.probability, 1 - walked.probability)
        gained.append(np.log(p).mean() - np.log(0.5))
        promotions += walked.model.promotions
    assert np.mean(gained) > -0.03
    assert promotions <= 1


def test_a_label_that_comes_late_teaches_what_its_moment_could_know():
    """Every second time, and the label is known only after the next: still, it is learnt."""
    n = 120
    label = (np.arange(n) % 2).astype(np.int8)
    x = np.full((n, N_INPUTS), 0.5, dtype=np.float32)
    learn_at = np.minimum(np.arange(n) + 2, n).astype(np.uint32)
    p = walk_forward(x, label, np.zeros(n, np.uint8), learn_at, config=SMALL).probability
    assert losses(p, label)[60:].mean() < 0.05


@given(histories, st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=60)
def test_a_walk_in_any_slices_is_the_walk_in_one_go(columns, cuts):
    n = len(columns["label"])
    whole = walk_forward(**columns, config=SMALL)
    model, probability = Model(SMALL), []
    edges = sorted({0, n, *(min(cut, n) for cut in cuts)})
    for begin, end in itertools.pairwise(edges):
        # As after a kill: from what was kept, in a new object.
        model = Model.from_tensors(model.tensors())
        probability.extend(model.walk(*columns.values(), begin, end).tolist())
    assert probability == whole.probability.tolist()
    if n:
        for name, tensor in whole.model.tensors().items():
            assert tensor.tobytes() == model.tensors()[name].tobytes(), name


@given(histories, st.integers(0, 40))
@settings(max_examples=40)
def test_a_walk_never_looks_ahead(columns, cut):
    whole = walk_forward(**columns, config=SMALL)
    cut = min(cut, len(columns["label"]))
    part = {name: column[:cut] for name, column in columns.items()}
    part["learn_at"] = np.minimum(part["learn_at"], cut).astype(np.uint32)
    early = walk_forward(**part, config=SMALL)
    assert early.probability.tobytes() == whole.probability[:cut].tobytes()
    assert early.experts.tobytes() == whole.experts[:cut].tobytes()


@given(histories, st.integers(0, 39))
@settings(max_examples=40)
def test_a_label_changes_nothing_before_it_is_known(columns, row):
    n = len(columns["label"])
    if row >= n:
        return
    other = {**columns, "label": columns["label"].copy()}
    other["label"][row] = 1 - abs(other["label"][row])
    known = columns["learn_at"][row]
    a, b = (walk_forward(**c, config=SMALL).probability for c in (columns, other))
    assert a[:known].tobytes() == b[:known].tobytes()


@given(histories)
@settings(max_examples=20)
def test_the_same_history_gives_the_same_bits(columns):
    first, second = (walk_forward(**columns, config=SMALL) for _ in range(2))
    assert first.probability.tobytes() == second.probability.tobytes()
    assert bytes_of(first.model) == bytes_of(second.model)


def test_without_networks_the_retraining_schedule_does_not_matter():
    columns = history(60)
    daily = walk_forward(**columns, config=PLAIN)
    weekly = walk_forward(
        **columns, config=ModelConfig(N_INPUTS, RATES, hidden_layers=None, retrain_every=7)
    )
    assert daily.probability.tobytes() == weekly.probability.tobytes()


def test_the_prior_network_is_an_expert_and_the_personal_one_begins_as_its_copy():
    parameters = np.random.default_rng(1).normal(0, 1, SMALL.n_parameters).astype(np.float32)
    prior = Prior(SMALL, network=parameters)
    model = Model(prior=prior)
    said = dict(zip(EXPERTS, model.experts([0.2, 0.4, 0.6]), strict=True))
    assert said["prior"] == said["personal"] != said["rate"]
    assert (model.tensors()["model.champion"] == parameters).all()
    assert (model.tensors()["model.challenger"] == parameters).all()


def network_parameters(*seeds):
    networks = [np.random.default_rng(seed).normal(0, 1, SMALL.n_parameters) for seed in seeds]
    return np.concatenate(networks).astype(np.float32)


def prior_log_odds(parameters, x):
    """What the expert says that the prior network is."""
    p = Model(prior=Prior(SMALL, network=parameters)).experts(x)[EXPERTS.index("prior")]
    return math.log(p / (1 - p))


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=16),
    st.lists(st.floats(0, 1, width=32), min_size=N_INPUTS, max_size=N_INPUTS),
)
@settings(max_examples=50)
def test_several_prior_networks_say_the_average_of_their_log_odds(seeds, x):
    each = [prior_log_odds(network_parameters(seed), x) for seed in seeds]
    assume(max(map(abs, each)) < 6.9)  # further out experts are clipped
    together = prior_log_odds(network_parameters(*seeds), x)
    assert together == pytest.approx(np.mean(each), abs=1e-5)


@given(histories, st.sampled_from((2, 4, 8, 16)))  # by which a sum of equals divides exactly
@settings(max_examples=20)
def test_the_same_prior_network_several_times_is_that_network(columns, members):
    one, many = (
        walk_forward(**columns, prior=Prior(SMALL, network=network_parameters(*seeds)))
        for seeds in ([1], [1] * members)
    )
    assert one.probability.tobytes() == many.probability.tobytes()
    assert {**bytes_of(many.model), "prior.network": None} == {
        **bytes_of(one.model),
        "prior.network": None,
    }


def test_the_personal_network_begins_as_the_first_of_several_and_is_pulled_to_it():
    held = ModelConfig(N_INPUTS, RATES, hidden_layers=(4,), pull=1e6)
    prior = Prior(held, network=network_parameters(1, 2, 3))
    model = Model(prior=prior)
    assert (model.tensors()["model.champion"] == network_parameters(1)).all()
    trained = walk_forward(**history(60), prior=prior).model.tensors()
    assert trained["model.challenger"] == pytest.approx(network_parameters(1), abs=0.05)
    assert (trained["prior.network"] == prior.network).all()
    again = Model.from_tensors(trained)
    assert bytes_of(again) == {name: tensor.tobytes() for name, tensor in trained.items()}


def test_no_more_than_16_whole_networks_are_a_prior():
    one = SMALL.n_parameters
    assert repr(Prior(SMALL, network=network_parameters(*range(16)))).endswith("networks=16)")
    for length in (0, one - 1, one + 1, 17 * one):
        with pytest.raises(ShapeError, match=rf"network: expected shape \({one},\)"):
            Prior(SMALL, network=np.zeros(length, np.float32))
    with pytest.raises(ShapeError, match=r"network: expected shape"):
        Prior(SMALL, network=np.zeros((2, one), np.float32))
    tensors = Prior(SMALL, network=network_parameters(1, 2)).tensors()
    with pytest.raises(ShapeError, match=r"prior\.network"):
        Prior.from_tensors({**tensors, "prior.network": tensors["prior.network"][:-1]})


def test_no_parameters_for_a_model_without_networks_are_no_network():
    """A file would hold an empty tensor, which the C library drops: other bytes."""
    without = ModelConfig(N_INPUTS, RATES, hidden_layers=None)
    empty = np.zeros(0, np.float32)
    tensors = {**Prior(without).tensors(), "prior.network": empty}
    for prior in (Prior(without, network=empty), Prior.from_tensors(tensors)):
        assert prior.network is None
        assert prior.tensors().keys() == Prior(without).tensors().keys()
        assert "prior.network" not in Model(prior=prior).tensors()


# --- state -------------------------------------------------------------------------------------


def state_of(model):
    return model.tensors()["model.state"].tobytes()


def bytes_of(model):
    return {name: tensor.tobytes() for name, tensor in model.tensors().items()}


@given(histories, st.lists(st.booleans(), max_size=10))
@settings(max_examples=40)
def test_goes_on_from_its_tensors_with_the_same_bits(columns, more):
    model = walk_forward(**columns, config=SMALL).model
    copy = Model.from_tensors(model.tensors(), SMALL)
    for positive in more:
        x = [0.1, 0.5, float(positive)]
        assert model.predict(x, 1) == copy.predict(x, 1)
        model.learn(x, 1, int(positive))
        copy.learn(x, 1, int(positive))
    assert bytes_of(model) == bytes_of(copy)


def test_a_copy_learns_on_its_own():
    model = Model(PLAIN)
    copy = model.copy()
    copy.learn([0, 0.5, 0], 0, 1)
    assert model.outcomes == 0
    assert copy.outcomes == 1


@given(st.integers(0, PLAIN.n_state - 1), st.sampled_from((np.nan, np.inf, -np.inf, -1e300, 1e300)))
def test_refuses_a_state_that_no_history_leads_to(index, value):
    tensors = walk_forward(**history(20), config=PLAIN).model.tensors()
    tensors["model.state"][index] = value
    with pytest.raises((NonFiniteError, ConfigError), match="state"):
        Model.from_tensors(tensors, PLAIN)


@pytest.mark.parametrize("name", ["model.champion", "model.challenger", "prior.network"])
def test_refuses_networks_whose_sums_overflow(name):
    network = np.ones(SMALL.n_parameters, np.float32)
    tensors = Model(prior=Prior(SMALL, network=network)).tensors()
    tensors[name][-1] = 3e38
    with pytest.raises(ConfigError, match="expected parameters with which no sum overflows"):
        Model.from_tensors(tensors)


def test_refuses_a_state_of_another_model():
    tensors = Model(PLAIN).tensors()
    with pytest.raises(ShapeError, match=r"model\.state"):
        Model.from_tensors(tensors, ModelConfig(2, [], hidden_layers=None))
    with pytest.raises(ShapeError, match=r"model\.champion"):
        Model.from_tensors({**tensors, "model.state": Model(SMALL).tensors()["model.state"]}, SMALL)


@given(st.lists(st.sampled_from((0.0, 0.5, 1.0)), min_size=N_INPUTS, max_size=N_INPUTS), outcomes)
@settings(max_examples=30)
def test_every_number_stays_a_number(x, sequence):
    model = Model(PLAIN)
    for positive in sequence:
        model.learn(x, 0, int(positive))
        assert 0 < model.predict(x) < 1
    assert all(np.isfinite(tensor).all() for tensor in model.tensors().values())
    assert model.weights.sum() == pytest.approx(1)
    Model.from_tensors(model.tensors(), PLAIN)


LARGE = st.sampled_from((-1e12, -3e7, -1e-30, 0.0, 0.5, 1.0, 2e9, 1e12))


@given(st.lists(st.tuples(LARGE, LARGE, LARGE, st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60)
def test_every_number_stays_a_number_however_large_the_inputs(sequence):
    model = Model(PLAIN)
    for *x, positive in sequence:
        model.learn(x, 0, int(positive))
        assert 0 < model.predict(x) < 1
    Model.from_tensors(model.tensors(), PLAIN)


# --- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"label": np.full(9, 2, np.int8)}, ConfigError, "label: expected 1, 0 or -1, got 2"),
        ({"slot": np.full(9, 24, np.uint8)}, ConfigError, "slot: expected slots from 0 to 23"),
        ({"learn_at": np.arange(9, dtype=np.uint32)}, ConfigError, "learn_at: expected rows later"),
        ({"learn_at": np.full(9, 10, np.uint32)}, ConfigError, "learn_at: expected rows later"),
        ({"label": np.zeros(8, np.int8)}, ShapeError, "label"),
        ({"label": np.zeros(9)}, TypeError, "label: expected a one-dimensional numpy array"),
        (
            {"learn_at": np.zeros(37, np.uint8)[1:].view(np.uint32)},
            ShapeError,
            "learn_at: expected a contiguous, aligned array",
        ),
        ({"X": np.zeros((9, 4), np.float32)}, ShapeError, "X"),
        ({"X": np.full((9, 3), np.nan, np.float32)}, NonFiniteError, "x: expected finite"),
        ({"X": np.full((9, 3), -2e12)}, ConfigError, "x: expected inputs between -1e12 and 1e12"),
    ],
)
def test_a_walk_refuses(change, error, message):
    with pytest.raises(error, match=message):
        walk_forward(**{**history(9), **change}, config=PLAIN)


@pytest.mark.parametrize(
    ("x", "slot", "label", "error"),
    [
        ([0, 0], 0, 1, ShapeError),
        ([0, 0, np.inf], 0, 1, NonFiniteError),
        ([0, 0, 2e12], 0, 1, ConfigError),
        ([0, 0, 0], 24, 1, ConfigError),
        ([0, 0, 0], 0, -1, ConfigError),
    ],
)
def test_refusing_to_learn_changes_nothing(x, slot, label, error):
    model = Model(SMALL)
    before = bytes_of(model)
    with pytest.raises(error):
        model.learn(x, slot, label)
    assert bytes_of(model) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_inputs": 0, "rates": []}, "n_inputs"),
        ({"n_inputs": 54}, "n_inputs"),
        ({"rates": [3]}, "rates"),
        ({"share": 1.0}, "share"),
        ({"retention": 0.0}, "retention"),
        ({"quick_retention": 1.1}, "quick_retention"),
        ({"pull": -1.0}, "pull"),
        ({"retrain_every": 0}, "retrain_every"),
        ({"hidden_layers": [300]}, "network"),
    ],
)
def test_a_config_refuses(settings, message):
    with pytest.raises(ConfigError, match=message):
        ModelConfig(**{"n_inputs": N_INPUTS, "rates": RATES, **settings})


@pytest.mark.parametrize(
    ("part", "error"),
    [
        ({"mean": np.zeros(3)}, ShapeError),
        ({"variance": np.full(PLAIN.n_weights, -1.0)}, ConfigError),
        ({"mean": np.full(PLAIN.n_weights, np.nan)}, ConfigError),
        ({"experts": np.zeros(len(EXPERTS))}, ConfigError),
        ({"network": np.zeros(1, np.float32)}, ShapeError),
    ],
)
def test_a_prior_refuses(part, error):
    with pytest.raises(error):
        Prior(PLAIN, **part)


def test_a_prior_for_other_inputs_is_refused():
    with pytest.raises(ConfigError, match="prior"):
        Model(PLAIN, Prior(ModelConfig(N_INPUTS, [0], hidden_layers=None)))


def test_a_finaliser_may_come_back_to_a_model_that_is_read():
    model, said = Model(), []

    class Cycle:
        def __init__(self):
            self.itself = self

        def __del__(self):
            said.append(model.predict([0.5] * 10))

    usual = gc.get_threshold()
    Cycle()
    # Python 3.11 collects wherever it allocates, later ones between two instructions.
    gc.set_threshold(1)
    try:
        model.tensors()
    finally:
        gc.set_threshold(*usual)
    gc.collect()
    assert said == [model.predict([0.5] * 10)]
