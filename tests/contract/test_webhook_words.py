"""What is taken from a webhook's body is fit to be stored, and matches what it should."""

from __future__ import annotations

import pytest

from nepxy.engine.outcomes import Finding
from nepxy.errors import WebhookRefused
from tests.contract.support import API_KEY, NewAccount, our_ref


async def test_a_webhook_gives_its_references_and_its_word(account: NewAccount) -> None:
    wallet = account("http://provider.invalid").wallet

    notice = wallet.read_webhook({"status": "SUCCESS", "provider_ref": "theirs", "external_id": our_ref()})

    assert (notice.provider_ref, notice.our_ref, notice.status_word) == ("theirs", our_ref(), "SUCCESS")
    assert (notice.report.finding, notice.report.provider_ref) == (Finding.PAID, "theirs")


@pytest.mark.parametrize("reference", ["a\0b", "\0", "a\nb", "x" * 201, ".."])
async def test_a_reference_of_a_webhook_that_cannot_be_stored_matches_nothing(
    account: NewAccount, reference: str
) -> None:
    wallet = account("http://provider.invalid").wallet

    by_theirs = wallet.read_webhook({"status": "SUCCESS", "provider_ref": "t", "external_id": reference})
    by_ours = wallet.read_webhook({"status": "SUCCESS", "provider_ref": reference, "external_id": "o"})

    assert (by_theirs.provider_ref, by_theirs.our_ref) == ("t", None)
    assert (by_ours.provider_ref, by_ours.our_ref, by_ours.report.provider_ref) == (None, "o", None)
    with pytest.raises(WebhookRefused):
        wallet.read_webhook({"status": "SUCCESS", "provider_ref": reference})


async def test_a_webhooks_words_are_masked_and_bounded(account: NewAccount) -> None:
    wallet = account("http://provider.invalid").wallet

    word = f"for +22890123456\0 with {API_KEY} " + "x" * 500
    notice = wallet.read_webhook({"status": word, "provider_ref": "theirs"})

    for text in (notice.status_word, notice.report.reason, notice.report.rule):
        assert "22890123456" not in text
        assert API_KEY.lower() not in text.lower()
        assert "\0" not in text
        assert len(text.encode()) <= 100
