"""Which variables exist: for documentation, and to recognise slips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from nepxy.config.fields import SettingDoc, doc_of, is_secret, names_of, nested_groups
from nepxy.config.groups import Mode
from nepxy.config.providers import PAYER_ID, PAYER_ID_PREFIX, ProviderSettings

EVERY_PROVIDER = "Every provider"
OUR_PREFIXES = ("NEPXY_", "MM_")
"""A variable that begins so, or with a provider's name, is meant for us: one that no setting reads is likely a slip."""

COMMAND_LINE_NAMES = frozenset({"NEPXY_URL", "NEPXY_TOKEN", "NEPXY_OPERATOR_ID", "NEPXY_OPERATOR_SECRET"})
"""Of the operators' commands (`nepxy/cli/ops/person.py`), and no slip where an engine finds them in its environment."""


def docs_of(root: type[BaseModel]) -> list[SettingDoc]:
    """One entry a variable, in the model's order.

    What every provider can override is one entry for all of them, `<PROVIDER>_RETRY_BASE_S`; what exists in two
    modes is one entry for each.
    """
    return [doc for _, docs in sections_of(root) for doc in docs]


def sections_of(root: type[BaseModel]) -> list[tuple[str, list[SettingDoc]]]:
    """The same under headings: the general ones, a concern each, a provider each."""
    sections: dict[str, dict[str, SettingDoc]] = {}
    seen: set[str] = set()
    for provider, group in _groups(root, ""):
        title = provider or getattr(group, "title", "General")
        for info in group.model_fields.values():
            for mode in Mode:
                for doc in _docs(info, provider, mode):
                    if doc.name not in seen:
                        seen.add(doc.name)
                        heading = EVERY_PROVIDER if _is_for_all(doc.name) else title
                        sections.setdefault(heading, {})[doc.name] = doc
    payer = SettingDoc(
        f"{PAYER_ID_PREFIX}<ISO2>",
        (),
        "a whole number",
        "",
        "Thunes's payer for a destination country.",
        False,
    )
    sections.setdefault("THUNES", {})[payer.name] = payer
    return [(title, list(docs.values())) for title, docs in sections.items()]


def _is_for_all(name: str) -> bool:
    return name.startswith(("<PROVIDER>_", "MM_HTTP_", "MM_CONCURRENCY_", "MM_REQUESTS_"))


def known_names(root: type[BaseModel]) -> set[str]:
    """Every variable that could be read, in either mode, `*_FILE` included."""
    names: set[str] = set()
    for provider, group in _groups(root, ""):
        for info in group.model_fields.values():
            for mode in Mode:
                found = names_of(info, provider, mode.upper())
                names.update(found)
                names.update(f"{name}_FILE" for name in found if is_secret(info))
    return names


def unknown_names(root: type[BaseModel], environ: Iterable[str]) -> list[str]:
    """A warning for each variable with one of our prefixes that no setting reads."""
    known = known_names(root)
    prefixes = (*OUR_PREFIXES, *{f"{provider}_" for provider, _ in _groups(root, "") if provider})
    ours = (name for name in environ if name.startswith(prefixes))
    strangers = sorted(
        name for name in ours if name not in known | COMMAND_LINE_NAMES and not PAYER_ID.fullmatch(name)
    )
    return [f"{name}: is not a setting and is ignored{did_you_mean(name, known)}" for name in strangers]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or nothing when nothing is near."""
    close = get_close_matches(word, sorted(known), n=1, cutoff=0.75)
    return f"; did you mean {close[0]}?" if close else ""


def _groups(model: type[BaseModel], provider: str) -> Iterator[tuple[str, type[BaseModel]]]:
    owner = model.name if issubclass(model, ProviderSettings) else provider
    yield owner, model
    for _, group in nested_groups(model):
        yield from _groups(group, owner)


def _docs(info: FieldInfo, provider: str, mode: Mode) -> Iterator[SettingDoc]:
    names = names_of(info, provider, mode.upper())
    shared = bool(provider and names) and not names[-1].startswith(f"{provider}_")
    if shared:
        override, for_all = names_of(info, "<PROVIDER>", mode.upper())
        doc = doc_of(info, (for_all,))
        yield doc
        yield replace(doc, name=override, default=for_all, description=f"{for_all}, for one provider.")
    elif names:
        yield doc_of(info, names)
