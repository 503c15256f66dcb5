"""The sentences that the pack's code can write for people, read from its source: each literal as a text with places
`{}` where it fills something in."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

PLACE = re.compile(r"\{\w*\}")
_WORDS = re.compile(r"[A-Za-z']{2,},? [a-z']{2,}|[a-z]{2,} \0|\0 [a-z]{2,}")  # two words, the second no name
_NO_SENTENCE = re.compile(r"^(SELECT|INSERT|UPDATE|DELETE|CREATE|PRAGMA|BEGIN|ALTER|WITH) |\(\?:")
_QUIET = {"log", "logging", "re", "warnings"}  # what these are called with, no person at a page reads
_MOST = 16  # forms of one literal


def shape(text: str) -> str:
    """A text with its places told apart no more, and two beside each other as one.

    assert shape("{name} is {a}{b}.") == "{} is {}."
    """
    return re.sub(r"(\{\})+", "{}", PLACE.sub("{}", text))


def literals(path: Path) -> Iterator[tuple[str, str]]:
    """`(where, text)` of every literal of a module that may be shown; `where` is the function, class or table at its
    outermost level."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        name = _name(statement)
        for node in () if isinstance(statement, ast.Expr) else _shown(statement):
            for text in _forms(node):
                yield name, text


def sentences(path: Path) -> Iterator[tuple[str, str]]:
    """As `literals`, but for those alone that hold words of a sentence."""
    for where, text in literals(path):
        if _is_sentence(text):
            yield where, text


def raised(path: Path) -> Iterator[tuple[str, str]]:
    """As `sentences`, of what a module raises alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Raise):
            for literal in _shown(node):
                yield from (("raise", text) for text in _forms(literal) if _is_sentence(text))


def _is_sentence(text: str) -> bool:
    return bool(_WORDS.search(PLACE.sub("\0", text))) and not _NO_SENTENCE.search(text.strip())


def _name(statement: ast.stmt) -> str:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return statement.name
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    return ""


def _shown(node: ast.AST) -> Iterator[ast.expr]:
    """The outermost literals below a node that are no docstring, no pattern and nothing for the log."""
    if isinstance(node, (ast.JoinedStr, ast.Constant)):
        if not isinstance(node, ast.Constant) or isinstance(node.value, str):
            yield node
        if isinstance(node, ast.Constant):
            return
        inside = [value.value for value in node.values if isinstance(value, ast.FormattedValue)]
        children: list[ast.AST] = [child for child in inside if not _is_choice(child)]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _root(node.func) in _QUIET:
        return
    else:
        children = [child for child in ast.iter_child_nodes(node) if not _is_docstring(node, child)]
    for child in children:
        yield from _shown(child)


def _is_docstring(parent: ast.AST, child: ast.AST) -> bool:
    has = isinstance(parent, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
    return is_text or (has and child in parent.decorator_list)


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_choice(node: ast.expr) -> bool:
    """Whether it is one of two literals, as `'s' if many else ''`."""
    return isinstance(node, ast.IfExp) and all(
        isinstance(each, ast.JoinedStr) or (isinstance(each, ast.Constant) and isinstance(each.value, str))
        for each in (node.body, node.orelse)
    )


def _place(_: ast.expr) -> str:
    return "{}"


def _forms(node: ast.expr) -> list[str]:
    """What a literal can read as: one form for each combination of its choices."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []  # `{name}` in it is filled in by str.format
    assert isinstance(node, ast.JoinedStr)
    parts: list[list[str]] = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append([str(value.value)])
        elif isinstance(value, ast.FormattedValue) and _is_choice(value.value):
            choice = value.value
            assert isinstance(choice, ast.IfExp)
            parts.append([*_forms(choice.body), *_forms(choice.orelse)])
        elif isinstance(value, ast.FormattedValue):
            parts.append([_place(value.value)])
    return ["".join(form) for form in itertools.islice(itertools.product(*parts), _MOST)]
