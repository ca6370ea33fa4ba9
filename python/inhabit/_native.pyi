"""The Rust core of inhabit. Hand-written; `make lint` checks it against the module with stubtest."""

from collections.abc import Callable, Sequence
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__version__: str

_Activation = Literal["relu", "tanh", "sigmoid", "identity"]
_Loss = Literal["bce_with_logits", "mse"]
_Optimizer = Literal["adam", "sgd"]
_Status = Literal["finished", "stopped_early", "cancelled", "deadline"]

@final
class Network:
    """A fully connected network and its parameters.

    Per layer ``h = f(W x + b)``; the last sum goes through the link of the loss: the logistic
    function for ``"bce_with_logits"``, so that predictions are probabilities, nothing for ``"mse"``.

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
    def predict(self, x: ArrayLike) -> float:
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
            If `x` holds a NaN or an infinity.
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
            Where to write; C-contiguous.

        Returns
        -------
        ndarray of float32, shape (n,), or (n, n_outputs) with more than one output
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
        shuffle: bool = True,  # noqa: FBT001, FBT002 (the order of the names is fixed)
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
