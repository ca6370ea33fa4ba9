"""Priors: what a model knows before the first outcome of its person, in files.

A prior is made from other people (`inhabit.empirical_bayes.train_prior`) and written in the format
of generations. It names the features it was made for. A feature set may have more of them: about
those the prior says nothing, so a habit with context of its own still starts from what is known of
habits in general.

The built-in prior is a file beside this module; ``CARD.md`` says which people it learnt from.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from inhabit._native import ModelConfig, Prior
from inhabit.checkpoints import Generation, Manifest
from inhabit.exceptions import CheckpointError, InhabitError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from inhabit.features import FeatureSet

__all__ = [
    "BUILTIN",
    "HIDDEN_LAYERS",
    "columns",
    "extended",
    "model_config",
    "pack",
    "prior_for",
    "read",
]

BUILTIN: Final = "builtin"
"""The name of the prior that comes with the package."""

_FILE: Final = "builtin.safetensors"
HIDDEN_LAYERS: Final = (16, 8)
"""Units of the hidden layers of the networks."""


def model_config(
    feature_set: FeatureSet,
    hidden_layers: tuple[int, ...] | None = HIDDEN_LAYERS,
    *,
    retrain_every: int | None = None,
) -> ModelConfig:
    """Return how a model for these features is built.

    Parameters
    ----------
    feature_set : FeatureSet
    hidden_layers : tuple of int or None
        Of the prior and the personal network; None to do without them.
    retrain_every : int, optional
        Outcomes between two trainings of the personal network.
    """
    rates = [index for index, rate in enumerate(feature_set.rates) if rate]
    layers = None if hidden_layers is None else list(hidden_layers)
    return ModelConfig(len(feature_set), rates, hidden_layers=layers, retrain_every=retrain_every)


def pack(
    prior: Prior,
    feature_set: FeatureSet,
    *,
    settings: Mapping[str, Any] | None = None,
    counts: Mapping[str, int] | None = None,
) -> Generation:
    """Return the file of a prior: the same prior and description give the same bytes.

    Parameters
    ----------
    prior : Prior
    feature_set : FeatureSet
        What the prior's inputs are.
    settings, counts : mapping, optional
        How it was made, and of how much; for the manifest.
    """
    manifest = Manifest(
        schema=feature_set.schema_hash,
        features=feature_set.names,
        counts=dict(counts or {}),
        settings={**(settings or {}), "schema": feature_set.schema},
    )
    return Generation(prior.tensors(), manifest)


def read(source: str | os.PathLike[str] = BUILTIN) -> Generation:
    """Read the built-in prior, or one from a file.

    Raises
    ------
    CheckpointError
        There is no such file, or it is not a whole, unaltered prior.
    """
    try:
        if source == BUILTIN:
            data = resources.files(__name__).joinpath(_FILE).read_bytes()
        else:
            data = Path(source).read_bytes()
    except OSError as error:
        raise CheckpointError(f"prior: cannot read {source}: {error.strerror}") from error
    try:
        generation = Generation.from_bytes(data)
    except CheckpointError as error:
        raise CheckpointError(f"prior: {source}: {error}") from error
    if missing := {"prior.mean", "prior.variance", "prior.experts"} - generation.tensors.keys():
        raise CheckpointError(
            f"prior: expected a file made by `inhabit prior`, {source} has no {min(missing)}"
        )
    return generation


def prior_for(generation: Generation, feature_set: FeatureSet, *, networks: bool = True) -> Prior:
    """Return the prior in a file, for a feature set that has the file's features, or more.

    Parameters
    ----------
    generation : Generation
        From `read`.
    feature_set : FeatureSet
    networks : bool, default True
        False for a model without networks; then that of the file is left out.

    Raises
    ------
    CheckpointError
        A feature of the file is missing in the set, or is defined differently there; or its
        networks have other layers.
    """
    known = columns(generation, feature_set)
    try:
        stored = Prior.from_tensors(cast("Any", dict(generation.tensors)))
    except (InhabitError, TypeError) as error:
        raise CheckpointError(f"prior: {error}") from error
    network = stored.network if networks else None
    # The length does not tell: one network of 10-15-28-1 is as long as two of 10-16-8-1.
    found = (stored.config.layers, stored.config.hidden)
    expected = ([len(known), *HIDDEN_LAYERS, 1], model_config(feature_set).hidden)
    if network is not None and found != expected:
        raise CheckpointError(f"prior: expected networks of {expected}, it was made for {found}")
    return extended(
        feature_set,
        known,
        mean=stored.mean,
        variance=stored.variance,
        experts=stored.experts,
        network=network,
        networks=networks,
    )


def columns(generation: Generation, feature_set: FeatureSet) -> list[int]:
    """Return where in a feature set the features of a prior are.

    Raises
    ------
    CheckpointError
        A feature of the file is missing in the set, or is defined differently there.
    """
    theirs: list[Any] = generation.manifest.settings.get("schema", {}).get("features", [])
    ours = [list(described) for described in feature_set.schema["features"]]
    for described in theirs:
        if described not in ours:
            raise CheckpointError(
                f"prior: it was made for the feature {described[0]!r} in a version that is not "
                f"among {list(feature_set.names)}; train a prior for these features"
            )
    return [ours.index(described) for described in theirs]


def extended(
    feature_set: FeatureSet,
    known: list[int],
    *,
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    experts: NDArray[np.float64],
    network: NDArray[np.float32] | None,
    networks: bool = True,
) -> Prior:
    """Return a prior about some features as one about a set that holds them.

    About the others it says what a model without a prior would say, and its network ignores them.

    Parameters
    ----------
    feature_set : FeatureSet
    known : list of int
        Where in the set the features of the prior are.
    mean, variance, experts, network
        Of the prior, as `inhabit._native.Prior` has them.
    networks : bool, default True
        Whether the model has networks.
    """
    config = model_config(feature_set, HIDDEN_LAYERS if networks else None)
    start = Prior(config)
    n_rates = config.n_weights - len(feature_set)
    weights = [*range(n_rates), *(n_rates + index for index in known)]
    wide_mean, wide_variance = start.mean, start.variance
    wide_mean[weights], wide_variance[weights] = mean, variance
    if network is not None:
        n_units = HIDDEN_LAYERS[0]
        n_first = n_units * len(known)
        n_rest = config.n_parameters - n_units * len(feature_set)
        members = network.reshape(-1, n_first + n_rest)
        first = np.zeros((len(members), n_units, len(feature_set)), np.float32)
        first[:, :, known] = members[:, :n_first].reshape(-1, n_units, len(known))
        wide = np.hstack((first.reshape(len(members), -1), members[:, n_first:]))
        network = wide.ravel()
    return Prior(config, network=network, mean=wide_mean, variance=wide_variance, experts=experts)
