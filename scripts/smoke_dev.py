"""One payout from a client's first call to CONFIRMED, against a running NepXy: a line a step, exit code 0 or 1.

    scripts/smoke_dev.py [--base-url URL] [--only health] [--real-money]

It talks to the instance as a client would, and imports nothing of ours, so that it tries what is served and not
what is checked out. It makes a payout there: an instance whose accounts are real is refused, unless --real-money says
that this is meant. `--only health` makes none, and needs no credentials.

Environment:
    BASE_URL: where NepXy listens, unless --base-url says it; default http://127.0.0.1:8001.
    SMOKE_PHONE: whom to pay, as +22890001234; that number unless it is set. It must be one of TMoney's.
    NEPXY_CLIENT_TOKEN: a ready-made access token; or else
    NEPXY_CLIENT_ID, NEPXY_CLIENT_SECRET: credentials to get one with. Where neither is set, those that
        `make run` leaves in .nepxy/dev-client.json are used (in NEPXY_DATA_DIR, where that is set).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit
from uuid import uuid4

REPOSITORY: Final = Path(__file__).resolve().parents[1]
BASE_URL: Final = "http://127.0.0.1:8001"
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")

PHONE: Final = "+22890001234"
"""Togocom, and ordinary to our sandbox: the last four digits force no outcome."""
REQUEST_TIMEOUT_S: Final = 15.0
START_WAIT_S: Final = 30.0
SETTLE_WAIT_S: Final = 30.0
LOOK_AGAIN_S: Final = 0.25


class SmokeFailed(Exception):
    """A step did not give what it should; the message says what it gave."""


class Unreachable(SmokeFailed):
    """Nobody answered."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object."""
        try:
            document = json.loads(self.body)
        except ValueError:
            raise SmokeFailed(f"answered {self.status} with a body that is not JSON") from None
        if not isinstance(document, dict):
            raise SmokeFailed(f"answered {self.status} with JSON that is no object")
        return document

    def expect(self, status: int, code: str | None = None) -> dict[str, Any]:
        """The body, if status and, for a refusal, the problem's code are the expected ones."""
        document = self.document()
        if self.status != status or (code is not None and document.get("code") != code):
            wanted = f"{status} {code}" if code else str(status)
            raise SmokeFailed(f"expected {wanted}, got {self.status} {_problem(document)}")
        return document


@dataclass(slots=True)
class Instance:
    """The NepXy under test, and what the steps so far learned of it."""

    base_url: str
    token: str = ""
    run: str = field(default_factory=lambda: uuid4().hex[:16])
    """Marks this run's idempotency key and external reference."""
    may_pay: bool = False
    """Whether a payout with real money is meant."""
    transaction_id: str = ""
    first_answer: bytes = b""

    def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request; with the token, once there is one."""
        all_headers = {"Accept": "*/*", **(headers or {})}
        if self.token:
            all_headers["Authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            all_headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.base_url + path, data=data, headers=all_headers, method=method)
        try:
            with self._opener().open(request, timeout=REQUEST_TIMEOUT_S) as response:
                return Answer(response.status, _lowered(response.headers.items()), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _lowered(error.headers.items()), error.read())
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise Unreachable(f"{self.base_url} does not answer ({reason}); is it running?") from None

    def post_payout(self, key: str, **changes: object) -> Answer:
        """Post this run's payout, or one that differs from it."""
        body: dict[str, object] = {
            "amount": 1000,
            "currency": "XOF",
            "phone_e164": os.environ.get("SMOKE_PHONE") or PHONE,
            "country": "TG",
            "external_ref": self.external_ref,
        }
        return self.call("POST", "/v1/payouts", body | changes, {"Idempotency-Key": key})

    @property
    def key(self) -> str:
        """This run's idempotency key."""
        return f"smoke-{self.run}"

    @property
    def external_ref(self) -> str:
        """The client's own name of this run's payout."""
        return f"smoke-ref-{self.run}"

    @property
    def payout_path(self) -> str:
        """Where this run's payout is."""
        return f"/v1/payouts/{self.transaction_id}"

    def _opener(self) -> urllib.request.OpenerDirector:
        # A proxy from the environment must not be asked for this machine's own ports.
        if urlsplit(self.base_url).hostname in LOOPBACK:
            return urllib.request.build_opener(urllib.request.ProxyHandler({}))
        return urllib.request.build_opener()


