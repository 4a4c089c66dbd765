//! Every event of Paddle's that is mapped, and its canonical type before the object refines it. `plugin.toml` has the
//! same list; a test compares the two. The names are those of
//! <https://developer.paddle.com/webhooks/overview>.

/// Event name and canonical type, by family.
#[rustfmt::skip]
pub const CATALOGUE: &[(&str, &str)] = &[
    ("customer.created", "customer.created"),
    ("customer.imported", "customer.created"),
    ("customer.updated", "customer.updated"),

    ("subscription.created", "subscription.created"),
    ("subscription.imported", "subscription.created"),
    ("subscription.trialing", "subscription.trial_started"),
    ("subscription.activated", "subscription.activated"),
    ("subscription.updated", "subscription.updated"),
    ("subscription.past_due", "subscription.past_due"),
    ("subscription.paused", "subscription.paused"),
    ("subscription.resumed", "subscription.resumed"),
    ("subscription.canceled", "subscription.canceled"),

    ("transaction.created", "invoice.created"),
    ("transaction.ready", "invoice.updated"),
    ("transaction.updated", "invoice.updated"),
    ("transaction.revised", "invoice.updated"),
    ("transaction.billed", "invoice.finalized"),
    ("transaction.paid", "payment.succeeded"),
    ("transaction.completed", "invoice.paid"),
    ("transaction.payment_failed", "payment.failed"),
    ("transaction.past_due", "invoice.overdue"),
    ("transaction.canceled", "invoice.voided"),

    ("adjustment.created", "refund.created"),
    ("adjustment.updated", "refund.succeeded"),

    ("invoice.created", "invoice.created"),
    ("invoice.issued", "invoice.finalized"),
    ("invoice.paid", "invoice.paid"),
    ("invoice.overdue", "invoice.overdue"),
    ("invoice.canceled", "invoice.voided"),

    ("payment_method.saved", "payment_method.attached"),
    ("payment_method.deleted", "payment_method.detached"),

    ("payout.created", "payout.started"),
    ("payout.paid", "payout.paid"),

    ("product.created", "product.created"),
    ("product.imported", "product.created"),
    ("product.updated", "product.updated"),
    ("price.created", "product.created"),
    ("price.imported", "product.created"),
    ("price.updated", "product.updated"),

    ("api_key.created", "api_key.created"),
    ("api_key.revoked", "api_key.revoked"),
];
