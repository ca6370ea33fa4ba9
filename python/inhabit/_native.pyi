"""The Rust core of inhabit. Hand-written; `make lint` checks it with stubtest.

Arrays hold booleans, integers or floats, of any layout and byte order; objects, texts, times,
complex and masked numbers are a TypeError, a whole number out of range a ConfigError. Both name
the argument.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "EXPERTS",
    "MAX_MEMBERS",
    "Model",
    "ModelConfig",
    "Network",
    "Prior",
    "TrainingConfig",
    "TrainingProgress",
    "TrainingResult",
    "WalkForward",
    "__version__",
    "_network_from_parameters",
    "checkpoint_decode",
    "checkpoint_encode",
    "ensemble",
    "train",
    "train_many",
    "walk_forward",
    "walk_forward_many",
]

__version__: str

_Activation: TypeAlias = Literal["relu", "tanh", "sigmoid", "identity"]
_Loss: TypeAlias = Literal["bce_with_logits", "mse"]
_Optimizer: TypeAlias = Literal["adam", "sgd"]
_Status: TypeAlias = Literal["finished", "stopped_early", "cancelled", "deadline"]

@final
class Network:
    """A fully connected network and its parameters.

    Per layer ``h = f(W x + b)``; the last sum goes through the link of the loss: the logistic
    function for ``"bce_with_logits"``, so predictions are probabilities, nothing for ``"mse"``.

    Parameters
    ----------
    layers : sequence of int, default (10, 16, 8, 1)
        Layer sizes, the input first; 2 to 16 sizes from 1 to 4096.
    hidden : {"relu", "tanh", "sigmoid", "identity"}
        The activation of every hidden layer.
    seed : int
        Seed of the initial weights: uniform in ``±sqrt(6 / n_in)`` (He) for ReLU layers,
        ``±sqrt(6 / (n_in + n_out))`` (Glorot) otherwise; biases are 0.
    loss : {"bce_with_logits", "mse"}
        What `gradient` and `train` use.

    Raises
    ------
    ConfigError
        If a setting is outside its range.
    """

    def __new__(
        cls,
        layers: Sequence[int] | None = None,
        hidden: _Activation = "relu",
        seed: int = 0,
        *,
        loss: _Loss = "bce_with_logits",
    ) -> Network: ...
    @property
    def layers(self) -> tuple[int, ...]:
        """Layer sizes, the input first."""
    @property
    def hidden(self) -> _Activation:
        """The activation of the hidden layers."""
    @property
    def loss(self) -> _Loss:
        """The loss."""
    @property
    def parameters(self) -> NDArray[np.float32]:
        """A flat float32 copy: per layer ``W [n_out, n_in]`` row-major, then ``b``; assignable."""
    @parameters.setter
    def parameters(self, value: ArrayLike) -> None: ...
    def predict(self, x: ArrayLike, /) -> float:
        """Predict one row.

        Parameters
        ----------
        x : array_like of float32, shape (n_inputs,)
            A float32 array is read in place; a list or a tuple of floats is nearly as fast.

        Returns
        -------
        float

        Raises
        ------
        ShapeError
            If `x` has the wrong shape, or the network more than one output.
        NonFiniteError
            If `x` holds a NaN or an infinity, or numbers so large that a sum overflows.
        """
    def predict_many(
        self, X: ArrayLike, *, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Predict many rows; the same bits as `predict` row by row.

        Parameters
        ----------
        X : array_like of float32, shape (n, n_inputs)
            C-contiguous float32 is read in place, anything else is converted first.
        out : ndarray of float32, shape (n,) or (n, n_outputs), optional
            Where to write; C-contiguous, aligned, and not memory of `X`.

        Returns
        -------
        ndarray of float32, shape (n,), or (n, n_outputs) with more than one output

        Raises
        ------
        ShapeError, NonFiniteError
            As `predict`, naming the index or the row; `out` is then as it was.
        """
    def gradient(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> tuple[float, NDArray[np.float32]]:
        """Mean loss and its gradient.

        ``sum(w * loss) / sum(w)`` over samples, and the plain mean over outputs.

        Parameters
        ----------
        X : array_like of float32, shape (n, n_inputs)
        y : array_like of float32, shape (n,) or (n, n_outputs)
            In [0, 1] for ``"bce_with_logits"``.
        sample_weight : array_like of float32, shape (n,), optional

        Returns
        -------
        loss : float
        gradient : ndarray of float32, shape (n_parameters,)
            In the order of `parameters`.

        Raises
        ------
        ShapeError, NonFiniteError, ConfigError
            NonFiniteError also where a sum, a loss or the gradient overflows.
        """
    def explain(self, x: ArrayLike, background: ArrayLike) -> NDArray[np.float64]:
        """Exact Shapley values: how much each input moved the prediction.

        Interventional: ``v(S)`` is the mean over the background rows ``b`` of the prediction for
        `x` on the inputs in ``S`` and ``b`` elsewhere, and
        ``phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))``. The values
        of a row sum to its prediction minus the mean prediction of the background.

        Parameters
        ----------
        x : array_like of float32, shape (n_inputs,) or (rows, n_inputs)
            At most 16 inputs: ``2**n_inputs`` predictions per row and background row.
        background : array_like of float32, shape (m, n_inputs)

        Returns
        -------
        ndarray of float64, of the shape of `x`
        """
    def copy(self) -> Network:
        """Return an independent network with the same parameters."""

@final
class TrainingConfig:
    """How to train.

    Parameters
    ----------
    optimizer : {"adam", "sgd"}
    learning_rate : float
        Above 0.
    momentum : float
        For ``"sgd"``, in [0, 1).
    epochs : int
        Passes over the samples, at least 1.
    batch_size : int
        Samples per step, at least 1; the last batch of an epoch may be smaller.
    l2 : float
        Adds ``l2 / 2 * sum((parameters - anchor)**2)`` to the loss.
    anchor : array_like of float32, shape (n_parameters,), optional
        What `l2` pulls towards; zero if not given.
    shuffle : bool
        Whether to shuffle before each epoch (Fisher-Yates with SplitMix64).
    seed : int
        The seed of the shuffling.
    patience : int, optional
        Hold out the last samples, stop after this many epochs without a better loss on them, and
        keep the best parameters seen, the initial ones included.
    validation_fraction : float
        The part that `patience` holds out, in (0, 1).
    beta1, beta2, epsilon : float
        The constants of Adam.

    Raises
    ------
    ConfigError
        If a setting is outside its range.
    """

    def __new__(
        cls,
        optimizer: _Optimizer = "adam",
        learning_rate: float = 0.001,
        momentum: float = 0.0,
        epochs: int = 20,
        batch_size: int = 32,
        l2: float = 0.0,
        anchor: ArrayLike | None = None,
        shuffle: bool = True,
        seed: int = 0,
        patience: int | None = None,
        validation_fraction: float = 0.2,
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> TrainingConfig: ...
    @property
    def optimizer(self) -> _Optimizer: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def l2(self) -> float: ...
    @property
    def anchor(self) -> NDArray[np.float32] | None: ...
    @property
    def shuffle(self) -> bool: ...
    @property
    def seed(self) -> int: ...
    @property
    def patience(self) -> int | None: ...
    @property
    def validation_fraction(self) -> float: ...
    @property
    def beta1(self) -> float: ...
    @property
    def beta2(self) -> float: ...
    @property
    def epsilon(self) -> float: ...
    def replace(self, **changes: object) -> TrainingConfig:
        """Return a copy with some settings changed."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class TrainingProgress:
    """What a progress callback sees after each epoch.

    Attributes
    ----------
    epoch, epochs : int
        Epochs done, and configured.
    loss : float
        Mean training loss of the epoch's batches, each before its step, without the L2 term.
    validation_loss : float or None
        Mean loss of the held-out samples; None without `patience`.
    """

    @property
    def epoch(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def validation_loss(self) -> float | None: ...

@final
class TrainingResult:
    """What a training did.

    Attributes
    ----------
    network : Network
        The network that was trained, in place.
    status : {"finished", "stopped_early", "cancelled", "deadline"}
    epochs : int
        Epochs done.
    best_epoch : int
        The epoch whose parameters were kept; with `patience`, 0 means the initial ones.
    loss : float
        Mean loss of the kept parameters over all samples, without the L2 term.
    losses : list of float
        Training loss per epoch; empty without a `progress` callback.
    validation_losses : list of float
        Held-out loss per epoch; empty without `patience`.
    """

    @property
    def network(self) -> Network: ...
    @property
    def status(self) -> _Status: ...
    @property
    def epochs(self) -> int: ...
    @property
    def best_epoch(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def losses(self) -> list[float]: ...
    @property
    def validation_losses(self) -> list[float]: ...
    @property
    def parameters(self) -> NDArray[np.float32]:
        """The kept parameters, a flat copy."""

def train(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    config: TrainingConfig | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    progress: Callable[[TrainingProgress], object] | None = None,
    deadline_s: float | None = None,
) -> TrainingResult:
    """Train `network` in place.

    The GIL is released. If anything is raised, also by `progress` or by Ctrl-C, the network keeps
    the parameters it had.

    Parameters
    ----------
    network : Network
    X : array_like of float32, shape (n, n_inputs)
    y : array_like of float32, shape (n,) or (n, n_outputs)
    config : TrainingConfig, optional
    sample_weight : array_like of float32, shape (n,), optional
    progress : callable, optional
        Called after each epoch with a `TrainingProgress`; returning False stops the training and
        keeps what was reached.
    deadline_s : float, optional
        Stop after about this many seconds (looked at every few milliseconds) and keep what was
        reached.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ShapeError, NonFiniteError, ConfigError
        For an argument, or, NonFiniteError, when training diverges.
    """

EXPERTS: list[str]
"""The experts of a `Model`, in the order of its weights: running rate, three recency-weighted rates
(slowest first), the rate of somebody who may have stopped for good since the last success, the
slot's rate, the rate after as many misses in a row, the steady, the quick and the bold logistic
model, the prior network, the personal network."""

MAX_MEMBERS: int
"""The most networks that a `Prior` has."""

@final
class ModelConfig:
    """How a `Model` is built; the same for everyone.

    Parameters
    ----------
    n_inputs : int, default 10
        Numbers in one input row, 1 to 53.
    rates : sequence of int
        Which inputs are rates; they are read as log odds. By default those of the default features.
    hidden_layers : sequence of int or None, default (16, 8)
        Hidden layers of the prior and the personal network; None to do without networks.
    hidden : {"relu", "tanh", "sigmoid", "identity"}
        The activation of the hidden layers.
    share : float
        Share of the mixture's weights that is dealt out anew after the first outcome, in [0, 1);
        after t more it is ``share / (1 + share t)``.
    retention, quick_retention : float
        How much of what was learnt from an outcome the steady and the bold, and the quick logistic
        model keep at the next, in (0, 1].
    pull : float
        L2 pull of the personal network towards the prior, as a precision (it is divided by the
        number of outcomes); without a prior, a fiftieth of it towards 0.
    learning_rate, epochs, batch_size : float, int, int
        One training of the personal network (plain gradient descent from where it is).
    retrain_every : int
        Outcomes between two trainings of the personal network in a walk, at least 1. The number of
        moments in a day makes it daily.
    retrain_window : int
        The most recent outcomes that a training sees.
    seed : int
        Of the personal network's initial weights without a prior, and of shuffling.

    Raises
    ------
    ConfigError
        If a setting is outside its range.
    """

    def __new__(
        cls,
        n_inputs: int = 10,
        rates: Sequence[int] = ...,
        *,
        hidden_layers: Sequence[int] | None = ...,
        hidden: _Activation = "relu",
        share: float | None = None,
        retention: float | None = None,
        quick_retention: float | None = None,
        pull: float | None = None,
        learning_rate: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        retrain_every: int | None = None,
        retrain_window: int | None = None,
        seed: int = 0,
    ) -> ModelConfig: ...
    @property
    def n_inputs(self) -> int: ...
    @property
    def rates(self) -> list[int]: ...
    @property
    def layers(self) -> list[int] | None:
        """Layer sizes of the networks; None without."""
    @property
    def hidden(self) -> _Activation | None:
        """The activation of the networks' hidden layers; None without."""
    @property
    def share(self) -> float: ...
    @property
    def retention(self) -> float: ...
    @property
    def quick_retention(self) -> float: ...
    @property
    def pull(self) -> float: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def retrain_every(self) -> int: ...
    @property
    def retrain_window(self) -> int: ...
    @property
    def seed(self) -> int: ...
    @property
    def n_weights(self) -> int:
        """Weights of a logistic model: 11 for what it knows itself, then one for each input."""
    @property
    def n_state(self) -> int:
        """Length of the tensor ``model.state``."""
    @property
    def n_parameters(self) -> int:
        """Length of the tensors ``model.champion`` and ``model.challenger``."""
    def __eq__(self, other: object, /) -> bool: ...

@final
class Prior:
    """What a `Model` knows before the first outcome of its person.

    Parameters
    ----------
    config : ModelConfig, optional
        What the prior is for: its inputs, rates and layers.
    network : array_like of float32, shape (members * config.n_parameters,), optional
        Parameters of the prior network, or of up to `MAX_MEMBERS` networks one behind the other:
        the prior says the average of their log odds. The personal network begins as the first, and
        is pulled to it.
    mean, variance : sequence of float, shape (config.n_weights,), optional
        Of the weights of the logistic models. The default says "the rates are about right".
    experts : sequence of float, optional
        Initial weights of the mixture, in the order of `EXPERTS`; made to sum to 1 over the experts
        that there are.

    Raises
    ------
    ShapeError, NonFiniteError, ConfigError
    """

    def __new__(
        cls,
        config: ModelConfig | None = None,
        *,
        network: ArrayLike | None = None,
        mean: Sequence[float] | NDArray[np.float64] | None = None,
        variance: Sequence[float] | NDArray[np.float64] | None = None,
        experts: Sequence[float] | NDArray[np.float64] | None = None,
    ) -> Prior: ...
    @property
    def config(self) -> ModelConfig: ...
    @property
    def network(self) -> NDArray[np.float32] | None: ...
    @property
    def mean(self) -> NDArray[np.float64]: ...
    @property
    def variance(self) -> NDArray[np.float64]: ...
    @property
    def experts(self) -> NDArray[np.float64]: ...
    def tensors(self) -> dict[str, NDArray[np.float32] | NDArray[np.float64]]:
        """Return copies of all that the prior is: what a prior file stores.

        ``model.config`` (float64, see ``rust/core/src/generation.rs``), ``prior.mean``,
        ``prior.variance`` and ``prior.experts`` (float64), and ``prior.network`` (float32)
        if there is one.
        """
    @staticmethod
    def from_tensors(tensors: dict[str, NDArray[np.float32] | NDArray[np.float64]]) -> Prior:
        """Return the prior that `tensors` was called on, also from the tensors of a `Model`.

        Raises
        ------
        ShapeError, NonFiniteError, ConfigError
            For tensors that are missing or hold numbers that no prior has.
        """

@final
class Model:
    """One person's model of one subject: a mixture of experts that learns one outcome at a time.

    The probability is a mixture of running rates, three Bayesian logistic models, the prior network
    and a personal network, weighted by how well each predicted this person so far, then calibrated
    by a monotone map that starts as the identity. Over any sequence of n outcomes the loss of the
    mixture is at most that of expert i plus ``ln 1/u_i + ln (1 + s (n - 1)) / (1 - s)``, ``u`` the
    initial weights and ``s`` the configuration's `share`.

    Parameters
    ----------
    config : ModelConfig, optional
        By default that of `prior`.
    prior : Prior, optional
    """

    def __new__(cls, config: ModelConfig | None = None, prior: Prior | None = None) -> Model: ...
    @staticmethod
    def from_tensors(
        tensors: dict[str, NDArray[np.float32] | NDArray[np.float64]],
        config: ModelConfig | None = None,
        prior: Prior | None = None,
    ) -> Model:
        """Return the model that `tensors` was called on; it goes on with the same bits.

        Configuration and prior are those in `tensors`, unless they are given.

        Raises
        ------
        ShapeError, NonFiniteError, ConfigError
            For numbers that no history leads to.
        """
    def tensors(self) -> dict[str, NDArray[np.float32] | NDArray[np.float64]]:
        """Return copies of all that the model is: what `Generation` stores.

        Configuration and prior as in `Prior.tensors`; what was learnt:
        ``model.state`` (float64, ``[config.n_state]``), and with networks ``model.champion`` and
        ``model.challenger`` (float32, ``[config.n_parameters]``): the personal network that is
        served, and the one trained last.
        """
    def predict(self, x: ArrayLike, slot: int = 0) -> float:
        """Return the probability of the target at a moment.

        Parameters
        ----------
        x : array_like of float32, shape (n_inputs,)
        slot : int
            Index of the moment in the day's schedule, 0 to 23.

        Raises
        ------
        ShapeError, NonFiniteError, ConfigError
            For another number of inputs, inputs not finite or beyond ±1e12, or another slot.
        """
    def experts(self, x: ArrayLike, slot: int = 0) -> NDArray[np.float64]:
        """Return what each of `EXPERTS` says."""
    def learn(self, x: ArrayLike, slot: int, label: int) -> None:
        """Take in the label (1 or 0) of a moment with these inputs."""
    def learn_together(
        self,
        X: ArrayLike,
        slot: Sequence[int],
        label: Sequence[int],
        late: Sequence[bool] | None = None,
    ) -> None:
        """Take in the labels of moments that became known together, such as those of one day.

        All are judged before any is learnt, and count as one outcome together.

        Parameters
        ----------
        X : array_like of float32, shape (n, n_inputs)
        slot : sequence of int, length n
        label : sequence of int, length n
            1 or 0.
        late : sequence of bool, length n, optional
            Whether other labels were learnt between the moment and now, as happens where windows
            begin only after the next moment. By default none is.
        """
    def network_input(self, x: ArrayLike) -> NDArray[np.float32]:
        """Return what the networks see of `x`: half the log odds of rates, the rest as it is."""
    def walk(
        self,
        X: ArrayLike,
        label: NDArray[np.int8],
        slot: NDArray[np.uint8],
        learn_at: NDArray[np.uint32],
        begin: int,
        end: int,
    ) -> NDArray[np.float64]:
        """Walk on through rows ``begin`` to ``end`` of a history (see `walk_forward`).

        The model must have been walked through the rows before. Slices that follow each other give
        the bits of one walk; the one with the last row also learns the labels that come after it.
        The GIL is released.

        Returns
        -------
        ndarray of float64, shape (end - begin,)
            What was served, each before its label was known.
        """
    def calibrate(self, probability: float) -> float:
        """Return what the calibration makes of a probability of the mixture, inside (0, 1).

        Strictly increasing, so that it ranks as before; the identity before the first label.
        """
    def copy(self) -> Model: ...
    @property
    def config(self) -> ModelConfig: ...
    @property
    def outcomes(self) -> int:
        """Labels taken in so far; those that became known together count as one."""
    @property
    def promotions(self) -> int:
        """Promotions of a personal network so far; 0 serves none."""
    @property
    def weights(self) -> NDArray[np.float64]:
        """The mixture's weights now."""
    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the steady logistic model's weights now, shape (config.n_weights,)."""
    @property
    def variance(self) -> NDArray[np.float64]:
        """Their variances; like `mean` those of the prior before the first label."""

@final
class WalkForward:
    """What `walk_forward` returns.

    Attributes
    ----------
    probability : ndarray of float64, shape (n,)
        What was served, each before its label was known.
    experts : ndarray of float64, shape (n, len(EXPERTS))
    promotions : ndarray of uint32, shape (n,)
        Promotions of a personal network by then; 0 serves none.
    model : Model
        The model after all labels.
    """

    @property
    def probability(self) -> NDArray[np.float64]: ...
    @property
    def experts(self) -> NDArray[np.float64]: ...
    @property
    def promotions(self) -> NDArray[np.uint32]: ...
    @property
    def model(self) -> Model: ...

def walk_forward(
    X: ArrayLike,
    label: NDArray[np.int8],
    slot: NDArray[np.uint8],
    learn_at: NDArray[np.uint32],
    config: ModelConfig | None = None,
    prior: Prior | None = None,
) -> WalkForward:
    """Walk a fresh model through one person's samples, in time order: this is training.

    Before row t, the labels with ``learn_at == t`` are learnt in the order of their rows and the
    personal network is retrained if enough has come; then row t is predicted. After the last row
    the labels with ``learn_at == n`` are learnt. The GIL is released.

    Parameters
    ----------
    X : array_like of float32, shape (n, n_inputs)
    label : ndarray of int8, shape (n,)
        1 positive, 0 negative, -1 unknown.
    slot : ndarray of uint8, shape (n,)
    learn_at : ndarray of uint32, shape (n,)
        The first row at whose prediction a label may be used, later than its own; n if none.

    Raises
    ------
    ShapeError, NonFiniteError, ConfigError
    """

def walk_forward_many(
    people: Iterable[tuple[ArrayLike, NDArray[np.int8], NDArray[np.uint8], NDArray[np.uint32]]],
    config: ModelConfig | None = None,
    prior: Prior | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[WalkForward]:
    """Walk a fresh model through each of many people's samples, on all cores.

    Each person gets the very bits that `walk_forward` would give. The GIL is released; the longest
    histories are begun first. If anything is raised, also by `progress` or by Ctrl-C, nobody else
    is begun.

    Parameters
    ----------
    people : iterable of (X, label, slot, learn_at)
        As for `walk_forward`, n rows each, which may differ from person to person.
    config, prior
        As for `walk_forward`, for all people.
    workers : int, optional
        Threads, 1 to 1024; by default as many as there are cores.
    progress : callable, optional
        Called now and then, and at the end, with the number of people done and of all people.

    Returns
    -------
    list of WalkForward
        In the order of `people`.

    Raises
    ------
    ShapeError, NonFiniteError, ConfigError, TypeError
        Naming the person's index and the argument (``people[3]: learn_at: ...``); nobody has then
        been walked through.
    NonFiniteError
        If the training of somebody's personal network diverges; of several the first person's.
    """

def train_many(
    network: Network,
    people: Iterable[tuple[ArrayLike, ...]],
    config: TrainingConfig | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> NDArray[np.float32]:
    """Train a network for each of many people, on all cores.

    Each starts from the parameters of `network`, which is not changed, and gets the very bits that
    `train` would give. The GIL is released; if anything is raised, also by `progress` or by Ctrl-C,
    nobody else is begun.

    Parameters
    ----------
    network : Network
    people : iterable of (X, y) or (X, y, sample_weight)
        As for `train`; C-contiguous float32 is read in place.
    config : TrainingConfig, optional
    workers : int, optional
        Threads, 1 to 1024; by default as many as there are cores.
    progress : callable, optional
        Called now and then, and at the end, with the number of people done and of all people.

    Returns
    -------
    ndarray of float32, shape (n_people, n_parameters)

    Raises
    ------
    ShapeError, NonFiniteError, ConfigError
        Naming the person's index and the argument (``people[3]: y: ...``); nobody has then been
        trained for.
    NonFiniteError
        If somebody's training diverges; of several the first person's.
    """

def ensemble(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    config: TrainingConfig | None = None,
    sample_weight: ArrayLike | None = None,
    *,
    members: int = 8,
    bootstrap: bool = False,
) -> list[Network]:
    """Train the same shape several times, on all cores; the spread of the members is the doubt.

    Parameters
    ----------
    network : Network
        The shape; not changed.
    X, y, config, sample_weight
        As for `train`. Member k has the seed ``config.seed + k``.
    members : int
    bootstrap : bool
        If true, each member starts from the parameters of `network` and trains on rows drawn
        with replacement. If false, each starts from its own seeded initial weights, and all see
        all rows.

    Returns
    -------
    list of Network
    """

def _network_from_parameters(
    layers: Sequence[int], hidden: str, loss: str, parameters: ArrayLike
) -> Network: ...
def checkpoint_encode(
    tensors: Sequence[tuple[str, NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint32]]],
    manifest: str,
) -> bytes:
    """Return the bytes of a generation file; the order of `tensors` does not matter.

    Raises
    ------
    CheckpointError
        A bad or repeated name, a number that is not finite, or too many tensors.
    """

def checkpoint_decode(
    data: bytes,
) -> tuple[dict[str, NDArray[np.float32] | NDArray[np.float64] | NDArray[np.uint32]], str]:
    """Return the tensors, in the order of the file, and the manifest of verified bytes.

    Raises
    ------
    CheckpointError
        The bytes are not a whole, unaltered generation file.
    """
