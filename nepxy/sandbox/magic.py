"""The magic numbers: the last four digits of a payee's number choose what happens to the payout.

Any valid number of the operator works, such as `+228 90 00 xx xx`. Suffixes from 1000 up are ordinary for good, so
that load tests can draw from them. Groups: 01xx refused, 02xx acted on but the answer is bad, 03xx never acted on and
the answer is bad, 04xx settles otherwise, 05xx bad webhooks.
"""

from collections.abc import Mapping
from types import MappingProxyType

from nepxy.sandbox.script import FAILS, Acts, Notice, Reply, Script, Signature, Status, Step

SUCCESS = Script(name="success", what="202; settles SUCCESS, one webhook")


def _refused(name: str, suffix: str, reply: Reply, what: str) -> Script:
    return Script(name=name, suffix=suffix, what=what, acts=Acts.NEVER, reply=reply)


def _settles(name: str, suffix: str, what: str, *course: Step) -> Script:
    return Script(name=name, suffix=suffix, what=what, course=course)


def _told(name: str, suffix: str, what: str, *notices: Notice) -> Script:
    return _settles(name, suffix, what, Step(becomes=Status.SUCCESS, notices=notices))


MAGIC: tuple[Script, ...] = (
    SUCCESS,
    _refused("rejected", "0101", Reply.REJECTED_422, "422 PAYEE_NOT_ELIGIBLE at submit; no money moves"),
    _refused(
        "insufficient_float", "0102", Reply.INSUFFICIENT_FLOAT_402, "402 INSUFFICIENT_FLOAT; no money moves"
    ),
    _refused(
        "insufficient_float_403",
        "0103",
        Reply.INSUFFICIENT_FLOAT_403,
        "403 INSUFFICIENT_FLOAT; no money moves",
    ),
    _refused("ip_not_allowed", "0104", Reply.IP_NOT_ALLOWED_403, "403 IP_NOT_ALLOWED; no money moves"),
    _refused(
        "bad_credentials", "0105", Reply.BAD_CREDENTIALS_401, "401 though the key is good; no money moves"
    ),
    _refused("throttled", "0106", Reply.THROTTLED_429, "429 with Retry-After; no money moves"),
    _refused("maintenance", "0107", Reply.MAINTENANCE_503, "503 with Retry-After; no money moves"),
    Script(name="slow", suffix="0201", what="202 after slow_s; settles SUCCESS", reply=Reply.SLOW),
    Script(
        name="timeout_after_acting",
        suffix="0202",
        what="acts, never answers (drops after hang_s); settles SUCCESS",
        reply=Reply.HANG,
    ),
    Script(
        name="late_reply",
        suffix="0203",
        what="acts, answers 202 only after late_reply_s; settles SUCCESS",
        reply=Reply.LATE,
    ),
    Script(
        name="reset_after_acting",
        suffix="0204",
        what="acts, resets the connection; settles SUCCESS",
        reply=Reply.RESET,
    ),
    Script(name="error_500_after_acting", suffix="0205", what="acts, answers 500", reply=Reply.ERROR_500),
    Script(
        name="html_502_after_acting", suffix="0206", what="acts, answers 502 with HTML", reply=Reply.HTML_502
    ),
    Script(
        name="garbage_200_after_acting",
        suffix="0207",
        what="acts, answers 200 with a body that is not JSON",
        reply=Reply.GARBAGE_200,
    ),
    Script(
        name="acts_late",
        suffix="0208",
        what="silent, unknown to look-ups, acts only after late_reply_s; settles SUCCESS",
        acts=Acts.LATE,
    ),
    _refused("timeout_before_acting", "0301", Reply.HANG, "never acts, never answers (drops after hang_s)"),
    _refused("reset_before_acting", "0302", Reply.RESET, "never acts, resets the connection"),
    _refused("error_500_before_acting", "0303", Reply.ERROR_500, "never acts, answers 500"),
    _refused("html_502_before_acting", "0304", Reply.HTML_502, "never acts, answers 502 with HTML"),
    Script(
        name="fails_later",
        suffix="0401",
        what="202; settles FAILED, one webhook; no money moves",
        course=FAILS,
    ),
    Script(
        name="stuck_pending", suffix="0402", what="202; PENDING for ever, no webhook, no money", course=()
    ),
    _told("webhook_duplicated", "0501", "settles SUCCESS; the webhook comes three times", *[Notice()] * 3),
    _settles(
        "webhook_late",
        "0502",
        "settles SUCCESS; the webhook comes after 5 settle delays",
        Step(becomes=Status.SUCCESS),
        Step(after=5.0, notices=(Notice(),)),
    ),
    _told("webhook_missing", "0503", "settles SUCCESS; no webhook at all, polling only"),
    _settles(
        "webhook_before_reply",
        "0504",
        "SUCCESS and its webhook come before the submit's own 202",
        Step(after=0.0, becomes=Status.SUCCESS, notices=(Notice(),)),
    ),
    _settles(
        "success_then_failed",
        "0505",
        "webhook SUCCESS, one settle delay later webhook FAILED; status stays SUCCESS, money moved",
        Step(becomes=Status.SUCCESS, notices=(Notice(),)),
        Step(after=2.0, notices=(Notice(says=Status.FAILED),)),
    ),
    _settles(
        "failed_then_success",
        "0506",
        "FAILED with its webhook, one settle delay later SUCCESS with its webhook; money moves then",
        Step(becomes=Status.FAILED, notices=(Notice(),)),
        Step(after=2.0, becomes=Status.SUCCESS, notices=(Notice(),)),
    ),
    _told(
        "webhook_wrong_signature",
        "0507",
        "settles SUCCESS; its only webhook is signed with a wrong key",
        Notice(signature=Signature.WRONG),
    ),
    _told(
        "webhook_unsigned",
        "0508",
        "settles SUCCESS; its only webhook has no signature",
        Notice(signature=Signature.MISSING),
    ),
    _told(
        "webhook_without_status",
        "0509",
        "settles SUCCESS; its only webhook names no status",
        Notice(with_status=False),
    ),
)

OF_ONE_PROVIDER: tuple[Script, ...] = (
    _settles(
        "reversed_later",
        "",
        "completes, and is reversed one settle delay later",
        Step(becomes=Status.SUCCESS, notices=(Notice(),)),
        Step(after=2.0, notices=(Notice(),)),
    ),
    _settles(
        "expires_at_last",
        "",
        "202; PENDING for 600 settle delays, then FAILED with EXPIRED; no money moves",
        Step(after=600.0, becomes=Status.FAILED, notices=(Notice(),)),
    ),
    _settles(
        "created_first",
        "",
        "202; CREATED, PENDING after a settle delay, SUCCESSFUL after four",
        Step(),
        Step(after=4.0, becomes=Status.SUCCESS, notices=(Notice(),)),
    ),
)
"""Chosen by numbers of a single provider's, in that provider's module; here, so that a restart finds them by name."""

BY_NAME: Mapping[str, Script] = MappingProxyType(
    {script.name: script for script in (*MAGIC, *OF_ONE_PROVIDER)}
)
_BY_SUFFIX: Mapping[str, Script] = {script.suffix: script for script in MAGIC if script.suffix}


def script_for(msisdn: str) -> Script:
    """The script that a payee's number chooses; SUCCESS for any number that is not magic."""
    return _BY_SUFFIX.get(msisdn[-4:], SUCCESS)


def describe_magic() -> list[tuple[str, str, str]]:
    """Rows for documentation and the CLI: last four digits ("" for every other number), name, what happens."""
    return [(script.suffix, script.name, script.what) for script in MAGIC]
