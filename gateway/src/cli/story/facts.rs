//! The facts of a billing event in a few lines that a person can read.

use crate::cli::terminal::{Span, Tone, care, faint, plain, strong};
use crate::cli::tree::Node;
use billhook_event::billing::{CreditNote, Dispute, Invoice, Object, Payment, PaymentMethod, Refund};
use billhook_event::party::Customer;
use billhook_event::retention::{Retention, Variant};
use billhook_event::subscription::{Cancellation, CancellationKind, Initiator, Phase, Subscription};
use billhook_event::{Event, Money};

/// One line for each part of the event that is there, in the order in which one would ask.
pub(super) fn of(event: &Event) -> Vec<Node> {
    let provider = format!("{}{}", event.provider_event_type, if event.thin { ", ids only" } else { "" });
    let mut facts = vec![line("told as", vec![Some(provider)])];
    facts.push(line("live", vec![(event.livemode == Some(false)).then(|| "no: test data".to_owned())]));
    facts.push(line("by", vec![event.actor.as_ref().map(|actor| format!("{} {}", actor.kind, actor.id))]));
    facts.extend(event.customer.as_ref().map(customer));
    facts.extend(event.subscription.as_deref().map(subscription));
    facts.extend(event.cancellation.as_ref().map(cancellation));
    facts.extend(event.cancellation.as_ref().map(reason));
    facts.extend(event.invoice.as_deref().map(invoice));
    facts.extend(event.payment.as_deref().map(payment));
    facts.push(line("recovers", vec![event.recovers.clone()]));
    facts.extend(event.refund.as_deref().map(refund));
    facts.extend(event.dispute.as_deref().map(dispute));
    facts.extend(event.credit_note.as_deref().map(credit_note));
    facts.extend(event.payment_method.as_deref().map(payment_method));
    facts.extend(objects(event));
    let mut nodes: Vec<Node> = facts.into_iter().flatten().collect();
    nodes.extend(event.warnings.iter().map(|warning| Node::fact("warning", [care(warning)])));
    nodes.extend(event.retention.as_ref().map(retention));
    nodes.extend(event.annotations.iter().map(|(plugin, json)| {
        let line = super::cut(json.get(), super::ANSWER_CHARS_MAX);
        Node::fact("annotation", [strong(plugin), plain(format!(" {line}"))])
    }));
    nodes
}

/// A line, if there is anything to say.
fn line(label: &str, parts: Vec<Option<String>>) -> Option<Node> {
    let parts: Vec<String> = parts.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| Node::fact(label, [plain(parts.join(", "))]))
}

fn customer(customer: &Customer) -> Option<Node> {
    let mail = customer.email.as_ref().map(|email| format!("<{email}>"));
    let external = named("yours", customer.external_id.as_ref());
    line(
        "customer",
        vec![customer.id.clone(), customer.name.clone(), mail, external, customer.country.clone()],
    )
}

fn subscription(subscription: &Subscription) -> Option<Node> {
    let plan = subscription.plan.as_ref().map(|plan| {
        let name = plan.name.clone().or_else(|| plan.id.clone()).unwrap_or_default();
        let quantity =
            plan.quantity.filter(|quantity| *quantity != 1).map(|quantity| format!("{quantity} × "));
        let price = plan.unit_amount.as_ref().map(money);
        let every = plan.interval.as_ref().map(|interval| match plan.interval_count {
            Some(n) if n > 1 => format!(" every {n} {interval}s"),
            _ => format!(" a {interval}"),
        });
        [
            Some(name),
            price
                .map(|price| format!("{}{price}{}", quantity.unwrap_or_default(), every.unwrap_or_default())),
        ]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" at ")
    });
    line(
        "subscription",
        vec![
            subscription.id.clone(),
            subscription.status.clone(),
            plan,
            subscription.mrr.as_ref().map(|mrr| format!("{} a month", money(mrr))),
            subscription.tenure_days.map(|days| format!("{} old", super::count(days as usize, "day"))),
            subscription.cancel_at.map(|at| format!("ends {at}")),
            subscription.trial_end.map(|at| format!("trial until {at}")),
        ],
    )
}

