//! Reads the objects. Abowire publishes what only a few of them look like, so every field may be absent.

use crate::Unit;
use crate::change::status_of;
use billhook_plugin::model::{
    Customer, Failure, Invoice, Object, Payment, PaymentMethod, Plan, Subscription,
};
use billhook_plugin::{Fields, Money, Notes, Time};

/// An object, and what looked odd in it.
pub(crate) struct Read<'o, 'a> {
    pub(crate) object: &'o Fields<'a>,
    /// Its id, which may be all that is sent of it.
    pub(crate) id: Option<String>,
    pub(crate) amounts: Option<Unit>,
    pub(crate) notes: Notes,
}

impl Read<'_, '_> {
    /// When the object was made or, by what the event tells, changed.
    pub(crate) fn time_of_row(&self, verb: &str) -> Option<Time> {
        match verb {
            "created" | "attached" => self.object.time("createdAt"),
            "unmapped" => None,
            _ => self.object.time("updatedAt"),
        }
    }

    /// Who it is about: the object itself, or whom it names.
    pub(crate) fn customer(&self, family: &str) -> Option<Customer> {
        let nested = self.object.fields("customer").or_else(|| self.object.fields("subscriber"));
        let none = Fields::default();
        let person = if family == "customer" { self.object } else { nested.as_ref().unwrap_or(&none) };
        let address = person.fields("address").unwrap_or_default();
        let country = address.text("countryCode").or_else(|| person.text("countryCode"));
        let names: Vec<_> =
            ["firstName", "lastName"].into_iter().filter_map(|field| person.text(field)).collect();
        let itself = self.id.clone().filter(|_| family == "customer");
        let customer = Customer {
            id: itself.or_else(|| self.reference("customer")).or_else(|| self.reference("subscriber")),
            external_id: person.text("externalId"),
            email: person.text("email"),
            name: person.text("name").or_else(|| (!names.is_empty()).then(|| names.join(" "))),
            country: country.filter(|code| code.len() == 2).map(|code| code.to_ascii_uppercase()),
        };
        (customer != Customer::default()).then_some(customer)
    }

    pub(crate) fn subscription(&mut self) -> Subscription {
        let provider_status = self.object.text("status");
        let status = provider_status.as_deref().map(status_of);
        if status == Some("unknown") {
            self.notes.unknown("status", provider_status.as_deref().unwrap_or_default());
        }
        let plan = Plan {
            id: self.reference("plan"),
            name: self.object.fields("plan").and_then(|plan| plan.text("name")),
            product_id: self.reference("product"),
            quantity: self.object.whole("quantity"),
            ..Plan::default()
        };
        Subscription {
            id: self.id.clone(),
            status: status.map(str::to_owned),
            provider_status,
            plan: (plan != Plan::default()).then_some(plan),
            started_at: self.object.time("startDate"),
            current_period_start: self.object.time("currentPeriodStart"),
            current_period_end: self.object.time("currentPeriodEnd"),
            cancel_at_period_end: self.object.flag("cancelAtPeriodEnd"),
            ended_at: self.object.time("endDate").filter(|_| matches!(status, Some("canceled" | "expired"))),
            ..Subscription::default()
        }
    }

    pub(crate) fn subscription_reference(&self) -> Option<Box<Subscription>> {
        let id = self.reference("subscription")?;
        Some(Box::new(Subscription { id: Some(id), ..Subscription::default() }))
    }

    pub(crate) fn invoice(&mut self) -> Invoice {
        let status = self.object.text("status").map(|word| match word.to_ascii_lowercase().as_str() {
            "draft" => "draft",
            "open" | "issued" | "pending" => "open",
            "paid" => "paid",
            "void" | "voided" | "canceled" | "cancelled" => "void",
            "overdue" => "overdue",
            "uncollectible" => "uncollectible",
            _ => {
                self.notes.unknown("status", &word);
                "unknown"
            }
        });
        Invoice {
            id: self.id.clone(),
            number: self.object.text("number"),
            status: status.map(str::to_owned),
            total: self.money("total"),
            subtotal: self.money("subtotal"),
            tax: self.money("tax"),
            due_at: self.object.time("dueDate"),
            ..Invoice::default()
        }
    }

    pub(crate) fn invoice_reference(&self) -> Option<Box<Invoice>> {
        let id = self.reference("invoice")?;
        Some(Box::new(Invoice { id: Some(id), ..Invoice::default() }))
    }

    pub(crate) fn payment(&mut self, kind: &str) -> Payment {
        let status = match kind {
            // It may still wait to be captured.
            "payment.created" => Some("created"),
            "payment.succeeded" => Some("succeeded"),
            "payment.failed" => Some("failed"),
            _ => None,
        };
        let failure = Failure {
            code: Some("other".to_owned()),
            provider_code: self.first(&["errorCode", "declineCode"]),
            provider_reason: self.object.text("declineReason"),
            message: self.first(&["errorMessage", "message"]),
        };
        let method = self.first(&["paymentMethodType", "paymentMethod", "method"]);
        let nested = self.object.fields("paymentMethod").and_then(|method| method.text("type"));
        Payment {
            id: self.id.clone(),
            status: status.map(str::to_owned),
            direction: Some("inbound".to_owned()),
            amount: self.money("amount"),
            method: nested.or(method).map(|method| method_of(&method).to_owned()),
            failure: (status == Some("failed")).then_some(failure),
            ..Payment::default()
        }
    }

    pub(crate) fn payment_method(&self) -> PaymentMethod {
        PaymentMethod {
            id: self.id.clone(),
            kind: self.object.text("type").map(|method| method_of(&method).to_owned()),
            ..PaymentMethod::default()
        }
    }

    /// What nearly every object has.
    pub(crate) fn named(&self) -> Object {
        Object {
            id: self.id.clone(),
            name: self.object.text("name"),
            status: self.object.text("status"),
            ..Object::default()
        }
    }

    fn reference(&self, name: &str) -> Option<String> {
        reference(self.object, name)
    }

    fn first(&self, fields: &[&str]) -> Option<String> {
        fields.iter().find_map(|field| self.object.text(field))
    }

    fn money(&mut self, field: &str) -> Option<Money> {
        self.object.number(field)?;
        let currency = self.object.text("currency");
        match self.amounts {
            Some(Unit::Minor) => self.notes.minor(self.object, field, currency.as_deref()),
            Some(Unit::Major) => self.notes.major(self.object, field, currency.as_deref()),
            None => {
                self.notes.add(
                    "amounts are left out: say in the plugin's configuration if `amounts` are minor or major",
                );
                None
            }
        }
    }
}

/// The id of what an object refers to by `name`: `nameId`, or the id in `name`, or `name` itself.
pub(crate) fn reference(object: &Fields<'_>, name: &str) -> Option<String> {
    let id = object.text(&format!("{name}Id"));
    id.or_else(|| object.fields(name)?.text("id")).or_else(|| object.text(name))
}

fn method_of(method: &str) -> &'static str {
    match method.to_ascii_uppercase().as_str() {
        "CARD" => "card",
        "CASH" => "cash",
        "SEPA_MANDATE" => "bank_debit",
        "WIRE_TRANSFER" => "bank_transfer",
        _ => "other",
    }
}
