"""Generators that cost next to nothing: a Keras model of one block, and an ONNX file that multiplies."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper


def write_onnx(path, gain=1.0, info=None, read_px=0):
    """A network that multiplies by `gain`. read_px: above 0, with a second output, (N, W / read_px, 3): the means of
    columns so wide."""
    shape = [None, None, None, 3]
    nodes = [helper.make_node("Mul", ["lq", "gain"], ["sr"])]
    outputs = [helper.make_tensor_value_info("sr", TensorProto.FLOAT, shape)]
    if read_px:
        pool = {"kernel_shape": [1, read_px], "strides": [1, read_px]}
        nodes += [
            helper.make_node("ReduceMean", ["lq"], ["row"], axes=[1], keepdims=1),
            helper.make_node("Transpose", ["row"], ["channels"], perm=[0, 3, 1, 2]),
            helper.make_node("AveragePool", ["channels"], ["means"], **pool),
            helper.make_node("Squeeze", ["means", "axis"], ["line"]),
            helper.make_node("Transpose", ["line"], ["read"], perm=[0, 2, 1]),
        ]
        outputs.append(helper.make_tensor_value_info("read", TensorProto.FLOAT, [None, None, 3]))
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info("lq", TensorProto.FLOAT, shape)],
        outputs,
        [
            helper.make_tensor("gain", TensorProto.FLOAT, [1], [gain]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    helper.set_model_props(model, {"info": json.dumps(info or {"min_effective_width_px": 5})})
    onnx.save(model, path)
    return path


def tiny_model(scale=1):
    """One block, with a last convolution that does something."""
    import keras

    from models.generator import build_generator

    keras.utils.set_random_seed(1)
    model = build_generator(scale, filters=8, blocks=1)
    last = model.get_layer("difference")
    kernel, bias = last.get_weights()
    last.set_weights([np.random.default_rng(0).normal(0, 0.05, kernel.shape).astype("float32"), bias])
    return model
