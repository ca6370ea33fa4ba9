"""ONNX Runtime: inference only; its training package ended with version 1.19."""

from __future__ import annotations

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from rival import split


def single(flat):
    session = _session(flat)
    return {"onnxruntime": lambda x: session.run(None, {"x": x[None]})[0]}


def many(flat):
    session = _session(flat)
    return {"onnxruntime": lambda X: session.run(None, {"x": X})[0]}


def _session(flat):
    nodes, constants, name = [], [], "x"
    for index, (w, b) in enumerate(split(flat)):
        constants.append(numpy_helper.from_array(w.copy(), f"w{index}"))
        constants.append(numpy_helper.from_array(b.copy(), f"b{index}"))
        inputs, after = [name, f"w{index}", f"b{index}"], "Relu" if index < 2 else "Sigmoid"
        nodes.append(helper.make_node("Gemm", inputs, [f"z{index}"], transB=1))
        nodes.append(helper.make_node(after, [f"z{index}"], [f"h{index}"]))
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
