"""Pickles: reads pickles as data, with inert stand-ins for objects. Nothing in them is imported or called."""

from __future__ import annotations

import pickletools
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vqclip_nb.escapes import visible

MOST = 4_000_000  # operations in a pickle


class BadPickle(ValueError):
    """A pickle that is invalid or too large."""


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names: `train.Config`. It is never looked up."""

    full: str


@dataclass(eq=False)
class StandIn:
    """Stands in for an object of another class: the name of its maker, and its content."""

    maker: str
    fields: dict[Any, Any] = field(default_factory=dict)
    items: dict[Any, Any] = field(default_factory=dict)
    parts: list[Any] = field(default_factory=list)


Builder = Callable[..., Any]

# The parts of the standard library that pickles of plain data call. Attacks use other calls into it.
_PLAIN_MODULES = {"argparse", "collections", "copyreg", "copy_reg", "datetime", "decimal", "enum", "fractions"}
_PLAIN_MODULES |= {"pathlib", "pathlib._local", "types", "typing", "uuid"}
_PLAIN_NAMES = {"_codecs.encode", "_operator.getitem", "operator.getitem", "functools.partial", "random.Random"}
_PLAIN_BUILTINS = {"set", "frozenset", "bytearray", "bytes", "complex", "slice", "range", "list", "dict", "tuple"}
_PLAIN_BUILTINS |= {"int", "float", "str", "bool", "object", "getattr"}


def is_plain(name: str) -> bool:
    """Whether a call of this name is harmless: outside the standard library, or to its plain data types."""
    module, _, last = name.rpartition(".")
    package = module.partition(".")[0]
    if module in ("builtins", "__builtin__"):
        return last in _PLAIN_BUILTINS
    if name in _PLAIN_NAMES or module in _PLAIN_MODULES:
        return True
    return package not in sys.stdlib_module_names


class Pickle:
    """One pickle, read from the current position of `file` to its end.

    value: its content. refused: stand-ins for calls into the standard library that do not make plain data; these calls
    were not run.
    """

    def __init__(
        self,
        file: Any,
        *,
        builders: Mapping[str, Builder] | None = None,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.builders, self.persistent = builders or {}, persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[Any, Any] = {}
        self.refused: list[StandIn] = []
        try:
            self.value = self._run(file)
        except BadPickle:
            raise
        except Exception as error:  # a hostile pickle can raise anything
            message = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadPickle(f"its pickle cannot be read: {message}") from None

    def _run(self, file: Any) -> Any:
        for count, (code, argument, _) in enumerate(pickletools.genops(file)):
            if count > MOST:
                raise BadPickle(f"its pickle has more than {MOST:,} operations")
            name = code.name
            if name == "STOP":
                return self.stack.pop()
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _MEMO_PUTS:
                self.memo[len(self.memo) if argument is None else argument] = self.stack[-1]
            elif name in _MEMO_GETS:
                self.stack.append(self.memo[argument])
            elif name not in _NOTHING:
                operation = _OPERATIONS.get(name)
                if operation is None:
                    raise BadPickle(f"its pickle has the operation {name}, which no checkpoint needs")
                operation(self, argument)
        raise BadPickle("its pickle has no end")

    def _since_mark(self) -> list[Any]:
        begin = self.marks.pop()
        values = self.stack[begin:]
        del self.stack[begin:]
        return values

    def _pops(self, count: int) -> tuple[Any, ...]:
        values = tuple(self.stack[-count:]) if count else ()
        if len(values) < count:
            raise BadPickle("its pickle takes more than it holds")
        del self.stack[len(self.stack) - count :]
        return values

    def _call(self, maker: Any, arguments: Any) -> Any:
        if not isinstance(maker, Name):
            raise BadPickle("its pickle calls something that is no name")
        if builder := self.builders.get(maker.full):
            return builder(*arguments)
        stand_in = StandIn(maker.full, parts=list(arguments) if isinstance(arguments, tuple) else [])
        if not is_plain(maker.full):
            self.refused.append(stand_in)
        return stand_in

    def _reduce(self, _: Any) -> None:
        self.stack.append(self._call(*self._pops(2)))

    def _object(self, maker: Any) -> None:
        if not isinstance(maker, Name):
            raise BadPickle("its pickle makes an object of something that is no name")
        if maker.full in self.builders:
            self.stack.append(self.builders[maker.full]())
        else:
            self.stack.append(StandIn(maker.full))

    def _new(self, _: Any) -> None:
        self._object(self._pops(2)[0])

    def _new_with_keywords(self, _: Any) -> None:
        self._object(self._pops(3)[0])

    def _instance(self, argument: Any) -> None:
        values = self._since_mark()
        maker = Name(argument.replace(" ", ".")) if argument else values.pop(0)
        self.stack.append(self._call(maker, tuple(values)))

    def _build(self, _: Any) -> None:
        (state,) = self._pops(1)
        target = self.stack[-1]
        if isinstance(target, StandIn):
            for fields in state if isinstance(state, tuple) else (state,):
                target.fields.update(fields if isinstance(fields, dict) else {})
        elif isinstance(target, Name):
            raise BadPickle(f"its pickle changes {visible(target.full)}")

    def _global(self, argument: str) -> None:
        self.stack.append(Name(argument.replace(" ", ".")))

    def _stack_global(self, _: Any) -> None:
        module, name = self._pops(2)
        if not (type(module) is type(name) is str):
            raise BadPickle("its pickle names something by what is no text")
        self.stack.append(Name(f"{module}.{name}"))

    def _append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target = target.parts
        if not isinstance(target, list):
            raise BadPickle("its pickle appends to something that is no list")
        target.extend(values)

    def _set(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, StandIn):
            target = target.items
        if not isinstance(target, dict):
            raise BadPickle("its pickle sets items of something that is no table")
        target.update(_table(values))

    def _identify(self, argument: Any) -> None:
        if self.persistent is None:
            raise BadPickle("its pickle points outside itself")
        self.stack.append(self.persistent(self._pops(1)[0] if argument is None else argument))


def _table(values: list[Any]) -> dict[Any, Any]:
    """A dict of alternating keys and values. Nested keys are refused: hashing one may take forever."""
    keys = values[::2]
    for key in keys:
        inner = key if isinstance(key, tuple) else (key,)
        if not all(one is None or isinstance(one, str | bytes | int | float | Name | StandIn) for one in inner):
            raise BadPickle("its pickle has a table with a key that is no plain value")
    return dict(zip(keys, values[1::2], strict=True))


_NOTHING = {"PROTO", "FRAME"}
_VALUES = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING"}
_VALUES |= {"SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES"}
_VALUES |= {"SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_MEMO_PUTS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
_MEMO_GETS = {"GET", "BINGET", "LONG_BINGET"}
_OPERATIONS: dict[str, Callable[[Pickle, Any], Any]] = {
    "MARK": lambda it, _: it.marks.append(len(it.stack)),
    "POP": lambda it, _: it._since_mark() if it.marks and it.marks[-1] == len(it.stack) else it._pops(1),
    "POP_MARK": lambda it, _: it._since_mark(),
    "DUP": lambda it, _: it.stack.append(it.stack[-1]),
    "NONE": lambda it, _: it.stack.append(None),
    "NEWTRUE": lambda it, _: it.stack.append(True),
    "NEWFALSE": lambda it, _: it.stack.append(False),
    "EMPTY_TUPLE": lambda it, _: it.stack.append(()),
    "EMPTY_LIST": lambda it, _: it.stack.append([]),
    "EMPTY_DICT": lambda it, _: it.stack.append({}),
    "EMPTY_SET": lambda it, _: it.stack.append([]),  # the content of sets is not needed
    "TUPLE": lambda it, _: it.stack.append(tuple(it._since_mark())),
    "TUPLE1": lambda it, _: it.stack.append(it._pops(1)),
    "TUPLE2": lambda it, _: it.stack.append(it._pops(2)),
    "TUPLE3": lambda it, _: it.stack.append(it._pops(3)),
    "LIST": lambda it, _: it.stack.append(it._since_mark()),
    "FROZENSET": lambda it, _: it.stack.append(it._since_mark()),
    "DICT": lambda it, _: it.stack.append(_table(it._since_mark())),
    "APPEND": lambda it, _: it._append(list(it._pops(1))),
    "APPENDS": lambda it, _: it._append(it._since_mark()),
    "ADDITEMS": lambda it, _: it._append(it._since_mark()),
    "SETITEM": lambda it, _: it._set(list(it._pops(2))),
    "SETITEMS": lambda it, _: it._set(it._since_mark()),
    "GLOBAL": Pickle._global,
    "STACK_GLOBAL": Pickle._stack_global,
    "REDUCE": Pickle._reduce,
    "NEWOBJ": Pickle._new,
    "NEWOBJ_EX": Pickle._new_with_keywords,
    "INST": Pickle._instance,
    "OBJ": Pickle._instance,
    "BUILD": Pickle._build,
    "PERSID": Pickle._identify,
    "BINPERSID": Pickle._identify,
}


def _children(value: Any) -> Iterator[tuple[Any, Any]]:
    """The parts of a value, each with its key, or its index in a list."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, StandIn):
        for part in (value.fields, value.items, value.parts):
            yield from _children(part)
    elif isinstance(value, list | tuple):
        yield from enumerate(value)


