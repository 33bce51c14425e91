"""The changes: what a slip of the hand would make of one expression or one statement, as text in its place.

Pure: source in, mutants out. The rest of the file stays as it is, byte by byte.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*", ast.FloorDiv: "*", ast.Mod: "*",
    ast.BitAnd: "|", ast.BitOr: "&", ast.LShift: ">>", ast.RShift: "<<",
}  # fmt: skip


class Mutant(NamedTuple):
    """A module with one thing changed.

    Attributes:
        line: where, counted from 1.
        statement: the line of the innermost statement of a function's body that it stands in; 0 outside of any.
        function: in which function or class, by its qualified name; empty for the module itself.
        before: what stood there.
        after: what stands there now.
        source: the whole module.
        key: a name for the change that holds as long as its function stays as it is, wherever it moves.
    """

    line: int
    statement: int
    function: str
    before: str
    after: str
    source: str
    key: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of the source."""
    text = source.encode()  # columns are counted in bytes
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    keys: Counter[str] = Counter()
    for node, function, statement in _walk(ast.parse(source), "", 0):
        for changed, after in _changes(node):
            begin = starts[changed.lineno - 1] + changed.col_offset
            end = starts[(changed.end_lineno or changed.lineno) - 1] + (changed.end_col_offset or 0)
            before = text[begin:end].decode()
            key = f"{function}: {_one_line(before)} -> {_one_line(after)}"
            keys[key] += 1
            if keys[key] > 1:
                key += f" [{keys[key]}]"
            changed_text = (text[:begin] + after.encode() + text[end:]).decode()
            yield Mutant(node.lineno, statement, function, before, after, changed_text, key)


def _walk(node: ast.AST, function: str, statement: int) -> Iterator[tuple[ast.expr | ast.stmt, str, int]]:
    """What can be changed; annotations, docstrings, and what only types are made of, are left alone."""
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for field, child in _children(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        innermost = statement
        if isinstance(child, ast.stmt) and (statement or (is_function and field == "body")):
            innermost = child.lineno
        if isinstance(child, ast.expr | ast.stmt):
            yield child, function, innermost
        inside = function
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}".lstrip(".")
        if isinstance(child, ast.AnnAssign):
            yield from _walk(child.value, inside, innermost) if child.value else ()
        elif not isinstance(child, ast.arg):
            yield from _walk(child, inside, innermost)


def _children(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield what can hold a change; what only says what a class is made of can't."""
    left_alone = {"returns", "decorator_list", "keywords"} if isinstance(node, ast.ClassDef) else {"returns"}
    for field, value in ast.iter_fields(node):
        if field not in left_alone:
            yield from (
                (field, child)
                for child in (value if isinstance(value, list) else [value])
                if isinstance(child, ast.AST)
            )


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What may stand in the place of a node, or of a part of it."""
    match node:
        case ast.If() | ast.IfExp():
            yield from ((node.test, f"({ast.unparse(node.test)}{end})") for end in (" or True", " and False"))
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Delete():
            yield node, "pass"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield node, "return None"
        case ast.expr():
            yield from ((node, after) for after in _other_expressions(node))
        case _:
            pass


def _other_expressions(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            yield f"({ast.unparse(node.left)} {_COMPARISONS[type(op)]} {ast.unparse(node.comparators[0])})"
        case ast.BoolOp():
            other = " or " if isinstance(node.op, ast.And) else " and "
            yield f"({other.join(f'({ast.unparse(value)})' for value in node.values)})"
        case ast.UnaryOp(op=ast.Not()):
            yield f"({ast.unparse(node.operand)})"
        case ast.BinOp() if type(node.op) in _OPERATORS and not _is_text(node):
            yield f"({ast.unparse(node.left)} {_OPERATORS[type(node.op)]} {ast.unparse(node.right)})"
        case ast.Constant(value=bool() as value):
            yield str(not value)
        case ast.Constant(value=int() as value):
            yield str(value + 1)
        case ast.Call(func=ast.Name(id="max" | "min"), args=[_, _, *_]):
            yield from map(ast.unparse, node.args)
        case _:
            pass


def _is_text(node: ast.BinOp) -> bool:
    """Whether a sum is one of texts, of which no other operator makes anything."""
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str | bytes))
        for side in (node.left, node.right)
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:100]
