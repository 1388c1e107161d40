"""One simulated run: a seed draws providers, clients, processes and bad luck; then it happens, and then it is calm.

The run has three parts. While it storms, every fault that was drawn may strike. Then the faults stop, as they
do in life when somebody mends them, and the town goes on until nothing moves any more. Then `checks` looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any, Protocol

from nepxy.actors.lease_keeper import LeaseKeeper
from nepxy.actors.messages import LookForReplay, WebhookAnswer, WebhookArrived
from nepxy.actors.payout import PayoutActor
from nepxy.actors.provider import ProviderActor
from nepxy.actors.reconciler import Reconciler
from nepxy.actors.supervisor import ProviderSetup
from nepxy.engine.capabilities import Capabilities, RepeatedReference, WebhookTrust
from nepxy.engine.decide import Policy
from nepxy.engine.outcomes import Finding, StatusReport
from nepxy.engine.payout import Payout, Status, TransactionId
from nepxy.engine.retry import RetryPolicy
from nepxy.storage.controls import By
from nepxy.storage.writes import WebhookRow
from tests.simulation import contracts
from tests.simulation.client import INSTALLATION, Client, ClientHabits, Wish
from tests.simulation.database import ModelDatabase
from tests.simulation.kernel import Node, World
from tests.simulation.link import DatabaseLink, LinkHabits
from tests.simulation.process import PROVIDERS, ProcessHabits, SimProcess, mortal
from tests.simulation.providers import Habits, SimAdapter, SimProvider

STORM_S = 900.0
POSTING_S = 200.0
LINGERS = 0.3
"""Share of storms that go on over payouts which are all final: late news must not move them."""
CALM_S_MAX = 6 * 3600.0
STEPWISE = (RepeatedReference.REJECTS, RepeatedReference.REJECTS, RepeatedReference.UNKNOWN)
"""What a repeated reference may get where a submit takes several writes; REJECTS goes on with what is there."""
QUIET_S = 700.0
"""How long nothing may have moved before the run counts as over: longer than the longest wait between two polls."""
RETRY = RetryPolicy(
    base_s=5.0,
    cap_s=60.0,
    attempts_max=4,
    poll_base_s=10.0,
    poll_cap_s=300.0,
    send_window_s=5.0,
    answer_window_s=30.0,
    settle_s=120.0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """What a seed draws."""

    capabilities: Mapping[str, Capabilities]
    labels: Mapping[str, str]
    """What each provider's contract is called: by the real ones' profile."""
    in_steps: Mapping[str, bool]
    """Whether a submit takes three writes there, of which the last one moves money."""
    provider_habits: Mapping[str, Habits]
    link: LinkHabits
    process: ProcessHabits
    client: ClientHabits
    wishes: int
    processes: int
    kills: tuple[int, ...]
    """Steps of the world before which the process that is about to take one is killed."""
    freezes: tuple[tuple[int, float], ...]
    """Steps, and for how many seconds."""
    strikes_after_send: float
    """How often a process is killed or frozen within a few steps of sending something."""
    stops_s: tuple[float, ...]
    """When a process is asked to stop."""
    database_away_s: tuple[tuple[float, float], ...]
    """When, and for how long."""
    clock_offsets_s: tuple[float, ...]
    account_changes_at_s: float | None
    """When the operator configures another account for one provider."""
    operator_pauses_s: tuple[tuple[float, float], ...]
    operator_steers_s: tuple[tuple[float, float, str], ...]
    """When, for how long, and by which command."""

    @classmethod
    def drawn(cls, rng: Random) -> Weather:
        """Some kinds of bad luck and not others: a run with all of them at once hides most."""

        def sometimes(probability: float, low: float, high: float) -> float:
            return rng.uniform(low, high) if rng.random() < probability else 0.0

        in_steps = {name: rng.random() < 0.3 for name in PROVIDERS}
        capabilities = {
            name: Capabilities(
                repeated_reference=rng.choice(STEPWISE if in_steps[name] else tuple(RepeatedReference)),
                lookup_by_reference=rng.random() < 0.6,
                absent_counts_after_s=130.0,
                status_by_provider_ref=rng.random() < 0.8,
                webhooks=rng.choice(tuple(WebhookTrust)),
                reverses_after_success=rng.random() < 0.3,
                balance=rng.random() < 0.5,
            )
            for name in PROVIDERS
        }

        def some_time() -> float:
            # Most happens while payouts are new; some must strike when only the old ones are left.
            return rng.uniform(0, rng.choice((POSTING_S, POSTING_S, STORM_S)))

        stormy = rng.random() < 0.8
        return cls(
            capabilities=capabilities,
            labels={name: f"{name} drawn" for name in PROVIDERS},
            in_steps=in_steps,
            provider_habits={name: Habits.drawn(rng) if stormy else Habits() for name in PROVIDERS},
            link=LinkHabits(
                refused_rate=sometimes(0.4, 0.0, 0.1),
                lost_rate=sometimes(0.4, 0.0, 0.1),
                landed_rate=sometimes(0.5, 0.0, 0.15),
                late_rate=sometimes(0.4, 0.0, 0.1),
                read_fails_rate=sometimes(0.4, 0.0, 0.1),
            ),
            process=ProcessHabits(
                actor_crash_rate=sometimes(0.4, 0.0, 0.01), journal_lanes=rng.choice((1, 2))
            ),
            client=ClientHabits(
                request_lost_rate=sometimes(0.4, 0.0, 0.3), answer_lost_rate=sometimes(0.4, 0.0, 0.3)
            ),
            wishes=rng.choice((1, 3, 6, 10)),
            processes=rng.choice((1, 1, 2)),
            kills=tuple(rng.randrange(1, 4000) for _ in range(rng.choice((0, 0, 1, 2, 4)))),
            freezes=tuple(
                (rng.randrange(1, 4000), rng.choice((2.0, 20.0, 90.0)))
                for _ in range(rng.choice((0, 0, 1, 3)))
            ),
            strikes_after_send=sometimes(0.5, 0.0, 0.2),
            stops_s=tuple(some_time() for _ in range(rng.choice((0, 0, 1, 2)))),
            database_away_s=tuple(
                (some_time(), rng.choice((1.0, 15.0, 120.0))) for _ in range(rng.choice((0, 0, 1, 2)))
            ),
            clock_offsets_s=tuple(rng.choice((0.0, 0.0, -3.0, 3.0, 40.0)) for _ in range(2)),
            account_changes_at_s=rng.uniform(30, POSTING_S + 100) if rng.random() < 0.08 else None,
            operator_pauses_s=tuple((some_time(), rng.uniform(5, 200)) for _ in range(rng.choice((0, 1, 2)))),
            operator_steers_s=tuple(
                (some_time(), rng.uniform(5, 200), rng.choice(tuple(STEERS)))
                for _ in range(rng.choice((0, 0, 1, 2)))
            ),
        )

    @classmethod
    def of_real_providers(cls, rng: Random) -> Weather:
        """The same bad luck over all four providers, each with the contract that its own adapter declares."""
        weather, cast = cls.drawn(rng), contracts.drawn(rng)
        stormy = rng.random() < 0.8

        def habits(contract: contracts.Contract) -> Habits:
            some = replace(Habits.drawn(rng), lookup_lag_s=rng.choice(contracts.LAGS)) if stormy else Habits()
            return replace(some, **contract.protocol)

        return replace(
            weather,
            capabilities={name: contract.capabilities for name, contract in cast.items()},
            labels={name: contract.label for name, contract in cast.items()},
            in_steps={name: contract.in_steps for name, contract in cast.items()},
            provider_habits={name: habits(contract) for name, contract in cast.items()},
            wishes=2 * weather.wishes,
        )


STEERS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "pause_retries": (
        {"retries_paused": True, "retries_paused_reason": "down"},
        {"retries_paused": False, "retries_paused_reason": ""},
    ),
    "set_backoff": (
        {"backoff_base_s": 1.0, "backoff_cap_s": 5.0},
        {"backoff_base_s": None, "backoff_cap_s": None},
    ),
    "set_pace": (
        {"requests_per_s": 0.2, "concurrency_max": 1},
        {"requests_per_s": None, "concurrency_max": None},
    ),
    "open_breaker": ({"breaker_forced": "open"}, {"breaker_forced": ""}),
    "close_breaker": ({"breaker_forced": "closed"}, {"breaker_forced": ""}),
}
"""What each command sets, and what takes it back."""


class _Counting(Protocol):
    """What counts the faults that it injects."""

    injected: Counter[str]


class Town:
    """Everything in one run."""

    def __init__(self, seed: int, *, real: bool = False) -> None:
        """Draw it.

        Args:
            seed: decides everything.
            real: the providers keep the contracts of the four that there are, instead of any.
        """
        self.world = World(seed)
        draw = Weather.of_real_providers if real else Weather.drawn
        self.weather = draw(self.world.rng)
        self.names = tuple(self.weather.capabilities)
        self.injected: Counter[str] = Counter()
        self.violations: list[str] = []
        self.database = ModelDatabase(now=self.world.now)
        self.tables = self.database.tables
        self.link = DatabaseLink(self.world, self.database, self.weather.link)
        self.accounts = dict.fromkeys(self.names, "account-1")
        self.providers = {
            name: SimProvider(
                self.world,
                name,
                self.weather.capabilities[name],
                self.weather.provider_habits[name],
                in_steps=self.weather.in_steps[name],
                deliver=self._deliver,
                on_send=self._witness_send,
            )
            for name in self.names
        }
        self.processes: list[SimProcess] = []
        self.clients = [self._client(number) for number in range(self.weather.wishes)]
        self.is_calm = False
        self.heard: dict[str, Finding] = {}
        """By reference: the final state that a signed webhook told, and that the engine took."""
        self.told_reversed: dict[str, None] = {}
        """References of which a signed webhook said that the money was taken back, and which the engine took."""
        self.pauses: list[tuple[str, datetime, datetime]] = []
        """Provider, from, until: when the operator had it paused, in the database."""
        self.retry_pauses: list[tuple[str, datetime, datetime]] = []
        """The same of retries alone."""
        self._kills = sorted(self.weather.kills)
        self._freezes = sorted(self.weather.freezes)
        self._strike_at: int | None = None
        self._steered: dict[str, None] = {}
        self._quiet_since: datetime | None = None
        """Since when the providers have had nothing in flight: from then on the engine may find out everything."""

    # ---- the run -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Storm, calm, and what the checks find on the way."""
        with mortal(PayoutActor, ProviderActor, Reconciler, LeaseKeeper):
            self._run()

    def _run(self) -> None:
        world = self.world
        world.before_step = self._strike
        for number in range(self.weather.processes):
            self._start(number)
        self._plan()
        lingers = world.chance(LINGERS)
        while world.monotonic() < STORM_S and (lingers or not self._is_over()):
            world.run_for(60.0)
        self._calm()
        deadline_s = world.monotonic() + CALM_S_MAX
        while world.monotonic() < deadline_s and not self._is_over():
            world.run_for(60.0)
        self._count()

    def _plan(self) -> None:
        world, weather = self.world, self.weather
        for client in self.clients:
            world.call_later(world.rng.uniform(0, POSTING_S), client.post)
        for at_s in weather.stops_s:
            world.call_later(at_s, self._stop_one)
        for at_s, for_s in weather.database_away_s:
            world.call_later(at_s, lambda for_s=for_s: self._database_away(for_s))  # type: ignore[misc]
        for at_s, for_s in weather.operator_pauses_s:
            world.call_later(at_s, lambda for_s=for_s: self._operator_pauses(for_s))  # type: ignore[misc]
        for at_s, for_s, command in weather.operator_steers_s:
            world.call_later(at_s, partial(self._operator_steers, for_s, command))
        if weather.account_changes_at_s is not None:
            world.call_later(weather.account_changes_at_s, self._change_account)
        world.call_later(20.0, self._operator_unblocks)

    def _calm(self) -> None:
        self.is_calm = True
        self.world.note("calm")
        self.link.calm()
        self._kills, self._freezes, self._strike_at = [], [], None
        for provider in self.providers.values():
            provider.calm()
        for client in self.clients:
            client.calm()
        for process in self.processes:
            process.actor_crash_rate = 0.0

    def _is_over(self) -> bool:
        """Nobody waits for an answer, nothing is in flight anywhere, and nothing has moved for long enough."""
        if any(client.acknowledged is None for client in self.clients):
            return False
        if not all(provider.is_settled for provider in self.providers.values()):
            self._quiet_since = None
            return False
        payouts = self.tables.payouts.values()
        if any(payout.status in (Status.PENDING, Status.SENT) for payout in payouts):
            return False
        if all(payout.status.is_final for payout in payouts):
            return True
        self._quiet_since = self._quiet_since or self.world.now()
        moved_at = max(events[-1].at for events in self.tables.events.values())
        return (self.world.now() - max(moved_at, self._quiet_since)).total_seconds() > QUIET_S

    def _count(self) -> None:
        parts: tuple[_Counting, ...] = (self.link, *self.providers.values(), *self.clients, *self.processes)
        for counts in (part.injected for part in parts):
            self.injected.update(counts)

    # ---- processes ---------------------------------------------------------------------------------

    def _start(self, number: int) -> None:
        world = self.world
        offset_s = self.weather.clock_offsets_s[number]
        name = f"process {number}.{len(self.processes)}"
        world.note(f"{name} starts")
        process = SimProcess(
            world,
            name,
            self.link,
            self._setups,
            self.weather.process,
            clock_offset_s=offset_s,
            died=lambda _: self._restart(number),
        )
        if self.is_calm:
            process.actor_crash_rate = 0.0
        self.processes.append(process)

    def _restart(self, number: int) -> None:
        self.world.call_later(self.world.rng.uniform(0.1, 15), lambda: self._start(number))

    def _strike(self, node: Node) -> None:
        """Between any two steps: every await point is one of these."""
        steps = self.world.steps
        if self._strike_at is not None and steps >= self._strike_at:
            self._strike_at = None
            if self.world.chance(0.7):
                self.injected["process_killed_after_send"] += 1
                node.owner.kill()
            else:
                self.injected["process_frozen_after_send"] += 1
                node.freeze(self.world.rng.choice((8.0, 60.0)))
        elif self._kills and steps >= self._kills[0]:
            self._kills.pop(0)
            self.injected["process_killed"] += 1
            node.owner.kill()
        elif self._freezes and steps >= self._freezes[0][0]:
            _, for_s = self._freezes.pop(0)
            self.injected["process_frozen"] += 1
            node.freeze(for_s)

    def _stop_one(self) -> None:
        alive = [process for process in self.processes if process.node.alive]
        if alive and not self.is_calm:
            self.world.rng.choice(alive).stop()

    def _setups(self, node: Node) -> Mapping[str, ProviderSetup]:
        setups = {}
        for name, provider in self.providers.items():
            adapter = SimAdapter(node, provider, account=self.accounts[name])
            policy = Policy(
                capabilities=provider.capabilities,
                retry=RETRY,
                account=adapter.account,
                installation_id=INSTALLATION,
            )
            setups[name] = ProviderSetup(
                name=name,
                adapter=adapter,
                policy=policy,
                enabled=True,
                concurrency_max=4,
                requests_per_s=0.0,
            )
        return setups

    # ---- clients, webhooks, the operator -------------------------------------------------------------

    def _client(self, number: int) -> Client:
        rng = self.world.rng
        wish = Wish(
            client_id=rng.choice(("acme", "zenith")),
            key=f"key-{number}",
            provider=rng.choice(self.names),
            amount=rng.randrange(100, 100_000),
            phone_e164=f"+2289000{number:04d}",
            expires_after_s=rng.choice((300.0, 3600.0, 3 * 3600.0)),
        )
        return Client(
            self.world,
            wish,
            self.weather.client,
            lambda: self.processes,
            lambda transaction_id: transaction_id in self.tables.payouts,
        )

    def _deliver(self, webhook: WebhookRow, report: StatusReport, trusted: bool, on_answer: Any, /) -> None:
        alive = [process for process in self.processes if process.node.alive]
        if not alive:
            return
        said = report.finding if trusted else None
        process = self.world.rng.choice(alive)
        arrived = WebhookArrived(
            webhook=webhook, report=report, trusted=trusted, unchecked=webhook.signature_valid
        )

        def look_and_send() -> None:
            # As the front end does, but for its refusal: what comes twice goes to the engine twice.
            again = _WebhookAnswered(self, webhook, said, on_answer)
            process.tell(replace(arrived, unchecked=False, reply_to=again))

        answered = _WebhookAnswered(self, webhook, said, on_answer, look_and_send=look_and_send)
        process.tell(replace(arrived, reply_to=answered))

    def _witness_send(self, payout: Payout, step: str) -> None:
        """A submit, or a further write of one, leaves a process now. May it (money rules 2 and 4)?"""
        row = self.tables.payouts.get(payout.transaction_id)
        who = f"{payout.transaction_id} attempt {payout.attempt_count}"
        attempt = self.tables.attempts.get(payout.submission_ref)
        if row is None or attempt is None:
            self.violations.append(f"{who} was sent without a committed intent (rule 2)")
            return
        now = self.world.now()
        if not self.is_calm and self.world.chance(self.weather.strikes_after_send):
            self._strike_at = self.world.steps + self.world.rng.randrange(12)
        if step != "SUBMIT" and (row.attempt_count, attempt.phase) != (payout.attempt_count, step):
            self.violations.append(
                f"{who} went on to {step}, and attempt {row.attempt_count} is at {attempt.phase} (rule 2)"
            )
        if now > attempt.send_by:
            self.violations.append(f"{who} was sent {now - attempt.send_by} after its send_by (rule 2)")

    def _operator_unblocks(self) -> None:
        """An operator looks in every minute, puts right what a provider is blocked for, and resumes it."""
        for name in self.database.paused_providers():
            reason = self.database.paused_providers()[name]
            by_itself = name in self.database.shortfalls() and self.weather.capabilities[name].balance
            if reason != "operator" and not by_itself:
                self.providers[name].unblock()
                self.injected["operator_unblocks"] += 1
                self.database.set_paused(name, paused=False, reason="", who="operator")
        self.world.call_later(60.0, self._operator_unblocks)

    def _operator_steers(self, for_s: float, command: str) -> None:
        """Somebody sets something for a provider, and takes it back; one at a time, so that it is known what holds."""
        name = self.world.rng.choice(PROVIDERS)
        if name in self._steered:
            return
        self._steered[name] = None
        self.injected[command] += 1
        by = By(who="operator", reason="down")
        begin = self.world.now()
        if command == "pause_retries":
            self.retry_pauses.append((name, begin, begin + timedelta(seconds=for_s)))
        does, undoes = STEERS[command]
        self.database.set_overrides(name, command, does, by)

        def undo() -> None:
            del self._steered[name]
            self.database.set_overrides(name, command, undoes, by)

        self.world.call_later(for_s, undo)

    def _operator_pauses(self, for_s: float) -> None:
        name = self.world.rng.choice(self.names)
        if self.database.paused_providers().get(name) == "operator":
            return
        self.injected["operator_pauses"] += 1
        begin = self.world.now()
        self.pauses.append((name, begin, begin + timedelta(seconds=for_s)))
        self.database.set_paused(name, paused=True, reason="operator", who="operator")
        self.world.call_later(
            for_s, lambda: self.database.set_paused(name, paused=False, reason="", who="operator")
        )

    def _change_account(self) -> None:
        """Another account is configured: every process is restarted with it, as settings are read once."""
        name = self.world.rng.choice(self.names)
        self.injected["account_changed"] += 1
        self.world.note(f"{name} has another account from now on")
        self.accounts[name] = "account-2"
        for process in self.processes:
            if process.node.alive:
                process.kill()

    def _database_away(self, for_s: float) -> None:
        if not self.is_calm and self.link.is_up:
            self.world.note(f"the database is away for {for_s:.0f} s")
            self.injected["database_stopped"] += 1
            self.link.is_up = False
            self.world.call_later(for_s, self._database_back)

    def _database_back(self) -> None:
        self.link.is_up = True


