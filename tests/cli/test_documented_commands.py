"""Every `nepxy …` that a page tells somebody to type exists, takes its options, and lacks nothing that it needs."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from nepxy.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("docs/**/*.md"), ROOT / "README.md"))
BLOCK = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TYPED = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?(?:python3? -m )?nepxy( .*)$")
INLINE = re.compile(r"`(?:\.venv/bin/)?(?:python3? -m )?nepxy ([a-z][^`]*)`")
OURS = (
    "payouts", "providers", "engine", "webhooks", "idempotency", "proposals", "discrepancies", "bulk", "reconcile",
    "doctor", "explain", "audit", "actors", "database",
)  # fmt: skip


def typed() -> Iterator[tuple[str, str]]:
    """Page and command, of the fenced blocks: to be typed as they stand."""
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if found := TYPED.match(line):
                    yield str(page.relative_to(ROOT)), found[1].strip()


def suggested() -> Iterator[tuple[str, str]]:
    """Those that the engine and its command line suggest, in literals of the code; what is filled in is `X`."""
    for file in sorted((*ROOT.glob("nepxy/http/**/*.py"), *ROOT.glob("nepxy/cli/**/*.py"))):
        for node in ast.walk(ast.parse(file.read_text())):
            words = re.split(r"[:;`]", _literal(node))[0].split()
            if len(words) > 1 and words[0] == "nepxy" and words[1] in OURS:
                # A verb that is filled in has tests of its own.
                known = itertools.takewhile(lambda word: not set(word) <= {"X"}, words[1:3])
                rest = [word for word in words[3:] if word.startswith("--")]
                yield str(file.relative_to(ROOT)), " ".join((*known, *rest))


def _literal(node: ast.AST) -> str:
    """Of a text with values filled in, `X` for each; its pieces are met by themselves, too, and begin nothing."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(it.value) if isinstance(it, ast.Constant) else "X" for it in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def words_of(line: str) -> list[str]:
    """A line's words, up to where the shell goes on: a pipe, another command, a file, a comment."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(itertools.takewhile(lambda word: not set(word) <= set("|&;<>"), lexer))


def mentioned() -> Iterator[tuple[str, str]]:
    """Those in running text: by name, and not always whole."""
    for page in PAGES:
        for inline in INLINE.findall(BLOCK.sub("", page.read_text())):
            yield str(page.relative_to(ROOT)), inline.split(" | ")[0].strip()


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words lead to, and those that are left (typer keeps a click of its own, untyped here)."""
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    return command, words


TYPED_LINES, MENTIONED = sorted(set(typed())), sorted({*mentioned(), *suggested()})


def test_the_pages_are_read() -> None:
    assert len(TYPED_LINES) > 50
    assert MENTIONED


@pytest.mark.parametrize(("page", "line"), TYPED_LINES)
def test_what_is_to_be_typed_can_be_typed(page: str, line: str) -> None:
    command, words = command_of(words_of(line))
    assert not hasattr(command, "commands"), f"{page}: `nepxy {line}` is no command"
    placeholders = {"NUMBER": "7"}
    command.make_context(
        line, [placeholders.get(word, word) for word in words]
    )  # raises where it does not parse


@pytest.mark.parametrize(("page", "line"), MENTIONED)
def test_what_is_mentioned_exists(page: str, line: str) -> None:
    command, words = command_of(line.replace("…", "").split())
    if hasattr(command, "commands"):
        # `nepxy payouts`, or `nepxy migrate up|down`: each word must lead further.
        assert all(it in command.commands for word in words for it in word.split("|")), (
            f"{page}: nepxy {line}"
        )
        return
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert all(word in options for word in words if word.startswith("--")), f"{page}: nepxy {line}"


def test_every_command_of_the_operators_is_documented() -> None:
    page = (ROOT / "docs" / "command-line.md").read_text()

    def leaves(command: Any, path: str) -> Iterator[str]:
        if hasattr(command, "commands"):
            for name, inner in command.commands.items():
                yield from leaves(inner, f"{path} {name}".strip())
        else:
            yield path

    ours = [it for it in leaves(typer.main.get_command(app), "") if it.split()[0] in OURS]
    assert [it for it in ours if f"nepxy {it}" not in page and it != "payouts explain"] == []
