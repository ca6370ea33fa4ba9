"""Write core, prior, ensemble and generation.safetensors: the bits of the core.

Run `python tests/vectors/make_core.py`; `make test` fails if a file differs from what this makes.
The history (features and labels of an invented person's 200 days) is made only where there is no
core.safetensors; otherwise it is taken from there, so that the expected bits only change when the
core does. To start anew, remove the file.
"""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from inhabit._native import (
    ModelConfig,
    Network,
    Prior,
    TrainingConfig,
    checkpoint_decode,
    train,
    walk_forward,
)
from inhabit.checkpoints import Generation, Manifest
from inhabit.events import Event, EventColumns
from inhabit.samples import Target, samples

FOLDER = Path(__file__).parent
CORE = FOLDER / "core.safetensors"
LAYERS = (10, 16, 8, 1)
ACTIVATIONS = ("identity", "relu", "tanh", "sigmoid")  # their numbers in C are their indices
SETTINGS = {
    "sgd": TrainingConfig("sgd", learning_rate=0.05, momentum=0.9, epochs=5, batch_size=16, seed=1),
    "adam": TrainingConfig(learning_rate=0.01, epochs=5, batch_size=32, l2=0.01, seed=2),
    "ordered": TrainingConfig(learning_rate=0.01, epochs=3, batch_size=7, shuffle=False),
    "patience": TrainingConfig(learning_rate=0.005, epochs=40, batch_size=32, patience=3, seed=3),
}


def history() -> dict[str, np.ndarray]:
    """Return the samples of an invented person: stored ones, or new ones."""
    if CORE.exists():
        stored, _ = checkpoint_decode(CORE.read_bytes())
        return {name: value for name, value in stored.items() if name.startswith("history.")}
    rng = random.Random(2026)
    done, events = 0.6, []
    for day in range(200):
        at = datetime(2026, 1, 5, 7, tzinfo=UTC) + timedelta(days=day, minutes=rng.randrange(120))
        events += [Event(kind="app_opened", occurred_at=at)] * (rng.random() < 0.7)
        happens = rng.random() < (0.15 + 0.7 * done) * (0.5 if at.weekday() >= 5 else 1.0)
        done += 0.2 * (happens - done)
        if happens:
            evening = at + timedelta(hours=rng.randrange(1, 13))
            events.append(Event(kind="habit_completed", occurred_at=evening))
    table = samples(EventColumns.from_rows(event.row for event in events), Target())
    return {
        "history.x": table.features.ravel(),
        "history.label": (table.label + 1).astype(np.uint32),  # 0 unknown, 1 negative, 2 positive
        "history.slot": table.slot.astype(np.uint32),
        "history.learn_at": table.learn_at,
    }


def numbers(config: TrainingConfig) -> np.ndarray:
    """Return a configuration as the fields of `inhabit_training_config`, in order."""
    return np.array(
        [
            {"sgd": 0, "adam": 1}[config.optimizer],
            config.epochs,
            config.batch_size,
            config.patience or 0,
            config.shuffle,
            0,
            config.seed,
            config.learning_rate,
            config.momentum,
            config.beta1,
            config.beta2,
            config.epsilon,
            config.l2,
            config.validation_fraction,
        ],
        dtype=np.float64,
    )


def files() -> dict[str, bytes]:
    """Return the content of every file by name."""
    tensors = history()
    x = tensors["history.x"].reshape(-1, LAYERS[0])
    label = tensors["history.label"].astype(np.int8) - np.int8(1)
    known = label >= 0
    y = label[known].astype(np.float32)
    tensors["network.layers"] = np.array(LAYERS, dtype=np.uint32)
    for number, hidden in enumerate(ACTIVATIONS):
        network = Network(LAYERS, hidden, seed=number)
        tensors[f"network.{hidden}.parameters"] = network.parameters
        tensors[f"network.{hidden}.predictions"] = network.predict_many(x)
    for name, config in SETTINGS.items():
        network = Network(LAYERS, "relu", seed=ACTIVATIONS.index("relu"))
        train(network, x[known], y, config)
        tensors[f"training.{name}.config"] = numbers(config)
        tensors[f"training.{name}.parameters"] = network.parameters

    config = ModelConfig()
    prior = Prior(config, network=Network(LAYERS, config.hidden, seed=5).parameters)
    slot = tensors["history.slot"].astype(np.uint8)
    columns = (x, label, slot, tensors["history.learn_at"])
    walk = walk_forward(*columns, config, prior)
    tensors["walk.probability"] = walk.probability
    members = [Network(LAYERS, config.hidden, seed=seed).parameters for seed in (6, 7, 8)]
    ensemble = Prior(config, network=np.concatenate(members))
    tensors["ensemble.probability"] = walk_forward(*columns, config, ensemble).probability
    return {
        "core.safetensors": Generation(tensors).data,
        "prior.safetensors": Generation(prior.tensors(), Manifest(seed=5)).data,
        "ensemble.safetensors": Generation(ensemble.tensors(), Manifest(seed=6)).data,
        "generation.safetensors": Generation(
            walk.model.tensors(),
            Manifest(
                schema="test",
                parent=Generation(prior.tensors(), Manifest(seed=5)).id,
                counts={"samples": len(y), "positive": int(y.sum())},
                metrics={"log_loss": 0.5},
                settings={"subject": 'say "é"'},
            ),
        ).data,
    }


if __name__ == "__main__":
    for name, data in files().items():
        (FOLDER / name).write_bytes(data)