fn cancellation(cancellation: &Cancellation) -> Option<Node> {
    let kind = match cancellation.kind {
        CancellationKind::Voluntary => "voluntary",
        CancellationKind::Involuntary => "involuntary",
        CancellationKind::Unknown => "not told whether wanted",
    };
    let by = match cancellation.initiator {
        Initiator::Customer => Some("by the customer"),
        Initiator::Merchant => Some("by the merchant"),
        Initiator::System => Some("by the provider's rules"),
        Initiator::Bank => Some("by a bank"),
        Initiator::Store => Some("by an app store"),
        Initiator::Unknown => None,
    };
    let phase = match (cancellation.phase, cancellation.effective_at) {
        (Phase::Requested, Some(at)) => format!("access until {at}"),
        (Phase::Requested, None) => "access goes on for now".to_owned(),
        (Phase::Effective, Some(at)) => format!("access ended {at}"),
        (Phase::Effective, None) => "access has ended".to_owned(),
    };
    line("cancellation", vec![Some(kind.to_owned()), by.map(str::to_owned), Some(phase)])
}

fn reason(cancellation: &Cancellation) -> Option<Node> {
    let code = match (&cancellation.reason_code, &cancellation.reason_group) {
        (Some(code), Some(group)) if code != group => Some(format!("{code} ({group})")),
        (code, _) => code.clone(),
    };
    let words = cancellation.provider_reason.as_ref();
    let comment = cancellation.comment.as_ref().filter(|comment| Some(*comment) != words);
    line(
        "reason",
        vec![
            code,
            words.map(|words| quoted(words)),
            comment.map(|words| format!("comment {}", quoted(words))),
        ],
    )
}

fn invoice(invoice: &Invoice) -> Option<Node> {
    let label = invoice.number.clone().or_else(|| invoice.id.clone());
    line(
        "invoice",
        vec![
            label,
            invoice.status.clone(),
            invoice.total.as_ref().map(|total| format!("total {}", money(total))),
            invoice.amount_paid.as_ref().map(|paid| format!("paid {}", money(paid))),
            invoice.amount_remaining.as_ref().map(|left| format!("left to pay {}", money(left))),
            invoice.due_at.map(|at| format!("due {at}")),
        ],
    )
}

fn payment(payment: &Payment) -> Option<Node> {
    let card = match (&payment.card_brand, &payment.card_last4) {
        (Some(brand), Some(last4)) => Some(format!("{brand} …{last4}")),
        (None, Some(last4)) => Some(format!("card …{last4}")),
        (Some(brand), None) => Some(brand.clone()),
        (None, None) => payment.method.clone(),
    };
    let failure = payment.failure.as_ref().and_then(|failure| {
        let code = failure.code.clone().or_else(|| failure.provider_code.clone());
        let words = failure.message.as_ref().or(failure.provider_reason.as_ref()).map(|words| quoted(words));
        let told: Vec<String> = [code, words].into_iter().flatten().collect();
        (!told.is_empty()).then(|| format!("because {}", told.join(" ")))
    });
    line(
        "payment",
        vec![
            payment.id.clone(),
            payment.status.clone(),
            payment.amount.as_ref().map(money),
            card,
            failure,
            payment.attempt_count.map(|n| format!("try {n}")),
            payment.next_attempt_at.map(|at| format!("tried again {at}")),
        ],
    )
}

fn refund(refund: &Refund) -> Option<Node> {
    let of = named("of", refund.payment_id.as_ref());
    let reason = refund.reason.clone().or_else(|| refund.provider_reason.clone());
    line(
        "refund",
        vec![refund.id.clone(), refund.status.clone(), refund.amount.as_ref().map(money), of, reason],
    )
}

