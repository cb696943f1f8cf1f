"""A pickle machine that runs nothing: opcode by opcode, within a budget, with a stand-in for every name.

A pickle is a program. Python's own unpickler lets a few bytes of it cost any amount of work or memory: tuples that
share their parts are hashed 2^60 times, a memo is as large as the largest index. This one hashes strings and small
numbers only, and each opcode costs no more than its own bytes.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_OPCODES = 500_000  # of one file; StyleGAN2 networks of 1024 px have 100,000
MAX_NESTING = 1_000  # of marks: lists, tuples and dicts that are begun and not yet ended
MAX_INTEGER = 2**127
MAX_INTEGER_KEY = 2**16  # larger ones could be chosen to collide
SHOWN = 80  # characters of a file's own text in a message

Resolve = Callable[[str], Callable[..., Any]]

_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8")
_PUTS, _GETS = ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), ("GET", "BINGET", "LONG_BINGET")


class PickleRefused(ValueError):
    """A pickle that is corrupt, too costly, or names what is not allowed; the message is one line, written by us."""


class Dropped:
    """The stand-in for what such files hold and nobody needs: accepts any arguments, keeps none."""

    __slots__ = ()

    def __init__(self, *_: Any) -> None:
        pass


@dataclass
class Budget:
    """The opcodes that may still be spent on one file, over all the pickles in it."""

    opcodes: int = MAX_OPCODES

    def spend(self, num: int = 1) -> None:
        """Count opcodes; raises PickleRefused where they are too many."""
        self.opcodes -= num
        if self.opcodes < 0:
            raise PickleRefused(f"it has more than {MAX_OPCODES:,} opcodes")


def read_pickle(stream: io.BytesIO, resolve: Resolve, persistent: Callable[[Any], Any], budget: Budget) -> Any:
    """The value of the next pickle of a stream, which is then just behind it.

    resolve: gives the stand-in for a name such as 'torch.FloatStorage', to be called with the pickle's arguments, or
    raises PickleRefused. persistent: the value for a persistent id. Sets become `Dropped`, and so does the state of
    whatever is not a stand-in. Raises PickleRefused, and nothing else, where that does not work.
    """
    machine = _Machine(resolve, persistent)
    position = stream.tell()
    try:
        for opcode, argument, at in pickletools.genops(stream):
            position = at if at is not None else position
            budget.spend()
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except PickleRefused:
        raise
    except Exception as error:  # whatever opcodes and arguments that do not fit each other bring about
        raise PickleRefused(f"it cannot be read as a pickle: truncated or corrupt at byte {position:,}") from error
    raise PickleRefused("it cannot be read as a pickle: it has no end")


def make_dict_factory(budget: Budget) -> Callable[..., dict[Any, Any]]:
    """The stand-in for a class of dicts.

    Given pairs, as Python 2 wrote them, it spends an opcode on each, so that copies are not free.
    """

    def make(*arguments: Any) -> dict[Any, Any]:
        pairs = arguments[0] if arguments else []
        if len(arguments) > 1 or not isinstance(pairs, list):
            raise PickleRefused("it copies a dict")
        budget.spend(len(pairs))
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs):
            raise PickleRefused("it makes a dict of what are no pairs")
        return _fill({}, [item for pair in pairs for item in pair])

    return make


def describe_value(value: Any) -> str:
    """A value out of a pickle for a message: short however large or shared it is."""
    if value is None or isinstance(value, str | bool | int | float):
        return " ".join(str(value)[:SHOWN].split())
    return f"a {type(value).__name__.strip('_')}"


class _Machine:
    """A stack, the stacks below its marks, and a memo."""

    def __init__(self, resolve: Resolve, persistent: Callable[[Any], Any]) -> None:
        self.resolve, self.persistent = resolve, persistent
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.makers: dict[str, Callable[[], Any]] = {
            "NONE": lambda: None,
            "NEWTRUE": lambda: True,
            "NEWFALSE": lambda: False,
            "EMPTY_LIST": list,
            "EMPTY_DICT": dict,
            "EMPTY_TUPLE": tuple,
            "EMPTY_SET": Dropped,
            "LIST": self._pop_mark,
            "TUPLE": lambda: tuple(self._pop_mark()),
            "FROZENSET": lambda: Dropped(*self._pop_mark()),
            "TUPLE1": lambda: self._pop_last(1),
            "TUPLE2": lambda: self._pop_last(2),
            "TUPLE3": lambda: self._pop_last(3),
            "DICT": lambda: _fill({}, self._pop_mark()),
            "DUP": lambda: self.stack[-1],
            "STACK_GLOBAL": self._stack_global,
            "REDUCE": self._call,
            "NEWOBJ": self._call,
            "BINPERSID": lambda: self.persistent(self.stack.pop()),
        }
        self.changes: dict[str, Callable[[], Any]] = {
            "PROTO": lambda: None,
            "FRAME": lambda: None,
            "MARK": self._mark,
            "POP": lambda: self.stack.pop() if self.stack else self._pop_mark(),
            "POP_MARK": self._pop_mark,
            "APPEND": lambda: self._append([self.stack.pop()]),
            "APPENDS": lambda: self._append(self._pop_mark()),
            "ADDITEMS": self._pop_mark,
            "SETITEM": lambda: self._set(list(self._pop_last(2))),
            "SETITEMS": lambda: self._set(self._pop_mark()),
            "BUILD": lambda: self._pop_last(1),
        }

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        if name in _NUMBERS:
            if isinstance(argument, int) and abs(argument) > MAX_INTEGER:
                raise PickleRefused("it holds a whole number of more than 127 bits")
            self.stack.append(argument)
        elif name in _TEXTS or name in _BYTES:
            self.stack.append(argument)
        elif name in _PUTS:
            self.memo[len(self.memo) if name == "MEMOIZE" else argument] = self.stack[-1]
        elif name in _GETS:
            self.stack.append(self.memo[argument])
        elif name in self.makers:
            made = self.makers[name]()  # first, as it may put another stack in this one's place
            self.stack.append(made)
        elif name in self.changes:
            self.changes[name]()
        elif name == "GLOBAL":
            self.stack.append(self._stand_in(argument.replace(" ", ".")))
        else:  # extension codes, buffers from outside, classes of Python 2
            raise PickleRefused(f"it has the opcode {name}, which no such file needs")

    def _mark(self) -> None:
        if len(self.below) >= MAX_NESTING:
            raise PickleRefused("it is nested too deeply")
        self.below.append(self.stack)
        self.stack = []

    def _pop_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _pop_last(self, num: int) -> tuple[Any, ...]:
        if len(self.stack) < num:
            raise PickleRefused("it takes more from its stack than is there")
        items = tuple(self.stack[-num:])
        del self.stack[-num:]
        return items

    def _append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise PickleRefused(f"it appends to {describe_value(self.stack[-1])}")
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], Dropped):
            _fill(self.stack[-1], items)

    def _stack_global(self) -> Any:
        module, name = self._pop_last(2)
        if not (isinstance(module, str) and isinstance(name, str)):
            raise PickleRefused("it asks for something without a name")
        return self._stand_in(f"{module}.{name}")

    def _stand_in(self, name: str) -> "_StandIn":
        return _StandIn(name, self.resolve(name))

    def _call(self) -> Any:
        function, arguments = self._pop_last(2)
        if not (isinstance(function, _StandIn) and isinstance(arguments, tuple)):
            raise PickleRefused(f"it calls {describe_value(function)}")
        return function.function(*arguments)


@dataclass(frozen=True, eq=False)
class _StandIn:
    """What a name of the pickle stands for; called by the machine alone."""

    name: str
    function: Callable[..., Any]


def name_of(value: Any) -> str:
    """The name that a value of a pickle is the stand-in for; empty where it is none."""
    return value.name if isinstance(value, _StandIn) else ""


def _fill(target: Any, items: list[Any]) -> dict[Any, Any]:
    """The dict `target` with keys and values, which alternate in `items`; only what is hashed at once may be a key."""
    if not isinstance(target, dict) or len(items) % 2:
        raise PickleRefused(f"it sets items of {describe_value(target)}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        is_small = isinstance(key, int) and abs(key) <= MAX_INTEGER_KEY
        if not (is_small or isinstance(key, str | bytes)):
            raise PickleRefused(f"it has {describe_value(key)} for a key")
        target[key] = value
    return target
