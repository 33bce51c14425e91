"""Collector of a program's messages from its source, as templates of a `message` field. Pure.

A message is the text of a logging call, a warning, an exception or an assertion, constant or filled by `%`, by `format`
or in place (an f-string), also by way of a variable of the same function. A hole is named after its expression, and has
a type if the format gives one (`%d`, `%.2f`), unless its name smells.
"""

from __future__ import annotations

import ast
import re
import string
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.model import OTHER, Field
from telemetry.catalog.names import may_be_id, private_name
from telemetry.catalog.template import Hole, is_hollow, parse_template, shape_of, written
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from telemetry.catalog.template import Part

_CALLS = frozenset({"debug", "info", "warning", "warn", "error", "critical", "fatal", "exception", "log"})
_RAISED = re.compile(r"(Error|Exception|Warning|Failure|Fault)$")
_TEXT_KEYS = frozenset({"msg", "message", "detail", "reason"})
_TRANSLATE = frozenset({"_", "gettext", "gettext_lazy", "gettext_noop", "_l", "lazy_gettext"})
_SEES_THROUGH = frozenset(
    {"str", "repr", "int", "float", "abs", "round", "sorted", "list", "tuple", "type", "join", "len"}
)
_PERCENT = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?(?P<flags>[#0 +-]*)(?P<width>\*|\d+)?(?:\.(?:\*|\d+))?[hlL]?(?P<as>[a-zA-Z%])"
)
_SPEC = re.compile(
    r"(?P<align>.?[<>=^])?(?P<sign>[+ -])?#?(?P<zero>0)?(?P<width>\d+)?(?P<comma>[,_])?(\.\d+)?(?P<as>[a-zA-Z%])?"
)
_MAX_NAME_CHARACTERS = 30
_UNNAMED = "value"


class Message(NamedTuple):
    """A message in its place: its template, and the number of its line."""

    template: str
    line: int


class Collected(NamedTuple):
    """The messages of a program.

    Attributes:
        messages: the messages by file; none of them twice, whatever its holes are called.
        left_out: the number of those that are nearly all hole, or can't be made a template.
    """

    messages: dict[str, list[Message]]
    left_out: int


def collect(sources: Iterable[tuple[str, ast.Module]]) -> Collected:
    """Collect the messages of files, each given by its name and its syntax tree."""
    found = [
        (file, line, parts) for file, tree in sources for line, parts in sorted(_of_scope(tree, {}), key=itemgetter(0))
    ]
    types = _agreed(parts for _, _, parts in found)
    messages: dict[str, list[Message]] = {}
    seen: set[tuple[str, ...]] = set()
    left_out = 0
    for file, line, raw in found:
        parts = _sound(
            [Hole(part.name, part.type and types[part.name]) if isinstance(part, Hole) else part for part in raw]
        )
        if parts is None or is_hollow(parts) or parts == (OTHER,):
            left_out += 1
        elif shape_of(parts) not in seen:
            seen.add(shape_of(parts))
            messages.setdefault(file, []).append(Message(written(parts), line))
    return Collected(messages, left_out)


def lines_for_review(collected: Collected, field: str = "detail") -> str:
    """Return lines of TOML for a reviewer, who adds the purpose and removes messages that need not leave."""
    number = sum(map(len, collected.messages.values()))
    lines = [
        f"# {counted(number, 'message')}; left out, for they are nearly all hole: {collected.left_out}",
        f'{field} = {{ type = "message", purpose = "TODO", templates = [',
    ]
    for file, messages in collected.messages.items():
        lines.append(f"  # {file}")
        lines += [f"  {_quoted(message.template)},  # {message.line}" for message in messages]
    return "\n".join([*lines, "] }"]) + "\n"


def _quoted(text: str) -> str:
    """Write a text as TOML has it on one line, with invisible characters escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else _escape(char) for char in escaped) + '"'


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) < 1 << 16 else f"\\U{ord(char):08x}"


def _agreed(all_parts: Iterable[Sequence[Part]]) -> dict[str, str]:
    """Agree on one type for each name of a hole: a whole number is a number, too."""
    types: dict[str, str] = {}
    for parts in all_parts:
        for part in parts:
            if isinstance(part, Hole) and part.type is not None:
                types[part.name] = part.type if types.get(part.name, part.type) == part.type else "float"
    return types


def _sound(parts: list[Part]) -> tuple[Part, ...] | None:
    """Return the parts of a template that can be read, with bare holes where they have to be; None if there is none."""
    joined: list[Part] = []
    for is_hole, run in groupby(filter(None, parts), key=lambda part: isinstance(part, Hole)):
        some = list(run)
        holes = [part for part in some if isinstance(part, Hole)]
        if is_hole:
            joined.append(holes[0] if len(holes) == 1 else Hole(holes[0].name, None))
        else:
            joined.append("".join(part for part in some if isinstance(part, str)))
    names: dict[str, int] = {}
    for number, part in enumerate(joined):
        if isinstance(part, Hole):
            names[part.name] = names.get(part.name, 0) + 1
            if names[part.name] > 1:
                joined[number] = Hole(f"{part.name}_{names[part.name]}", None)
    for attempt in (joined, [Hole(part.name, None) if isinstance(part, Hole) else part for part in joined]):
        try:
            return parse_template(written(attempt))
        except ValueError:
            continue
    return None


def _of_scope(scope: ast.AST, outer: dict[str, list[ast.expr]]) -> Iterator[tuple[int, list[Part]]]:
    """Yield the messages of a module, class or function, and of those within it, resolving their variables."""
    inside = list(_within(scope))
    variables = dict(outer)
    own: dict[str, list[ast.expr]] = {}
    for node in inside:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            own.setdefault(node.targets[0].id, []).append(node.value)
    variables.update(own)
    for node in inside:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _of_scope(node, variables)
        else:
            for text, arguments in _texts_of(node):
                for parts in _read(text, arguments, variables):
                    if any(isinstance(part, str) and part.strip() for part in parts):
                        yield text.lineno, parts


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a scope, up to the scopes within it."""
    waiting = list(ast.iter_child_nodes(scope))
    for node in waiting:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def _texts_of(node: ast.AST) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    """Yield the text of a statement or a call that has one, and the arguments for its holes, if given beside it."""
    match node:
        case ast.Assert(msg=ast.expr() as text):
            yield text, []
        case ast.Raise(exc=ast.Call() as call):
            yield from _of_exception(call)
        case ast.Call(args=args):
            name = _called(node)
            if name in _CALLS:
                arguments = args[1:] if name == "log" else args
                yield from ((text, arguments[1:]) for text in arguments[:1])
            elif _RAISED.search(name) or (name == "__init__" and _is_super(node)):
                yield from _of_exception(node)


def _of_exception(call: ast.Call) -> Iterator[tuple[ast.expr, list[ast.expr]]]:
    keyed = [keyword.value for keyword in call.keywords if keyword.arg in _TEXT_KEYS]
    texts = [argument for argument in (*call.args, *keyed) if _may_be_text(argument)]
    yield from ((text, []) for text in texts[:1])


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def _is_super(call: ast.Call) -> bool:
    match call.func:
        case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
            return True
        case _:
            return False


def _may_be_text(node: ast.expr) -> bool:
    return not isinstance(node, ast.Starred | ast.Constant) or isinstance(getattr(node, "value", None), str)


# Parts of a text.


def _read(node: ast.expr, arguments: list[ast.expr], variables: dict[str, list[ast.expr]]) -> list[list[Part]]:
    """Return the parts of a text, once for each form it may have; none for a node that is no text."""
    texts: list[list[Part]] = []
    match node:
        case ast.Constant(value=str(text)):
            texts = [_filled(text, arguments)]
        case ast.JoinedStr(values=values):
            texts = [[part for value in values for part in _in_place(value)]]
        case ast.Name(id=name) if name in variables:
            texts = [parts for text in variables[name] for parts in _read(text, arguments, {})]
        case ast.IfExp(body=one, orelse=other):
            texts = _read(one, arguments, variables) + _read(other, arguments, variables)
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod(), right=right):
            texts = [_by_percent(text, _fillings(right), _keyed(right))]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = [_read(side, [], variables) or [[Hole(_name_of(side), None)]] for side in (left, right)]
            texts = [one + other for one in sides[0][:1] for other in sides[1][:1]]
        case ast.Call(
            func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format"), args=args, keywords=keywords
        ):
            texts = [_by_format(text, args, {one.arg: one.value for one in keywords if one.arg})]
        case ast.Call(args=[only]) if _called(node) in _TRANSLATE:
            texts = _read(only, arguments, variables)
    return texts


