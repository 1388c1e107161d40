"""Whatever leaves us as text holds no phone number and no secret, and never more bytes than it may."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nepxy.config import masking
from nepxy.config.masking import HIDDEN, is_phone_name, is_secret_name, mask_phone, mask_secrets, mask_text
from nepxy.config.secret import Secret

PHONES = st.one_of(
    st.from_regex(r"228[79][0-9]{7}", fullmatch=True),
    st.from_regex(r"22901[0-9]{8}", fullmatch=True),
    st.from_regex(r"233[0-9]{9}", fullmatch=True),
    st.from_regex(r"[1-9][0-9]{7,14}", fullmatch=True),
)
WORDS = st.text(st.characters(exclude_categories=["Nd"]), max_size=30)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("+22890123456", "+228*****456"),
        ("22890123456", "228*****456"),
        ("90123456", "*****456"),
        ("to +228 90 12 34 56 now", "to +228*****456 now"),
        ("90 12 34 56", "*****456"),
        ("90-12-34-56", "*****456"),
        ("90.12.34.56", "*****456"),
        ("(+228) 90123456", "(+228*****456"),
        ("+2290190123456", "+229*******456"),
        ("tel%2B22890123456&x", "tel%2B228*****456&x"),
        ("a22890123456b", "a228*****456b"),
        ("٠٩٠١٢٣٤٥٦٧", "٠٩*****٥٦٧"),
    ],
)
def test_a_phone_number_is_masked(text: str, masked: str) -> None:
    assert mask_phone(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "amount 1000 XOF",
        "2024-01-15T10:30:00.123456+00:00",
        "0192a3b4-1234-7123-8123-123456789012",
        "12345678-1234-4123-8123-123456789012",
        "4bf92f3577b34da6a312345678901234",
        "50.00000000",
        "10.0.0.12:8001 and 192.168.100.200",
        "nepxy/engine/decide.py:112",
    ],
)
def test_what_operators_search_for_stays_whole(text: str) -> None:
    assert mask_text(text, 300) == text


@given(before=WORDS, phone=PHONES, after=WORDS, plus=st.booleans())
def test_no_output_holds_the_middle_digits_of_a_number(
    before: str, phone: str, after: str, plus: bool
) -> None:
    middle = phone[3:-3]
    text = f"{before}{'+' if plus else ''}{phone}{after}"
    for output in (mask_phone(text), mask_text(text, 300)):
        assert len(middle) < 5 or middle not in output
        assert sum(character in "0123456789" for character in output) <= len(phone) - 5
        assert not re.search(r"[0-9]{4,}", output)


@given(before=st.text(max_size=40), phone=PHONES, after=st.text(max_size=40))
def test_no_output_holds_a_number_whatever_stands_beside_it(before: str, phone: str, after: str) -> None:
    assert phone not in mask_phone(f"{before}{phone}{after}")


@given(phone=PHONES, gaps=st.lists(st.booleans(), min_size=15, max_size=15))
def test_single_spaces_inside_do_not_help(phone: str, gaps: list[bool]) -> None:
    text = "".join(digit + (" " if gap else "") for digit, gap in zip(phone, gaps, strict=False))
    assert not re.search(r"[0-9]{4,}", mask_phone(text).replace(" ", ""))


@given(text=st.text(max_size=400), phone=PHONES, bytes_max=st.integers(0, 300))
def test_a_masked_text_is_short_enough_valid_and_cut_after_masking(
    text: str, phone: str, bytes_max: int
) -> None:
    output = mask_text(text + phone, bytes_max)
    assert len(output.encode()) <= bytes_max
    assert "\0" not in output
    assert phone[:8] not in output or phone[:8] in text


def test_a_cut_is_shown() -> None:
    assert mask_text("a" * 400, 10) == "aaaaaaa…"


def test_a_character_is_never_cut_in_half() -> None:
    assert mask_text("é" * 20, 10) == "ééé…"


def test_nul_and_lone_surrogates_become_something_that_can_be_stored() -> None:
    assert mask_text("a\0b\ud800c", 300) == "a�b?c"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ('{"access_token": "abc def", "amount": 10}', '{"access_token": "*****", "amount": 10}'),
        (r'{"api_key":"x\"y","n":1}', '{"api_key":"*****","n":1}'),
        (r'{"a":"{\"auth_token\":\"s3cr et\"}"}', r'{"a":"{\"auth_token\":\"*****\"}"}'),
        ("client_id=a&client_secret=abc123&b=2", "client_id=a&client_secret=*****&b=2"),
        ("Authorization: Bearer abc.def.ghi", "Authorization: *****"),
        ("Ocp-Apim-Subscription-Key: abc", "Ocp-Apim-Subscription-Key: *****"),
        ("X-Signature: sha256=abcdef", "X-Signature: *****"),
        ("<ns:token>abc</ns:token>", "<ns:token>*****</ns:token>"),
        ("sent Bearer abc123def456 to them", "sent Bearer ***** to them"),
        ("got eyJhbGciOi.eyJzdWIi.sig-x back", "got ***** back"),
        ("postgresql://nepxy:hunter2@db/nepxy", "postgresql://*****@db/nepxy"),
        ("password='hunter 2'", "password='*****'"),
        ("JWT_SECRET=hunter", "JWT_SECRET=*****"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, masked: str) -> None:
    assert mask_text(text, 300) == masked


@pytest.mark.parametrize(
    "text",
    [
        "TOKEN_EXPIRED: the access token has expired",
        "JWT_SECRET: is missing; set 32 random characters",
        "basic authentication failed",
        '{"status": "SUCCESSFUL", "currency": "XOF"}',
    ],
)
def test_our_own_words_about_secrets_stay_readable(text: str) -> None:
    assert mask_text(text, 300) == text


def test_masked_json_is_still_json() -> None:
    body = {"token": 'a"b\\', "payee": {"partyId": "22890123456"}, "status": "FAILED"}
    assert json.loads(mask_text(json.dumps(body), 300)) == {
        "token": "*****",
        "payee": {"partyId": "228*****456"},
        "status": "FAILED",
    }


def test_known_secrets_are_hidden_wherever_they_stand() -> None:
    known = [Secret("hunter2"), Secret("hunter2-and-more"), Secret("")]
    assert mask_secrets("a hunter2-and-more b hunter2", known) == "a ***** b *****"
    assert mask_text("echo hunter2", 300, secrets=known) == "echo *****"


@given(st.text(st.characters(categories=["L"]), min_size=4, max_size=30))
def test_no_known_secret_survives(secret: str) -> None:
    assert secret not in mask_text(f"x{secret}y {secret}", 300, secrets=[Secret(secret)]).replace("*****", "")


def test_names_of_fields_that_hide_or_mask() -> None:
    for name in ("authorization", "X-Api-Key", "client_secret", "token", "password", "signature", "api_key"):
        assert is_secret_name(name), name
    for name in ("idempotency_key", "transaction_id", "provider_ref", "credential_id"):
        assert not is_secret_name(name), name
    assert is_phone_name("phone_e164")
    assert is_phone_name("msisdn")
    assert not is_phone_name("amount")


def test_a_secret_never_prints() -> None:
    secret = Secret("hunter2")
    shown = [
        str(secret),
        repr(secret),
        f"{secret}",
        f"{secret!r}",
        f"{secret:>20}",
        format(secret, ""),
        str([secret]),
    ]
    assert not any("hunter2" in text for text in shown)
    assert secret.get_secret_value() == "hunter2"
    assert not Secret("")


_NUMBERS = ["+228", "90", "12", "-34", ".56", " 7", "/8", "(9)", "٣"]
_WORDS = ["token", "=", ": ", "Bearer ", "eyJabcde1.x.y", "://u:p@h", "<pin-secret>", "abc", '"', "=0"]
_PIECES = st.sampled_from([*_NUMBERS, *_WORDS])


@given(st.lists(_PIECES, max_size=14).map("".join))
def test_what_is_passed_over_quickly_holds_nothing_that_the_searches_would_find(text: str) -> None:
    assert mask_phone(text) == masking._PHONE.sub(masking._masked_number, text)
    slowly = masking._URL_USER.sub(f"://{HIDDEN}@", text)
    slowly = masking._NAMED_SECRET.sub(masking._masked_value, slowly)
    slowly = masking._XML_SECRET.sub(rf"\g<1>{HIDDEN}", slowly)
    slowly = masking._CREDENTIAL.sub(rf"\g<1> {HIDDEN}", slowly)
    assert mask_secrets(text) == masking._JWT.sub(HIDDEN, slowly)