def alive(instance: Instance) -> str:
    """The process answers, and its database answers it; one that has just been started is waited for."""

    def look() -> tuple[bool, str]:
        try:
            health = instance.call("GET", "/healthz").expect(200)
        except Unreachable as error:
            return False, str(error)
        return health.get("ok") is True and health.get("db_ok") is True, (
            f"version {health.get('version')}, db_ok {health.get('db_ok')}"
        )

    return _wait("healthz", look, START_WAIT_S)


def ready(instance: Instance) -> str:
    """It would take a payout and work on it."""

    def look() -> tuple[bool, str]:
        answer = instance.call("GET", "/readyz")
        reasons = answer.document().get("reasons")
        return answer.status == 200, "takes payouts" if answer.status == 200 else f"not yet: {reasons}"

    return _wait("readyz", look, START_WAIT_S)


def of_this_release(instance: Instance) -> str:
    """Migrated, not held after a restore, and which release it is."""
    document = instance.call("GET", "/readyz").document()
    if document.get("migrations_ok") is not True:
        raise SmokeFailed(f"migrations are missing: {document.get('migrations_pending')}")
    restored = document.get("restored")
    if isinstance(restored, dict) and restored.get("held"):
        raise SmokeFailed(
            f"the database was restored at {restored.get('at')}, and the engine is not released"
        )
    health = instance.call("GET", "/healthz").expect(200)
    said = (health.get(name) for name in ("version", "git_sha", "env", "mode"))
    return ", ".join(str(one) for one in said if one)


def harmless(instance: Instance) -> str:
    """The next steps make a payout: only where no real money moves, or where that is meant."""
    mode = instance.call("GET", "/healthz").expect(200).get("mode")
    if mode == "sandbox":
        return "the providers' accounts are sandboxes"
    if instance.may_pay:
        return f"mode is {mode}, and --real-money was said"
    raise SmokeFailed(f"mode is {mode}: a payout would move real money; say --only health, or --real-money")


def authenticated(instance: Instance) -> str:
    """A token from client credentials, unless one was given."""
    given = os.environ.get("NEPXY_CLIENT_TOKEN", "").strip()
    if given:
        instance.token = given
        return "taken from NEPXY_CLIENT_TOKEN"
    client_id, client_secret = _credentials()
    asked = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
    answer = instance.call("POST", "/v1/auth/token", asked).expect(200)
    instance.token = _text(answer, "access_token")
    return f"for {client_id}, scope {answer.get('scope')!r}, {answer.get('expires_in')} s"


def accepted(instance: Instance) -> str:
    """202, a Location, and the payout's id."""
    answer = instance.post_payout(instance.key)
    document = answer.expect(202)
    instance.transaction_id = _text(document, "transaction_id")
    instance.first_answer = answer.body
    if answer.headers.get("location") != instance.payout_path:
        raise SmokeFailed(f"Location is {answer.headers.get('location')!r}, not {instance.payout_path}")
    return f"{instance.transaction_id} by {document.get('provider')}"


def replayed(instance: Instance) -> str:
    """The same key and body: the same bytes, marked as a replay."""
    answer = instance.post_payout(instance.key)
    answer.expect(202)
    if answer.body != instance.first_answer:
        raise SmokeFailed("the second answer differs from the first")
    if answer.headers.get("idempotency-replayed") != "true":
        raise SmokeFailed(f"Idempotency-Replayed is {answer.headers.get('idempotency-replayed')!r}")
    return f"{len(answer.body)} equal bytes"


