"""Asks for known vulnerabilities of the locked packages: exit status 0 none, 1 some, 3 nobody could be asked.

    scripts/audit_dependencies.py [--lock FILE] [--database FOLDER] [--url URL]

It asks osv.dev, which has the advisories of PyPI, or, without a network, a copy of them: the unpacked
https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip. Only names and versions of packages leave this machine.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

ROOT: Final = Path(__file__).resolve().parents[1]
OSV: Final = "https://api.osv.dev"
TIMEOUT_S: Final = 20.0
CLEAN, VULNERABLE, NOT_ASKED = 0, 1, 3


class NobodyToAsk(Exception):
    """No advisory database could be read; the message says why."""


def main() -> int:
    """Audit, and say what was found in a line a vulnerability."""
    given = _arguments()
    packages = locked(given.lock.read_text())
    try:
        found = in_folder(packages, given.database) if given.database else at_osv(packages, given.url)
    except NobodyToAsk as problem:
        print(
            f"NOT AUDITED: {problem}. Nothing is known about vulnerabilities of the {len(packages)} packages."
        )
        return NOT_ASKED
    for name, ids in sorted(found.items()):
        print(f"{name}=={packages[name]}: {', '.join(sorted(ids))}")
    print(f"{len(packages)} packages, {len(found)} with known vulnerabilities")
    return VULNERABLE if found else CLEAN


def locked(text: str) -> dict[str, str]:
    """Package to version, as a lock file has them."""
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", text, re.MULTILINE)
    }


def at_osv(packages: Mapping[str, str], url: str) -> dict[str, set[str]]:
    """Package to the ids of its vulnerabilities, as osv.dev knows them."""
    names = list(packages)
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": packages[name]} for name in names]
    request = urllib.request.Request(
        f"{url}/v1/querybatch",
        data=json.dumps({"queries": queries}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            results = json.load(answer)["results"]
    except (OSError, HTTPException, ValueError, KeyError) as error:
        raise NobodyToAsk(f"{url} could not be asked ({type(error).__name__}: {error})") from None
    if len(results) != len(names):
        raise NobodyToAsk(f"{url} answered {len(results)} of {len(names)} questions")
    found = {
        name: {one["id"] for one in result.get("vulns") or ()}
        for name, result in zip(names, results, strict=True)
    }
    return {name: ids for name, ids in found.items() if ids}


def in_folder(packages: Mapping[str, str], folder: Path) -> dict[str, set[str]]:
    """The same, from a folder of OSV's own files."""
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise NobodyToAsk(f"{folder} has no advisories")
    found: dict[str, set[str]] = {}
    for file in files:
        advisory = json.loads(file.read_text(encoding="utf-8"))
        if advisory.get("withdrawn"):
            continue
        for name in _affected(advisory, packages):
            found.setdefault(name, set()).add(str(advisory["id"]))
    return found


def _affected(advisory: Mapping[str, Any], packages: Mapping[str, str]) -> Iterator[str]:
    for affected in advisory.get("affected") or ():
        package = affected.get("package") or {}
        name = re.sub(r"[-_.]+", "-", str(package.get("name"))).lower()
        if package.get("ecosystem") != "PyPI" or name not in packages:
            continue
        version = packages[name]
        named = version in (affected.get("versions") or ())
        if named or any(_in_range(version, one) for one in affected.get("ranges") or ()):
            yield name


def _in_range(version: str, described: Mapping[str, Any]) -> bool:
    """OSV's events, in order: from `introduced` on, until `fixed`, or up to `last_affected`."""
    if described.get("type") != "ECOSYSTEM":
        return False
    try:
        ours, inside = Version(version), False
        for event in described.get("events") or ():
            if "introduced" in event:
                inside = inside or event["introduced"] == "0" or ours >= Version(event["introduced"])
            elif ("fixed" in event and ours >= Version(event["fixed"])) or (
                "last_affected" in event and ours > Version(event["last_affected"])
            ):
                inside = False
    except InvalidVersion:
        return True  # what cannot be compared is for a person to look at
    return inside


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ask for known vulnerabilities of the locked packages.")
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("--database", type=Path, help="a folder of OSV's files, instead of the network")
    parser.add_argument("--url", default=OSV)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
