"""What operators look for by hand: a person's number, and webhooks that were not believed.

Safe beside the release before: two indexes, and nothing else. The first is one more that each payout's row pays for
(docs/decisions: what operators' lists may cost): without it, whoever calls about his money is not found. The second is
partial, over what signed webhooks hardly ever are.
"""


def migrate(migrator, database, *, fake=False):
    migrator.sql(UP)


def rollback(migrator, database, *, fake=False):
    migrator.sql(DOWN)


UP = """
CREATE INDEX mobile_money_payouts_phone ON app.mobile_money_payouts (phone_e164);
CREATE INDEX webhook_events_unsound ON app.webhook_events (webhook_id) WHERE state = 'INVALID' OR NOT signature_valid;
"""

DOWN = """
DROP INDEX app.mobile_money_payouts_phone, app.webhook_events_unsound;
"""
