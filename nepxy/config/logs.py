"""One stream of log lines for us and for every library, with nothing in it that should not be.

Console with colour when a person looks, JSON lines otherwise. Phone numbers and secrets are hidden here, last before
a line is written, so that no call has to remember it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from nepxy.config.masking import HIDDEN, is_phone_name, is_secret_name, mask_phone, mask_text

_VALUE_BYTES_MAX = 4_096
_ITEMS_MAX = 100
_DEPTH_MAX = 4
_FRAMES_MAX = 30
_CAUSES_MAX = 5
_OUR_ROOT = Path(__file__).parents[1]

_QUIET = {
    "aiohttp.access": logging.WARNING,  # our own line a request says more
    "peewee": logging.INFO,  # its debug lines are statements with their parameters
    "asyncio": logging.INFO,
}


def configure_logging(
    format: str, level: str, *, stream: TextIO | None = None, for_good: bool = False
) -> None:
    """Sets up structlog and the standard library's logging, for the whole process; may be called again.

    Args:
        format: `console`, `json`, or `auto`, which is console when the stream is a terminal.
        level: `debug`, `info`, `warning` or `error`: the least important line that is written.
        stream: where lines go; None is standard error, because commands print their answers on standard output.
        for_good: it is not called again. Loggers then keep what they were assembled from at their first line, which
            else costs each line more than the decision that it is not written.
    """
    out = stream or sys.stderr
    terminal = out.isatty()
    console = format == "console" or (format == "auto" and terminal)
    number = logging.getLevelNamesMapping()[level.upper()]
    head: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    ]
    tail: list[Processor] = [_exception_as_text if console else _exception_as_data, hide_personal_data]
    tail += (
        [structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [_json_line]
    )
    # Not through the standard library: that costs a record a line. A logger made before this call (at import) obeys
    # it all the same: it is assembled by what is configured when it writes.
    structlog.configure(
        processors=[*head, *tail],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=for_good,
    )
    _route_standard_library(out, number, head, tail)


def hide_personal_data(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    """A structlog processor: masks phone numbers in values, hides fields that are named like secrets.

    Leaves only what any renderer takes: text, numbers, booleans, None, lists and dictionaries, each bounded.
    """
    # The timestamp is ours, and fractions of a second are digits.
    return {
        name: value if name == "timestamp" else _safe(name, value, 0) for name, value in event_dict.items()
    }


def _route_standard_library(out: TextIO, level: int, head: list[Processor], tail: list[Processor]) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            # What our own runtime says of a dead letter is in its extras.
            foreign_pre_chain=[*head, structlog.stdlib.ExtraAdder(), _logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *tail],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, level))
    logging.captureWarnings(capture=True)


def _logger_name(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    event_dict["logger"] = event_dict["_record"].name
    return event_dict


def _safe(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, int | float):
        return mask_phone(str(value)) if is_phone_name(name) or abs(value) >= 2**63 else value
    if is_secret_name(name):
        return HIDDEN
    if isinstance(value, str):
        return mask_text(value, _VALUE_BYTES_MAX)
    if isinstance(value, Mapping) and depth < _DEPTH_MAX:
        pairs = list(value.items())[:_ITEMS_MAX]
        return {
            mask_text(str(key), _VALUE_BYTES_MAX): _safe(str(key), item, depth + 1) for key, item in pairs
        }
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEPTH_MAX:
        return [_safe(name, item, depth + 1) for item in list(value)[:_ITEMS_MAX]]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return mask_text(_words(value), _VALUE_BYTES_MAX)


def _words(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # a log line must not be what fails
        return f"<{type(value).__name__}: {type(error).__name__} in str()>"


def _json_line(logger: WrappedLogger, method: str, event_dict: EventDict) -> str:
    return orjson.dumps(event_dict).decode()


def _exception_as_data(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    if error := _exception_of(event_dict):
        event_dict["exception"] = [
            {"type": _type_name(cause), "message": _words(cause), "frames": _frames(cause)}
            for cause in _causes(error)
        ]
    return event_dict


def _exception_as_text(logger: WrappedLogger, method: str, event_dict: EventDict) -> EventDict:
    if error := _exception_of(event_dict):
        lines = (
            "\n  ".join(
                [f"{_type_name(cause)}: {_words(cause)}", *(f"at {frame}" for frame in _frames(cause))]
            )
            for cause in _causes(error)
        )
        event_dict["exception"] = "\nbecause of ".join(lines)
    return event_dict


def _exception_of(event_dict: EventDict) -> BaseException | None:
    given: ExcInfo | BaseException | bool | None = event_dict.pop("exc_info", None)
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        return given[1]
    return sys.exc_info()[1] if given else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception, then what it came from; the members of a group count as causes."""
    waiting, seen = [error], 0
    while waiting and seen < _CAUSES_MAX:
        current = waiting.pop(0)
        seen += 1
        yield current
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
        cause = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
        if cause is not None:
            waiting.append(cause)


def _frames(error: BaseException) -> list[str]:
    """Where it passed through our code, and the innermost frame, whosever it is. Never local variables."""
    summaries = list(traceback.extract_tb(error.__traceback__))
    last = len(summaries) - 1
    ours = [
        f"{_short(summary.filename)}:{summary.lineno} {summary.name}"
        for index, summary in enumerate(summaries)
        if index == last or Path(summary.filename).is_relative_to(_OUR_ROOT)
    ]
    return ours[-_FRAMES_MAX:]


def _short(filename: str) -> str:
    path = Path(filename)
    if path.is_relative_to(_OUR_ROOT):
        return path.relative_to(_OUR_ROOT.parent).as_posix()
    return "/".join(path.parts[-2:])


def _type_name(error: BaseException) -> str:
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
