//! The event names that Abowire documents, and its resources in canonical words.

use billhook_plugin::model::kind;

/// Event name and canonical type: `component:action` of the first format, the names of the second.
#[rustfmt::skip]
pub const CATALOGUE: &[(&str, &str)] = &[
    ("invoice:create", "invoice.created"),
    ("payment:create", "payment.created"),
    ("payment:accepted", "payment.succeeded"),
    ("payment:declined", "payment.failed"),
    ("product:create", "product.created"),
    ("product:update", "product.updated"),
    ("subscriber:create", "customer.created"),
    ("subscriber:update", "customer.updated"),
    ("subscription:create", "subscription.created"),
    ("subscription:update", "subscription.updated"),

    ("account:update", "account.updated"),
    ("account-subaccount:create", "account.created"),
    ("account-subaccount:update", "account.updated"),
    ("api-key:create", "api_key.created"),
    ("api-key:revoke", "api_key.revoked"),

    // Of a licence in the subscription: nobody cancelled anything.
    ("subscription:disable", "license.disabled"),
    ("subscription:enable", "license.enabled"),
    ("subscription:bulk-enable", "license.enabled"),
    ("subscription:bulk-disable", "license.disabled"),

    ("customer.created", "customer.created"),
    ("customer.updated", "customer.updated"),
    ("product.created", "product.created"),
];

/// The canonical type of a name, in any case. A name of the second format that is not listed is told by its resource and
/// what became of it, if that is a canonical type: `paymentMethod.updated` is `payment_method.updated`.
pub(crate) fn kind_of(name: &str) -> &'static str {
    let listed = CATALOGUE.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind);
    listed.or_else(|| by_resource(name)).unwrap_or("provider.unmapped")
}

fn by_resource(name: &str) -> Option<&'static str> {
    let (resource, verb) = name.rsplit_once('.')?;
    let (resource, verb) = (String::from_iter(letters(resource)), String::from_iter(letters(verb)));
    let family = match resource.as_str() {
        "subscriber" => "customer",
        "licence" => "license",
        // Attached to the customer that it is of.
        "paymentmethod" if verb == "created" => return Some("payment_method.attached"),
        _ => &resource,
    };
    let meant = format!("{family}.{verb}");
    kind::KINDS.iter().find(|kind| letters(kind).eq(meant.chars())).copied()
}

/// A name without what only parts its words: `paymentMethod`, `payment-method` and `PAYMENT_METHOD` are one.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|letter| !matches!(letter, '-' | '_')).map(|letter| letter.to_ascii_lowercase())
}
