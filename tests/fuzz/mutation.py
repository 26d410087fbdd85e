"""Inputs made from real ones: bytes, JSON, Protocol Buffers and ZIP files, changed where it is likely to hurt.

A random byte rarely gets past the first check of a reader. What changes one field of a real file, and leaves the rest
of it sound, gets to the code behind.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any, Final

Mutate = Callable[[Random, bytes], bytes]

NUMBERS: Final = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1)
TEXTS: Final = (
    "", ".", "..", "../../etc/passwd", "/", "//", "C:\\", "\\\\host\\share", "\0", "a\0b", "\x1b[2J", "\u202e",
    "\ud800", "\udcff", "x" * 5000, "NaN", "-1", "9" * 5000, "1e999", "~", "%2e%2e", "file:///etc/passwd",
    "https://169.254.169.254/c/b", "https://[", "azureml://datastores/x/paths/", "cpu-cpu", "gpu-", "ONNXModel",
    "OpenVINOModel", "CompositeModel", "\U0001f600", "\u0130", "²", "٣",
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1 << 63, 10**400, 0.5, float("nan"), float("inf"), [], {}, [[]], [None], {"": None},
    {"config": {}}, *TEXTS,
)  # fmt: skip
_MOST: Final = 1 << 20
"""Bytes of an input: what is longer is cut."""


def of_bytes(random: Random, data: bytes) -> bytes:
    """One change of a few bytes: whatever the format."""
    at = random.randrange(len(data) + 1)
    length = min(len(data) - at, 1 << random.randrange(10))
    some = data[at : at + length]
    start, end = data[:at], data[at + length :]
    made = random.choice((
        lambda: start + end,
        lambda: start + some * random.choice((2, 3, 50)) + end,
        lambda: start,
        lambda: start + random.randbytes(length) + end,
        lambda: start + bytes(byte ^ (1 << random.randrange(8)) for byte in some[:1]) + data[at + 1 :],
        lambda: start + _number(random) + end,
        lambda: start + random.choice(TEXTS).encode("utf-8", "surrogatepass") + data[at:],
        lambda: data[at:] + start,
    ))()  # fmt: skip
    return made[:_MOST]


def _number(random: Random) -> bytes:
    width = random.choice("BHIQ")
    return struct.pack("<" + width, random.choice(NUMBERS) & ((1 << 8 * struct.calcsize(width)) - 1))


def of_json(random: Random, data: bytes) -> bytes:
    """Members of a document removed, doubled, exchanged, renamed, buried or replaced; bytes, now and then."""
    if not random.randrange(8):
        return of_bytes(random, data)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return of_bytes(random, data)
    for _ in range(random.choice((1, 1, 2, 5))):
        document = _changed(random, document)
    try:
        text = json.dumps(document, ensure_ascii=random.random() < 0.5)
    except RecursionError:
        return data
    return text.encode("utf-8", "surrogatepass")[:_MOST]


def _changed(random: Random, document: Any) -> Any:
    places = list(_places(document))
    if not places:
        return random.choice(VALUES)
    holder, key = random.choice(places)
    kind = random.randrange(7)
    if kind == 0:
        del holder[key]
    elif kind == 1:
        other, at = random.choice(places)
        holder[key] = copy.deepcopy(other[at])
    elif kind == 2:
        for _ in range(random.choice((1, 70, 150))):
            holder[key] = random.choice(([holder[key]], {"config": holder[key]}))
    elif kind == 3 and isinstance(holder, dict):
        holder[random.choice((*TEXTS, *list(holder)))] = holder[key]
    elif kind == 4 and isinstance(holder[key], list):
        holder[key] = holder[key] * random.choice((2, 50))
    elif kind == 5 and isinstance(holder[key], str):
        holder[key] = of_bytes(random, holder[key].encode("utf-8", "surrogatepass")).decode("utf-8", "surrogateescape")
    else:
        holder[key] = copy.deepcopy(random.choice(VALUES))
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Every member of every object and list, as what holds it and its key."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        here = waiting.pop()
        keys = list(here) if isinstance(here, dict) else range(len(here)) if isinstance(here, list) else ()
        for key in keys:
            found.append((here, key))
            waiting.append(here[key])
    return found


def of_protobuf(random: Random, data: bytes) -> bytes:
    """Fields of messages at any depth removed, doubled, wrapped or replaced, with the lengths around them kept true."""
    if not random.randrange(6):
        return of_bytes(random, data)
    return _message(random, data, random.randrange(8))[:_MOST]


def _message(random: Random, data: bytes, depth: int) -> bytes:
    fields = _fields(data)
    if not fields:
        return of_bytes(random, data)
    at = random.randrange(len(fields))
    number, wire, value = fields[at]
    if wire == 2 and depth and value:
        fields[at] = (number, wire, _message(random, value, depth - 1))
    else:
        _change(random, fields, at)
    return b"".join(_field(*each) for each in fields)


def _change(random: Random, fields: list[tuple[int, int, bytes]], at: int) -> None:
    number, wire, value = fields[at]
    kind = random.randrange(6)
    if kind == 0:
        del fields[at]
    elif kind == 1:
        fields[at:at] = [fields[at]] * random.choice((1, 2, 300))
    elif kind == 2 and wire == 2:
        for _ in range(random.choice((1, 25, 120))):
            value = _field(number, wire, value)
        fields[at] = (number, wire, value)
    elif kind == 3:
        fields[at] = (random.choice((number, random.randrange(32), random.choice(NUMBERS))), wire, value)
    elif kind == 4:
        other = random.choice((0, 1, 2, 5, 3))
        fields[at] = (number, other, {0: b"\x01", 1: bytes(8), 5: bytes(4)}.get(other, value))
    elif wire == 2:
        fields[at] = (
            number,
            wire,
            random.choice((of_bytes(random, value), random.choice(TEXTS).encode("utf-8", "replace"))),
        )
    else:
        fields[at] = (number, 0, _varint(random.choice(NUMBERS)))


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """Number, wire type and value of each field; none where this reads as no message."""
    found: list[tuple[int, int, bytes]] = []
    at = 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            number, wire, start = key >> 3, key & 7, at
            if wire == 0:
                at = _read_varint(data, at)[1]
            elif wire == 2:
                length, start = _read_varint(data, at)
                at = start + length
            else:
                at += {1: 8, 5: 4}[wire]
            if at > len(data):
                return []
            found.append((number, wire, data[start:at]))
    except (IndexError, KeyError):
        return []
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _field(number: int, wire: int, value: bytes) -> bytes:
    return _varint(number << 3 | wire) + (_varint(len(value)) if wire == 2 else b"") + value


_RECORDS: Final = {b"PK\x03\x04": "<4xHHHHHIIIHH", b"PK\x01\x02": "<4xHHHHHHIIIHHHHHII", b"PK\x05\x06": "<4xHHHHIIH"}


def of_zip(random: Random, data: bytes) -> bytes:
    """A number in one of an archive's headers replaced, or bytes."""
    found = [(at, kind) for kind in _RECORDS for at in _positions(data, kind)]
    if not found or not random.randrange(4):
        return of_bytes(random, data)
    at, kind = random.choice(found)
    layout = _RECORDS[kind]
    size = struct.calcsize(layout)
    try:
        numbers = list(struct.unpack_from(layout, data, at))
    except struct.error:
        return of_bytes(random, data)
    which = random.randrange(len(numbers))
    most = 0xFFFF if layout[3 + which] == "H" else 0xFFFFFFFF
    chosen = random.choice((random.choice(NUMBERS), random.choice(numbers), numbers[which] + random.choice((-1, 1))))
    numbers[which] = chosen & most
    return data[:at] + kind + struct.pack(layout, *numbers)[4:] + data[at + size :]


def _positions(data: bytes, what: bytes) -> list[int]:
    found: list[int] = []
    at = data.find(what)
    while at >= 0:
        found.append(at)
        at = data.find(what, at + 1)
    return found
