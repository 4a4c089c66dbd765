//! Every event of Stripe's that is mapped, and its canonical type before the object refines it. `plugin.toml` has the
//! same list; a test compares the two. The names are those of <https://docs.stripe.com/api/events/types>.

/// Event name and canonical type, by family.
#[rustfmt::skip]
pub const CATALOGUE: &[(&str, &str)] = &[
    ("customer.created", "customer.created"),
    ("customer.updated", "customer.updated"),
    ("customer.deleted", "customer.deleted"),

    ("customer.subscription.created", "subscription.created"),
    ("customer.subscription.updated", "subscription.updated"),
    ("customer.subscription.deleted", "subscription.canceled"),
    ("customer.subscription.trial_will_end", "subscription.trial_will_end"),
    ("customer.subscription.paused", "subscription.paused"),
    ("customer.subscription.resumed", "subscription.resumed"),
    ("customer.subscription.pending_update_applied", "subscription.updated"),
    ("customer.subscription.pending_update_expired", "subscription.updated"),

    ("invoice.created", "invoice.created"),
    ("invoice.finalized", "invoice.finalized"),
    ("invoice.sent", "invoice.sent"),
    ("invoice.updated", "invoice.updated"),
    ("invoice.upcoming", "invoice.upcoming"),
    ("invoice.overdue", "invoice.overdue"),
    ("invoice.paid", "invoice.paid"),
    ("invoice.voided", "invoice.voided"),
    ("invoice.marked_uncollectible", "invoice.uncollectible"),
    ("invoice.payment_succeeded", "payment.succeeded"),
    ("invoice.payment_failed", "payment.failed"),
    ("invoice.payment_action_required", "payment.action_required"),
    ("invoice_payment.paid", "payment.succeeded"),

    ("charge.pending", "payment.pending"),
    ("charge.succeeded", "payment.succeeded"),
    ("charge.captured", "payment.succeeded"),
    ("charge.expired", "payment.canceled"),
    ("charge.failed", "payment.failed"),
    ("charge.refunded", "refund.created"),
    ("payment_intent.created", "payment.created"),
    ("payment_intent.processing", "payment.pending"),
    ("payment_intent.requires_action", "payment.action_required"),
    ("payment_intent.succeeded", "payment.succeeded"),
    ("payment_intent.payment_failed", "payment.failed"),
    ("payment_intent.canceled", "payment.canceled"),

    ("refund.created", "refund.created"),
    ("refund.updated", "refund.succeeded"),
    ("refund.failed", "refund.failed"),
    ("charge.refund.updated", "refund.succeeded"),

    ("charge.dispute.created", "dispute.opened"),
    ("charge.dispute.updated", "dispute.updated"),
    ("charge.dispute.funds_withdrawn", "dispute.updated"),
    ("charge.dispute.funds_reinstated", "dispute.updated"),
    ("charge.dispute.closed", "dispute.closed"),

    ("credit_note.created", "credit_note.created"),
    ("credit_note.updated", "credit_note.updated"),
    ("credit_note.voided", "credit_note.voided"),

    ("payment_method.attached", "payment_method.attached"),
    ("payment_method.updated", "payment_method.updated"),
    ("payment_method.automatically_updated", "payment_method.updated"),
    ("payment_method.detached", "payment_method.detached"),
    ("customer.source.expiring", "payment_method.expiring"),

    ("checkout.session.completed", "checkout.completed"),
    ("checkout.session.expired", "checkout.expired"),
    ("checkout.session.async_payment_succeeded", "payment.succeeded"),
    ("checkout.session.async_payment_failed", "checkout.failed"),

    ("payout.created", "payout.started"),
    ("payout.paid", "payout.paid"),
    ("payout.failed", "payout.failed"),

    ("product.created", "product.created"),
    ("product.updated", "product.updated"),
    ("product.deleted", "product.archived"),
    ("price.created", "product.created"),
    ("price.updated", "product.updated"),
    ("price.deleted", "product.archived"),

    ("entitlements.active_entitlement_summary.updated", "entitlement.updated"),
    ("billing.alert.triggered", "usage.threshold_reached"),
];
