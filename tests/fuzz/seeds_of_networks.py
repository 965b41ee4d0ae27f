"""The seeds that are networks."""

import struct

import numpy as np

from ssahc.io.objects import format_text

_CONFIG = """
input-node name=input dim=2
component-node name=a component=a input=Append(Offset(input, -1), Round(input, 1))
component-node name=r component=r input=a
component-node name=b component=b input=r
component-node name=e component=e input=b
component-node name=p component=p input=e
component-node name=c component=c input=p
component-node name=s component=s input=c
output-node name=output input=s objective=linear

"""


def make_seeds(join):
    """Return reader to inputs by name; `join` makes an input of several files."""
    text, binary = network(is_binary=False), network(is_binary=True)
    config = b"# embeddings\noutput-node name=output input=Offset(c, 0)\n"
    return {
        "nnet3": {
            "good-text": text,
            "good-binary": binary,
            "good-config": join(text, config),
            "good-binary-config": join(binary, config),
            "bad-empty": b"",
            "bad-plda": b"\0B<Plda> FV ",
            "bad-truncated": binary[:-40],
            "bad-joined": text + text,
            "bad-config": join(text, b"output-node name=output input=\n"),
            "bad-loop": text.replace(b"component=r input=a", b"component=r input=b"),
            "bad-untrained": text.replace(b"<Count> 9", b"<Count> 0"),
            "bad-other-component": text.replace(b"RectifiedLinear", b"Sigmoid"),
            "bad-huge": binary.replace(
                b"FM " + struct.pack("<bibi", 4, 3, 4, 4),
                b"FM " + struct.pack("<bibi", 4, 2**31 - 1, 4, 2**31 - 1),
            ),
            "bad-huge-block": text.replace(b"<Dim> 3 <Block", b"<Dim> 3000000 <Block"),
        }
    }


def network(is_binary):
    """Return a network of all components that are supported."""
    weight, other = np.arange(12.0).reshape(3, 4), np.ones((2, 6))
    components = (
        (
            "a",
            "NaturalGradientAffine",
            ("LinearParams", weight),
            ("BiasParams", [0, 1, 2]),
        ),
        ("r", "RectifiedLinear", ("Dim", 3), ("ValueAvg", []), ("Count", 0.0)),
        (
            *("b", "BatchNorm", ("Dim", 3), ("BlockDim", 3), ("Epsilon", 0.001)),
            *(("TargetRms", 1.0), ("TestMode", False), ("Count", 9.0)),
            *(("StatsMean", [1, 2, 3]), ("StatsVar", [1, 2, 3])),
        ),
        (
            *("e", "StatisticsExtraction", ("InputDim", 3), ("InputPeriod", 1)),
            *(("OutputPeriod", 1), ("IncludeVarinance", True)),
        ),
        (
            *("p", "StatisticsPooling", ("InputDim", 7), ("InputPeriod", 1)),
            *(("LeftContext", 0), ("RightContext", 20), ("NumLogCountFeatures", 0)),
            *(("OutputStddevs", True), ("VarianceFloor", 1e-10)),
        ),
        ("c", "Linear", ("Params", other), ("IsGradient", False)),
        ("s", "LogSoftmax", ("Dim", 2)),
        ("unused", "NoOp", ("Dim", 2)),
    )
    parts = [b"<Nnet3> ", _CONFIG.encode(), b"<NumComponents> ", number(8, is_binary)]
    for name, kind, *fields in components:
        parts.append(f"<ComponentName> {name} <{kind}Component> ".encode())
        for field, value in fields:
            parts.append(f"<{field}> ".encode() + written(value, is_binary))
        parts.append(f"</{kind}Component> ".encode())
    return (b"\0B" if is_binary else b"") + b"".join(parts) + b"</Nnet3> "


def written(value, is_binary):
    """Return the value of a field."""
    if isinstance(value, bool):
        return (b"T" if value else b"F") + (b"" if is_binary else b" ")
    if isinstance(value, int | float):
        return number(value, is_binary)
    array = np.array(value, "<f4")
    if not is_binary:
        return format_text(array).encode()
    dims = b"".join(struct.pack("<bi", 4, dim) for dim in array.shape)
    return (b"FV " if array.ndim == 1 else b"FM ") + dims + array.tobytes()


def number(value, is_binary):
    """Return a number."""
    if not is_binary:
        return f"{value:g} ".encode()
    return struct.pack("<bi" if isinstance(value, int) else "<bf", 4, value)
