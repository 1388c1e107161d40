"""The document as a page, written here and not in the browser: no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

import orjson

_CODE_LINES_MAX: Final = 400
"""A schema that is longer than that is read as JSON, not on a page."""


def docs_page(document: Mapping[str, Any]) -> str:
    """HTML of the whole document."""
    return "".join(_page(document))


def _page(document: Mapping[str, Any]) -> Iterator[str]:
    info = document["info"]
    yield (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(info["title"])} API</title><link rel="stylesheet" href="/docs/style.css"></head><body>'
        f"<header><h1>{escape(info['title'])} API</h1><p>{escape(info['summary'])}</p>"
        f"<p>{_text(info['description'])}</p>"
        f'<p>Release {escape(info["version"])}. The same as <a href="/openapi.json">OpenAPI 3.1</a>.</p></header>'
    )
    groups = [tag["name"] for tag in document["tags"]]
    yield '<nav aria-label="Sections"><ul>'
    for group in groups:
        yield f'<li><a href="#{_anchor(group)}">{escape(group)}</a></li>'
    yield '<li><a href="#schemas">Schemas</a></li></ul></nav><main>'
    for group in groups:
        yield f'<section id="{_anchor(group)}"><h2>{escape(group)}</h2>'
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if operation["tags"] == [group]:
                    yield from _operation(method, path, operation)
        yield "</section>"
    yield '<section id="schemas"><h2>Schemas</h2>'
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<details id="schema-{escape(name)}"><summary>{escape(name)}</summary>{_code(schema)}</details>'
    yield "</section></main></body></html>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f'<details id="{escape(operation["operationId"])}"><summary><b class="{escape(method)}">{method.upper()}</b> '
        f"<code>{escape(path)}</code> <span>{escape(operation['summary'])}</span></summary>"
    )
    if description := operation.get("description"):
        yield f"<p>{_text(description)}</p>"
    if parameters := operation.get("parameters"):
        yield "<h3>Parameters</h3><table><thead><tr><th>name<th>in<th>what it is</tr></thead><tbody>"
        for one in parameters:
            required = " (required)" if one.get("required") else ""
            about = one.get("description") or _words(one["schema"])
            yield (
                f"<tr><td><code>{escape(one['name'])}</code>{required}<td>{escape(one['in'])}"
                f"<td>{_text(about)}</tr>"
            )
        yield "</tbody></table>"
    if body := operation.get("requestBody"):
        kinds = ", ".join(body["content"])
        schema = next(iter(body["content"].values()))["schema"]
        yield f"<h3>Body</h3><p>{escape(kinds)}: {_schema(schema)}</p>"
    yield "<h3>Answers</h3><table><thead><tr><th>status<th>what it means</tr></thead><tbody>"
    for status, answer in operation["responses"].items():
        schema = next(iter(answer["content"].values()))["schema"]
        lines = "<br>".join(_text(line.removeprefix("- ")) for line in answer["description"].splitlines())
        yield f"<tr><td>{escape(status)}<td>{lines} {_schema(schema)}</tr>"
    yield "</tbody></table></details>"


def _schema(schema: Mapping[str, Any]) -> str:
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "properties" in schema:
        return _code(schema)
    return ""


def _words(schema: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {value}" for name, value in schema.items() if name != "anyOf") or "optional"


def _code(schema: Mapping[str, Any]) -> str:
    text = orjson.dumps(schema, option=orjson.OPT_INDENT_2).decode()
    return f"<pre><code>{escape(chr(10).join(text.splitlines()[:_CODE_LINES_MAX]))}</code></pre>"


def _text(text: str) -> str:
    """Plain words, with what stands between backticks as code."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if n % 2 else piece for n, piece in enumerate(pieces))


def _anchor(group: str) -> str:
    return escape(group.lower().replace(" ", "-"))
