//! The canonical event types.

/// Every canonical type, by family. Filters, retention and endpoints may rely on the names.
pub const KINDS: &[&str] = &[
    "customer.created",
    "customer.updated",
    "customer.deleted",
    "customer.risk_changed",
    "subscription.created",
    "subscription.scheduled",
    "subscription.activated",
    "subscription.updated",
    "subscription.plan_changed",
    "subscription.renewed",
    "subscription.renewal_upcoming",
    "subscription.trial_started",
    "subscription.trial_will_end",
    "subscription.trial_ended",
    "subscription.paused",
    "subscription.resumed",
    "subscription.past_due",
    "subscription.cancel_scheduled",
    "subscription.cancel_unscheduled",
    "subscription.canceled",
    "subscription.expired",
    "invoice.created",
    "invoice.finalized",
    "invoice.sent",
    "invoice.updated",
    "invoice.paid",
    "invoice.overdue",
    "invoice.voided",
    "invoice.uncollectible",
    "invoice.upcoming",
    "invoice.approved",
    "invoice.rejected",
    "invoice.document_ready",
    "payment.created",
    "payment.pending",
    "payment.action_required",
    "payment.succeeded",
    "payment.failed",
    "payment.retried",
    "payment.recovered",
    "payment.canceled",
    "payment.updated",
    "refund.created",
    "refund.succeeded",
    "refund.failed",
    "refund.reversed",
    "dispute.opened",
    "dispute.updated",
    "dispute.won",
    "dispute.lost",
    "dispute.closed",
    "credit_note.created",
    "credit_note.updated",
    "credit_note.voided",
    "credit_note.document_ready",
    "payment_method.attached",
    "payment_method.updated",
    "payment_method.detached",
    "payment_method.expiring",
    "payment_method.expired",
    "dunning.started",
    "dunning.ended",
    "checkout.created",
    "checkout.completed",
    "checkout.failed",
    "checkout.expired",
    "payout.eligible",
    "payout.estimated",
    "payout.started",
    "payout.paid",
    "payout.failed",
    "notification.sent",
    "notification.delivered",
    "notification.viewed",
    "notification.undeliverable",
    "notification.marked_spam",
    "document.signed",
    "document.completed",
    "payee.pending",
    "payee.active",
    "account.created",
    "account.updated",
    "api_key.created",
    "api_key.revoked",
    "license.created",
    "license.updated",
    "license.enabled",
    "license.disabled",
    "entitlement.created",
    "entitlement.updated",
    "entitlement.removed",
    "entitlement.exhausted",
    "product.created",
    "product.updated",
    "product.archived",
    "meter.created",
    "meter.updated",
    "meter.archived",
    "wallet.created",
    "wallet.updated",
    "wallet.terminated",
    "wallet.depleted",
    "wallet.balance_low",
    "wallet.balance_recovered",
    "wallet.transaction_created",
    "wallet.transaction_updated",
    "wallet.transaction_failed",
    "usage.threshold_reached",
    "usage.threshold_recovered",
    "usage.event_rejected",
    "fee.created",
    "integration.synced",
    "integration.error",
    "provider.test",
    "provider.unmapped",
];

/// Whether `kind` is one of [`KINDS`].
pub fn is_known(kind: &str) -> bool {
    KINDS.contains(&kind)
}

/// The canonical type that `catalogue` has for a provider's event `name`; `provider.unmapped` if it has none.
pub fn of<'a>(catalogue: &[(&str, &'a str)], name: &str) -> &'a str {
    catalogue.iter().find(|(known, _)| *known == name).map_or("provider.unmapped", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::KINDS;

    #[test]
    fn every_kind_is_family_dot_name_and_stands_once() {
        for (at, kind) in KINDS.iter().enumerate() {
            assert_eq!(kind.split('.').count(), 2, "{kind}");
            assert!(!KINDS[..at].contains(kind), "{kind} stands twice");
        }
    }
}
