"""From a ``.lua`` file with a typed header to a call.

Each script is a library of its own on the server with one function, which FCALL calls: what it joins in is made once,
when it is loaded, and not at every call as EVALSHA would. Its name bears a hash of the text, so that several versions
of this package work on one server.

A header line begins with ``--!``::

    --! <name>: what it does               the first line of a script
    --! flags none                         refused when the server is out of memory (default: allow-oom)
    --! use lib …                          files of scripts/lib, joined in once each, in order
    --! key family TYPE                    makes ``family_key(part, …)``; TYPE must be that of keys.py
    --! arg name str|int|pack|rest  …      makes a local of that name from ARGV; rest: a list of all that follows
    --! reply pack …                       the reply is one msgpack value; otherwise it is as Redis gives it

What a library has to keep for the length of one call is a field of the table ``CALL``; its locals outlive the call.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import cast

from broker_wf.broker.keys import FAMILIES
from broker_wf.broker.packing import pack, unpack

_HEADER = re.compile(r"^--!\s+(?P<word>\w+:?)\s*(?P<rest>.*)$")
_KINDS = {
    "str": "ARGV[{i}]",
    "int": "tonumber(ARGV[{i}])",
    "pack": "cmsgpack.unpack(ARGV[{i}])",
    # For what is large: to take it out of a packed one is to copy it, and Lua hashes each byte of a string.
    "rest": "{{ unpack(ARGV, {i}) }}",
}


class ScriptError(Exception):
    """A script's header is wrong, or a call does not fit it. A fault of this package, never of a user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """A loaded script.

    Attributes:
        text: what FUNCTION LOAD takes.
        function: what FCALL takes.
        whole: what EVAL takes, for a server that is too full to take a function.
        args: name and kind of each argument, in order.
        packed_reply: the reply is one msgpack value.
    """

    name: str
    text: str
    function: str
    whole: str
    args: tuple[tuple[str, str], ...]
    packed_reply: bool

    @property
    def loading(self) -> tuple[str, ...]:
        """The command that gives it to a server; refused where that has it already."""
        return "FUNCTION", "LOAD", self.text

    def command(self, tag: str, values: tuple[object, ...]) -> tuple[bytes | str | int, ...]:
        """The command that calls it, in the partition of this tag."""
        return "FCALL", self.function, 1, tag, *self.argv(values)

    def argv(self, values: tuple[object, ...]) -> list[bytes | str | int]:
        """The arguments as Redis takes them; bytes for a packed one are packed already.

        Raises:
            ScriptError: their number or kind is not that of the header.
        """
        if len(values) != len(self.args):
            raise ScriptError(f"{self.name} takes {[n for n, _ in self.args]}, got {len(values)} values")
        args = self.args
        if args and args[-1][1] == "rest":
            rest = cast("Sequence[bytes]", values[-1])
            args, values = (*args[:-1], *[args[-1]] * len(rest)), (*values[:-1], *rest)
        return [self._encoded(kind, value) for (_, kind), value in zip(args, values, strict=True)]

    def _encoded(self, kind: str, value: object) -> bytes | str | int:
        if kind == "pack":
            return value if isinstance(value, bytes) else pack(value)
        if isinstance(value, int | str | bytes):
            return value
        raise ScriptError(f"{self.name}: {value!r} is not a {kind}")

    def reply(self, raw: object) -> object:
        """The reply in Python's terms: bytes stay bytes."""
        if self.packed_reply and isinstance(raw, bytes):
            return unpack(raw)
        return raw


def is_missing(reply: object) -> bool:
    """Whether a server does not know a function: it is new, its functions were flushed, or it is another one now."""
    return isinstance(reply, Exception) and str(reply).endswith("Function not found")


def is_there(refusal: Exception) -> bool:
    """Whether a function was not loaded because somebody else had loaded it: by the next call it may be gone again."""
    return str(refusal).endswith("already exists")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    body: str
    uses: tuple[str, ...]
    keys: tuple[str, ...]
    args: tuple[tuple[str, str], ...]
    packed_reply: bool
    allow_oom: bool


