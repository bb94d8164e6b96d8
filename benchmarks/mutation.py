"""The places at which a file can be changed into a mutant, for Python (over its syntax tree) and C (over its tokens).

Operators: a relation, an operation, a shift or a connective replaced; a constant one more or less, or doubled; a condition turned round;
two arguments swapped; a statement left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """The text from ``start`` to ``end`` of a file, in characters, replaced by ``new``; ``operator`` says by which rule."""

    operator: str
    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


RELATIONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
}
COMMUTES = {"isinstance", "zip", "min", "max", "minimum", "maximum", "multiply", "array_equal"}
"""Functions whose two arguments cannot be told apart, or cannot be swapped without an error."""
C_SWAPS = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "==": "!=",
    "!=": "==",
    "+": "-",
    "-": "+",
    "*": "+",
    "/": "*",
    "%": "/",
    "<<": ">>",
    ">>": "<<",
    "&&": "||",
    "||": "&&",
    "+=": "-=",
    "-=": "+=",
    "&": "|",
}
C_IGNORED = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|^[ \t]*#(?:[^\n\\]|\\.|\\\n)*', re.DOTALL | re.MULTILINE)
C_OPERATOR = re.compile(r"(?<= )(<<|>>|<=|>=|==|!=|&&|\|\||\+=|-=|[<>+\-*/%&])(?= )")
C_NUMBER = re.compile(r"(?<![\w.])(\d+)(?=u?(?:[^\w.]|$))")
C_STATEMENT = re.compile(
    r"^([ \t]+)(?!return|continue|break|const|else|goto|static|do\b)([^\n{};#]*[^\n{};#=]=[^\n{}=;]*|\w+\([^\n{};]*\));$", re.MULTILINE
)
C_CALL = re.compile(r"\b\w+\(([\w.\[\]>*-]+), ([\w.\[\]>*-]+)(?=[,)])")


def c_mutations(text: str) -> Iterator[Mutation]:
    """Those of a C file, outside its comments, strings and directives."""
    code = C_IGNORED.sub(lambda found: re.sub(r"[^\n]", "~", found[0]), text)
    for found in C_OPERATOR.finditer(code):
        yield Mutation("operator", *found.span(1), C_SWAPS[found[1]])
    for found in C_NUMBER.finditer(code):
        yield Mutation("constant + 1", *found.span(1), str(int(found[1]) + 1))
        if int(found[1]):
            yield Mutation("constant - 1", *found.span(1), str(int(found[1]) - 1))
    for found in C_STATEMENT.finditer(code):
        if not re.match(r"(?:const )?(?:u?int\d+_t|float|void|size_t)\b", found[2]):
            yield Mutation("statement left out", *found.span(2), "(void)0")
    for found in C_CALL.finditer(code):
        if found[1] != found[2] and not re.search(
            r"\b(?:void|int|float|struct|static)\b", code[code.rfind("\n", 0, found.start()) + 1 : found.start()]
        ):
            yield Mutation("arguments swapped", found.start(1), found.end(2), f"{found[2]}, {found[1]}")


def python_mutations(text: str) -> Iterator[Mutation]:
    """Those of a Python file, outside docstrings, annotations and messages of errors."""
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def at(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    def replaced(operator: str, node: ast.expr | ast.stmt, new: ast.AST | str) -> Mutation:
        assert node.end_lineno is not None and node.end_col_offset is not None  # noqa: S101, PT018 - a parsed node has an end
        code = new if isinstance(new, str) else ast.unparse(new)
        wrapped = f"({code})" if isinstance(node, ast.expr) and not isinstance(node, (ast.Constant, ast.Call)) else code
        return Mutation(operator, at(node.lineno, node.col_offset), at(node.end_lineno, node.end_col_offset), wrapped)

    for node in _walk(ast.parse(text)):
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in RELATIONS:
            yield replaced("relation", node, ast.Compare(node.left, [RELATIONS[type(node.ops[0])]()], node.comparators))
        elif isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS and not _is_text(node):
            yield replaced("operation", node, ast.BinOp(node.left, OPERATIONS[type(node.op)](), node.right))
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield replaced("connective", node, ast.BoolOp(other, node.values))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
            yield replaced("sign or not", node, node.operand)
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield replaced("constant", node, str(not node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, int):
            yield replaced("constant + 1", node, str(node.value + 1))
            yield replaced("constant - 1", node, f"({node.value - 1})")
        elif isinstance(node, ast.Constant) and isinstance(node.value, float) and node.value:
            yield replaced("constant doubled", node, repr(2.0 * node.value))
        elif isinstance(node, (ast.If, ast.IfExp)) and not isinstance(node.test, ast.Compare):
            yield replaced("condition", node.test, f"not {ast.unparse(node.test)}")
        elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            yield replaced("statement left out", node, "pass")
        elif (
            isinstance(node, ast.Call)
            and len(node.args) >= 2
            and ast.unparse(node.func).rpartition(".")[2] not in COMMUTES
            and not any(isinstance(argument, ast.Starred) for argument in node.args[:2])
        ):
            first, second, *rest = node.args
            yield replaced("arguments swapped", node, ast.Call(node.func, [second, first, *rest], node.keywords))


def _is_text(node: ast.BinOp) -> bool:
    return any(
        isinstance(side, (ast.JoinedStr, ast.List)) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes whose change is one of behaviour: no annotations, docstrings, texts with values in them, nor what an error says."""
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list") or isinstance(node, (ast.JoinedStr, ast.Raise)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _walk(child)
