"""What a log line looks like, and what never gets into one."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import structlog

from nepxy.config.logs import configure_logging
from nepxy.config.secret import Secret


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    quiet = {name: logging.getLogger(name).level for name in ("aiohttp.access", "peewee", "asyncio")}
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, was in quiet.items():
        logging.getLogger(name).setLevel(was)
    logging.captureWarnings(capture=False)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    out = io.StringIO()
    configure_logging("json", "debug", stream=out)
    return out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def line(out: io.StringIO) -> dict[str, Any]:
    (only,) = lines(out)
    return only


def test_a_line_is_one_json_object_with_event_level_and_utc_time(stream: io.StringIO) -> None:
    structlog.get_logger().info("payout.confirmed", amount=1000, duration_s=0.5, replayed=False)
    found = line(stream)
    assert found["event"] == "payout.confirmed"
    assert found["level"] == "info"
    assert (found["amount"], found["duration_s"], found["replayed"]) == (1000, 0.5, False)
    at = datetime.fromisoformat(found["timestamp"])
    assert at.tzinfo is not None
    assert at.utcoffset() == UTC.utcoffset(None)


def test_context_variables_are_in_every_line(stream: io.StringIO) -> None:
    structlog.contextvars.bind_contextvars(request_id="req-1")
    structlog.get_logger().info("payout.accepted")
    logging.getLogger("aiohttp.server").warning("slow")
    assert [found["request_id"] for found in lines(stream)] == ["req-1", "req-1"]


def test_the_standard_library_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("pykka").error("Unhandled exception in %s for %s", "actor", "+22890123456")
    found = line(stream)
    assert found["event"] == "Unhandled exception in actor for +228*****456"
    assert (found["logger"], found["level"]) == ("pykka", "error")


def test_what_a_record_of_the_standard_library_carries_is_shown_and_masked(stream: io.StringIO) -> None:
    extra = {"kind": "payout", "api_key": "hunter2", "what": "to +22890123456"}
    logging.getLogger("nepxy.engine.runtime").warning("message.dead_lettered", extra=extra)
    found = line(stream)
    assert found["kind"] == "payout"
    assert "hunter2" not in str(found)
    assert "22890123456" not in str(found)


def test_pythons_warnings_go_the_same_way(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old api", stacklevel=1)
    assert line(stream)["logger"] == "py.warnings"


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    configure_logging("json", "warning", stream=out)
    structlog.get_logger().info("payout.polled")
    logging.getLogger("aiohttp.server").info("hello")
    structlog.get_logger().warning("payout.parked")
    assert [found["event"] for found in lines(out)] == ["payout.parked"]


def test_statements_and_access_lines_of_libraries_stay_out_even_in_debug(stream: io.StringIO) -> None:
    logging.getLogger("peewee").debug("INSERT", {"secret": "hunter2"})
    logging.getLogger("aiohttp.access").info("GET /")
    assert stream.getvalue() == ""


def test_a_logger_made_before_the_configuration_obeys_it() -> None:
    early = structlog.get_logger()
    first, second = io.StringIO(), io.StringIO()
    configure_logging("json", "info", stream=first)
    early.info("one")
    configure_logging("json", "info", stream=second)
    early.info("two")
    assert (line(first)["event"], line(second)["event"]) == ("one", "two")


def test_loggers_of_a_configuration_for_good_obey_it_whenever_they_were_made_and_used() -> None:
    out = io.StringIO()
    early = structlog.get_logger("early")
    configure_logging("json", "info", stream=io.StringIO())
    early.info("zero")
    configure_logging("json", "warning", stream=out, for_good=True)
    for log in (early, structlog.get_logger()):
        log.info("one")
        with structlog.contextvars.bound_contextvars(request_id="r-1"):
            log.warning("two", msisdn="+22890123456")
        log.warning("three")
    written = [(found["event"], found.get("request_id"), found.get("msisdn")) for found in lines(out)]
    assert written == [("two", "r-1", "+228*****456"), ("three", None, None)] * 2


def test_phone_numbers_are_masked_wherever_they_stand(stream: io.StringIO) -> None:
    structlog.get_logger().info(
        "webhook to +22890123456",
        note="call 22890123456",
        payee={"partyId": "22890123456", "list": ["+228 90 12 34 56", ("90123456",)]},
        msisdn=22890123456,
        thing=Exception("about +22890123456"),
    )
    assert "90123" not in stream.getvalue()
    assert line(stream)["payee"] == {"partyId": "228*****456", "list": ["+228*****456", ["*****456"]]}
    assert line(stream)["msisdn"] == "228*****456"


@pytest.mark.parametrize(
    "name",
    ["authorization", "api_key", "secret", "token", "password", "signature", "X-Signature", "jwt_secret"],
)
def test_fields_named_like_secrets_are_hidden(stream: io.StringIO, name: str) -> None:
    structlog.get_logger().info(
        "seen", **{name: "hunter2"}, headers={name: "hunter2"}, more=[{name: ["hunter2"]}]
    )
    assert "hunter2" not in stream.getvalue()
    assert line(stream)[name] == "*****"


def test_a_secret_shows_asterisks_under_any_name(stream: io.StringIO) -> None:
    structlog.get_logger().info("seen", value=Secret("hunter2"), text=f"with {Secret('hunter2')}")
    assert "hunter2" not in stream.getvalue()


def test_a_truth_about_a_secret_is_no_secret(stream: io.StringIO) -> None:
    structlog.get_logger().info("webhook.stored", signature_valid=True, token_expires_in_s=60)
    assert (line(stream)["signature_valid"], line(stream)["token_expires_in_s"]) == (True, 60)


def test_ids_and_times_stay_whole(stream: io.StringIO) -> None:
    structlog.get_logger().info(
        "seen",
        transaction_id=UUID("12345678-1234-4123-8123-123456789012"),
        at=datetime(2024, 1, 15, 10, 30, tzinfo=UTC),
    )
    assert line(stream)["transaction_id"] == "12345678-1234-4123-8123-123456789012"
    assert line(stream)["at"] == "2024-01-15T10:30:00+00:00"


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_no_value_can_make_a_line_fail(stream: io.StringIO) -> None:
    endless: dict[str, Any] = {}
    endless["self"] = endless
    values = {
        "a": 2**70,
        "b": "\ud800",
        "c": Unprintable(),
        "d": endless,
        "e": {1: 2},
        "f": b"\xff",
        "g": {1, 2},
    }
    structlog.get_logger().info("seen", **values, big="x" * 100_000, many=list(range(1000)))
    assert len(stream.getvalue()) < 20_000
    assert line(stream)["c"] == "<Unprintable: RuntimeError in str()>"


def _fail_with(phone: str) -> None:
    local_secret = "hunter2"
    raise ValueError(f"cannot pay {phone}") from KeyError(len(local_secret))


def test_an_exception_is_types_and_frames_without_locals(stream: io.StringIO) -> None:
    try:
        _fail_with("+22890123456")
    except ValueError:
        structlog.get_logger().exception("payout.parked")
    first, cause = line(stream)["exception"]
    assert first["type"] == "ValueError"
    assert first["message"] == "cannot pay +228*****456"
    assert first["frames"][-1].startswith("unit/test_logs.py:")
    assert first["frames"][-1].endswith("_fail_with")
    assert cause["type"] == "KeyError"
    assert "hunter2" not in stream.getvalue()


def test_of_an_exception_only_our_own_frames_and_the_innermost_are_shown(stream: io.StringIO) -> None:
    from nepxy.config.settings import Settings

    try:
        Settings.from_environ({"ENV": "nowhere"})
    except Exception:
        structlog.get_logger().exception("process.start_refused")
    first = line(stream)["exception"][0]
    assert first["type"] == "nepxy.errors.ConfigError"
    assert [frame.split(":")[0] for frame in first["frames"]] == ["nepxy/config/settings.py"]


def test_members_of_an_exception_group_are_shown(stream: io.StringIO) -> None:
    try:
        raise ExceptionGroup("two", [ValueError("a"), TypeError("b")])
    except ExceptionGroup:
        structlog.get_logger().exception("seen")
    assert [cause["type"] for cause in line(stream)["exception"]] == [
        "ExceptionGroup",
        "ValueError",
        "TypeError",
    ]


def test_an_exception_of_a_library_is_rendered_the_same_way(stream: io.StringIO) -> None:
    try:
        _fail_with("+22890123456")
    except ValueError:
        logging.getLogger("pykka").exception("Unhandled")
    assert line(stream)["exception"][0]["message"] == "cannot pay +228*****456"


def test_a_person_at_a_terminal_gets_colour_and_a_machine_gets_json() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    configure_logging("auto", "info", stream=terminal)
    structlog.get_logger().info("payout.confirmed", amount=1000)
    configure_logging("auto", "info", stream=pipe)
    structlog.get_logger().info("payout.confirmed", amount=1000)
    assert "\x1b[" in terminal.getvalue()
    assert "payout.confirmed" in terminal.getvalue()
    assert line(pipe)["amount"] == 1000


def test_console_without_a_terminal_has_no_colour() -> None:
    out = io.StringIO()
    configure_logging("console", "info", stream=out)
    try:
        _fail_with("+22890123456")
    except ValueError:
        structlog.get_logger().exception("payout.parked", token="hunter2")
    assert "\x1b[" not in out.getvalue()
    assert "ValueError: cannot pay +228*****456\n  at unit/test_logs.py" in out.getvalue()
    assert "because of KeyError" in out.getvalue()
    assert "hunter2" not in out.getvalue()
