"""The console's files: what a browser may do with them, and that nothing in them comes from elsewhere."""

from __future__ import annotations

import re

import pytest

from nepxy.http.console_files import FILES, PAGE
from tests.http.conftest import Paper
from tests.http.support import code_of

NAMES = sorted(set(FILES) - {PAGE})
NAMESPACES = ("http://www.w3.org/2000/svg",)


def path_of(name: str) -> str:
    return "/console" if name == PAGE else f"/console/files/{name}"


@pytest.mark.parametrize("name", sorted(FILES))
async def test_a_browser_may_load_nothing_but_our_files_and_run_nothing_else(paper: Paper, name: str) -> None:
    answer = await paper.client.get(path_of(name))
    assert answer.status == 200
    policy = {
        part.split()[0]: part.split()[1:]
        for part in answer.headers["Content-Security-Policy"].split(";")
        if part.strip()
    }
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    assert policy["img-src"] == ["'self'", "data:"]
    assert policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy["form-action"] == ["'self'"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("name", sorted(FILES))
async def test_a_file_that_the_browser_has_is_not_sent_again(paper: Paper, name: str) -> None:
    first = await paper.client.get(path_of(name))
    assert first.headers["Cache-Control"] == "no-cache"
    again = await paper.client.get(path_of(name), headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    assert "Content-Security-Policy" in again.headers
    changed = await paper.client.get(path_of(name), headers={"If-None-Match": '"another"'})
    assert await changed.read() == FILES[name].body


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2Fapp.py", "%2e%2e"])
async def test_nothing_else_is_served(paper: Paper, name: str) -> None:
    answer = await paper.client.get(f"/console/files/{name}")
    assert answer.status == 404
    assert await code_of(answer) == "ROUTE_NOT_FOUND"


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_file_names_another_host_or_writes_markup_from_data(name: str) -> None:
    text = FILES[name].body.decode()
    for namespace in NAMESPACES:
        text = text.replace(namespace, "")
    assert re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]", text) == []
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert sink not in text


def test_the_page_has_no_script_or_style_of_its_own() -> None:
    page = FILES[PAGE].body.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\bstyle=|\bon[a-z]+=|javascript:", page) == []


def test_every_module_that_is_imported_is_there() -> None:
    for name in NAMES:
        if name.endswith(".js"):
            for imported in re.findall(r'from "\./([^"]+)"|import "\./([^"]+)"', FILES[name].body.decode()):
                assert (imported[0] or imported[1]) in FILES, f"{name} imports {imported}"
