//! Every event of Chargebee's that is mapped, and its canonical type before the object refines it. `plugin.toml` has
//! the same list; a test compares the two. The names are those of
//! <https://apidocs.chargebee.com/docs/api/events#event_types>.

/// Event name and canonical type, by family.
#[rustfmt::skip]
pub const CATALOGUE: &[(&str, &str)] = &[
    ("customer_created", "customer.created"),
    ("customer_changed", "customer.updated"),
    ("customer_deleted", "customer.deleted"),

    ("subscription_created", "subscription.created"),
    ("subscription_created_with_backdating", "subscription.created"),
    ("subscription_started", "subscription.activated"),
    ("subscription_activated", "subscription.activated"),
    ("subscription_activated_with_backdating", "subscription.activated"),
    ("subscription_reactivated", "subscription.activated"),
    ("subscription_reactivated_with_backdating", "subscription.activated"),
    ("subscription_changed", "subscription.updated"),
    ("subscription_changed_with_backdating", "subscription.updated"),
    ("subscription_changes_scheduled", "subscription.updated"),
    ("subscription_scheduled_changes_removed", "subscription.updated"),
    ("subscription_trial_extended", "subscription.updated"),
    ("subscription_pause_scheduled", "subscription.updated"),
    ("subscription_scheduled_pause_removed", "subscription.updated"),
    ("subscription_resumption_scheduled", "subscription.updated"),
    ("subscription_scheduled_resumption_removed", "subscription.updated"),
    ("subscription_deleted", "subscription.updated"),
    ("mrr_updated", "subscription.updated"),
    ("subscription_renewed", "subscription.renewed"),
    ("subscription_renewal_reminder", "subscription.renewal_upcoming"),
    ("subscription_trial_end_reminder", "subscription.trial_will_end"),
    ("subscription_cancellation_scheduled", "subscription.cancel_scheduled"),
    ("subscription_scheduled_cancellation_removed", "subscription.cancel_unscheduled"),
    ("subscription_cancelled", "subscription.canceled"),
    ("subscription_canceled_with_backdating", "subscription.canceled"),
    ("subscription_paused", "subscription.paused"),
    ("subscription_resumed", "subscription.resumed"),

    ("pending_invoice_created", "invoice.created"),
    ("pending_invoice_updated", "invoice.updated"),
    ("invoice_generated", "invoice.finalized"),
    ("invoice_generated_with_backdating", "invoice.finalized"),
    ("invoice_updated", "invoice.updated"),
    ("invoice_voided", "invoice.voided"),
    ("invoice_deleted", "invoice.voided"),

    ("payment_initiated", "payment.created"),
    ("payment_succeeded", "payment.succeeded"),
    ("payment_failed", "payment.failed"),
    ("refund_initiated", "refund.created"),
    ("payment_refunded", "refund.succeeded"),

    ("credit_note_created", "credit_note.created"),
    ("credit_note_created_with_backdating", "credit_note.created"),
    ("credit_note_updated", "credit_note.updated"),
    ("credit_note_deleted", "credit_note.voided"),

    ("payment_source_added", "payment_method.attached"),
    ("payment_source_updated", "payment_method.updated"),
    ("payment_source_deleted", "payment_method.detached"),
    ("payment_source_expiring", "payment_method.expiring"),
    ("payment_source_expired", "payment_method.expired"),
    ("card_added", "payment_method.attached"),
    ("card_updated", "payment_method.updated"),
    ("card_deleted", "payment_method.detached"),
    ("card_expiry_reminder", "payment_method.expiring"),
    ("card_expired", "payment_method.expired"),
];
