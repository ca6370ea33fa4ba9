"""Learning from people what to expect of others."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inhabit import empirical_bayes, priors
from inhabit._native import ModelConfig, Prior
from inhabit.checkpoints import Generation
from inhabit.empirical_bayes import PriorConfig, train_prior
from inhabit.exceptions import CheckpointError, ConfigError
from inhabit.features import DEFAULT_FEATURES, feature, times_today
from inhabit.population import walk, walk_many
from walkers import person

QUICK = PriorConfig(rounds=2, stages=((3, 0.01),), folds=2, judges=3)


@feature()
def monday(asof):
    return (asof.moments.weekday == 0) * 1.0


@pytest.fixture(scope="module")
def people():
    return [person(seed) for seed in range(12)]


def parts(prior):
    network = np.empty(0) if prior.network is None else prior.network
    return [network, prior.mean, prior.variance, prior.experts]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(parts(a), parts(b), strict=True))


def log_loss(people, prior):
    losses = []
    for own, walked in zip(people, walk_many(people, prior), strict=True):
        y, p = own.label == 1, walked.probability
        losses.append(-np.log(np.where(y, p, 1 - p))[own.label >= 0])
    return np.concatenate(losses).mean()


def test_same_people_and_seed_give_the_same_bits_on_any_number_of_threads(people):
    first = train_prior(people, QUICK, workers=1)
    assert same(first, train_prior(people, QUICK, workers=3))
    assert not same(first, train_prior(people, replace(QUICK, seed=1)))


def test_a_prior_helps_others_of_the_same_kind(people):
    others = [person(seed, days=30) for seed in range(100, 120)]
    cold = log_loss(others, None)
    assert log_loss(others, train_prior(people)) < cold - 0.01


def test_refining_starts_from_the_prior_and_stays_there_with_great_caution(people):
    general = train_prior(people, QUICK)
    others = [person(seed, weekday=0.3, weekend=0.9) for seed in range(50, 56)]
    start = priors.pack(general, DEFAULT_FEATURES)
    near = train_prior(others, replace(QUICK, caution=1e9, pulls=(1e6,)), start=start)
    far = train_prior(others, replace(QUICK, caution=1), start=start)
    assert near.mean == pytest.approx(general.mean, abs=1e-6)
    assert np.abs(far.mean - general.mean).max() > 0.05
    moved = [np.abs(prior.network - general.network).max() for prior in (near, far)]
    assert moved[0] < moved[1]


def test_caution_is_not_about_features_that_the_prior_does_not_know(people):
    start = priors.pack(train_prior(people, QUICK), DEFAULT_FEATURES)
    wider = DEFAULT_FEATURES + monday
    others = [person(seed, feature_set=wider) for seed in range(20, 26)]
    refined = train_prior(others, replace(QUICK, caution=1e9), start=start)
    begin = priors.prior_for(start, wider)
    assert refined.mean[:-1] == pytest.approx(begin.mean[:-1], abs=1e-6)
    assert refined.variance[-1] != begin.variance[-1]


@pytest.mark.parametrize("networks", [True, False])
@pytest.mark.parametrize("refining", [True, False])
def test_progress_counts_to_the_end(people, networks, refining):
    config = replace(QUICK, networks=networks)
    start = priors.pack(train_prior(people, config), DEFAULT_FEATURES) if refining else None
    seen = []
    train_prior(
        people, config, start=start, progress=lambda done, total: seen.append((done, total))
    )
    total = seen[0][1]
    assert seen == [(k + 1, total) for k in range(total)]


def test_people_of_one_group_share_a_fold():
    groups = ["a", "b", "a", "c", "b", "c", "a"]
    folds = empirical_bayes._folds(groups, 2, 0)
    assert sorted(k for inside, _ in folds for k in inside) == list(range(7))
    for inside, outside in folds:
        assert sorted(inside + outside) == list(range(7))
        assert not {groups[k] for k in inside} & {groups[k] for k in outside}


def test_one_person_is_enough():
    prior = train_prior([person(0)], QUICK)
    assert prior.network is not None
    assert np.isfinite(prior.mean).all()


def test_without_networks():
    config = replace(QUICK, networks=False)
    prior = train_prior([person(seed) for seed in range(4)], config)
    assert prior.network is None
    assert same(prior, train_prior([person(seed) for seed in range(4)], replace(config, members=1)))
    walked = walk(person(9), prior, priors.model_config(DEFAULT_FEATURES, None))
    assert ((walked.probability > 0) & (walked.probability < 1)).all()


def test_a_network_ignores_what_it_is_not_to_see_and_what_never_varies(people):
    config = replace(QUICK, unseen=("weekend",))
    members = members_of(train_prior(people, config))
    first = members[:, : priors.HIDDEN_LAYERS[0] * 10].reshape(-1, 10)
    for name in ("weekend", "app_launches_today", "hour_of_day"):  # the last is always 4:00
        assert not first[:, DEFAULT_FEATURES.names.index(name)].any(), name
    assert first[:, DEFAULT_FEATURES.names.index("current_lapse")].all()


def test_wrong_input_is_refused(people):
    with pytest.raises(ConfigError, match="people: expected samples with labels"):
        train_prior([])
    blank = replace(people[0], label=np.full_like(people[0].label, -1))
    with pytest.raises(ConfigError, match="people: expected samples with labels"):
        train_prior([blank])
    more = person(1, feature_set=DEFAULT_FEATURES + times_today("coffee", 2))
    with pytest.raises(ConfigError, match="the same features"):
        train_prior([people[0], more])
    with pytest.raises(ConfigError, match="groups: expected one entry for each of 12 people"):
        train_prior(people, groups=["a"])
    for steps in ((), (0.5, 1.5), (float("nan"),)):
        with pytest.raises(ConfigError, match="steps: expected numbers from 0 to 1"):
            PriorConfig(steps=steps)
    for name, least in (("rounds", 1), ("judges", 2), ("folds", 2)):
        with pytest.raises(ConfigError, match=f"{name}: expected at least {least}, got"):
            PriorConfig(**{name: least - 1})
    for members in (0, 17):
        with pytest.raises(ConfigError, match=f"members: expected 1 to 16, got {members}"):
            PriorConfig(members=members)


# --- how far to go ------------------------------------------------------------


def step_of(refined, general, all_the_way):
    """The part of the way from one prior to another, from their means."""
    way = all_the_way.mean - general.mean
    return ((refined.mean - general.mean) @ way) / (way @ way)


@pytest.fixture(scope="module")
def general(people):
    return train_prior(people, replace(QUICK, rounds=8, caution=2))


def refined(people, general, **settings):
    config = replace(QUICK, caution=0.1, rounds=8, **settings)
    return train_prior(people, config, start=priors.pack(general, DEFAULT_FEATURES))


def test_people_who_are_alike_and_unlike_the_start_are_followed(general):
    others = [person(seed, weekday=0.2, weekend=0.9) for seed in range(200, 212)]
    prior = refined(others, general)
    assert step_of(prior, general, refined(others, general, steps=(1.0,))) > 0.9


@pytest.mark.parametrize("first", [200, 400])
def test_evidence_decides_how_strongly_the_network_is_pulled(general, first):
    others, new = (
        [person(seed, weekday=0.05, weekend=0.95) for seed in range(begin, begin + 24)]
        for begin in (first, first + 100)
    )

    def pulled(*pulls):
        return refined(others, general, pulls=pulls, stages=((40, 0.01),))

    weak, strong, chosen = pulled(1.0), pulled(1e5), pulled(1e5, 1.0)
    assert log_loss(new, weak) < log_loss(new, strong) - 0.005
    for part, expected in zip(parts(chosen), parts(weak), strict=True):
        assert part == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("pulls", [(), (-1.0,), (1.0, float("nan"))])
def test_pulls_that_are_none_are_refused(pulls):
    with pytest.raises(ConfigError, match="pulls: expected"):
        PriorConfig(pulls=pulls)


def members_of(prior):
    """The networks of a prior, one in each row."""
    return prior.network.reshape(-1, prior.config.n_parameters)


def test_a_prior_is_the_average_of_priors_with_a_seed_each(people):
    together = train_prior(people, replace(QUICK, members=3, seed=5))
    each = [train_prior(people, replace(QUICK, members=1, seed=seed)) for seed in (5, 6, 7)]
    assert np.array_equal(members_of(together), [prior.network for prior in each])
    for part in ("mean", "variance", "experts"):
        averaged = np.mean([getattr(prior, part) for prior in each], axis=0)
        assert getattr(together, part) == pytest.approx(averaged, abs=1e-12)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 3), (3, 2)])
def test_a_refined_member_begins_at_a_member_of_the_start(people, before, after):
    start = train_prior(people, replace(QUICK, members=before))
    stayed = refined(people, start, members=after, steps=(0.0,))
    assert np.array_equal(members_of(stayed), np.resize(members_of(start), (after, 321)))
    held = refined(people, start, members=after, steps=(1.0,), pulls=(1e7,), batch_size=10**6)
    assert held.network == pytest.approx(stayed.network, abs=0.05)


def various(seeds):
    """People each with another habit: what some have in common is chance."""
    habits = [np.random.default_rng(seed).uniform(0.05, 0.95, 2) for seed in seeds]
    return [
        person(seed, days=40, weekday=weekday, weekend=weekend)
        for seed, (weekday, weekend) in zip(seeds, habits, strict=True)
    ]


def test_a_few_who_have_only_chance_in_common_are_hardly_followed():
    one = {"members": 1}  # an average of several follows chance less
    general = train_prior(various(range(500, 530)), replace(QUICK, rounds=8, caution=2, **one))
    new = various(range(600, 640))
    for first in (300, 310, 320, 330):
        few = various(range(first, first + 4))
        prior = refined(few, general, **one)
        followed = refined(few, general, pulls=(1.0,), steps=(1.0,), **one)
        assert step_of(prior, general, followed) < 0.5
        assert log_loss(new, prior) < log_loss(new, followed) - 0.005


def test_no_step_at_all_leaves_the_prior_as_it_is(people, general):
    assert same(refined(people, general, steps=(0.0,)), general)


def test_refining_gives_the_same_bits_on_any_number_of_threads(people, general):
    start = priors.pack(general, DEFAULT_FEATURES)
    one, three = (train_prior(people, QUICK, start=start, workers=n) for n in (1, 3))
    assert same(one, three)


def test_steps_are_judged_on_people_who_took_no_part(people, general, monkeypatch):
    """Each person judges once, and only what was learnt from others."""
    learner = empirical_bayes._Learner
    learn, likelihood = learner._learn, learner._likelihood
    learnt, judges = [], []

    def watched_learn(self, people, *others):
        learnt.append(people)
        return learn(self, people, *others)

    def watched_likelihood(self, people, prior):
        judges.append((people, learnt[-1]))
        return likelihood(self, people, prior)

    monkeypatch.setattr(learner, "_learn", watched_learn)
    monkeypatch.setattr(learner, "_likelihood", watched_likelihood)
    refined(people, general, pulls=(1.0, 5.0, 25.0), steps=(0.0, 1.0))
    for own, others in judges:
        assert not {id(one) for one in own} & {id(one) for one in others}
        assert len(own) + len(others) == len(people)
    judged = [id(one) for own, _ in judges for one in own]
    assert sorted(judged) == sorted(6 * [id(one) for one in people])  # each pull, each step
    assert len(learnt[-1]) == len(people)


# --- the experts' weights -----------------------------------------------------


def draws_by_enumeration(likelihood, weights, share):
    """Expected draws of each expert over all ways in which outcomes may have come about."""
    n, k = likelihood.shape
    total, draws = 0.0, np.zeros(k)
    shares = [1.0, *(share / (1 + share * t) for t in range(n - 1))]
    for path in product(range(k), repeat=n):
        for drawn in product((False, True), repeat=n - 1):
            again = (True, *drawn)
            chance, count = 1.0, np.zeros(k)
            for t in range(n):
                if again[t]:
                    chance *= weights[path[t]] * shares[t]
                    count[path[t]] += 1
                else:
                    chance *= (1 - shares[t]) * (path[t] == path[t - 1])
                chance *= likelihood[t, path[t]]
            total += chance
            draws += chance * count
    return draws / total


@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    share=st.floats(0.01, 0.5),
)
def test_draws_are_those_of_the_hidden_markov_model(seed, lengths, share):
    random = np.random.default_rng(seed)
    weights = random.dirichlet(np.ones(3))
    likelihood = np.ones((max(lengths), len(lengths), 3))
    for person_, n in enumerate(lengths):
        likelihood[:n, person_] = random.uniform(0.05, 0.95, (n, 3))
    got = empirical_bayes._draws(likelihood, np.array(lengths), weights, share)
    for person_, n in enumerate(lengths):
        wanted = draws_by_enumeration(likelihood[:n, person_], weights, share)
        assert got[person_] == pytest.approx(wanted, rel=1e-9)


def test_the_expert_that_is_right_gets_the_weight():
    said = np.array([[0.9, 0.5, 0.2]] * 50)
    judged = [said] * 10
    expected = np.full(3, 1 / 3)
    weights = empirical_bayes._expert_weights(judged, expected, 0.05, PriorConfig(caution=1))
    assert weights.argmax() == 0
    assert weights[0] > 0.8
    assert weights.sum() == pytest.approx(1)


# --- files --------------------------------------------------------------------


def test_a_prior_survives_its_file(people, tmp_path):
    prior = train_prior(people, QUICK)
    packed = priors.pack(prior, DEFAULT_FEATURES, counts={"people": 12})
    path = tmp_path / "prior.safetensors"
    path.write_bytes(packed.data)
    again = priors.read(path)
    assert again.data == packed.data
    assert again.manifest.counts == {"people": 12}
    assert same(priors.prior_for(again, DEFAULT_FEATURES), prior)


@pytest.mark.parametrize("members", [1, 3])
def test_more_features_than_the_prior_knows_start_as_without_a_prior(people, members):
    general = train_prior(people, replace(QUICK, members=members))
    wider = DEFAULT_FEATURES + times_today("coffee", 2)
    prior = priors.prior_for(priors.pack(general, DEFAULT_FEATURES), wider)
    blank = Prior(priors.model_config(wider))
    assert np.array_equal(prior.mean[:-1], general.mean)
    assert prior.mean[-1] == blank.mean[-1]
    assert prior.variance[-1] == blank.variance[-1]
    assert np.array_equal(prior.experts, general.experts)
    # without coffee, the wider network says what the narrow one says
    plain, wide = person(3), person(3, feature_set=wider)
    column = walk(plain, general).experts[0] == walk(wide, prior).experts[0]
    assert column.all()


@pytest.mark.parametrize(
    ("hidden_layers", "hidden"),
    [([15, 28], "relu"), ([4], "relu"), ([8, 16], "relu"), ([16, 8], "tanh")],
)
def test_a_prior_with_networks_of_other_layers_is_refused(hidden_layers, hidden):
    """Also where the length alone does not tell: 10-15-28-1 is as long as two of 10-16-8-1."""
    config = ModelConfig(hidden_layers=hidden_layers, hidden=hidden)
    parameters = np.full(config.n_parameters, 0.1, np.float32)
    packed = priors.pack(Prior(config, network=parameters), DEFAULT_FEATURES)
    with pytest.raises(CheckpointError, match=r"prior: expected networks of .*16, 8, 1.*'relu'"):
        priors.prior_for(packed, DEFAULT_FEATURES)
    assert priors.prior_for(packed, DEFAULT_FEATURES, networks=False).network is None


def test_a_prior_file_with_a_part_of_a_network_is_refused():
    tensors = Prior(network=np.zeros(642, np.float32)).tensors()
    packed = priors.pack(Prior(), DEFAULT_FEATURES)
    for damaged in (tensors["prior.network"][:-1], tensors["prior.network"].astype(np.float64)):
        file = Generation({**tensors, "prior.network": damaged}, packed.manifest)
        with pytest.raises(CheckpointError, match=r"prior: prior\.network: expected"):
            priors.prior_for(file, DEFAULT_FEATURES)


def test_the_built_in_prior_is_for_the_default_features():
    prior = priors.prior_for(priors.read(), DEFAULT_FEATURES)
    assert prior.network is not None
    assert priors.read().manifest.features == DEFAULT_FEATURES.names
