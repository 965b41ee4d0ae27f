"""The text half of an nnet3 model: config lines, nodes and descriptors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ssahc.core.nnet3 import Input

# The value of a key may have spaces within a descriptor's brackets.
_PAIR = re.compile(r"([\w-]+)=(.*?)(?=\s+[\w-]+=|\s*$)")
_WORD = re.compile(r"[^\s(),]+|[(),]")
_DEEPEST = 50
# Frames. Real networks look at most some hundred frames ahead or back.
_FARTHEST = 10_000
_KEYS = {
    "input-node": ("name", "dim"),
    "component-node": ("name", "component", "input"),
    "output-node": ("name", "input"),
}


@dataclass(frozen=True)
class NodeLine:
    """A config line: what kind of node, and its ``key=value`` pairs."""

    kind: str
    values: Mapping[str, str]


def parse_line(text: str) -> NodeLine:
    """Parse a config line; ValueError unless it is a node that is supported."""
    kind, _, rest = text.strip().partition(" ")
    if kind not in _KEYS:
        supported = ", ".join(_KEYS)
        raise ValueError(f"expected one of {supported}, found {kind[:40]!r}")
    values = dict(_PAIR.findall(rest))
    for key in _KEYS[kind]:
        if not values.get(key):
            raise ValueError(f"the {kind} has no {key}=")
    return NodeLine(kind, values)


def parse_descriptor(text: str) -> tuple[Input, ...]:
    """Parse what a node is applied to, such as ``Append(Offset(input, -2), input)``.

    Append, Offset and Round to multiples of 1, which does nothing, are supported.
    Raises a ValueError for anything else.
    """
    words = _WORD.findall(text)
    inputs, rest = _parse(words, 0, 0)
    if rest != len(words):
        raise ValueError(f"unexpected {words[rest]!r} in the descriptor {text[:80]!r}")
    return tuple(inputs)


def _parse(words: list[str], place: int, depth: int) -> tuple[list[Input], int]:
    """Parse the descriptor that starts at `place`; return it, and what follows it."""
    name = _take(words, place)
    place += 1
    if place >= len(words) or words[place] != "(":
        return [Input(name, 0)], place
    if name not in ("Append", "Offset", "Round"):
        raise ValueError(
            f"the descriptor {name[:40]!r} is not supported (Append, Offset and Round "
            "are): this is no x-vector network of Kaldi's recipes"
        )
    if depth == _DEEPEST:
        raise ValueError(f"descriptors are nested more than {_DEEPEST} deep")
    inputs, place = _parse(words, place + 1, depth + 1)
    if name == "Append":
        while _take(words, place) == ",":
            more, place = _parse(words, place + 1, depth + 1)
            inputs += more
    else:
        _expect(words, place, ",")
        frames = _parse_frames(_take(words, place + 1))
        place += 2
        if name == "Round" and frames != 1:
            raise ValueError(f"Round to multiples of {frames} frames is not supported")
        if name == "Offset":
            inputs = [Input(one.node, one.offset + frames) for one in inputs]
    _expect(words, place, ")")
    return inputs, place + 1


def _take(words: list[str], place: int) -> str:
    if place >= len(words):
        raise ValueError("a descriptor ends too early")
    return words[place]


def _expect(words: list[str], place: int, mark: str) -> None:
    found = _take(words, place)
    if found != mark:
        raise ValueError(f"expected {mark!r} in a descriptor, found {found[:40]!r}")


def _parse_frames(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,5}", text) or abs(int(text)) > _FARTHEST:
        raise ValueError(f"expected a number of frames, found {text[:40]!r}")
    return int(text)
