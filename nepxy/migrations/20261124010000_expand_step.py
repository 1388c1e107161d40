"""A provider's reference no longer means that the provider took the payout, and why a provider is paused is kept whole.

A submit that takes several writes learns the provider's reference before money moves: only `taken_at` says "taken" from
now on. Rows in flight that an older release left with a reference and without that time are filled in here; they are
few, and the partial index on what is in flight finds them. The release before, which serves while this runs, sets both
together, and takes a reference without the time for "taken", which is the careful reading.

What a provider was paused for by the engine, when it is money of ours that is missing, stands beside the pause, so that
any node can see when it is back. The release before leaves these columns as they are when it pauses or resumes: they
count only while `shortfall_at` is `paused_at`.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(UP)


def rollback(migrator, database, *, fake=False):
    migrator.sql(DOWN)


UP = """
UPDATE app.mobile_money_payouts SET taken_at = coalesce(last_attempt_at, created_at)
    WHERE settled_at IS NULL AND provider_ref IS NOT NULL AND taken_at IS NULL;
COMMENT ON COLUMN app.payout_attempts.phase IS
    'The last step that a submit of this reference has committed: SUBMIT, or the code of a step before a further write.';
ALTER TABLE app.provider_controls
    ADD COLUMN shortfall_amount bigint,
    ADD COLUMN shortfall_currency text,
    ADD COLUMN shortfall_at timestamptz;
COMMENT ON COLUMN app.provider_controls.shortfall_amount IS
    'Paused by the engine until our balance at the provider reaches this, in minor units of shortfall_currency.';
COMMENT ON COLUMN app.provider_controls.shortfall_at IS
    'The paused_at of the pause that the shortfall belongs to: of any other pause, a person decides.';
"""

DOWN = """
ALTER TABLE app.provider_controls DROP COLUMN shortfall_amount, DROP COLUMN shortfall_currency,
    DROP COLUMN shortfall_at;
COMMENT ON COLUMN app.payout_attempts.phase IS NULL;
"""