@cache
def load(name: str) -> Script:
    """The script ``scripts/<name>.lua``, with what it uses joined in front.

    Raises:
        ScriptError: its header names an unknown key family, type or argument kind.
    """
    source = _read(name)
    libs = _closure(source.uses)
    keys = sorted({key for one in (*map(_read_lib, libs), source) for key in one.keys})
    once = ["local TAG, CALL, KEY = nil, nil, {}", *map(_key_function, keys), *(_read_lib(lib).body for lib in libs)]
    each = ["TAG, CALL = KEYS[1], {}"]
    each += [f"local {n} = {_KINDS[kind].format(i=i)}" for i, (n, kind) in enumerate(source.args, 1)]
    before, after = (_spelled("\n".join(part), keys) for part in (once, [*each, source.body]))
    flags = "'allow-oom'" if source.allow_oom else ""
    digest = hashlib.sha1(f"{before}\n{after}{flags}".encode(), usedforsecurity=False).hexdigest()[:16]
    function = f"broker_wf_{name}_{digest}"
    head = f"function_name = '{function}', flags = {{ {flags} }}, callback = function(KEYS, ARGV)"
    text = f"#!lua name={function}\n{before}\nredis.register_function({{ {head}\n{after}\nend }})"
    whole = f"#!lua{' flags=allow-oom' if source.allow_oom else ''}\n{before}\n{after}"
    return Script(
        name=name, text=text, function=function, whole=whole, args=source.args, packed_reply=source.packed_reply
    )


def _closure(uses: tuple[str, ...]) -> list[str]:
    order: list[str] = []

    def add(lib: str) -> None:
        if lib in order:
            return
        for other in _read_lib(lib).uses:
            add(other)
        order.append(lib)

    for lib in ("clock", *uses):
        add(lib)
    return order


def _key_function(name: str) -> str:
    parts = FAMILIES[name].parts
    spelled = " .. ':' .. ".join([f"'{name}'", *parts]).replace("' .. ':' .. ", ":' .. ", 1)
    return f"function KEY.{name}({', '.join(parts)}) return TAG .. {spelled} end"


def _spelled(text: str, keys: Sequence[str]) -> str:
    """Key functions as fields of one table: Lua has room for 200 locals, and a long script needs them."""
    return re.sub(rf"\b({'|'.join(keys)})_key\b(?=\()", r"KEY.\1", text) if keys else text


@cache
def _read_lib(name: str) -> _Source:
    return _read(f"lib/{name}")


def _read(name: str) -> _Source:
    text = files("broker_wf.broker").joinpath("scripts", *f"{name}.lua".split("/")).read_text("utf-8")
    uses: list[str] = []
    keys: list[str] = []
    args: list[tuple[str, str]] = []
    packed, allow_oom, body = False, True, list[str]()
    for line in text.splitlines():
        match = _HEADER.match(line)
        if match is None:
            body.append(line)
            continue
        word, rest = match["word"], match["rest"].split()
        if word == "use":
            uses += rest
        elif word == "key":
            keys.append(_checked_key(name, rest))
        elif word == "arg":
            args.append(_checked_arg(name, rest, args))
        elif word == "reply":
            packed = rest[:1] == ["pack"]
        elif word == "flags":
            allow_oom = rest != ["none"]
    return _Source(
        body="\n".join(body),
        uses=tuple(uses),
        keys=tuple(keys),
        args=tuple(args),
        packed_reply=packed,
        allow_oom=allow_oom,
    )


def _checked_key(script: str, rest: list[str]) -> str:
    name, kind = rest[0], rest[1]
    if name not in FAMILIES or FAMILIES[name].kind != kind:
        raise ScriptError(f"{script}.lua: there is no key family {name!r} of type {kind}")
    return name


def _checked_arg(script: str, rest: list[str], before: Sequence[tuple[str, str]]) -> tuple[str, str]:
    if before and before[-1][1] == "rest":
        raise ScriptError(f"{script}.lua: {before[-1][0]!r} is all the rest, and there is {rest[0]!r} behind it")
    if len(rest) < 2 or rest[1] not in _KINDS:
        raise ScriptError(f"{script}.lua: an argument is 'name str|int|pack|rest', not {' '.join(rest)!r}")
    return rest[0], rest[1]
