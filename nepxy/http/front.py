"""What the front end is given by the composition root, and the seams at which it touches the other rooms.

`http` does not import `nepxy.providers` (an arrow that a test keeps): what it needs of an adapter is a protocol here,
and the check of a signature is handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from nepxy.actors.moves import Moves
from nepxy.config.secret import Secret
from nepxy.config.settings import Settings
from nepxy.engine.capabilities import Capabilities
from nepxy.engine.decide import Policy
from nepxy.engine.outcomes import StatusReport
from nepxy.engine.runtime import LoopActorRef
from nepxy.storage.database import Reader


class WebhookNotice(Protocol):
    """What a webhook says; `nepxy.providers.contract.Notice` is one."""

    @property
    def provider_ref(self) -> str | None:
        """The provider's name for the payout."""

    @property
    def our_ref(self) -> str | None:
        """What it names besides."""

    @property
    def status_word(self) -> str:
        """The provider's own word."""

    @property
    def report(self) -> StatusReport:
        """What became of the payout."""


class WebhookReader(Protocol):
    """The part of an adapter that the front end uses; `nepxy.providers.contract.Adapter` is one."""

    @property
    def capabilities(self) -> Capabilities:
        """The provider's contract."""

    def read_webhook(self, document: Mapping[str, object]) -> WebhookNotice:
        """Read a webhook's parsed body. Raises `RequestError` where it names no status or no payout."""


class SignatureCheck(Protocol):
    """Which of two secrets signed a body; `nepxy.providers.signatures.signed_with` is one."""

    def __call__(self, body: bytes, signature: str, *, current: Secret, previous: Secret) -> str | None:
        """`current`, `previous`, or None; in constant time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEnd:
    """Everything that the routes stand on."""

    settings: Settings
    supervisor: LoopActorRef[Any]
    reader: Reader
    adapters: Mapping[str, WebhookReader]
    """By provider, for those with credentials; enabled or not."""
    policies: Mapping[str, Policy]
    """By provider, for all that this node knows: what its payouts are decided by."""
    signed_with: SignatureCheck
    installation_id: str
    registry: CollectorRegistry
    clock: Callable[[], datetime]
    """Now; aware, UTC."""
    new_id: Callable[[], str]
    """A UUIDv7 as text."""
    migrations_pending: Callable[[], Awaitable[tuple[str, ...]]]
    """Names of migrations that the database lacks; fails where the database is away."""
    moves: Moves = field(default_factory=Moves)
    """Of this node's payouts, for those who watch."""
