"""The shape of the tables, and nothing else: no rules, no queries. Unbound: each query names its database."""

from __future__ import annotations

from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    IntegerField,
    Model,
    SmallIntegerField,
    TextField,
    UUIDField,
)
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField


class AppModel(Model):
    """All tables of the engine live in the schema `app`."""

    class Meta:
        """Peewee reads this."""

        schema = "app"
        legacy_table_names = False


class MobileMoneyPayout(AppModel):
    """One row a payout, as last committed."""

    transaction_id = UUIDField(primary_key=True)
    amount = BigIntegerField()
    version = IntegerField()
    shard = SmallIntegerField()
    generation = SmallIntegerField()
    attempt_count = IntegerField()
    unreached_count = IntegerField()
    retryable = BooleanField()
    created_at = DateTimeTZField()
    updated_at = DateTimeTZField()
    expires_at = DateTimeTZField()
    next_retry_at = DateTimeTZField(null=True)
    last_attempt_at = DateTimeTZField(null=True)
    answer_by = DateTimeTZField(null=True)
    in_doubt_since = DateTimeTZField(null=True)
    settled_at = DateTimeTZField(null=True)
    status = CharField()
    status_reason = CharField()
    provider = CharField()
    currency = CharField()
    country = CharField()
    phone_e164 = CharField()
    client_id = CharField()
    idempotency_key = CharField()
    external_ref = CharField()
    external_ref_slot = CharField()
    submission_ref = UUIDField()
    provider_ref = CharField(null=True)
    account = CharField(null=True)
    last_error = TextField(null=True)
    details = TextField()

    class Meta:
        """Peewee reads this."""

        table_name = "mobile_money_payouts"


class PayoutEvent(AppModel):
    """One row a transition; never changed."""

    transaction_id = UUIDField()
    version = IntegerField()
    at = DateTimeTZField()
    from_status = CharField(null=True)
    to_status = CharField()
    why = CharField()
    who = CharField()
    reference = UUIDField(null=True)
    attempt = IntegerField(null=True)
    evidence = BinaryJSONField()
    write_id = UUIDField()
    request_id = CharField(null=True)

    class Meta:
        """Peewee reads this."""

        table_name = "payout_events"
        primary_key = CompositeKey("transaction_id", "version")


class PayoutAttempt(AppModel):
    """One row a reference ever sent; resends of it are counted."""

    submission_ref = UUIDField(primary_key=True)
    transaction_id = UUIDField()
    generation = SmallIntegerField()
    submit_count = IntegerField()
    provider = CharField()
    account = CharField()
    phase = CharField()
    send_by = DateTimeTZField()
    answer_by = DateTimeTZField()
    in_doubt_since = DateTimeTZField(null=True)
    provider_ref = CharField(null=True)
    closed_reason = CharField(null=True)
    created_at = DateTimeTZField()

    class Meta:
        """Peewee reads this."""

        table_name = "payout_attempts"


class IdempotencyKey(AppModel):
    """A client's request, and what it was answered."""

    client_id = CharField()
    idempotency_key = CharField()
    transaction_id = UUIDField()
    request_hash = CharField()
    request_body = TextField()
    response_status = SmallIntegerField()
    response_body = TextField()
    created_at = DateTimeTZField()

    class Meta:
        """Peewee reads this."""

        table_name = "idempotency_keys"
        primary_key = CompositeKey("client_id", "idempotency_key")


class WebhookEvent(AppModel):
    """A webhook as it came, and what became of it."""

    webhook_id = UUIDField(primary_key=True)
    provider = CharField()
    received_at = DateTimeTZField()
    state = CharField()
    reason = CharField()
    signature_valid = BooleanField()
    signed_with = CharField(null=True)
    provider_ref = CharField(null=True)
    our_ref = CharField(null=True)
    external_ref = CharField(null=True)
    status_word = CharField(null=True)
    transaction_id = UUIDField(null=True)
    applied_at = DateTimeTZField(null=True)
    headers = BinaryJSONField()
    body = TextField()
    body_sha256 = CharField()
    request_id = CharField(null=True)

    class Meta:
        """Peewee reads this."""

        table_name = "webhook_events"


class DiscrepancyRow(AppModel):
    """The provider and we disagree about something that money hangs on."""

    discrepancy_id = BigIntegerField(primary_key=True)
    transaction_id = UUIDField()
    provider = CharField()
    kind = CharField()
    detail = TextField()
    evidence = BinaryJSONField()
    seen_count = IntegerField()
    opened_at = DateTimeTZField()
    last_seen_at = DateTimeTZField()
    closed_at = DateTimeTZField(null=True)
    closed_by = CharField(null=True)

    class Meta:
        """Peewee reads this."""

        table_name = "discrepancies"


class ApiClient(AppModel):
    """A client of the API; its secrets only as hashes."""

    client_id = CharField(primary_key=True)
    name = CharField()
    secret_hash = CharField()
    secret_previous_hash = CharField(null=True)
    scopes = CharField()
    external_ref_unique = BooleanField()
    disabled_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField()

    class Meta:
        """Peewee reads this."""

        table_name = "api_clients"


class Operator(AppModel):
    """A named person who may steer the engine."""

    operator_id = CharField(primary_key=True)
    name = CharField()
    secret_hash = CharField()
    scopes = CharField()
    disabled_at = DateTimeTZField(null=True)
    created_at = DateTimeTZField()

    class Meta:
        """Peewee reads this."""

        table_name = "operators"


class ProviderControl(AppModel):
    """What operators, or the provider's refusals, have set for a provider."""

    provider = CharField(primary_key=True)
    paused = BooleanField()
    paused_reason = CharField()
    paused_by = CharField()
    paused_at = DateTimeTZField(null=True)
    updated_at = DateTimeTZField()

    class Meta:
        """Peewee reads this."""

        table_name = "provider_controls"


class AuditEntry(AppModel):
    """Who did what by hand, and why."""

    audit_id = BigIntegerField(primary_key=True)
    at = DateTimeTZField()
    who = CharField()
    command = CharField()
    target = CharField()
    reason = CharField()
    before = BinaryJSONField()
    after = BinaryJSONField()
    request_id = CharField(null=True)

    class Meta:
        """Peewee reads this."""

        table_name = "audit_log"
