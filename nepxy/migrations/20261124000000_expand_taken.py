"""What is known of a payout's current reference: that the provider has it, and that it must not be sent again.

Safe beside the release before: it names its columns, so these keep their defaults there. It does not clear them when
it raises a generation either; that is why no CHECK ties them to the state yet, and why a PENDING row reads as if they
were empty (`storage/payouts.py`). Neither column has an index, so setting them with a move costs no further write.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(UP)


def rollback(migrator, database, *, fake=False):
    migrator.sql(DOWN)


UP = """
ALTER TABLE app.mobile_money_payouts
    ADD COLUMN taken_at timestamptz,
    ADD COLUMN repeat_barred boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN app.mobile_money_payouts.taken_at IS
    'Since when the provider is known to have taken the current reference, with or without one of its own.';
COMMENT ON COLUMN app.mobile_money_payouts.repeat_barred IS
    'What was learned of the current reference forbids that the engine sends it again by itself.';
"""

DOWN = """
ALTER TABLE app.mobile_money_payouts DROP COLUMN taken_at, DROP COLUMN repeat_barred;
"""
