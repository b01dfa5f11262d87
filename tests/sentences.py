"""Everything that `appliance` says, found in its source: templates of sentences, texts given to errors."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import appliance

ROOT = Path(appliance.__file__).parent
SPOKEN = ("what", "why", "next_step", "fix")
"""Parameters whose texts a person reads."""

ERRORS = ("ApplianceError", "UntrustedBundle", "DamagedBundle", "HostNotReady", "BadInput", "StepFailed")
SPEAKERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(ERRORS, ("what",)),
    "Finding": ("what", "good", "what", "why", "next_step"),  # its name is read too
    "RowRefused": ("field", "what", "fix"),
    "Problem": ("file", "row", "field", "what", "fix"),
}
"""What is said through, and what its arguments by position are."""


CHOSEN_BEFORE = ("sentence.py: between", "show.py: torn")
"""Templates that a module names, or was given, one step before it says them; they are literals there."""

PAGE = "wizard/page.py"
SHOWN = (
    "text",
    "label",
    "why",
    "next_step",
    "note",
    "help",
    "title",
    "lines",
    "stay",
    "go",
    "why_not",
    "verdict",
)
"""Fields of a page's parts whose texts a person reads, beside a fact's `value`."""


@dataclass(frozen=True)
class Said:
    """One text."""

    text: str
    placed: bool
    """Whether it has places that values are put into."""
    where: str
    """File and line."""


@dataclass(frozen=True)
class Module:
    """One module's source."""

    name: str
    """Its path under `appliance`, with slashes."""
    tree: ast.Module

    def where(self, node: ast.AST) -> str:
        """File and line of `node`."""
        return f"{self.name}:{getattr(node, 'lineno', 0)}"


@cache
def modules() -> tuple[Module, ...]:
    """All modules of `appliance`."""
    return tuple(
        Module(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for path in sorted(ROOT.rglob("*.py"))
    )


@cache
def find_said(module: Module) -> tuple[list[Said], list[str]]:
    """What `module` says, and the places where it says something that is neither a literal nor a sentence."""
    speakers, constants = _speakers(module), _constants(module)
    found: list[Said] = []
    odd: list[str] = []
    for call in (node for node in ast.walk(module.tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Name) and call.func.id == "say":
            template = _literal(call.args[0], constants)
            if template is not None:
                found.append(Said(template, bool(call.keywords), module.where(call)))
            elif f"{module.name}: {ast.unparse(call.args[0])}" not in CHOSEN_BEFORE:
                odd.append(f"{module.where(call)}: the template is no literal")
            continue
        for text in _spoken(call, speakers):
            if isinstance(text, ast.JoinedStr | ast.BinOp):
                odd.append(f"{module.where(text)}: put together where it is said")
            elif literal := _literal(text, constants):
                found.append(Said(literal, False, module.where(text)))
    return found + _shown(module, constants), odd


def _shown(module: Module, constants: dict[str, str]) -> list[Said]:
    """Texts that `module` puts into a page as they are."""
    parts = _parts_of_pages()
    known = {
        name.asname or name.name: name.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "appliance.wizard.page"
        for name in node.names
        if name.name in parts
    }
    found = []
    for call in ast.walk(module.tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in known:
            kind = known[call.func.id]
            fields = [*zip(parts[kind], call.args, strict=False), *((k.arg, k.value) for k in call.keywords)]
            shown = [value for field, value in fields if _is_shown(kind, field)]
            for text in (
                branch for value in shown for each in _elements(value) for branch in _branches(each)
            ):
                if literal := _literal(text, constants):
                    found.append(Said(literal, False, module.where(text)))
    return found


@cache
def _parts_of_pages() -> dict[str, tuple[str, ...]]:
    """The fields of every class that a page is made of, in order."""
    (page,) = (module for module in modules() if module.name == PAGE)
    return {
        node.name: tuple(
            each.target.id
            for each in node.body
            if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
        )
        for node in page.tree.body
        if isinstance(node, ast.ClassDef)
    }


def _is_shown(kind: str, field: str | None) -> bool:
    if kind == "Verbatim":
        return False  # to be copied as it is
    return field in SHOWN or (kind == "Fact" and field == "value")


def _elements(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple | ast.List) else [node]


@cache
def literals(module: Module) -> set[str]:
    """Every text in the source, docstrings and parts of others too."""
    return {
        node.value
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _spoken(call: ast.Call, speakers: dict[str, tuple[str, ...]]) -> Iterator[ast.expr]:
    """The arguments of a call that a person will read, each side of a choice by itself."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    for argument, parameter in zip(call.args, speakers.get(name, ()), strict=False):
        if parameter in SPOKEN:
            yield from _branches(argument)
    for keyword in call.keywords:
        if keyword.arg in SPOKEN:
            yield from _branches(keyword.value)


def _speakers(module: Module) -> dict[str, tuple[str, ...]]:
    """What makes an error or a finding of words: the classes, everybody's functions, the module's own."""
    return SPEAKERS | _public() | {each.name: _parameters(each) for each in _functions(module)}


@cache
def _public() -> dict[str, tuple[str, ...]]:
    return {
        each.name: _parameters(each)
        for module in modules()
        for each in _functions(module)
        if not each.name.startswith("_")
    }


def _functions(module: Module) -> Iterator[ast.FunctionDef]:
    """The functions that return an error, a finding or a problem."""
    for node in ast.walk(module.tree):
        if (
            isinstance(node, ast.FunctionDef)
            and isinstance(node.returns, ast.Name)
            and node.returns.id in SPEAKERS
        ):
            yield node


def _parameters(function: ast.FunctionDef) -> tuple[str, ...]:
    return tuple(each.arg for each in function.args.args if each.arg != "self")


def _constants(module: Module) -> dict[str, str]:
    """Texts that the module gives names to."""
    return {
        target.id: node.value.value
        for node in module.tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _branches(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.IfExp):
        return [*_branches(node.body), *_branches(node.orelse)]
    if isinstance(node, ast.BoolOp):
        return [each for value in node.values for each in _branches(value)]
    return [node]


def _literal(node: ast.expr, constants: dict[str, str]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return constants.get(node.id) if isinstance(node, ast.Name) else None
