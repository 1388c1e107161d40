"""SOAP 1.1 for a provider that speaks nothing else: envelopes out, the leaves of one operation's answer in.

The parser is expat with every door shut that XML leaves open: a document type (and so any entity, internal or
external) refuses the whole document, and depth and number of elements are bounded. It raises for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape

SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
DEPTH_MAX: Final = 12
ELEMENTS_MAX: Final = 200

Fields = Mapping[str, "str | Fields"]
"""Elements by name, in the order in which they are written."""


@dataclass(frozen=True, slots=True)
class SoapAnswer:
    """What a SOAP body holds."""

    operation: str
    """Local name of the body's only child: `transferFloozResponse`, or `Fault`."""
    fields: Mapping[str, str]
    """The text of each leaf below it by local name, trimmed."""


class _Refused(Exception):
    """The document is none that we read."""


@dataclass(slots=True)
class _Reader:
    path: list[str] = field(default_factory=list)
    is_leaf: list[bool] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    elements: int = 0
    operation: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        if len(self.path) >= DEPTH_MAX or self.elements > ELEMENTS_MAX:
            raise _Refused
        if self.is_leaf:
            self.is_leaf[-1] = False
        if len(self.path) < 2 and name not in _ENVELOPE[len(self.path)]:
            raise _Refused
        if self.path[1:] == [_BODY]:
            if self.operation is not None:
                raise _Refused
            self.operation = name.rpartition(" ")[2]
        self.path.append(name)
        self.is_leaf.append(True)
        self.text.clear()

    def end(self, name: str) -> None:
        self.path.pop()
        if self.is_leaf.pop() and self.path[1:2] == [_BODY] and len(self.path) > 2:
            local, text = name.rpartition(" ")[2], "".join(self.text).strip()
            if self.fields.setdefault(local, text) != text:
                # Two answers to one question are none.
                raise _Refused
        self.text.clear()

    def characters(self, text: str) -> None:
        self.text.append(text)

    def refuse(self, *_: object) -> NoReturn:
        raise _Refused


_BODY: Final = f"{SOAP} Body"
_ENVELOPE: Final = ({f"{SOAP} Envelope"}, {f"{SOAP} Header", _BODY})


def read_soap(body: bytes) -> SoapAnswer | None:
    """The answer in a SOAP 1.1 envelope; None if it is none, or says one thing twice and differently."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    try:
        parser.Parse(body, True)
    except (expat.ExpatError, _Refused, ValueError, LookupError):
        # LookupError and ValueError: an encoding that nobody knows.
        return None
    return None if reader.operation is None else SoapAnswer(reader.operation, reader.fields)


def envelope(operation: str, fields: Fields, *, namespace: str) -> bytes:
    """A SOAP 1.1 request: the operation in its namespace, its fields in none."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<soapenv:Envelope xmlns:soapenv="{SOAP}" xmlns:api="{namespace}"><soapenv:Header/><soapenv:Body>'
        f"<api:{operation}>{_elements(fields)}</api:{operation}>"
        "</soapenv:Body></soapenv:Envelope>"
    ).encode()


def _elements(fields: Fields) -> str:
    return "".join(
        f"<{name}>{escape(value) if isinstance(value, str) else _elements(value)}</{name}>"
        for name, value in fields.items()
    )
