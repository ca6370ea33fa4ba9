"""Author a LiteRT file: `python -m rival.author_litert kind rate path < parameters`.

`inference` has the parameters as constants. `adam` and `sgd` have three signatures: `start(flat)`
sets the parameters, `step(x, y, weight)` learns one batch, `parameters()` gives them back.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf

from rival import BATCH, split


def tensor(*shape):
    return tf.TensorSpec(shape, tf.float32)


class Inference(tf.Module):
    def __init__(self, flat):
        self.layers = [(tf.constant(w), tf.constant(b)) for w, b in split(flat)]

    @tf.function(input_signature=[tensor(None, 10)])
    def predict(self, x):
        for weights, bias in self.layers[:2]:
            x = tf.nn.relu(tf.matmul(x, weights, transpose_b=True) + bias)
        weights, bias = self.layers[2]
        return {"p": tf.sigmoid(tf.matmul(x, weights, transpose_b=True) + bias)}


class Training(tf.Module):
    """Gradients by hand: LiteRT has no kernel for those that TensorFlow would derive."""

    def __init__(self, optimizer, rate):
        self.optimizer, self.rate = optimizer, rate
        self.p, self.m, self.v = (tf.Variable(tf.zeros(321)) for _ in range(3))
        self.powers = [tf.Variable(1.0), tf.Variable(1.0)]

    @tf.function(input_signature=[tensor(321)])
    def start(self, flat):
        self.p.assign(flat)
        self.m.assign(tf.zeros(321))
        self.v.assign(tf.zeros(321))
        for power in self.powers:
            power.assign(1.0)
        return {"flat": self.p + 0.0}

    @tf.function(input_signature=[tensor(BATCH, 10), tensor(BATCH, 1), tensor(BATCH, 1)])
    def step(self, x, y, weight):
        w1, b1, w2, b2, w3, b3 = tf.split(self.p, [160, 16, 128, 8, 8, 1])
        w1, w2, w3 = (tf.reshape(w, (n, -1)) for w, n in ((w1, 16), (w2, 8), (w3, 1)))
        h1 = tf.nn.relu(tf.matmul(x, w1, transpose_b=True) + b1)
        h2 = tf.nn.relu(tf.matmul(h1, w2, transpose_b=True) + b2)
        d3 = weight * (tf.sigmoid(tf.matmul(h2, w3, transpose_b=True) + b3) - y)
        d2 = tf.matmul(d3, w3) * tf.sign(h2)
        d1 = tf.matmul(d2, w2) * tf.sign(h1)
        parts = []
        for d, h in ((d1, x), (d2, h1), (d3, h2)):
            gradient = tf.matmul(d, h, transpose_a=True)
            parts += [tf.reshape(gradient, [-1]), tf.reduce_sum(d, 0)]
        g = tf.concat(parts, 0)
        if self.optimizer == "sgd":
            self.p.assign(self.p - self.rate * g)
            return {"error": d3}
        power1, power2 = (p * b for p, b in zip(self.powers, (0.9, 0.999), strict=True))
        m, v = 0.9 * self.m + 0.1 * g, 0.999 * self.v + 0.001 * g * g
        rate, scale = self.rate / (1.0 - power1), tf.math.rsqrt(1.0 - power2)
        self.p.assign(self.p - rate * m / (tf.sqrt(v) * scale + 1e-8))
        self.m.assign(m)
        self.v.assign(v)
        self.powers[0].assign(power1)
        self.powers[1].assign(power2)
        return {"error": d3}

    @tf.function(input_signature=[])
    def parameters(self):
        return {"flat": self.p + 0.0}


def main():
    kind, rate, path = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    flat = np.frombuffer(sys.stdin.buffer.read(), np.float32)
    if kind == "inference":
        module, names = Inference(flat), ["predict"]
    else:
        module, names = Training(kind, rate), ["start", "step", "parameters"]
    functions = {name: getattr(module, name).get_concrete_function() for name in names}
    with TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, names)
        converter.experimental_enable_resource_variables = True
        path.write_bytes(converter.convert())


if __name__ == "__main__":
    main()
