"""Calls to Thunes' Money Transfer v2 (provider page, 4.1): Basic auth, its prefix, JSON whose numbers stay exact."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote, urlsplit

import orjson

from nepxy.config.masking import mask_text
from nepxy.config.providers import ThunesSettings
from nepxy.config.secret import Secret
from nepxy.providers.contract import SendGuard
from nepxy.providers.wire import EVIDENCE_BYTES_MAX, Answered, ProviderHttp, WireResult

PREFIX: Final = "/v2/money-transfer"
SIMULATED: Final = "x-simulated-transaction"
ERROR_CODES_MAX: Final = 10
"""Of one answer; more are not read."""
_EVIDENCE: Final = (
    "status",
    "status_message",
    "status_class",
    "status_class_message",
    "external_id",
    "destination",
    "id",
)
_REQUEST: Final = (
    "external_id",
    "payer_id",
    "mode",
    "transaction_type",
    "destination",
    "credit_party_identifier",
    "purpose_of_remittance",
)


@dataclass(frozen=True)
class Reply:
    """How one call ended, read as far as it can be read."""

    call: str
    """Which call it was, as `METHOD path`, without ids."""
    result: WireResult
    secrets: tuple[Secret, ...]

    @property
    def status(self) -> int | None:
        """The HTTP status of a whole answer."""
        return self.result.status if isinstance(self.result, Answered) else None

    @property
    def evidence(self) -> str:
        """What may be kept of the answer; of an object only what is evidence, because it names people."""
        if not isinstance(self.result, Answered):
            return ""
        if self.found is None:
            return self.result.masked(*self.secrets)
        kept = {name: self.found[name] for name in _EVIDENCE if name in self.found}
        text = f"{self.result.status} {orjson.dumps(kept, default=str).decode()}"
        return mask_text(text, EVIDENCE_BYTES_MAX, secrets=self.secrets)

    @property
    def request(self) -> str:
        """What may be kept of the request, which names people, too."""
        asked = exact_json(self.result.sent) if self.result.sent else None
        if not isinstance(asked, dict):
            return ""
        kept = {name: asked[name] for name in _REQUEST if name in asked}
        return mask_text(orjson.dumps(kept, default=str).decode(), EVIDENCE_BYTES_MAX, secrets=self.secrets)

    @cached_property
    def document(self) -> Any:
        """The body of a whole answer as JSON, with fractions as Decimal; None if there is none or it is no JSON."""
        return exact_json(self.result.body) if isinstance(self.result, Answered) else None

    @property
    def found(self) -> Mapping[str, Any] | None:
        """The object that a success carries (200 or 201 [D]); None for every other answer."""
        good = self.status in (200, 201) and isinstance(self.document, dict)
        return self.document if good and "errors" not in self.document else None

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """The codes of a refusal, `{"errors": [{"code", "message"}]}` [D]; empty where the answer is none.

        Which HTTP status carries them is not known of all [U], so any 4xx may, but for 408 and 429, which a proxy
        says, too. A 5xx never does: "5xx: unknown", whatever it holds.
        """
        if self.status is None or not 400 <= self.status < 500 or self.status in (408, 429):
            return ()
        errors = self.document.get("errors") if isinstance(self.document, dict) else None
        if not isinstance(errors, list) or not 0 < len(errors) <= ERROR_CODES_MAX:
            return ()
        codes = tuple(_code(error) for error in errors)
        return tuple(dict.fromkeys(codes)) if all(codes) else ()


@dataclass(frozen=True, slots=True)
class ThunesApi:
    """One account's calls."""

    settings: ThunesSettings
    http: ProviderHttp

    @property
    def base(self) -> str:
        """Scheme, host and prefix; an endpoint that was set with the prefix is taken, too."""
        endpoint = self.settings.api_endpoint.rstrip("/")
        return endpoint if endpoint.endswith(PREFIX) else endpoint + PREFIX

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What must not appear in anything that is kept; the whole credential is one, too."""
        return (self.settings.api_key, self.settings.api_secret, Secret(self._credential))

    async def get(self, path: str, *ids: str) -> Reply:
        """Read; moves nothing. `{}` in the path stands for an id each."""
        return await self._call("GET", path, ids, None, {}, None)

    async def post(
        self,
        path: str,
        *ids: str,
        guard: SendGuard | None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Write, if the guard still lets it; without one, a question that is asked by POST."""
        return await self._call("POST", path, ids, body, headers or {}, guard)

    async def _call(
        self,
        method: str,
        path: str,
        ids: tuple[str, ...],
        body: bytes | None,
        more: Mapping[str, str],
        guard: SendGuard | None,
    ) -> Reply:
        headers = {"Authorization": f"Basic {self._credential}", "Accept": "application/json", **more}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = self.base + path.format(*(quote(each, safe="") for each in ids))
        result = await self.http.call(method, url, headers=headers, body=body, guard=guard)
        shown = urlsplit(self.base).path + path
        return Reply(f"{method} {shown}", result, self.secrets)

    @property
    def _credential(self) -> str:
        pair = f"{self.settings.api_key.get_secret_value()}:{self.settings.api_secret.get_secret_value()}"
        return base64.b64encode(pair.encode()).decode()


def exact_json(body: bytes) -> Any:
    """JSON with fractions as Decimal and whole numbers as int: an amount never passes through a float.

    Returns:
        None for what is no JSON, and for NaN, infinities and depths that nobody means.
    """
    try:
        orjson.loads(body)  # strict, and bounded in depth
        return json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError):
        return None


def _code(error: object) -> str:
    code = error.get("code") if isinstance(error, dict) else None
    text = str(code) if isinstance(code, (str, int)) and not isinstance(code, bool) else ""
    return text if text.isascii() and text.isdigit() and len(text) <= 10 else ""