def _filled(text: str, arguments: list[ast.expr]) -> list[Part]:
    """Read a text that a logging call fills, by whichever of the two signs it has."""
    if not arguments:
        return [text]
    if not _PERCENT.search(text) and "{" in text:
        return _by_format(text, arguments, {})
    keyed = _keyed(arguments[0]) if len(arguments) == 1 else {}
    return _by_percent(text, arguments, keyed)


def _fillings(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _keyed(node: ast.expr) -> dict[str, ast.expr]:
    if not isinstance(node, ast.Dict):
        return {}
    pairs = zip(node.keys, node.values, strict=True)
    return {key.value: value for key, value in pairs if isinstance(key, ast.Constant) and isinstance(key.value, str)}


def _by_percent(text: str, arguments: list[ast.expr], keyed: dict[str, ast.expr]) -> list[Part]:
    parts: list[Part] = []
    waiting = iter(arguments)
    at = 0
    for found in _PERCENT.finditer(text):
        parts.append(text[at : found.start()])
        at = found.end()
        if found["as"] == "%":
            parts.append("%")
            continue
        for _ in range(found[0].count("*")):
            next(waiting, None)
        key = found["key"]
        name = _name_of_key(key, keyed) if key else _name_of(next(waiting, None))
        is_padded = " " in found["flags"] or bool(found["width"] and "0" not in found["flags"])
        parts.append(_hole(name, "" if is_padded else found["as"]))
    return [*parts, text[at:]]


def _by_format(text: str, arguments: list[ast.expr], keyed: dict[str, ast.expr]) -> list[Part]:
    parts: list[Part] = []
    waiting = iter(arguments)
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        return []
    for constant, field, spec, conversion in pieces:
        parts.append(constant)
        if field is None:
            continue
        if not field:
            name = _name_of(next(waiting, None))
        elif field.isdecimal():
            name = _name_of(arguments[int(field)] if int(field) < len(arguments) else None)
        else:
            name = _name_of_key(re.split(r"[.\[\]]+", field.rstrip("]"))[-1], keyed)
        parts += _formatted(name, "!" if conversion else spec or "")
    return parts


def _in_place(node: ast.expr) -> list[Part]:
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return [Hole(_name_of(value), None)]
        case ast.FormattedValue(
            value=value, conversion=-1, format_spec=ast.JoinedStr(values=[ast.Constant(value=str(spec))])
        ):
            return _formatted(_name_of(value), spec)
        case ast.FormattedValue(value=value):
            return [Hole(_name_of(value), None)]
        case _:
            return []


def _formatted(name: str, spec: str) -> list[Part]:
    found = _SPEC.fullmatch(spec)
    if found is None or found["comma"] or found["sign"] == " " or (found["width"] and not found["zero"]):
        return [Hole(name, None)]
    if found["as"] == "%":
        return [_hole(name, "f"), "%"]
    return [_hole(name, found["as"] or "")]


def _hole(name: str, form: str) -> Hole:
    """Make a hole, of the type that its format gives, unless its name smells: then nothing of it is to leave."""
    type_: str | None = "int" if form in {*"diu"} - {""} else "float" if form in {*"eEfFgG"} else None
    if type_ is not None:
        field = Field(name=name, type=type_, purpose="", parameter_of="detail")
        if may_be_id(field) or private_name(field):
            type_ = None
    return Hole(name, type_)


def _name_of(node: ast.expr | None) -> str:
    """Return the best name for an expression."""
    name = _UNNAMED
    match node:
        case ast.Name(id=said) | ast.Attribute(attr=said):
            name = _as_name(said)
        case ast.Call(args=[first, *_]) if _called(node) in _SEES_THROUGH:
            name = _name_of(first) + ("_count" if _called(node) == "len" else "")
        case ast.Call():
            name = _as_name(_called(node).removeprefix("get_"))
        case ast.Subscript(slice=ast.Constant(value=str(key))):
            name = _as_name(key)
        case ast.Subscript(value=value) | ast.Starred(value=value) | ast.Await(value=value):
            name = _name_of(value)
        case ast.BinOp(left=inner) | ast.UnaryOp(operand=inner) | ast.IfExp(body=inner):
            name = _name_of(inner)
    return name


def _name_of_key(key: str, keyed: dict[str, ast.expr]) -> str:
    name = _name_of(keyed.get(key))
    return _as_name(key) if name == _UNNAMED else name


def _as_name(name: str) -> str:
    spelled = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    plain = re.sub("[^a-z0-9_]+", "_", spelled, flags=re.ASCII).lstrip("_0123456789").rstrip("_")[:_MAX_NAME_CHARACTERS]
    return {"": _UNNAMED, "e": "error", "ex": "error", "exc": "error", "err": "error"}.get(plain, plain)