def conflicting(instance: Instance) -> str:
    """The same key for another body is refused."""
    instance.post_payout(instance.key, amount=2000).expect(409, "IDEMPOTENCY_CONFLICT")
    return "409 IDEMPOTENCY_CONFLICT"


def duplicated(instance: Instance) -> str:
    """A fresh key for an external reference that was used is refused, and names the payout that has it."""
    problem = instance.post_payout(f"{instance.key}-again").expect(409, "DUPLICATE_EXTERNAL_REF")
    if problem.get("transaction_id") != instance.transaction_id:
        raise SmokeFailed(f"the refusal names {problem.get('transaction_id')!r}")
    return "409 DUPLICATE_EXTERNAL_REF names the first payout"


def confirmed(instance: Instance) -> str:
    """The payout is CONFIRMED in time."""
    began = time.monotonic()

    def look() -> tuple[bool, str]:
        payout = instance.call("GET", instance.payout_path).expect(200)
        status = payout.get("status")
        if status in ("FAILED", "CANCELLED", "REVIEW"):
            raise SmokeFailed(f"it is {status}: {payout.get('explanation')}")
        return status == "CONFIRMED", f"{status} ({payout.get('status_reason')})"

    said = _wait("payout", look, SETTLE_WAIT_S)
    return f"{said} after {time.monotonic() - began:.1f} s"


def remembered(instance: Instance) -> str:
    """The history begins PENDING, SENT, and ends in its one CONFIRMED."""
    page = instance.call("GET", f"{instance.payout_path}/events").expect(200)
    path: list[object] = []
    for event in _items(page):
        # A step to the same state records a fact, such as the provider's reference.
        if not path or path[-1] != event.get("to_status"):
            path.append(event.get("to_status"))
    said = " → ".join(map(str, path))
    # PENDING and SENT may alternate where a first attempt did not get through; the ends may not.
    if path[:2] != ["PENDING", "SENT"] or path[-1] != "CONFIRMED" or path.count("CONFIRMED") != 1:
        raise SmokeFailed(f"the history says {said or 'nothing'}")
    return said


def found(instance: Instance) -> str:
    """The list has it, and only it, under its external reference."""
    page = instance.call("GET", f"/v1/payouts?external_ref={quote(instance.external_ref)}").expect(200)
    ids = [item.get("transaction_id") for item in _items(page)]
    if ids != [instance.transaction_id]:
        raise SmokeFailed(f"the list has {ids}")
    return f"by external_ref {instance.external_ref}"


def counted(instance: Instance) -> str:
    """The counters that alerts rely on are there, and those that this run must have raised are not zero."""
    answer = instance.call("GET", "/metrics")
    if answer.status != 200:
        raise SmokeFailed(f"expected 200, got {answer.status}")
    samples = _samples(answer.body.decode())
    wanted: tuple[tuple[str, dict[str, str], int], ...] = (
        ("http_requests_total", {"route": "/v1/payouts", "status": "202"}, 2),
        ("idempotency_replays_total", {"route": "/v1/payouts"}, 1),
        ("payout_attempts_total", {"provider": "TMONEY", "result": "SENT"}, 1),
        ("payout_attempts_total", {"provider": "TMONEY", "result": "CONFIRMED"}, 1),
        # It may have been a poll that confirmed it: then this one is there, and zero.
        (
            "webhook_events_total",
            {"provider": "TMONEY", "signature_valid": "true", "applied": "true"},
            0,
        ),
    )
    for name, labels, least in wanted:
        value = samples.get((name, frozenset(labels.items())))
        if value is None or value < least:
            raise SmokeFailed(f"{name}{labels} is {value}, not at least {least}")
    return f"{len(wanted)} counters"


