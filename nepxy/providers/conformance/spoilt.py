"""Answers that nobody expects: any bytes, and a provider's own answers with something wrong in them."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from nepxy.providers.conformance.meddler import an_answer

EXAMPLES: Final = 60
LIKELY_NAMES: Final = (
    "code",
    "error",
    "reason",
    "message",
    "status",
    "id",
    "reference",
    "detail",
    "errors",
    "data",
)


OFTEN: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)

_SCALARS: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=300),
    st.sampled_from(["SUCCESS", "FAILED", "0", "-1", "00", "200", "70000", "\0", "..", "1e400", " "]),
)
_JSON: Final = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
)


@st.composite
def _spoilt(draw: st.DrawFn, document: Any) -> Any:
    """One value somewhere in it is another, or is gone."""
    if isinstance(document, dict) and document:
        name = draw(st.sampled_from(sorted(document)))
        what = draw(st.sampled_from(["inside", "other", "gone"]))
        if what == "gone":
            return {key: value for key, value in document.items() if key != name}
        inner = draw(_spoilt(document[name])) if what == "inside" else draw(_JSON)
        return {**document, name: inner}
    if isinstance(document, list) and document:
        place = draw(st.integers(0, len(document) - 1))
        return [*document[:place], draw(_spoilt(document[place])), *document[place + 1 :]]
    return draw(_JSON)


def documents(real: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects: any, and these with something wrong in them."""
    keys = st.one_of(
        st.text(max_size=12), st.sampled_from([*LIKELY_NAMES, *(key for one in real for key in one)])
    )
    anything = st.dictionaries(keys, _JSON, max_size=6)
    if not real:
        return anything
    spoilt = st.one_of([_spoilt(one) for one in real]).filter(lambda one: isinstance(one, dict))
    return st.one_of(anything, spoilt)


@st.composite
def answers(draw: st.DrawFn, real: list[bytes]) -> bytes:
    """The bytes of an answer: HTTP for most of them."""
    status = draw(
        st.one_of(
            st.sampled_from([200, 201, 202, 400, 401, 403, 404, 409, 422, 429, 500]), st.integers(200, 599)
        )
    )
    headers = [("Content-Type", draw(st.sampled_from(["application/json", "text/html", "text/xml", "x"])))]
    if draw(st.booleans()):
        headers.append(("Retry-After", draw(st.sampled_from(["5", "-1", "9" * 30, "soon", "1e9", ""]))))
    body = draw(st.one_of(st.binary(max_size=300), st.just(b""), _JSON.map(_as_json), _bodies(real)))
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(min_size=1, max_size=200))
    return an_answer(status, body, headers=headers)


@st.composite
def _bodies(draw: st.DrawFn, real: list[bytes]) -> bytes:
    """One of the stand-in's own, spoilt."""
    body = draw(st.sampled_from(sorted(set(real)) or [b"{}"]))
    try:
        document = json.loads(body)
    except ValueError:
        place = draw(st.integers(0, len(body)))
        return body[:place] + draw(st.binary(max_size=20)) + body[place + draw(st.integers(0, 20)) :]
    return _as_json(draw(_spoilt(document)))


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", errors="replace")
