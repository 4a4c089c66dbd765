//! Every event that Wingspan is known to send: the rows of its table, and two fields of an invoice's `events` that
//! its OpenAPI document has beside them. `plugin.toml` lists the names as they are sent; a test compares the two.

/// A row: an event of an invoice, of a document or of a contractor.
#[derive(Debug)]
pub struct Entry {
    /// The name in the table. On the wire the events of an invoice bear `Invoice` or `Payable` before it.
    pub name: &'static str,
    /// The canonical type.
    pub kind: &'static str,
    pub(crate) about: About,
}

/// What a row says beside its type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum About {
    /// The invoice alone.
    Invoice,
    /// The invoice, told of to somebody by this way.
    Told(&'static str),
    /// The payment of an invoice, in this state.
    Payment(&'static str),
    /// The invoice was settled elsewhere.
    SettledElsewhere,
    /// Money was given back.
    Refund,
    /// Money to the payee.
    Payout { status: &'static str, instant: bool },
    /// A dispute: its state, who began it, and how it ended.
    Dispute { status: &'static str, initiator: &'static str, outcome: &'static str },
    /// An e-mail, and what became of it.
    Email(&'static str),
    /// A message: which, how many days after the due date, and to whom. Empty: not told.
    Message { template: &'static str, days: &'static str, to: &'static str },
    /// A document, and who signed it.
    Document(&'static str),
    /// Whether the contractor may be paid.
    Payee(&'static str),
}

/// Which side of an invoice an event is told from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that is paid.
    Invoice,
    /// The side that pays.
    Payable,
}

impl Side {
    /// Both.
    pub const ALL: [Side; 2] = [Side::Invoice, Side::Payable];

    /// Its name, as event names begin and as `resourceType` has it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Invoice => "Invoice",
            Side::Payable => "Payable",
        }
    }

    /// The side that has this name.
    pub(crate) fn of(name: &str) -> Option<Side> {
        Side::ALL.into_iter().find(|side| side.name().eq_ignore_ascii_case(name))
    }
}

impl Entry {
    /// Whether it is an event of an invoice, so that its name bears a [`Side`].
    pub fn is_of_invoice(&self) -> bool {
        !matches!(self.about, About::Document(_) | About::Payee(_))
    }

    /// Whether it happens to an invoice once. Of all else there may be a second, whose time takes the place of the first
    /// one's where its field is no array: a payout that fails again, or another refund in part.
    pub(crate) fn happens_once(&self) -> bool {
        ["Opened", "Paid", "MarkedPaid", "Cancelled"].contains(&self.name)
    }

    /// What it is of an invoice that is in dispute.
    pub(crate) fn in_dispute(&'static self) -> &'static Entry {
        IN_DISPUTE.iter().find(|entry| entry.name == self.name).unwrap_or(self)
    }
}

/// The row of an event's name in any spelling, and the side that the name tells.
pub(crate) fn find(name: &str) -> Option<(Option<Side>, &'static Entry)> {
    let (side, rest) = match name.split_at_checked(Side::Invoice.name().len()) {
        Some((prefix, rest)) => match Side::of(prefix) {
            Some(side) => (Some(side), rest.strip_prefix('.').unwrap_or(rest)),
            None => (None, name),
        },
        None => (None, name),
    };
    let row = rest.strip_suffix("At").unwrap_or(rest);
    CATALOGUE.iter().find(|entry| entry.name.eq_ignore_ascii_case(row)).map(|entry| (side, entry))
}

const fn row(name: &'static str, kind: &'static str, about: About) -> Entry {
    Entry { name, kind, about }
}

const fn payout(name: &'static str, kind: &'static str, status: &'static str, instant: bool) -> Entry {
    row(name, kind, About::Payout { status, instant })
}

const fn dispute(
    name: &'static str,
    kind: &'static str,
    status: &'static str,
    initiator: &'static str,
    outcome: &'static str,
) -> Entry {
    row(name, kind, About::Dispute { status, initiator, outcome })
}

const fn message(name: &'static str, template: &'static str, days: &'static str, to: &'static str) -> Entry {
    row(name, "notification.sent", About::Message { template, days, to })
}

/// The rows in the order of Wingspan's table; of two that happened at the same time the first counts.
#[rustfmt::skip]
pub const CATALOGUE: &[Entry] = &[
    row("Opened", "invoice.finalized", About::Invoice),
    row("PaymentInTransit", "payment.pending", About::Payment("pending")),
    row("Paid", "payment.succeeded", About::Payment("succeeded")),
    row("Cancelled", "invoice.voided", About::Invoice),
    payout("Deposited", "payout.paid", "paid", false),
    dispute("Disputed", "dispute.opened", "open", "", ""),
    row("PaymentFailed", "payment.failed", About::Payment("failed")),
    row("PaymentRetried", "payment.retried", About::Payment("pending")),
    row("EmailReceived", "notification.delivered", About::Email("delivered")),
    row("EmailViewed", "notification.viewed", About::Email("viewed")),
    row("EmailUndeliverable", "notification.undeliverable", About::Email("undeliverable")),
    row("EmailMarkedAsSpam", "notification.marked_spam", About::Email("marked_spam")),
    payout("EstimatedDeposit", "payout.estimated", "estimated", false),
    payout("InstantPayoutEligible", "payout.eligible", "eligible", true),
    payout("InstantPayout", "payout.paid", "paid", true),
    payout("InstantPayoutFailed", "payout.failed", "failed", true),
    payout("PayoutFailed", "payout.failed", "failed", false),
    row("MarkedPaid", "invoice.paid", About::SettledElsewhere),
    row("Approved", "invoice.approved", About::Invoice),
    row("Sent", "invoice.sent", About::Invoice),
    message("SentRecurringPaymentFailed", "recurring_payment_failed", "", ""),
    row("SentManually", "invoice.sent", About::Told("manual")),
    message("SentDue3DaysAgo", "due", "-3", ""),
    message("SentDue7DaysAgo", "due", "-7", ""),
    message("SentDueToday", "due", "0", ""),
    message("SentDueIn3Days", "due", "3", ""),
    message("SentPaymentInTransitReminder", "payment_in_transit", "", ""),
    message("SentInstantPayoutFailedToMember", "instant_payout_failed", "", "payee"),
    message("SentPaymentConfirmationToMember", "payment_confirmation", "", "payee"),
    message("SentPaymentConfirmationToClient", "payment_confirmation", "", "payer"),
    payout("DepositedToPayoutPlatform", "payout.started", "started", false),
    dispute("MemberDisputed", "dispute.opened", "open", "payee", ""),
    dispute("ClientResolvedDispute", "dispute.closed", "closed", "", "resolved_by_payer"),
    dispute("MemberResubmitted", "dispute.updated", "under_review", "", ""),
    row("ClientDeclined", "invoice.rejected", About::Invoice),
    row("MemberAccepted", "invoice.approved", About::Invoice),
    row("Document.MemberSigned", "document.signed", About::Document("payee")),
    row("Document.ClientSigned", "document.signed", About::Document("payer")),
    row("Document.Completed", "document.completed", About::Document("")),
    row("MemberClient.Pending", "payee.pending", About::Payee("pending")),
    row("MemberClient.Active", "payee.active", About::Payee("active")),

    // Fields of `events` that are not in the table.
    row("Refunded", "refund.succeeded", About::Refund),
    message("SentPayoutMightBeDelayedToClient", "payout_delayed", "", "payer"),
];

/// What ends a dispute if there is one: the contractor takes the resolution, or the client declines.
const IN_DISPUTE: &[Entry] = &[
    dispute("MemberAccepted", "dispute.closed", "closed", "", "accepted_by_payee"),
    dispute("ClientDeclined", "dispute.closed", "closed", "", "declined_by_payer"),
];
