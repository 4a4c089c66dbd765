//! Wingback's event catalogue and what its ids are of.

/// An event by Wingback's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Wingback's name.
    pub(crate) name: &'static str,
    /// The canonical type.
    pub(crate) kind: &'static str,
    /// What the id in the body is of.
    pub(crate) object: Object,
    /// What the event says of that object, or of the payment; empty if nothing.
    pub(crate) status: &'static str,
}

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    /// A customer.
    Customer,
    /// An invoice.
    Invoice,
    /// A contract, which is a subscription here.
    Contract,
    /// A payment, of which only the customer's id is sent.
    Payment,
}

/// The catalogue of Wingback's webhook page, and `v1.contract.change.completed`, which a consumer receives.
pub(crate) const CATALOGUE: [Entry; 11] = [
    entry("v1.customer.created", "customer.created", Object::Customer, ""),
    entry("v1.customer.updated", "customer.updated", Object::Customer, ""),
    entry("v1.invoice.created", "invoice.created", Object::Invoice, ""),
    entry("v1.contract.signature.scheduled", "subscription.scheduled", Object::Contract, "scheduled"),
    entry("v1.contract.signature.completed", "subscription.activated", Object::Contract, "active"),
    entry("v1.contract.change.completed", "subscription.plan_changed", Object::Contract, ""),
    entry("v1.contract.cancellation.scheduled", "subscription.cancel_scheduled", Object::Contract, ""),
    entry("v1.contract.cancellation.completed", "subscription.canceled", Object::Contract, "canceled"),
    entry("v1.payment.started", "payment.created", Object::Payment, "created"),
    entry("v1.payment.failed", "payment.failed", Object::Payment, "failed"),
    entry("v1.payment.succeeded", "payment.succeeded", Object::Payment, "succeeded"),
];

const fn entry(name: &'static str, kind: &'static str, object: Object, status: &'static str) -> Entry {
    Entry { name, kind, object, status }
}

/// The entry of a name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| entry.name == name)
}

impl Object {
    /// What a prefixed id is of; `None` where the prefix is not known. `Inv_` is not documented.
    pub(crate) fn of_id(id: &str) -> Option<Object> {
        match id.split_once('_')?.0 {
            "Cust" => Some(Object::Customer),
            "Cont" => Some(Object::Contract),
            "Inv" => Some(Object::Invoice),
            _ => None,
        }
    }

    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Object::Customer | Object::Payment => "a customer",
            Object::Invoice => "an invoice",
            Object::Contract => "a contract",
        }
    }

    /// Whether `id` may be of this object. The invoice prefix is not documented, so there only the other two are
    /// known to be wrong.
    pub(crate) fn fits(self, id: &str) -> bool {
        match (self, Object::of_id(id)) {
            (Object::Invoice, found) => matches!(found, None | Some(Object::Invoice)),
            (Object::Customer | Object::Payment, found) => found == Some(Object::Customer),
            (Object::Contract, found) => found == Some(Object::Contract),
        }
    }
}
