from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from broker_wf.broker import script
from broker_wf.broker.keys import FAMILIES
from broker_wf.broker.packing import pack, unpack
from broker_wf.broker.script import ScriptError, load

SCRIPTS = Path(script.__file__).parent / "scripts"
NAMES = sorted(path.stem for path in SCRIPTS.glob("*.lua"))
LIBS = sorted(path.stem for path in SCRIPTS.glob("lib/*.lua"))

LOCALS_OF_LUA = 200

Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Scripts of the test's own, in the place of the package's."""

    def written(name: str, text: str) -> None:
        path = tmp_path / "scripts" / f"{name}.lua"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def forget() -> None:
        script.load.cache_clear()
        script._read_lib.cache_clear()

    monkeypatch.setattr(script, "files", lambda _package: tmp_path)
    forget()
    written("lib/clock", "-- no clock")
    yield written
    forget()


@pytest.mark.parametrize("name", NAMES)
def test_a_script_declares_every_key_that_it_or_its_libraries_make(name: str) -> None:
    text = load(name).text
    declared = set(re.findall(r"^function KEY\.(\w+)\(", text, re.MULTILINE))
    assert set(re.findall(r"\bKEY\.(\w+)\(", text)) <= declared
    assert not set(re.findall(r"\b(\w+)_key\(", text)) & set(FAMILIES)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_has_fewer_locals_than_lua_allows(name: str) -> None:
    library = load(name).text.partition("redis.register_function")[0]
    lines = re.findall(r"^local (function )?([^=\n]+)", library, re.MULTILINE)
    assert sum(1 if function else names.count(",") + 1 for function, names in lines) < LOCALS_OF_LUA


@pytest.mark.parametrize("name", NAMES)
def test_a_script_says_first_whether_it_may_run_without_memory(name: str) -> None:
    text = load(name).text
    assert text.startswith(f"#!lua name={load(name).function}\n")
    assert text.count("flags = { 'allow-oom' }") + text.count("flags = {  }") == 1


def test_what_adds_work_is_refused_without_memory_and_what_ends_it_is_not() -> None:
    for name in ("submit", "send", "restore"):
        assert "allow-oom" not in load(name).text
    for name in ("register", "claim", "commit", "effect", "fail", "renew", "release", "cancel", "sweep", "audit"):
        assert "flags = { 'allow-oom' }" in load(name).text


@pytest.mark.parametrize("lib", LIBS)
def test_every_library_has_a_user(lib: str) -> None:
    used = {word for path in SCRIPTS.rglob("*.lua") for word in _uses(path)}
    assert lib in used | {"clock"}


def _uses(path: Path) -> list[str]:
    lines = (line.split() for line in path.read_text().splitlines() if line.startswith("--! use"))
    return [word for line in lines for word in line[2:]]


def test_a_library_stands_once_and_behind_what_it_uses(write: Write) -> None:
    write("lib/ground", "local ground = 1")
    write("lib/floor", "--! use ground\nlocal floor = ground")
    write("house", "--! house: two floors\n--! use floor ground\nreturn floor")
    text = load("house").text
    assert text.count("local ground = 1") == 1
    assert text.index("local ground") < text.index("local floor") < text.index("return floor")


def test_an_argument_becomes_a_local_in_the_order_of_the_header(write: Write) -> None:
    write("take", "--! take: three\n--! arg a str  first\n--! arg b int\n--! arg c pack  a map\nreturn a")
    assert load("take").text.endswith(
        "local a = ARGV[1]\nlocal b = tonumber(ARGV[2])\nlocal c = cmsgpack.unpack(ARGV[3])\nreturn a\nend })"
    )


def test_a_key_becomes_a_function_of_its_parts(write: Write) -> None:
    write("look", "--! look: at two keys\n--! key watch ZSET\n--! key batch LIST\nreturn 1")
    text = load("look").text
    assert "function KEY.watch() return TAG .. 'watch' end" in text
    assert "return TAG .. 'batch:' .. run .. ':' .. collection .. ':' .. step end" in text


@pytest.mark.parametrize("header", ["--! key purse HASH", "--! key watch HASH"])
def test_a_key_that_the_table_does_not_have_so_is_refused(write: Write, header: str) -> None:
    write("wrong", f"--! wrong: a key\n{header}\nreturn 1")
    with pytest.raises(ScriptError, match="there is no key family"):
        load("wrong")


@pytest.mark.parametrize("header", ["--! arg n", "--! arg n float"])
def test_an_argument_of_no_kind_is_refused(write: Write, header: str) -> None:
    write("wrong", f"--! wrong: an argument\n{header}\nreturn 1")
    with pytest.raises(ScriptError, match=r"str\|int\|pack\|rest"):
        load("wrong")


def test_values_are_packed_where_the_header_says_so() -> None:
    values = load("sweep").argv((1, 2, 3))
    assert values == [1, 2, 3]
    (leases,) = load("release").argv(([["r", "d", "n"]],))
    assert leases == pack([["r", "d", "n"]])


def test_bytes_for_a_packed_argument_are_packed_already() -> None:
    packed = pack([])
    assert load("release").argv((packed,)) == [packed]


def test_the_rest_is_a_list_of_what_follows(write: Write) -> None:
    write("take", "--! take: some\n--! arg n int\n--! arg parts rest  any number\nreturn parts")
    assert "local parts = { unpack(ARGV, 2) }" in load("take").text
    assert load("take").argv((1, [b"a", b"b"])) == [1, b"a", b"b"]
    assert load("take").argv((1, ())) == [1]
    with pytest.raises(ScriptError, match="is not a rest"):
        load("take").argv((1, [[]]))


def test_nothing_follows_the_rest(write: Write) -> None:
    write("take", "--! take: some\n--! arg parts rest\n--! arg n int\nreturn parts")
    with pytest.raises(ScriptError, match="'parts' is all the rest, and there is 'n' behind it"):
        load("take")


@pytest.mark.parametrize("values", [(), (1, 2, 3)])
def test_another_number_of_values_is_refused(values: tuple[object, ...]) -> None:
    with pytest.raises(ScriptError, match="cancel takes"):
        load("cancel").argv(values)


def test_a_value_of_another_kind_is_refused() -> None:
    with pytest.raises(ScriptError, match="is not a str"):
        load("cancel").argv((["r"], 0))


def test_a_reply_is_unpacked_only_where_it_is_packed() -> None:
    assert load("claim").reply(pack([[], 0])) == [[], 0]
    assert load("cancel").reply([b"OK"]) == [b"OK"]


def test_the_same_text_is_the_same_script_to_the_server() -> None:
    first = load("commit")
    script.load.cache_clear()
    assert load("commit").function == first.function
    assert len({load(name).function for name in NAMES}) == len(NAMES)


def test_another_text_is_another_function_beside_the_old_one(write: Write) -> None:
    write("look", "--! look: here\nreturn 1")
    here = load("look").function
    script.load.cache_clear()
    write("look", "--! look: here\nreturn 2")
    assert load("look").function != here


def test_what_is_joined_in_is_made_once_and_not_at_each_call(write: Write) -> None:
    write("lib/ground", "local function ground() return 1 end")
    write("house", "--! house: one floor\n--! use ground\n--! arg n int\nreturn ground() + n")
    library, _, each_call = load("house").text.partition("callback = function(KEYS, ARGV)\n")
    assert "local function ground()" in library
    assert each_call.startswith("TAG, CALL = KEYS[1], {}\nlocal n = ")


def test_what_lua_packs_comes_back_as_bytes() -> None:
    assert unpack(pack({"a": ["b", 1]})) == {b"a": [b"b", 1]}
