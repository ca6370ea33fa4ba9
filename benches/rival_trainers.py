"""The rivals of `rivals.py`: the same network and training as others would write them.

Each function returns callables by name, the package first in the name; what is not installed is
left out. Parameters are the flat float32 array of `Network.parameters`.
"""

from __future__ import annotations

import math
import os
from importlib.util import find_spec

import numpy as np

BATCH = 32
NOT_MEASURED = {
    "ai-edge-litert": "its model file has to be authored with TensorFlow first",
    "river": "it has no network; its logistic regression is another model",
}
MODULES = {"scikit-learn": "sklearn"}


def available(package: str) -> bool:
    """Whether a rival can be imported."""
    return find_spec(MODULES.get(package, package)) is not None


def split(flat):
    """Return [(W [n_out, n_in], b)] of the three layers."""
    layers, at = [], 0
    for n_in, n_out in ((10, 16), (16, 8), (8, 1)):
        weights = flat[at : at + n_in * n_out].reshape(n_out, n_in)
        layers.append((weights, flat[at + n_in * n_out : at + n_in * n_out + n_out]))
        at += n_in * n_out + n_out
    return layers


# ------------------------------------------------------------------------------- prediction


def single(flat):
    """Return functions from one row to a probability."""
    found = {"numpy tuned": _numpy_single(flat)}
    if available("numba"):
        found["numba constant weights"] = _numba_single(flat)
    if available("scikit-learn"):
        model = _sklearn_model(flat)
        found["scikit-learn predict_proba"] = lambda x: model.predict_proba(x[None])[0, 1]
    if available("onnxruntime") and available("onnx"):
        session = _onnx_session(flat)
        found["onnxruntime"] = lambda x: session.run(None, {"x": x[None]})[0]
    if available("jax"):
        import jax

        forward = jax.jit(_jax_forward(flat))
        found["jax jit"] = lambda x: float(forward(x[None])[0])
    if available("torch"):
        found["torch inference_mode"] = _torch_predict(flat)
    return found


def many(flat):
    """Return functions from rows to probabilities."""
    found = {"numpy in place, chunks": _numpy_many(flat)}
    if available("scikit-learn"):
        model = _sklearn_model(flat)
        found["scikit-learn predict_proba"] = lambda X: model.predict_proba(X)[:, 1]
    if available("onnxruntime") and available("onnx"):
        session = _onnx_session(flat)
        found["onnxruntime"] = lambda X: session.run(None, {"x": X})[0]
    if available("jax"):
        import jax

        forward = jax.jit(_jax_forward(flat))
        found["jax jit"] = lambda X: np.asarray(forward(X))
    if available("torch"):
        found["torch inference_mode"] = _torch_predict(flat)
    return found


def _numpy_single(flat):
    (w1, b1), (w2, b2), (w3, b3) = split(flat.copy())
    h1, h2, z = np.empty(16, np.float32), np.empty(8, np.float32), np.empty(1, np.float32)
    dot, add, maximum, exp = np.dot, np.add, np.maximum, math.exp

    def predict(x):
        dot(w1, x, out=h1)
        add(h1, b1, out=h1)
        maximum(h1, 0.0, out=h1)
        dot(w2, h1, out=h2)
        add(h2, b2, out=h2)
        maximum(h2, 0.0, out=h2)
        dot(w3, h2, out=z)
        return 1.0 / (1.0 + exp(-(z.item() + bias)))

    bias = float(b3[0])
    return predict


def _numpy_many(flat, chunk=2000):
    layers = [(np.ascontiguousarray(w.T), b) for w, b in split(flat.copy())]
    buffers = [np.empty((chunk, n), np.float32) for n in (16, 8, 1)]

    def predict(X):
        out = np.empty(len(X), np.float32)
        for start in range(0, len(X), chunk):
            h = X[start : start + chunk]
            n = len(h)
            for index, ((w, b), buffer) in enumerate(zip(layers, buffers, strict=True)):
                h = np.dot(h, w, out=buffer[:n])
                h += b
                if index < 2:
                    np.maximum(h, 0.0, out=h)
            np.negative(h, out=h)
            np.exp(h, out=h)
            h += 1.0
            np.divide(1.0, h[:, 0], out=out[start : start + n])
        return out

    return predict