def find(value: Any, target: Any) -> str | None:
    """The path of `target` within a value, such as `hyper_parameters.loss`; None if it is not in it."""
    visited: set[int] = set()
    rest = [(value, "")]
    while rest:
        current, path = rest.pop()
        if current is target:
            return path
        if id(current) in visited:
            continue
        visited.add(id(current))
        for key, inner in _children(current):
            rest.append((inner, f"{path}.{_word(key)}".lstrip(".") if len(path) < 400 else path))
    return None


def _word(key: Any) -> str:
    """A key as readable text."""
    if isinstance(key, int):
        return str(key) if abs(key) < 10**9 else "number"
    return visible(key.full if isinstance(key, Name) else key if isinstance(key, str) else type(key).__name__)[:80]


def find_named(value: Any, kind: type) -> dict[str, Any]:
    """All values of one type, by the dotted names of the tables and modules around them.

    A table that occurs twice, or in itself, is visited once. Of lists only the outermost is visited, as in
    `torch.save((epoch, state), file)`; its indexes are names.
    """
    result: dict[str, Any] = {}
    visited: set[int] = set()
    rest = (
        [(inner, f"{index}.") for index, inner in enumerate(value)] if type(value) in (list, tuple) else [(value, "")]
    )
    while rest:
        current, path = rest.pop()
        if isinstance(current, kind):
            result[path.removesuffix(".")] = current
        elif isinstance(current, dict | StandIn) and len(path) < 1000 and id(current) not in visited:
            visited.add(id(current))
            for table in (current,) if isinstance(current, dict) else _tables(current):
                texts = ((key, inner) for key, inner in table.items() if isinstance(key, str) and 0 < len(key) < 500)
                rest.extend((inner, f"{path}{key}.") for key, inner in texts)
    return result


def _tables(stand_in: StandIn) -> list[dict[Any, Any]]:
    """The tables of a stand-in. A torch module has three inner tables, which are not part of its names."""
    parts = [stand_in.fields.get(key) for key in ("_parameters", "_buffers", "_modules")]
    if all(isinstance(part, dict) for part in parts):
        return [part for part in parts if isinstance(part, dict)]
    return [stand_in.fields, stand_in.items]