HEALTH: Final[tuple[tuple[str, Callable[[Instance], str]], ...]] = (
    ("healthz", alive),
    ("readyz", ready),
    ("release", of_this_release),
)
STEPS: Final = (
    *HEALTH,
    ("no real money", harmless),
    ("token", authenticated),
    ("post a payout", accepted),
    ("post it again: a replay", replayed),
    ("same key, other body", conflicting),
    ("fresh key, same external_ref", duplicated),
    ("wait for CONFIRMED", confirmed),
    ("events", remembered),
    ("list", found),
    ("metrics", counted),
)


def main() -> int:
    """Run all steps in order; the first that fails ends it, since each stands on those before."""
    given = _arguments()
    instance = Instance(given.base_url.rstrip("/"), may_pay=given.real_money)
    steps = HEALTH if given.only == "health" else STEPS
    print(f"NepXy at {instance.base_url}", flush=True)
    for name, step in steps:
        try:
            said = step(instance)
        except SmokeFailed as failed:
            print(f"FAILED  {name}: {failed}", flush=True)
            return 1
        print(f"ok      {name}: {said}", flush=True)
    print(f"All {len(steps)} steps passed.", flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Try a running NepXy from outside.")
    parser.add_argument("--base-url", default=os.environ.get("BASE_URL") or BASE_URL, help="where it listens")
    parser.add_argument("--only", choices=["health"], help="make no payout")
    parser.add_argument("--real-money", action="store_true", help="pay, though the accounts are real")
    given = parser.parse_args()
    if urlsplit(given.base_url).scheme not in ("http", "https") or not urlsplit(given.base_url).hostname:
        parser.error(f"{given.base_url!r} is no URL: say https://payouts.example.com")
    return given


def _wait(name: str, look: Callable[[], tuple[bool, str]], wait_s: float) -> str:
    """Look until it holds; say what there is whenever that changes."""
    deadline = time.monotonic() + wait_s
    shown = None
    while True:
        holds, said = look()
        if holds:
            return said
        if time.monotonic() >= deadline:
            raise SmokeFailed(f"not within {wait_s:.0f} s; last: {said}")
        if said != shown:
            print(f"  ...   {name}: {said}", flush=True)
            shown = said
        time.sleep(LOOK_AGAIN_S)


def _credentials() -> tuple[str, str]:
    client_id = os.environ.get("NEPXY_CLIENT_ID", "").strip()
    client_secret = os.environ.get("NEPXY_CLIENT_SECRET", "").strip()
    if client_id and client_secret:
        return client_id, client_secret
    if client_id or client_secret:
        raise SmokeFailed("set both NEPXY_CLIENT_ID and NEPXY_CLIENT_SECRET, or neither")
    try:
        # `make run` runs in the repository; joined to it, an absolute NEPXY_DATA_DIR stays what it is.
        file = REPOSITORY / (os.environ.get("NEPXY_DATA_DIR") or ".nepxy") / "dev-client.json"
        kept = json.loads(file.read_text(encoding="utf-8"))
        return _text(kept, "client_id"), _text(kept, "client_secret")
    except FileNotFoundError:
        raise SmokeFailed(
            "no credentials: set NEPXY_CLIENT_ID and NEPXY_CLIENT_SECRET, or start `make run`, "
            "which leaves them in .nepxy/dev-client.json"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError):
        raise SmokeFailed(".nepxy/dev-client.json cannot be read; `make run` writes it anew") from None


def _samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    samples = {}
    for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)", text, re.MULTILINE):
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)
        samples[(name, frozenset(pairs))] = float(value)
    return samples


def _lowered(headers: list[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _items(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    items = page.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise SmokeFailed("the page has no items")
    return items


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise SmokeFailed(f"{name} is missing")
    return value


def _problem(document: Mapping[str, Any]) -> str:
    said = [str(document[name]) for name in ("code", "detail") if document.get(name)]
    said += [str(problem) for problem in document.get("fields") or ()]
    return " ".join(said)[:400] or "without a code"


if __name__ == "__main__":
    sys.exit(main())