class _WebhookAnswered:
    """Where the engine's answer to a webhook goes."""

    def __init__(
        self,
        town: Town,
        webhook: WebhookRow,
        said: Finding | None,
        on_answer: Any,
        *,
        look_and_send: Callable[[], None] | None = None,
    ) -> None:
        self._town = town
        self._webhook = webhook
        self._said = said
        self._on_answer = on_answer
        self._look_and_send = look_and_send
        """What to do where the engine cannot tell whether the body was applied before; None: it was looked for."""

    def tell(self, value: Any) -> None:
        if isinstance(value, LookForReplay) and self._look_and_send is not None:
            self._look_and_send()
            return
        if self._look_and_send is not None:
            self._check_new()
        if not isinstance(value, WebhookAnswer):
            self._town.violations.append(f"a webhook was answered {type(value).__name__}")
        elif self._webhook.webhook_id not in self._town.tables.webhooks:
            self._town.violations.append(
                f"webhook {self._webhook.webhook_id} was answered before it was stored (rule 9)"
            )
        elif self._said is Finding.REVERSED:
            self._town.told_reversed[str(self._webhook.our_ref)] = None
        elif self._said in (Finding.PAID, Finding.UNPAID) and self._webhook.our_ref is not None:
            self._town.heard[self._webhook.our_ref] = self._said
        self._on_answer(True)

    def fail(self, error: BaseException) -> None:
        self._on_answer(False)

    def _check_new(self) -> None:
        """The engine took it without a look: then its body cannot have been applied before."""
        webhooks, ours = self._town.tables.webhooks, self._webhook
        stored = webhooks.get(ours.webhook_id)
        if stored is None or stored.state != "APPLIED":
            return
        for other in webhooks.values():
            if (
                other.state == "APPLIED"
                and other.transaction_id == stored.transaction_id
                and other.webhook.body_sha256 == ours.body_sha256
                and other.webhook.webhook_id != ours.webhook_id
            ):
                self._town.violations.append(f"webhook {ours.webhook_id} was applied twice without a look")


def transaction_of(town: Town, client: Client) -> TransactionId | None:
    """The payout that a client's key names in the database."""
    row = town.tables.keys.get((client.wish.client_id, client.wish.key))
    return row.transaction_id if row is not None else None