fn dispute(dispute: &Dispute) -> Option<Node> {
    line(
        "dispute",
        vec![
            dispute.id.clone(),
            dispute.stage.clone(),
            dispute.status.clone(),
            dispute.amount.as_ref().map(money),
            dispute.reason.clone().or_else(|| dispute.provider_reason.clone()),
            dispute.due_at.map(|at| format!("evidence until {at}")),
        ],
    )
}

fn credit_note(note: &CreditNote) -> Option<Node> {
    let label = note.number.clone().or_else(|| note.id.clone());
    let of = named("of", note.invoice_id.as_ref());
    line(
        "credit note",
        vec![label, note.amount.as_ref().map(money), of, note.kind.clone(), note.reason.clone()],
    )
}

fn payment_method(method: &PaymentMethod) -> Option<Node> {
    let card = method.last4.as_ref().map(|last4| format!("…{last4}"));
    let expires = method
        .expires_month
        .zip(method.expires_year)
        .map(|(month, year)| format!("expires {month:02}/{year}"));
    line("pays by", vec![method.id.clone(), method.kind.clone(), method.brand.clone(), card, expires])
}

/// The extension families, which share one shape.
fn objects(event: &Event) -> Vec<Option<Node>> {
    let objects: [(&str, &Option<Box<Object>>); 16] = [
        ("payout", &event.payout),
        ("checkout", &event.checkout),
        ("wallet", &event.wallet),
        ("usage", &event.usage),
        ("entitlement", &event.entitlement),
        ("license", &event.license),
        ("meter", &event.meter),
        ("product", &event.product),
        ("account", &event.account),
        ("api key", &event.api_key),
        ("document", &event.document),
        ("payee", &event.payee),
        ("notification", &event.notification),
        ("fee", &event.fee),
        ("integration", &event.integration),
        ("risk", &event.risk),
    ];
    let object = |object: &Object| {
        vec![
            object.id.clone(),
            object.name.clone(),
            object.kind.clone(),
            object.status.clone(),
            object.amount.as_ref().map(money),
            object.quantity.clone(),
            object.message.as_ref().map(|words| quoted(words)),
        ]
    };
    let lines = objects.into_iter().filter_map(|(label, value)| Some((label, value.as_deref()?)));
    lines.map(|(label, value)| line(label, object(value))).collect()
}

fn retention(retention: &Retention) -> Node {
    let matched = retention.matched.as_ref().map(|matched| match &matched.value {
        Some(value) => format!(" by the {} {}", matched.by, quoted(value)),
        None => format!(" by {}", matched.by),
    });
    let mut line = match &retention.primary {
        Some(primary) => {
            vec![strong(primary), plain(matched.unwrap_or_default())]
        }
        None => vec![strong(&retention.kind)],
    };
    if retention.requires_human {
        line.push(care(", a person should act"));
    }
    let mut node = Node::fact("retention", line).with(retention.variants.iter().map(variant));
    for rule in &retention.skipped_rules {
        node.push(Node::new([faint(format!("rule skipped: {rule}"))]));
    }
    node
}

fn variant(variant: &Variant) -> Node {
    let params: Vec<String> = variant.params.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let tone = if variant.eligible { Tone::Plain } else { Tone::Faint };
    let mut line = vec![Span::new(tone, format!("{}. {}", variant.rank, variant.strategy))];
    if !params.is_empty() {
        line.push(plain(format!(" ({})", params.join(", "))));
    }
    if !variant.eligible {
        line.push(care(" not eligible"));
    }
    if !variant.reasons.is_empty() {
        line.push(faint(format!(": {}", variant.reasons.join("; "))));
    }
    Node::new(line)
}

/// `49.99 USD`.
fn money(money: &Money) -> String {
    format!("{} {}", money.major(), money.currency)
}

fn named(name: &str, value: Option<&String>) -> Option<String> {
    value.map(|value| format!("{name} {value}"))
}

fn quoted(text: &str) -> String {
    format!("“{}”", super::cut(text, super::ANSWER_CHARS_MAX))
}
