//! Every event name that Flexprice is known to send, and its canonical type before it is refined.
//!
//! Two vocabularies: that of the documentation of 2025 (`webhook_type`), and that of the open source code and the
//! cloud (`event_type`). Where they share a name they mean the same. `plugin.toml` has the same list; a test
//! compares the two.

/// Event name and canonical type, by family.
#[rustfmt::skip]
pub const CATALOGUE: &[(&str, &str)] = &[
    ("billable_metric.created", "meter.created"),
    ("billable_metric.updated", "meter.updated"),
    ("billable_metric.archived", "meter.archived"),

    ("customer.created", "customer.created"),
    ("customer.updated", "customer.updated"),
    ("customer.deleted", "customer.deleted"),
    ("customer.payment_provider_created", "integration.synced"),
    ("customer.payment_provider_error", "integration.error"),
    ("customer.checkout_url_generated", "checkout.created"),
    ("customer.usage.alert", "usage.threshold_reached"),

    ("subscription.created", "subscription.created"),
    ("subscription.draft.created", "subscription.created"),
    ("subscription.started", "subscription.activated"),
    ("subscription.activated", "subscription.activated"),
    ("subscription.updated", "subscription.updated"),
    ("subscription.paused", "subscription.paused"),
    ("subscription.resumed", "subscription.resumed"),
    ("subscription.cancelled", "subscription.canceled"),
    ("subscription.canceled", "subscription.canceled"),
    ("subscription.terminated", "subscription.canceled"),
    ("subscription.plan_changed", "subscription.plan_changed"),
    ("subscription.phase.created", "subscription.updated"),
    ("subscription.phase.updated", "subscription.updated"),
    ("subscription.phase.deleted", "subscription.updated"),
    ("subscription.renewal.due", "subscription.renewal_upcoming"),
    ("subscription.trial_ending", "subscription.trial_will_end"),
    ("subscription.trial_ended", "subscription.trial_ended"),
    ("subscription.usage_threshold_reached", "usage.threshold_reached"),
    ("subscription.spend.threshold_reached", "usage.threshold_reached"),
    ("subscription.spend.threshold_recovered", "usage.threshold_recovered"),
    ("subscription.line_item_spend.threshold_reached", "usage.threshold_reached"),
    ("subscription.line_item_spend.threshold_recovered", "usage.threshold_recovered"),
    ("subscription.group_spend.threshold_reached", "usage.threshold_reached"),
    ("subscription.group_spend.threshold_recovered", "usage.threshold_recovered"),

    ("invoice.drafted", "invoice.created"),
    ("invoice.create.drafted", "invoice.created"),
    // "Sent when an invoice is finalized", says the documentation.
    ("invoice.created", "invoice.finalized"),
    ("invoice.one_off_created", "invoice.finalized"),
    ("invoice.update.finalized", "invoice.finalized"),
    ("invoice.generated", "invoice.document_ready"),
    ("invoice.update", "invoice.updated"),
    ("invoice.payment_status_updated", "invoice.updated"),
    ("invoice.update.payment", "invoice.updated"),
    ("invoice.payment_failure", "payment.failed"),
    ("invoice.payment_overdue", "invoice.overdue"),
    ("invoice.payment.overdue", "invoice.overdue"),
    ("invoice.voided", "invoice.voided"),
    ("invoice.update.voided", "invoice.voided"),
    ("invoice.communication.triggered", "notification.sent"),

    ("payment.created", "payment.created"),
    ("payment.pending", "payment.pending"),
    ("payment.updated", "payment.updated"),
    ("payment.success", "payment.succeeded"),
    ("payment.failed", "payment.failed"),

    ("credit_note.created", "credit_note.created"),
    ("credit_note.updated", "credit_note.updated"),
    ("credit_note.generated", "credit_note.document_ready"),
    ("credit_note.refund_failure", "refund.failed"),

    ("wallet.created", "wallet.created"),
    ("wallet.updated", "wallet.updated"),
    ("wallet.terminated", "wallet.terminated"),
    ("wallet.depleted_ongoing_balance", "wallet.depleted"),
    ("wallet.credit_balance.dropped", "wallet.balance_low"),
    ("wallet.credit_balance.recovered", "wallet.balance_recovered"),
    ("wallet.ongoing_balance.dropped", "wallet.balance_low"),
    ("wallet.ongoing_balance.recovered", "wallet.balance_recovered"),
    ("wallet.ongoing_balance.updated", "wallet.updated"),
    ("wallet.alert", "wallet.balance_low"),
    ("wallet.transaction.created", "wallet.transaction_created"),
    ("wallet.transaction.updated", "wallet.transaction_updated"),
    ("wallet_transaction.updated", "wallet.transaction_updated"),
    ("wallet_transaction.payment_failure", "wallet.transaction_failed"),

    ("feature.created", "product.created"),
    ("feature.updated", "product.updated"),
    ("feature.deleted", "product.archived"),
    ("feature.usage.alert", "usage.threshold_reached"),
    ("feature.wallet_balance.alert", "wallet.balance_low"),

    ("entitlement.created", "entitlement.created"),
    ("entitlement.updated", "entitlement.updated"),
    ("entitlement.deleted", "entitlement.removed"),
    ("entitlement.grant.exhausted", "entitlement.exhausted"),

    ("checkout.session.initiated", "checkout.created"),
    ("checkout.session.completed", "checkout.completed"),
    ("checkout.session.failed", "checkout.failed"),
    ("checkout.session.expired", "checkout.expired"),

    ("fee.created", "fee.created"),
    ("events.errors", "usage.event_rejected"),
    ("event.rejected", "usage.event_rejected"),
];

/// The key that the object of an event bears, by the start of the event's name. The longest start comes first.
pub(crate) fn object_key(name: &str) -> Option<&'static str> {
    const STARTS: &[(&str, &str)] = &[
        ("subscription.phase.", "phase"),
        ("subscription.", "subscription"),
        ("invoice.", "invoice"),
        ("payment.", "payment"),
        ("customer.", "customer"),
        ("wallet.transaction.", "transaction"),
        ("wallet_transaction.", "transaction"),
        ("wallet.", "wallet"),
        ("credit_note.", "credit_note"),
        ("entitlement.grant.", "entitlement_grant"),
        ("entitlement.", "entitlement"),
        ("feature.", "feature"),
        ("checkout.session.", "checkout_session"),
        ("fee.", "fee"),
        ("event.", "event"),
        ("events.", "event"),
        ("billable_metric.", "billable_metric"),
    ];
    STARTS.iter().find(|(start, _)| name.starts_with(start)).map(|(_, key)| *key)
}
