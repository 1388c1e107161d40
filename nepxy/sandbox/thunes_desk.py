"""What Thunes keeps: quotations, transactions, the balance; and how it shows them (providers page 4.2, 4.6).

Created transactions live in memory only; what was confirmed is in the book, and outlives a restart.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, ROUND_UP, Decimal
from hashlib import blake2b
from typing import Any

import orjson

from nepxy.sandbox.book import Order
from nepxy.sandbox.script import Script, Status
from nepxy.sandbox.thunes_magic import MESSAGES, class_message, status_code
from nepxy.sandbox.thunes_read import Payer, QuotationRequest, ThunesRefused
from nepxy.sandbox.webhooks import Delivery
from nepxy.sandbox.world import World

NAME = "thunes"

_PER_EURO = {"EUR": "1", "XOF": "655.957", "XAF": "655.957", "GHS": "16", "NGN": "1700", "USD": "1.1"}
RATES = {currency: Decimal(rate) for currency, rate in _PER_EURO.items()}
_PLACES = {"XOF": 0, "XAF": 0}
CREATED = "10000"
CANCELLED = "40000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotation:
    """An offer."""

    id: int
    request: QuotationRequest
    source: Decimal
    """Of the balance's currency."""
    destination: Decimal
    made_at_s: float


@dataclass(slots=True, kw_only=True)
class Transaction:
    """What was made of a quotation."""

    id: int
    external_id: str
    body: Mapping[str, Any]
    quotation: Quotation
    made_at_s: float
    order: Order | None = None
    """There once it is confirmed."""
    cancelled: bool = False
    confirms_received: int = 0

    @property
    def msisdn(self) -> str:
        """E.164."""
        number: str = self.body["credit_party_identifier"]["msisdn"]
        return f"+{number.lstrip('+')}"


