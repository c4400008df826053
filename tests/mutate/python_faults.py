"""Faults of Python sources: edits of spans that the syntax tree gives.

Not touched are annotations, docstrings, texts for people, imports, and what only
type checkers read.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from typing import TYPE_CHECKING

from tests.mutate.fault import Fault, Source, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPARED: dict[type[ast.cmpop], tuple[str, ...]] = {
    ast.Lt: ("<=", ">="),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<="),
    ast.GtE: (">", "<"),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.Is: ("is not",),
    ast.IsNot: ("is",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
}
_CALCULATED: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "//",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "//",
    ast.LShift: ">>",
    ast.RShift: "<<",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "&",
}
_OPERATOR = r"not\s+in|is\s+not|in|is|and|or|<<|>>|//|\*\*|<=|>=|==|!=|[-+*/%&|^<>]"
# Methods whose first argument is a key.
_KEYED = {"get", "pop", "setdefault", "removeprefix", "removesuffix", "startswith", "endswith"}
_Edit = tuple[str, Span, str]


def python_faults(source: Source) -> list[Fault]:
    """All faults that this module knows of a source."""
    found = set(_Maker(source).module())
    return sorted(found, key=lambda fault: (fault.span.start, fault.span.end, fault.text))


class _Maker:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.tree = ast.parse(source.text)

    def module(self) -> Iterator[Fault]:
        for statement in self.tree.body:
            yield from self.statement(statement, "")

    def statement(self, node: ast.stmt, name: str) -> Iterator[Fault]:
        """Faults of a statement and of those in it."""
        if _is_ignored(node):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from self.defaults(node)
            name = node.name
        else:
            # What runs is the statement up to the block in it.
            last = min((inner.lineno - 1 for inner in _inner(node)), default=node.end_lineno or 0)
            lines = (node.lineno, max(node.lineno, last))
            for kind, span, text in self.edits(node):
                yield self.source.fault(kind, span, text, name=name, lines=lines)
        for inner in _inner(node):
            yield from self.statement(inner, name)

    def defaults(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Fault]:
        """Faults of the values that arguments have by default: they show where it runs."""
        arguments = node.args
        values = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
        lines = (node.body[0].lineno, node.end_lineno or node.lineno)
        for value in values:
            found = list(self.expression(value))
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found += self.text(value)
            for _, span, text in found:
                yield self.source.fault("default", span, text, name=node.name, lines=lines)

    def edits(self, node: ast.stmt) -> Iterator[_Edit]:
        """Edits of a statement itself, without the blocks in it."""
        yield from self.dropped(node)
        match node:
            case ast.If(test=test):
                yield ("condition", self.span(test), "True")
                yield ("condition", self.span(test), "False")
            case ast.Return(value=value) if value and not _is_nothing(value):
                yield ("return", self.span(value), "None")
            case ast.Try(handlers=handlers):
                for handler in handlers:
                    if isinstance(handler.type, ast.Tuple):
                        yield from self.shorter(handler.type)
            case ast.AugAssign(op=operator, target=target, value=value) if (
                type(operator) in _CALCULATED
            ):
                span = self.between(target, value, r"\S+?(?==)")
                yield ("arithmetic", span, _CALCULATED[type(operator)])
        for child in ast.iter_child_nodes(node):
            if isinstance(node, ast.AnnAssign) and child is node.annotation:
                continue
            if isinstance(child, ast.expr | ast.withitem | ast.keyword):
                yield from self.expression(child)

    def dropped(self, node: ast.stmt) -> Iterator[_Edit]:
        match node:
            case ast.Raise():
                yield ("raise dropped", self.span(node), "pass")
            case ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom()):
                yield ("statement dropped", self.span(node), "pass")
            case ast.Continue() | ast.Break() | ast.AugAssign() | ast.Delete():
                yield ("statement dropped", self.span(node), "pass")
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield ("statement dropped", self.span(node), "pass")

    def shorter(self, node: ast.Tuple) -> Iterator[_Edit]:
        """A tuple without one of its members."""
        for left_out in node.elts:
            kept = [ast.unparse(member) for member in node.elts if member is not left_out]
            yield ("exception removed", self.span(node), f"({', '.join(kept)},)")

    def expression(self, root: ast.AST) -> Iterator[_Edit]:
        """Edits of an expression, and of those in it."""
        for node in ast.walk(root):
            yield from self.operators(node)
            yield from self.values(node)
            for test in _conditions(node):
                yield ("condition", self.span(test), "True")
                yield ("condition", self.span(test), "False")
            for key in _keys(node):
                yield from self.text(key)

    def values(self, node: ast.AST) -> Iterator[_Edit]:
        match node:
            case ast.Constant(value=bool(value)):
                yield ("constant", self.span(node), str(not value))
            case ast.Constant(value=int(value) | float(value)):
                yield from self.number(node, value)
            case ast.Slice(lower=lower, upper=upper):
                for bound in filter(None, (lower, upper)):
                    if not isinstance(bound, ast.Constant):
                        for change in ("+ 1", "- 1"):
                            yield ("bound", self.span(bound), f"({self.plain(bound)}) {change}")

    def operators(self, node: ast.AST) -> Iterator[_Edit]:
        match node:
            case ast.Compare(left=left, ops=operators, comparators=others):
                for one, operator, other in zip([left, *others], operators, others, strict=False):
                    span = self.between(one, other, _OPERATOR)
                    for text in _COMPARED[type(operator)]:
                        yield ("comparison", span, text)
            case ast.BoolOp(op=operator, values=values):
                text = "or" if isinstance(operator, ast.And) else "and"
                for one, other in pairwise(values):
                    yield ("and/or", self.between(one, other, _OPERATOR), text)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield ("not dropped", self.span(node), f"({self.plain(operand)})")
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _CALCULATED:
                # Texts are put together and filled in; nothing else can be done with them.
                if not (_is_text(left) or _is_text(right)):
                    span = self.between(left, right, _OPERATOR)
                    yield ("arithmetic", span, _CALCULATED[type(operator)])

    def number(self, node: ast.Constant, number: float) -> Iterator[_Edit]:
        form = {"0x": "#x", "0o": "#o"}.get(self.plain(node)[:2], "")
        for value in (number + 1, number - 1):
            text = format(value, form) if form and value >= 0 else str(value)
            yield ("constant", self.span(node), f"({text})" if value < 0 else text)

    def text(self, node: ast.expr) -> Iterator[_Edit]:
        """A key with a letter more."""
        written = self.plain(node)
        if written[-1] in "\"'":
            yield ("key", self.span(node), f"{written[:-1]}x{written[-1]}")

    def span(self, node: ast.stmt | ast.expr) -> Span:
        start = self.source.offset(node.lineno, node.col_offset)
        end = self.source.offset(node.end_lineno or 0, node.end_col_offset or 0)
        return Span(start, end)

    def plain(self, node: ast.expr) -> str:
        span = self.span(node)
        return self.source.text[span.start : span.end]

    def between(self, left: ast.expr, right: ast.expr, pattern: str) -> Span:
        """The place of an operator, which the tree does not tell."""
        start, end = self.span(left).end, self.span(right).start
        # A comment may stand between them, and brackets.
        blank = re.sub(r"#[^\n]*", lambda found: " " * len(found[0]), self.source.text[start:end])
        found = re.search(pattern, blank)
        assert found, self.source.text[start:end]
        return Span(start + found.start(), start + found.end())


def _is_ignored(node: ast.stmt) -> bool:
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(targets=[ast.Name(id="__all__")]):
            return True
    return False


def _inner(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements of the blocks of a statement."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        elif isinstance(child, ast.ExceptHandler | ast.match_case):
            yield from child.body


def _conditions(node: ast.AST) -> list[ast.expr]:
    """The conditions in an expression; those of `if` statements are not."""
    match node:
        case ast.IfExp(test=test):
            return [test]
        case ast.comprehension(ifs=conditions):
            return conditions
    return []


def _is_nothing(node: ast.expr) -> bool:
    # None in the place of False is seldom seen.
    return isinstance(node, ast.Constant) and (node.value is None or node.value is False)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    )


def _keys(node: ast.AST) -> Iterator[ast.expr]:
    """Constant texts in an expression that are keys, or compared, and not for people."""
    found: list[ast.expr | None] = []
    match node:
        case ast.Subscript(slice=key):
            found = [key]
        case ast.Dict(keys=keys):
            found = [*keys]
        case ast.Set(elts=members):
            found = [*members]
        case ast.Compare(left=left, comparators=others):
            found = [left, *others]
            found += [each for other in others for each in getattr(other, "elts", [])]
        case ast.Call(func=ast.Attribute(attr=name), args=[key, *_]) if name in _KEYED:
            found = [key]
    for each in found:
        if isinstance(each, ast.Constant) and isinstance(each.value, str | bytes) and each.value:
            yield each
