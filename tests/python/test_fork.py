"""A process that forks, as `multiprocessing` does by default on Linux before Python 3.14.

The child has a copy of everything but the threads, and computes the same bits as its parent.
"""

import hashlib
import multiprocessing
import threading

import numpy as np
import pytest

from inhabit._native import (
    ModelConfig,
    Network,
    ensemble,
    train,
    train_many,
    walk_forward_many,
)

pytestmark = [
    pytest.mark.skipif(
        "fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system"
    ),
    # It warns of what this file holds to be mended.
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning"),
]

RANDOM = np.random.default_rng(0)
X = RANDOM.random((40_000, 10), np.float32)  # so many that several threads share them
Y = (RANDOM.random(40) < X[:40, 0]).astype(np.float32)
HISTORY = X[:40], Y.astype(np.int8), np.zeros(40, np.uint8), np.arange(1, 41, dtype=np.uint32)
SMALL = ModelConfig(10, hidden_layers=(4,), retrain_every=20)
NETWORK = Network(seed=1)


def digest_of_all_that_share_the_threads():
    """Return a digest of what each function computes that leaves work to the shared threads."""
    walked = walk_forward_many([HISTORY] * 3, SMALL)
    arrays = [
        NETWORK.predict_many(X),
        NETWORK.explain(X[:3], X[:2]),
        train_many(NETWORK, [(X[:40], Y)] * 3),
        *(member.parameters for member in ensemble(NETWORK, X[:40], Y, members=2)),
        *(one.probability for one in walked),
    ]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest()


def in_a_fork(work):
    """Return what `work` returns in a child of this process; a child that is stuck is killed.

    A child counts as stuck if this process has meanwhile trained a thousand networks on one thread.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=lambda: theirs.send(work()))
    child.start()
    theirs.close()
    for _ in range(1000):
        if ours.poll():
            break
        train(Network(), X[:1000], X[:1000, 0])
    else:
        child.kill()
    child.join()
    return ours.recv()  # EOFError: it said nothing


def test_a_child_has_threads_of_its_own():
    work = digest_of_all_that_share_the_threads
    assert work() == in_a_fork(work) == work()


def test_a_child_computes_whatever_other_threads_of_its_parent_were_at():
    is_at_work, enough = threading.Event(), threading.Event()

    def progress(done, total):
        is_at_work.set()
        if enough.is_set():
            raise LookupError("enough")

    def walk_slowly():
        label, slot = np.tile(HISTORY[1], 25), np.zeros(1000, np.uint8)
        person = X[:1000], label, slot, np.arange(1, 1001, dtype=np.uint32)
        with pytest.raises(LookupError):  # minutes of work if nobody stops it
            walk_forward_many([person] * 10_000, progress=progress)

    work = digest_of_all_that_share_the_threads
    alone = work()
    other = threading.Thread(target=walk_slowly)
    other.start()
    is_at_work.wait()
    try:
        assert in_a_fork(work) == alone
    finally:
        enough.set()
        other.join()
