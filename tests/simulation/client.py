"""A client that posts one payout, and repeats its request until it is answered: sometimes longer than it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from nepxy.actors.messages import AcceptPayout, CancelPayout, PayoutAnswer
from nepxy.engine.payout import Payout, TransactionId
from nepxy.engine.references import submission_ref
from nepxy.errors import PayoutNotFound
from nepxy.storage.writes import Created, CreatePayout, KeyKnown
from tests.simulation.kernel import World
from tests.simulation.process import SimProcess

ANSWER_WITHIN_S = 10.0
FIRST_LOOK_S = 60.0
INSTALLATION = "simulated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the client wants paid."""

    client_id: str
    key: str
    provider: str
    amount: int
    phone_e164: str
    expires_after_s: float

    def reference(self, generation: int) -> str:
        """Our reference of one of its generations."""
        return submission_ref(
            installation_id=INSTALLATION,
            client_id=self.client_id,
            idempotency_key=self.key,
            generation=generation,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHabits:
    """Shares of requests, and seconds."""

    request_lost_rate: float = 0.0
    answer_lost_rate: float = 0.0
    repeats_rate: float = 0.2
    """How often a request is sent once more although it was answered."""
    cancels_rate: float = 0.1
    network_s_max: float = 0.5


class Client:
    """One wish, and what the client was told about it."""

    def __init__(
        self,
        world: World,
        wish: Wish,
        habits: ClientHabits,
        reachable: Callable[[], Sequence[SimProcess]],
        is_committed: Callable[[TransactionId], bool],
    ) -> None:
        self.world = world
        self.wish = wish
        self.habits = habits
        self.injected: Counter[str] = Counter()
        self.acknowledged: TransactionId | None = None
        self.cancelled_answer: str | None = None
        self.problems: list[str] = []
        self._reachable = reachable
        self._is_committed = is_committed

    def calm(self) -> None:
        """The network is good from now on."""
        self.habits = ClientHabits(repeats_rate=0.0, cancels_rate=0.0)

    def post(self) -> None:
        """Send the request, once more if no answer comes."""
        answered = _Answer(self)
        self._send(lambda process: process.tell(self._request(process, answered)))
        self.world.call_later(ANSWER_WITHIN_S, answered.give_up)

    def _send(self, send: Callable[[SimProcess], None]) -> None:
        world = self.world

        def arrive() -> None:
            processes = [process for process in self._reachable() if process.node.alive]
            if not processes:
                return
            if world.chance(self.habits.request_lost_rate):
                self.injected["client_request_lost"] += 1
                return
            send(world.rng.choice(processes))

        world.call_later(world.rng.random() * self.habits.network_s_max, arrive)

    def _request(self, process: SimProcess, answered: _Answer) -> AcceptPayout:
        wish, world = self.wish, self.world
        now = process.node.scheduler.now()
        payout = Payout(
            transaction_id=TransactionId(world.new_id()),
            client_id=wish.client_id,
            idempotency_key=wish.key,
            provider=wish.provider,
            amount=wish.amount,
            currency="XOF",
            phone_e164=wish.phone_e164,
            country="TG",
            external_ref=f"invoice-{wish.key}",
            submission_ref=wish.reference(0),  # type: ignore[arg-type]
            next_retry_at=now + timedelta(seconds=FIRST_LOOK_S),
            expires_at=now + timedelta(seconds=wish.expires_after_s),
            created_at=now,
        )
        create = CreatePayout(
            payout=payout,
            write_id=world.new_id(),
            request_id=None,
            request_hash=wish.key,
            request_body="{}",
            response_status=202,
            response_body=payout.transaction_id,
        )
        return AcceptPayout(create=create, reply_to=answered)

    def witness(self, value: Any) -> None:
        """The engine answers now: is it true now (money rule 1)?"""
        match value:
            case (
                Created(payout=Payout(transaction_id=transaction_id))
                | KeyKnown(transaction_id=transaction_id)
            ):
                if not self._is_committed(transaction_id):
                    self.problems.append(f"{transaction_id} was acknowledged before it was committed")

    def told(self, value: Any) -> None:
        """An answer has come through the network."""
        match value:
            case Created(payout=payout):
                self._acknowledged(payout.transaction_id)
            case KeyKnown(transaction_id=transaction_id):
                self._acknowledged(transaction_id)
            case _:
                self.problems.append(f"the client was answered {type(value).__name__}")

    def _acknowledged(self, transaction_id: TransactionId) -> None:
        if self.acknowledged not in (None, transaction_id):
            self.problems.append(f"one key, two payouts: {self.acknowledged} and {transaction_id}")
        first = self.acknowledged is None
        self.acknowledged = transaction_id
        if self.world.chance(self.habits.repeats_rate):
            self.injected["client_repeat"] += 1
            self.world.call_later(self.world.rng.uniform(0, 60), self.post)
        if first and self.world.chance(self.habits.cancels_rate):
            self.injected["client_cancel"] += 1
            self.world.call_later(self.world.rng.uniform(0, 20), self._cancel)

    def _cancel(self) -> None:
        if self.acknowledged is None:
            return
        cancel = CancelPayout(
            transaction_id=self.acknowledged,
            client_id=self.wish.client_id,
            request_id=None,
            reply_to=_Cancelled(self),
        )
        self._send(lambda process: process.tell(cancel))

    def refused(self, error: BaseException) -> None:
        """A 503: come again."""
        if isinstance(error, PayoutNotFound):
            self.problems.append(f"payout not found: {error}")


class _Answer:
    """Where the engine's answer to one post goes: through a network that may lose it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._done = False

    def tell(self, value: Any) -> None:
        client = self._client
        client.witness(value)
        if client.world.chance(client.habits.answer_lost_rate):
            client.injected["client_answer_lost"] += 1
            return
        client.world.call_later(
            client.world.rng.random() * client.habits.network_s_max, lambda: self._arrive(value)
        )

    def fail(self, error: BaseException) -> None:
        self._client.refused(error)

    def _arrive(self, value: Any) -> None:
        # Late ones count, too: what was promised was promised.
        self._done = True
        self._client.told(value)

    def give_up(self) -> None:
        if not self._done:
            self._done = True
            self._client.world.call_later(self._client.world.rng.uniform(0.5, 10), self._client.post)


class _Cancelled:
    def __init__(self, client: Client) -> None:
        self._client = client

    def tell(self, value: Any) -> None:
        if isinstance(value, PayoutAnswer) and value.answer in ("APPLIED", "ALREADY_CANCELLED"):
            self._client.cancelled_answer = value.answer

    def fail(self, error: BaseException) -> None:
        self._client.refused(error)
