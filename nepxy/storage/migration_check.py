"""Refuses a migration that the release which serves now would not survive, unless it is marked as a contract.

Rolling back a release is safe only because its schema is still there: docs/migrations.md. What a file does is found by
running it with a recorder in the place of pw-migrate, and reading the statements; no database is needed.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Final

from nepxy.storage.migrate import FILE_NAME, MIGRATIONS_DIR, MigrationError

REASON: Final = "CONTRACT"
"""The constant in which a contract migration says since which release nothing uses what it takes away."""
REASON_LENGTH_MIN: Final = 20

HOT_TABLES: Final = (
    "mobile_money_payouts",
    "payout_attempts",
    "payout_events",
    "idempotency_keys",
    "webhook_events",
)
"""Tables that every payout writes to: nothing may lock their writers out while it reads them through."""

EXPAND: Final = "Add in an expand migration, stop using in the next release, take away in a contract one."

DESTRUCTIVE: Final[tuple[tuple[str, str, str], ...]] = (
    (r"\bDROP\s+(?!NOT\s+NULL\b)(\w+)", "takes away what the release before may use", EXPAND),
    (r"\bALTER\s+(COLUMN\s+)?\S+\s+(SET\s+DATA\s+)?TYPE\b", "changes a type and rewrites the table", EXPAND),
    (r"\bSET\s+NOT\s+NULL\b", "refuses rows that the release before still writes",
     "First have every release write the column; then a contract migration."),
    (r"\bRENAME\b", "renames what the release before uses", EXPAND),
    (r"\bTRUNCATE\b", "takes rows away", "Money's history stays; nothing empties a table."),
    (r"^\s*(WITH\b.*\b)?DELETE\s+FROM\b", "takes rows away", EXPAND),
    (r"^\s*REVOKE\b", "takes rights away that the release before uses", EXPAND),
    (r"\bDISABLE\s+TRIGGER\b|\bDETACH\s+PARTITION\b", "takes away what the release before may use", EXPAND),
    (r"\bADD\s+COLUMN\b(?![^,]*\bDEFAULT\b)(?![^,]*\bGENERATED\b)[^,]*\bNOT\s+NULL\b",
     "adds a column that the release before does not fill, and that may not be empty",
     "Give it a DEFAULT, or let it be NULL."),
    (r"\bADD\s+(CONSTRAINT\s+\S+\s+)?(CHECK|FOREIGN\s+KEY|UNIQUE|EXCLUDE|PRIMARY\s+KEY)\b(?!.*\bNOT\s+VALID\b)",
     "may refuse what the release before writes, and reads the whole table under a lock",
     "Add it NOT VALID, and VALIDATE it in a later one; or see that it is a contract."),
)  # fmt: skip
"""Pattern, what is wrong with it in an expand migration, and what to do instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One statement that may not be where it is."""

    migration: str
    statement: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.migration}: {self.statement}\n    {self.problem}. {self.hint}"


def check_files(migrations_dir: Path = MIGRATIONS_DIR) -> list[Finding]:
    """Everything that is wrong with the files of this folder; empty: they may run beside the release that serves.

    Raises:
        MigrationError: a file cannot be read as a migration at all.
    """
    return [
        finding
        for path in sorted(migrations_dir.glob("*.py"))
        if path.name != "__init__.py"
        for finding in check_file(path)
    ]


def check_file(path: Path) -> list[Finding]:
    """The same for one file."""
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise MigrationError(f"{path.name} is not a migration's name.", "See docs/migrations.md.")
    module = _load(path)
    if match["name"].startswith("contract"):
        return [*_unexplained(path.stem, module)]
    statements = list(statements_of("\n;\n".join(_recorded(path, module))))
    made = {table for statement in statements for table in _tables_made(statement)}
    return [
        Finding(migration=path.stem, statement=_short(statement), problem=problem, hint=hint)
        for statement in statements
        for problem, hint in _problems(statement, made)
    ]


def statements_of(sql: str) -> Iterator[str]:
    """The statements of a text without their comments and strings; the body of a DO block counts, a function's not."""
    for statement in _split(sql):
        if re.match(r"\s*DO\b", statement, re.IGNORECASE):
            for body in re.findall(r"\$(\w*)\$(.*?)\$\1\$", statement, re.DOTALL):
                yield from statements_of(body[1])
        plain = " ".join(_blanked(statement).split())
        if plain:
            yield plain


TOKEN: Final = re.compile(
    r"--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|;|.", re.DOTALL
)


def _split(sql: str) -> Iterator[str]:
    statement = ""
    for token in TOKEN.finditer(sql):
        text = token.group()
        if text == ";":
            yield statement
            statement = ""
        elif not text.startswith(("--", "/*")):
            statement += text
        else:
            statement += " "
    yield statement


def _blanked(statement: str) -> str:
    """Without what is between quotes: a word in a comment on a column destroys nothing."""
    return TOKEN.sub(
        lambda token: "''" if token.group()[0] in "'$" and len(token.group()) > 1 else token.group(),
        statement,
    )


def _problems(statement: str, made: set[str]) -> Iterator[tuple[str, str]]:
    altered = re.match(r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(\S+)", statement, re.IGNORECASE)
    if altered is not None and _bare(altered.group(1)) in made:
        return  # nobody uses a table yet that this very file makes
    for pattern, problem, hint in DESTRUCTIVE:
        if re.search(pattern, statement, re.IGNORECASE | re.DOTALL):
            yield problem, hint
    index = re.match(
        r"CREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY).*?\bON\s+(?:ONLY\s+)?([\w.\"]+)",
        statement,
        re.IGNORECASE,
    )
    if index is not None and _bare(index.group(1)) in set(HOT_TABLES) - made:
        yield (
            "keeps every payout waiting while the index is built",
            "Build it CONCURRENTLY, in a step of its own that can be repeated: docs/migrations.md.",
        )


def _tables_made(statement: str) -> Iterator[str]:
    made = re.match(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([\w.\"]+)", statement, re.IGNORECASE)
    if made is not None:
        yield _bare(made.group(1))


def _bare(table: str) -> str:
    return table.rpartition(".")[2].strip('"').lower()


def _unexplained(migration: str, module: ModuleType) -> Iterator[Finding]:
    reason = getattr(module, REASON, None)
    if not isinstance(reason, str) or len(reason.strip()) < REASON_LENGTH_MIN:
        yield Finding(
            migration=migration,
            statement=f"{REASON} = …",
            problem="a contract migration that does not say why it is safe",
            hint=f"Say in {REASON} since which release nothing uses what it takes away.",
        )


class _Recorder:
    """Stands where pw-migrate's migrator stands, and writes down what is asked of it."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def sql(self, sql: str, *_: object) -> None:
        """What a migration may call."""
        # As the driver will have it: a doubled per cent is one.
        self.statements.append(sql.replace("%%", "%"))


def _recorded(path: Path, module: ModuleType) -> list[str]:
    recorder = _Recorder()
    try:
        module.migrate(recorder, None, fake=False)
    except AttributeError as error:
        raise MigrationError(
            f"{path.stem} does more than migrator.sql: {error}.", "Only migrator.sql: see docs/migrations.md."
        ) from error
    return recorder.statements


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"nepxy_migration_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise MigrationError(f"{path.name} cannot be read.", "Mend the file.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise MigrationError(f"{path.stem} cannot be read: {error}.", "Mend the file.") from error
    return module


def _short(statement: str) -> str:
    return statement if len(statement) <= 100 else f"{statement[:97]}..."