def _sklearn_model(flat):
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((16, 8), max_iter=1)
    X = np.zeros((4, 10), np.float32)
    model.partial_fit(X, [0, 1, 0, 1], classes=[0, 1])
    model.coefs_ = [w.T.copy() for w, _ in split(flat)]
    model.intercepts_ = [b.copy() for _, b in split(flat)]
    return model


def _onnx_session(flat):
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, name = [], [], "x"
    for index, (w, b) in enumerate(split(flat)):
        constants += [
            numpy_helper.from_array(w.copy(), f"w{index}"),
            numpy_helper.from_array(b.copy(), f"b{index}"),
        ]
        inputs = [name, f"w{index}", f"b{index}"]
        nodes.append(helper.make_node("Gemm", inputs, [f"z{index}"], transB=1))
        nodes.append(
            helper.make_node("Relu" if index < 2 else "Sigmoid", [f"z{index}"], [f"h{index}"])
        )
        name = f"h{index}"
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "network",
        [value("x", TensorProto.FLOAT, ["n", 10])],
        [value("h2", TensorProto.FLOAT, ["n", 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _jax_forward(flat):
    import jax
    import jax.numpy as jnp

    layers = [(jnp.asarray(w.T), jnp.asarray(b)) for w, b in split(flat)]

    def forward(X):
        h = X
        for w, b in layers[:2]:
            h = jax.nn.relu(h @ w + b)
        w, b = layers[2]
        return jax.nn.sigmoid(h @ w + b)[:, 0]

    return forward


def _torch_model(flat):
    import torch

    torch.set_num_threads(1)
    parts = []
    for index, (w, b) in enumerate(split(flat)):
        layer = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(w.copy()))
            layer.bias.copy_(torch.from_numpy(b.copy()))
        parts += [layer] + ([torch.nn.ReLU()] if index < 2 else [])
    return torch.nn.Sequential(*parts)


def _torch_predict(flat):
    import torch

    model = _torch_model(flat)

    def predict(X):
        with torch.inference_mode():
            return torch.sigmoid(model(torch.from_numpy(X))).numpy()

    return predict


# --------------------------------------------------------------------------------- training


def trainers(flat, X, y, order, optimizer, rate):
    """Return functions that train from `flat`; each returns the flat result, or None."""
    found = {"numpy by hand": lambda: _numpy_train(flat, X, y, order, optimizer, rate)}
    if available("numba"):
        train = numba_train()
        adam = optimizer == "adam"
        found["numba by hand"] = lambda: train(flat.copy(), X, y, order, adam, rate)
    if available("jax"):
        found["jax scan"] = _jax_trainer(flat, X, y, order, optimizer, rate)
    if available("scikit-learn"):
        found["scikit-learn MLPClassifier.fit"] = _sklearn_fit(X, y, len(order), optimizer, rate)
    if available("torch"):
        found["torch eager"] = lambda: _torch_train(flat, X, y, order, optimizer, rate)
    return found


def populations(flat, X, y, order, optimizer, rate):
    """Return functions that train many people, and how many each trains."""
    found = {}
    if available("numba"):
        everybody, adam = numba_population(), optimizer == "adam"
        found["numba prange"] = (lambda: everybody(flat, X, y, order, adam, rate), len(X))
    if available("scikit-learn") and available("joblib"):
        from joblib import Parallel, delayed

        # A few of the people: all of them would take minutes and teach nothing.
        fits = [_sklearn_fit(X[i], y[i], len(order), optimizer, rate) for i in range(8)]
        jobs = Parallel(n_jobs=os.cpu_count())
        found["scikit-learn joblib"] = (lambda: jobs(delayed(fit)() for fit in fits), len(fits))
    return found


def _numpy_gradient(layers, x, t, out):
    (w1, _), (w2, _), (w3, _) = layers
    h1 = np.maximum(x @ w1.T + layers[0][1], 0.0)
    h2 = np.maximum(h1 @ w2.T + layers[1][1], 0.0)
    d3 = (1.0 / (1.0 + np.exp(-(h2 @ w3.T + layers[2][1]))) - t) / np.float32(len(x))
    d2 = (d3 @ w3) * (h2 > 0)
    d1 = (d2 @ w2) * (h1 > 0)
    for (gw, gb), d, h in zip(out, (d1, d2, d3), (x, h1, h2), strict=True):
        np.dot(d.T, h, out=gw)
        np.sum(d, axis=0, out=gb)


def _numpy_train(flat, X, y, order, optimizer, rate):
    p, g = flat.copy(), np.empty_like(flat)
    m, v, scratch = np.zeros_like(flat), np.zeros_like(flat), np.empty_like(flat)
    layers, gradients, t = split(p), split(g), 0
    target = y[:, None]
    for rows in order:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            _numpy_gradient(layers, X[batch], target[batch], gradients)
            t += 1
            if optimizer == "sgd":
                p -= np.float32(rate) * g
                continue
            m *= np.float32(0.9)
            m += np.float32(0.1) * g
            v *= np.float32(0.999)
            v += np.float32(0.001) * g * g
            np.sqrt(v, out=scratch)
            scratch *= np.float32(1 / math.sqrt(1 - 0.999**t))
            scratch += np.float32(1e-8)
            np.divide(m, scratch, out=scratch)
            scratch *= np.float32(rate / (1 - 0.9**t))
            p -= scratch
    return p


def _sklearn_fit(X, y, epochs, optimizer, rate):
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    def fit():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            MLPClassifier(
                (16, 8),
                solver=optimizer,
                alpha=0.0,
                batch_size=BATCH,
                learning_rate_init=rate,
                max_iter=epochs,
                momentum=0.0,
                n_iter_no_change=epochs,
                random_state=0,
            ).fit(X, y)

    return fit


def _jax_trainer(flat, X, y, order, optimizer, rate):
    import jax
    import jax.numpy as jnp

    def loss(p, x, t, weight):
        h = x
        for index, (n_in, n_out, at) in enumerate(((10, 16, 0), (16, 8, 176), (8, 1, 312))):
            w = p[at : at + n_in * n_out].reshape(n_out, n_in)
            h = h @ w.T + p[at + n_in * n_out : at + n_in * n_out + n_out]
            h = jax.nn.relu(h) if index < 2 else h
        z = h[:, 0]
        return jnp.sum(weight * (jnp.logaddexp(0.0, z) - t * z)) / jnp.sum(weight)

    # Whole batches for scan: the last one of an epoch is filled up with rows of weight 0.
    n = order.shape[1]
    filled = -(-n // BATCH) * BATCH
    rows = np.zeros((len(order), filled), np.int32)
    rows[:, :n] = order
    weights = np.zeros((len(order), filled), np.float32)
    weights[:, :n] = 1.0
    batches = (rows.reshape(-1, BATCH), weights.reshape(-1, BATCH))

    @jax.jit
    def run(p, X, y, batches):
        def step(state, batch):
            p, m, v, t = state
            index, weight = batch
            g = jax.grad(loss)(p, X[index], y[index], weight)
            t = t + 1.0
            if optimizer == "sgd":
                return (p - rate * g, m, v, t), None
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g * g
            m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
            return (p - rate * m_hat / (jnp.sqrt(v_hat) + 1e-8), m, v, t), None

        zero = jnp.zeros_like(p)
        return jax.lax.scan(step, (p, zero, zero, 0.0), batches)[0][0]

    arguments = jax.device_put((flat, X, y, batches))
    return lambda: np.asarray(run(*arguments))


def _torch_train(flat, X, y, order, optimizer, rate):
    import torch

    model = _torch_model(flat)
    kind = torch.optim.Adam if optimizer == "adam" else torch.optim.SGD
    steps = kind(model.parameters(), lr=rate)
    loss = torch.nn.BCEWithLogitsLoss()
    X, y = torch.from_numpy(X), torch.from_numpy(y)
    for rows in torch.from_numpy(order.astype(np.int64)):
        for batch in rows.split(BATCH):
            steps.zero_grad()
            loss(model(X[batch])[:, 0], y[batch]).backward()
            steps.step()
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def _numba_single(flat):
    import numba

    (w1, b1), (w2, b2), (w3, b3) = [(w.copy(), b.copy()) for w, b in split(flat)]

    @numba.njit(fastmath=True)
    def predict(x):
        h1, h2 = np.empty(16, np.float32), np.empty(8, np.float32)
        for k in range(16):
            s = b1[k]
            for i in range(10):
                s += w1[k, i] * x[i]
            h1[k] = max(s, np.float32(0))
        for k in range(8):
            s = b2[k]
            for i in range(16):
                s += w2[k, i] * h1[i]
            h2[k] = max(s, np.float32(0))
        z = b3[0]
        for i in range(8):
            z += w3[0, i] * h2[i]
        return 1.0 / (1.0 + math.exp(-z))

    return predict


def numba_train():
    """Return a whole training in one compiled function."""
    import numba

    @numba.njit(fastmath=True, nogil=True)
    def train(p, X, y, order, adam, rate):
        g, m, v = np.zeros(321, np.float32), np.zeros(321, np.float32), np.zeros(321, np.float32)
        h1, h2 = np.empty(16, np.float32), np.empty(8, np.float32)
        d1, d2 = np.empty(16, np.float32), np.empty(8, np.float32)
        beta1, beta2 = 1.0, 1.0
        n = X.shape[0]
        for e in range(order.shape[0]):
            for start in range(0, n, 32):
                end = min(start + 32, n)
                g[:] = 0.0
                for at in range(start, end):
                    row = order[e, at]
                    for k in range(16):
                        s = p[160 + k]
                        for i in range(10):
                            s += p[k * 10 + i] * X[row, i]
                        h1[k] = max(s, np.float32(0))
                    z = p[320]
                    for k in range(8):
                        s = p[304 + k]
                        for i in range(16):
                            s += p[176 + k * 16 + i] * h1[i]
                        h2[k] = max(s, np.float32(0))
                        z += p[312 + k] * h2[k]
                    d = np.float32((1.0 / (1.0 + math.exp(-z)) - y[row]) / (end - start))
                    g[320] += d
                    d1[:] = 0.0
                    for k in range(8):
                        g[312 + k] += d * h2[k]
                        d2[k] = d * p[312 + k] if h2[k] > 0 else np.float32(0)
                        g[304 + k] += d2[k]
                        for i in range(16):
                            g[176 + k * 16 + i] += d2[k] * h1[i]
                            d1[i] += d2[k] * p[176 + k * 16 + i]
                    for k in range(16):
                        if h1[k] > 0:
                            g[160 + k] += d1[k]
                            for i in range(10):
                                g[k * 10 + i] += d1[k] * X[row, i]
                if adam:
                    beta1 *= 0.9
                    beta2 *= 0.999
                    step = np.float32(rate / (1 - beta1))
                    scale = np.float32(1 / math.sqrt(1 - beta2))
                    for i in range(321):
                        m[i] = np.float32(0.9) * m[i] + np.float32(0.1) * g[i]
                        v[i] = np.float32(0.999) * v[i] + np.float32(0.001) * g[i] * g[i]
                        p[i] -= step * m[i] / (np.sqrt(v[i]) * scale + np.float32(1e-8))
                else:
                    for i in range(321):
                        p[i] -= np.float32(rate) * g[i]
        return p

    return train


def numba_population():
    """Return the training of everybody, on all cores."""
    import numba

    train = numba_train()

    @numba.njit(fastmath=True, parallel=True)
    def everybody(start, X, y, order, adam, rate):
        result = np.empty((X.shape[0], 321), np.float32)
        for person in numba.prange(X.shape[0]):
            result[person] = train(start.copy(), X[person], y[person], order, adam, rate)
        return result

    return everybody


# The first training of a fresh process, after `import numpy as np` and X, y.
_ORDER = "order = np.tile(np.arange(365, dtype=np.uint32), (20, 1))\n"
_FLAT = "flat = np.full(321, 0.1, np.float32)\nimport rival_trainers as r\n"
FRESH = {
    "numpy": _ORDER + _FLAT + "r._numpy_train(flat, X, y, order, 'adam', 1e-3)",
    "numba": _ORDER + _FLAT + "r.numba_train()(flat, X, y, order, True, 1e-3)",
    "jax": _ORDER + _FLAT + "r._jax_trainer(flat, X, y, order, 'adam', 1e-3)()",
    "torch": _ORDER + _FLAT + "r._torch_train(flat, X, y, order, 'adam', 1e-3)",
}
