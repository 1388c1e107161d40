"""The settings as two files for people: `.env.example` and `docs/configuration.md`. A test keeps both true.

Written from the settings model alone: a variable that is not there cannot be documented, and one that is there
cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydantic import BaseModel

from nepxy.config.catalogue import sections_of
from nepxy.config.fields import SettingDoc

_PROVIDERS: Final = "TMONEY, FLOOZ, MOMO, THUNES"

_ENV_HEAD: Final = """\
# Every setting of NepXy; copy this to .env and set what differs. A blank value counts as not set.
# The process's own variables win over this file. `python -m nepxy config check` says what is wrong.
# Made by `python -m nepxy config example`; what each means in full: docs/configuration.md.
"""

_PAGE_HEAD: Final = f"""\
# Configuration

NepXy reads environment variables, and beneath them a `.env` file in its working directory. All are read once, at the
start, and validated whole: one message lists everything that is wrong. To see it without starting:

```sh
python -m nepxy config check
```

- A blank value counts as not set. Where several names are given, the first that is set wins.
- A secret may come from a file instead: set `NAME_FILE` to its path (not both). Files are read again on SIGHUP
  ([rotating-secrets.md](rotating-secrets.md)). The file of a `…_PREVIOUS` may be empty: nothing is being rotated.
- `<PROVIDER>` stands for one of {_PROVIDERS}: that provider's own number, which wins over the one for all.
- `SANDBOX` and `REAL` variables are a provider's two accounts; `MM_MODE` picks one.
- A variable that begins like ours and is no setting is warned about, with the nearest name.

This page is made by `python -m nepxy config docs` from the settings model.

## What production refuses

With `ENV=prod` the start is refused, with all reasons in one message, when

- `DATABASE_URL` or `JWT_SECRET` is missing, or a secret is short (under 16 characters) or one that anybody would try;
- the database is on another machine and its URL asks for no TLS (`sslmode=require`, `verify-ca` or `verify-full`),
  unless `NEPXY_DATABASE_PLAINTEXT_ALLOWED=true`; or its password is missing or a common word;
- `CORS_ALLOW_ORIGINS` holds `*`, `THUNES_ALLOW_UNSIGNED_WEBHOOKS` is true, `MM_MODE` is `sandbox`, or `NEPXY_LOG_LEVEL`
  is `debug`;
- an enabled provider lacks credentials, or the secret of its signed webhooks, or calls a URL that is not HTTPS.
"""


def env_example(root: type[BaseModel]) -> str:
    """The text of `.env.example`: every variable, commented out, with what it means and its default."""
    return (
        "\n".join([_ENV_HEAD, *(line for title, docs in sections_of(root) for line in _env(title, docs))])
        + "\n"
    )


def configuration_page(root: type[BaseModel]) -> str:
    """The text of `docs/configuration.md`: a table a section."""
    return (
        "\n".join([_PAGE_HEAD, *(line for title, docs in sections_of(root) for line in _table(title, docs))])
        + "\n"
    )


def _env(title: str, docs: list[SettingDoc]) -> Iterator[str]:
    yield f"# ---- {title} " + "-" * max(4, 90 - len(title))
    yield ""
    for doc in docs:
        yield f"# {doc.description}"
        about = [doc.type, *([f"also read from the file {doc.name}_FILE"] if doc.secret else [])]
        if doc.aliases:
            about.append(f"also called {', '.join(doc.aliases)}")
        yield f"# ({'; '.join(about)}; default: {doc.default or 'none'})"
        literal = doc.default if _is_literal(doc) else ""
        yield f"# {doc.name}={literal}"
        yield ""


def _table(title: str, docs: list[SettingDoc]) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    yield "| variable | what it is | takes | default |"
    yield "| --- | --- | --- | --- |"
    for doc in docs:
        names = "<br>".join(f"`{name}`" for name in (doc.name, *doc.aliases))
        default = f"`{doc.default}`" if _is_literal(doc) else (doc.default or "none")
        yield f"| {names} | {doc.description} | {doc.type} | {default} |".replace("\\", "\\\\")
    yield ""


def _is_literal(doc: SettingDoc) -> bool:
    """Whether the default is a value that could be typed in, not words about it."""
    return bool(doc.default) and " " not in doc.default and not doc.secret
