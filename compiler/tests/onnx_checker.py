"""Gives every model in a folder to onnx.checker, with strict shape inference, and prints how many it accepts."""

import pathlib
import sys

import onnx


def shape(value):
    return [(d.dim_value, d.dim_param) for d in value.type.tensor_type.shape.dim]


folder = pathlib.Path(sys.argv[1])
wrong = []
paths = sorted(folder.glob("*.onnx"))
for path in paths:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        # The checker infers shapes, and does not compare the outputs' declared ones with the result.
        declared = {output.name: shape(output) for output in model.graph.output}
        for output in model.graph.output:
            output.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        for output in inferred.graph.output:
            found, wanted = shape(output), declared[output.name]
            # A dimension that inference leaves open (through a reshape with -1) proves nothing.
            if len(found) != len(wanted) or any(f != w and f[0] and w[0] for f, w in zip(found, wanted)):
                raise ValueError(f"output {output.name} is declared {wanted}, inferred {found}")
    except Exception as error:  # Whatever the checker raises is a refusal.
        wrong.append(f"{path.name}: {error}")
print(f"{len(paths) - len(wrong)} of {len(paths)} models accepted by onnx {onnx.__version__}")
print("\n".join(wrong))
sys.exit(bool(wrong) or not paths)
