"""Thunes' magic numbers: the table that all providers share, told in Thunes' codes, and 06xx and 07xx of its own.

The shared ones (01xx to 05xx) are about the confirm, which is the write that moves money. 06xx: how a confirmed
transaction ends. 07xx: what a create or a confirm is refused with.
"""

from collections.abc import Mapping
from types import MappingProxyType

from nepxy.sandbox.book import Order
from nepxy.sandbox.magic import BY_NAME, script_for
from nepxy.sandbox.script import Reply, Script, Status

COMPLETED = "70000"
DECLINED = "90000"

FAILS_WITH: Mapping[str, str] = MappingProxyType(
    {
        "0401": DECLINED,
        "0601": "30110",
        "0602": "30201",
        "0603": "90200",
        "0604": "90310",
        "0605": "30400",
        "0606": "30500",
        "0607": "90202",
        "0608": "80000",
    }
)
"""No money moves, and the transaction ends with this code: screened, barred, no such payee, over a limit, payer out of
service, our balance, unsupported, expired."""

_SUCCEEDS_WITH: Mapping[str, str] = MappingProxyType({"0609": "60000"})
"""The payee gets the money, with an exception."""

_REVERSED_WITH: Mapping[str, str] = MappingProxyType({"0610": "60020", "0611": "80000"})
"""Completed, and taken back one settle delay later."""

_WAITS_WITH: Mapping[str, str] = MappingProxyType({"0612": "20110", "0613": "20150"})
"""Under review, or waiting for pick-up, before it completes."""

CREATE_REFUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "0101": ("1005001", "Account invalid"),
        "0701": ("1006001", "Transaction amount limit exceeded"),
        "0702": ("1003007", "Payer is currently unavailable"),
        "0703": ("1000997", "Source and payer country not authorized"),
    }
)
CONFIRM_REFUSED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "0711": ("1007003", "Transaction cannot be confirmed"),
        "0712": ("1006099", "Limit exceeded"),
    }
)

ACCOUNT_STATUS: Mapping[str, str] = MappingProxyType(
    {"0602": "BARRED", "0603": "INACTIVE", "0607": "SUSPENDED", "0614": "UNVERIFIED"}
)
"""What a verification says of a number; of others, AVAILABLE."""

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "10000": "CREATED",
        "20000": "CONFIRMED",
        "20110": "CONFIRMED-UNDER-REVIEW-SLS",
        "20150": "CONFIRMED-WAITING-FOR-PICKUP",
        "30000": "REJECTED",
        "30110": "REJECTED-SLS-SENDER",
        "30201": "REJECTED-BARRED-BENEFICIARY",
        "30400": "REJECTED-PAYER-CURRENTLY-UNAVAILABLE",
        "30500": "REJECTED-INSUFFICIENT-BALANCE",
        "40000": "CANCELLED",
        "50000": "SUBMITTED",
        "60000": "COMPLETED-WITH-EXCEPTION",
        "60020": "COMPLETED-WITH-EXCEPTION-REVERSAL-COMPLETED",
        "70000": "COMPLETED",
        "80000": "EXPIRED",
        "90000": "DECLINED",
        "90200": "DECLINED-INVALID-BENEFICIARY",
        "90202": "DECLINED-UNSUPPORTED-BENEFICIARY",
        "90310": "DECLINED-LIMIT-EXCEEDED",
    }
)
CLASSES: Mapping[str, str] = MappingProxyType(
    {
        "1": "CREATED",
        "2": "CONFIRMED",
        "3": "REJECTED",
        "4": "CANCELLED",
        "5": "SUBMITTED",
        "6": "COMPLETED-WITH-EXCEPTION",
        "7": "COMPLETED",
        "8": "EXPIRED",
        "9": "DECLINED",
    }
)


def describe_thunes() -> list[tuple[str, str, str]]:
    """Rows for people: suffix, code, what happens."""
    ends = [
        *((suffix, code, "confirmed, then {}; no money moves") for suffix, code in FAILS_WITH.items()),
        *((suffix, code, "paid, and {}") for suffix, code in _SUCCEEDS_WITH.items()),
        *((suffix, code, "paid, then {}") for suffix, code in _REVERSED_WITH.items()),
        *((suffix, code, "{} for one settle delay, then paid") for suffix, code in _WAITS_WITH.items()),
    ]
    told = [
        (suffix, code, what.format(class_message(code, suffix) if code[0] == "8" else MESSAGES[code]))
        for suffix, code, what in ends
    ]
    refused = [
        *((suffix, code, f"no transaction: {text}") for suffix, (code, text) in CREATE_REFUSED.items()),
        *((suffix, code, f"no confirm: {text}") for suffix, (code, text) in CONFIRM_REFUSED.items()),
    ]
    return sorted(told + refused)


def confirm_script(msisdn: str) -> Script:
    """What a confirm does to the payee's number."""
    suffix = msisdn[-4:]
    if suffix in FAILS_WITH:
        return BY_NAME["fails_later"]
    if suffix in _REVERSED_WITH:
        return BY_NAME["reversed_later"]
    script = script_for(msisdn)
    # 0101 is refused when the transaction is created, long before.
    return BY_NAME["success"] if script.reply is Reply.REJECTED_422 else script


def status_code(order: Order, *, submitted: bool, says: Status | None = None) -> str:
    """The code of a confirmed transaction.

    Args:
        order: what became of it.
        submitted: it has been passed on to its payer meanwhile.
        says: what a notice claims instead.
    """
    suffix = order.msisdn[-4:]
    match says or order.status:
        case Status.PENDING:
            return _WAITS_WITH.get(suffix, "50000" if submitted else "20000")
        case Status.FAILED:
            return FAILS_WITH.get(suffix, DECLINED)
        case Status.SUCCESS if suffix in _REVERSED_WITH and order.steps_taken > 1:
            return _REVERSED_WITH[suffix]
        case _:
            return _SUCCEEDS_WITH.get(suffix, COMPLETED)


def class_message(code: str, msisdn: str) -> str:
    """The class in words; class 8 means "reversed" in older contracts, and "expired" in newer ones."""
    return "REVERSED" if code[0] == "8" and msisdn[-4:] in _REVERSED_WITH else CLASSES[code[0]]