class Desk:
    """Takes and tells; every method is one moment, without an await inside."""

    def __init__(self, world: World, payers: Mapping[int, Payer]) -> None:
        self._world = world
        self.payers = payers
        self.config = world.config.thunes
        self.balance = self.config.balance
        self.quotations: dict[int, Quotation] = {}
        self.quotations_by_ext: dict[str, Quotation] = {}
        self.transactions: dict[int, Transaction] = {}
        self.transactions_by_ext: dict[str, Transaction] = {}

    # ---- writes ------------------------------------------------------------------------------------

    def quote(self, request: QuotationRequest) -> Quotation:
        """Makes an offer.

        Raises:
            ThunesRefused: 1007001 for an external id that has one.
        """
        if request.external_id in self.quotations_by_ext:
            raise ThunesRefused("1007001", "External ID has already been used")
        rate = RATES[request.payer.currency] / RATES[self.config.source_currency]
        if request.mode == "DESTINATION_AMOUNT":
            source = _rounded(request.amount / rate, self.config.source_currency, ROUND_UP)
            destination = request.amount
        else:
            source = request.amount
            destination = _rounded(request.amount * rate, request.payer.currency, ROUND_HALF_UP)
        quotation = Quotation(
            id=self._id("quotation", request.external_id),
            request=request,
            source=source,
            destination=destination,
            made_at_s=time.time(),
        )
        self.quotations[quotation.id] = self.quotations_by_ext[request.external_id] = quotation
        return quotation

    def create(self, quotation: Quotation, body: Mapping[str, Any]) -> Transaction:
        """Makes a transaction; moves nothing.

        Raises:
            ThunesRefused: 1007001 for an external id that has one, 1008003 for an offer that is over.
        """
        external_id = body["external_id"]
        if self.transaction_by_ext(external_id, lag_s=0.0) is not None or self._confirmed(external_id):
            raise ThunesRefused("1007001", "External ID has already been used")
        if self._expired(quotation):
            raise ThunesRefused("1008003", "Quotation has expired")
        transaction = Transaction(
            id=self._id("transaction", external_id),
            external_id=external_id,
            body=body,
            quotation=quotation,
            made_at_s=time.time(),
        )
        self.transactions[transaction.id] = self.transactions_by_ext[external_id] = transaction
        return transaction

    def confirm(self, transaction: Transaction, script: Script, *, out_of_money: bool) -> list[Delivery]:
        """Takes the transaction up: from here on money moves.

        Returns:
            Callbacks that must have been tried before the confirm is answered.

        Raises:
            ThunesRefused: 1007002 to 1007005.
        """
        if transaction.order is not None:
            raise ThunesRefused("1007002", "Transaction is already confirmed")
        if transaction.cancelled:
            raise ThunesRefused("1007003", "Transaction cannot be confirmed")
        if self._expired(transaction.quotation):
            raise ThunesRefused("1007004", "Transaction cannot be confirmed: quotation has expired")
        if out_of_money or transaction.quotation.source > self.balance:
            raise ThunesRefused("1007005", "Transaction cannot be confirmed: insufficient balance")
        currency = transaction.quotation.request.payer.currency
        minor = transaction.quotation.destination.scaleb(_PLACES.get(currency, 2))
        transaction.order, deliveries = self._world.book.accept(
            provider=NAME,
            external_id=transaction.external_id,
            msisdn=transaction.msisdn,
            amount=int(minor),
            currency=currency,
            script=script,
        )
        self.balance -= transaction.quotation.source
        return deliveries

    def cancel(self, transaction: Transaction) -> None:
        """Ends what was not confirmed.

        Raises:
            ThunesRefused: 1007014.
        """
        # One that waits for pick-up could be cancelled, too [D]; the book knows no way back, so it is refused here.
        if transaction.cancelled or transaction.order is not None:
            raise ThunesRefused("1007014", "Transaction cannot be cancelled")
        transaction.cancelled = True

    def give_back(self, transaction: Transaction) -> None:
        """What a failed transaction held comes back."""
        self.balance += transaction.quotation.source

    # ---- reads -------------------------------------------------------------------------------------

    def transaction_by_ext(self, external_id: str, *, lag_s: float | None = None) -> Transaction | None:
        """By the client's id, which is not found while a new one is not visible yet."""
        found = self.transactions_by_ext.get(external_id)
        lag = self.config.visibility_lag_s if lag_s is None else lag_s
        return found if found is not None and time.time() - found.made_at_s >= lag else None

    def remembered(self, external_id: str) -> dict[str, Any] | None:
        """A confirmed transaction of before a restart, as far as the book knows it."""
        order = self._confirmed(external_id)
        return None if order is None else self._shown_order(order, self._id("transaction", external_id))

    def show_quotation(self, quotation: Quotation) -> dict[str, Any]:
        """As answered."""
        request = quotation.request
        currency = self.config.source_currency
        expires_at_s = quotation.made_at_s + self.config.quotation_ttl_s
        return {
            "id": quotation.id,
            "external_id": request.external_id,
            "payer": {"id": request.payer.id, "name": request.payer.name, "currency": request.payer.currency},
            "mode": request.mode,
            "transaction_type": request.transaction_type,
            "source": {
                "amount": self.number(quotation.source),
                "currency": currency,
                "country_iso_code": request.source_country,
            },
            "destination": {
                "amount": self.number(quotation.destination),
                "currency": request.payer.currency,
            },
            "sent_amount": {"amount": self.number(quotation.source), "currency": currency},
            "wholesale_fx_rate": self.number(RATES[request.payer.currency] / RATES[currency]),
            "fee": {"amount": self.number(Decimal(0)), "currency": currency},
            "creation_date": _when(quotation.made_at_s),
            "expiration_date": _when(expires_at_s),
        }

    def show(self, transaction: Transaction, *, says: Status | None = None) -> dict[str, Any]:
        """A transaction as answered, and as called back."""
        shown = self.show_quotation(transaction.quotation)
        for name in ("mode", "external_id", "id"):
            del shown[name]
        body = transaction.body
        echoed = {name: value for name, value in body.items() if name != "external_id"}
        return {
            "id": transaction.id,
            "external_id": transaction.external_id,
            **self._status(self.code_of(transaction, says=says), transaction.msisdn),
            **shown,
            **echoed,
            "payer_transaction_reference": None,
            "payer_transaction_code": None,
            "creation_date": _when(transaction.made_at_s),
        }

    def code_of(self, transaction: Transaction, *, says: Status | None = None) -> str:
        """Five digits."""
        if transaction.cancelled:
            return CANCELLED
        order = transaction.order
        if order is None:
            return CREATED
        return status_code(order, submitted=self._submitted(order), says=says)

    def number(self, amount: Decimal) -> Any:
        """An amount as it is put on the wire."""
        exact = amount.quantize(Decimal("0.00000001"))
        if self.config.amounts_as_strings:
            return format(exact, "f")
        return orjson.Fragment(format(exact.normalize(), "f").encode())

    def _shown_order(self, order: Order, number: int) -> dict[str, Any]:
        amount = Decimal(order.amount).scaleb(-_PLACES.get(order.currency, 2))
        code = status_code(order, submitted=self._submitted(order))
        return {
            "id": number,
            "external_id": order.external_id,
            **self._status(code, order.msisdn),
            "destination": {"amount": self.number(amount), "currency": order.currency},
            "credit_party_identifier": {"msisdn": order.msisdn},
            "creation_date": _when(order.accepted_at_s),
        }

    def _status(self, code: str, msisdn: str) -> dict[str, Any]:
        number: Any = int(code) if self.config.status_as_integer else code
        return {
            "status": number,
            "status_message": MESSAGES.get(code, "UNNAMED"),
            "status_class": int(code[0]) if self.config.status_as_integer else code[0],
            "status_class_message": class_message(code, msisdn),
        }

    def _submitted(self, order: Order) -> bool:
        return time.time() - order.accepted_at_s >= self._world.config.settle_delay_s / 2

    def _expired(self, quotation: Quotation) -> bool:
        return time.time() >= quotation.made_at_s + self.config.quotation_ttl_s

    def _confirmed(self, external_id: str) -> Order | None:
        return self._world.book.latest(NAME, external_id)

    def _id(self, kind: str, external_id: str) -> int:
        # Beyond 32 bits, as theirs are [D]; derived, so that a restart does not give one to another payout.
        source = f"{self._world.config.seed}\x1f{kind}\x1f{external_id}".encode()
        return 2**40 + int.from_bytes(blake2b(source, digest_size=6).digest(), "big")


def _rounded(amount: Decimal, currency: str, rounding: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-_PLACES.get(currency, 2)), rounding=rounding)


def _when(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
