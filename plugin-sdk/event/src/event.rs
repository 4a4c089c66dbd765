//! The draft, the event and the patch.

use crate::billing::{CreditNote, Dispute, Invoice, Object, Payment, PaymentMethod, Refund};
use crate::party::{Actor, Customer};
use crate::retention::Retention;
use crate::subscription::{Cancellation, Subscription};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Defines [`Draft`] and [`Event`] with the fields they share.
///
/// A macro because `#[serde(flatten)]` would copy every event through an intermediate tree, which is slow and
/// loses the exact text that [`RawValue`] keeps. The large shared fields are boxed, because an event has one or two of
/// them and is copied whole.
macro_rules! draft_and_event {
    (
        $(#[$draft_doc:meta])* draft { $($(#[$draft_attr:meta])* $draft_field:ident: $draft_type:ty,)* }
        $(#[$event_doc:meta])* event { $($(#[$event_attr:meta])* $event_field:ident: $event_type:ty,)* }
        shared { $($(#[doc = $doc:expr])* $field:ident: Option<$type:ty>,)* }
    ) => {
        $(#[$draft_doc])*
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        pub struct Draft {
            $($(#[$draft_attr])* pub $draft_field: $draft_type,)*
            $($(#[doc = $doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        $(#[$event_doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct Event {
            $($(#[$event_attr])* pub $event_field: $event_type,)*
            $($(#[doc = $doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl Event {
            /// The event that a draft becomes once it has been stamped. Warnings of both are kept.
            pub fn new(stamp: Stamp, draft: Draft) -> Event {
                Event {
                    id: stamp.id,
                    schema_version: SCHEMA_VERSION,
                    kind: draft.kind,
                    source: stamp.source,
                    provider: stamp.provider,
                    provider_event_type: draft.provider_event_type,
                    provider_delivery_id: stamp.provider_delivery_id,
                    received_at: stamp.received_at,
                    ordering_key: stamp.ordering_key,
                    verified: stamp.verified,
                    thin: draft.thin,
                    replayed: stamp.replayed,
                    metadata: draft.metadata,
                    raw: stamp.raw,
                    warnings: draft.warnings,
                    recovers: None,
                    retention: None,
                    annotations: BTreeMap::new(),
                    plugins: stamp.plugins,
                    $($field: draft.$field,)*
                }
            }
        }
    };
}

/// The version of the event document.
pub const SCHEMA_VERSION: u32 = 1;

draft_and_event! {
    /// What the provider said (`billhook.draft/1`); returned by a normalizer.
    draft {
        /// The canonical type, one of [`crate::kind::KINDS`].
        #[serde(rename = "type")]
        kind: String,
        /// The provider's own name of the event, exactly as sent.
        provider_event_type: String,
        /// Whether the provider sent ids only.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        thin: bool,
        /// The provider's metadata as text.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metadata: BTreeMap<String, String>,
        /// What looked odd and was kept all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    }
    /// A canonical billing event (`billhook.event/1`): a draft with what the gateway knows, and what `map`
    /// plugins added.
    event {
        /// `evt_...`: the same in every delivery, retry, resend and reprocess.
        id: String,
        /// [`SCHEMA_VERSION`].
        schema_version: u32,
        /// The canonical type, one of [`crate::kind::KINDS`].
        #[serde(rename = "type")]
        kind: String,
        /// The configured source it came through.
        source: String,
        /// The provider, such as `flexprice`.
        provider: String,
        /// The provider's own name of the event, exactly as sent.
        provider_event_type: String,
        /// The provider's id of the request, such as its `webhook-id`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        provider_delivery_id: Option<String>,
        /// When the gateway accepted the webhook.
        received_at: Time,
        /// `provider:source:` and the id of the subscription, else the customer, else the object ([`Event::about`]).
        ordering_key: String,
        /// How the sender proved itself.
        verified: Verified,
        /// Whether the provider sent ids only.
        #[serde(default)]
        thin: bool,
        /// Whether it was made by a reprocess.
        #[serde(default)]
        replayed: bool,
        /// The provider's metadata as text.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metadata: BTreeMap<String, String>,
        /// The webhook it came from.
        raw: Raw,
        /// What looked odd and was kept all the same.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// The `payment.failed` that a `payment.recovered` makes good, by its event id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recovers: Option<String>,
        /// How to win the customer back; null until a plugin chose.
        #[serde(default)]
        retention: Option<Retention>,
        /// What `map` plugins noted, by plugin.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        annotations: BTreeMap<String, Box<RawValue>>,
        /// The plugins that touched it, in order.
        #[serde(default)]
        plugins: Vec<PluginRef>,
    }
    shared {
        /// The provider's id in the body.
        provider_event_id: Option<String>,
        /// The account at the provider.
        provider_account_id: Option<String>,
        /// The provider's API version.
        provider_api_version: Option<String>,
        /// When it happened, from the body.
        occurred_at: Option<Time>,
        /// When it takes effect; absent: at once.
        effective_at: Option<Time>,
        /// The provider's own order, if it gives one.
        sequence: Option<u64>,
        /// The same fact told by several webhooks has the same key.
        semantic_key: Option<String>,
        /// False for test data; absent when the provider cannot tell.
        livemode: Option<bool>,
        /// Who caused it.
        actor: Option<Actor>,
        /// The provider behind the provider, where one forwards for another.
        origin_provider: Option<String>,
        /// Who it is about.
        customer: Option<Customer>,
        /// The subscription.
        subscription: Option<Box<Subscription>>,
        /// How and why it ends.
        cancellation: Option<Cancellation>,
        /// The invoice.
        invoice: Option<Box<Invoice>>,
        /// The payment.
        payment: Option<Box<Payment>>,
        /// The refund.
        refund: Option<Box<Refund>>,
        /// The dispute.
        dispute: Option<Box<Dispute>>,
        /// The credit note.
        credit_note: Option<Box<CreditNote>>,
        /// The way to pay.
        payment_method: Option<Box<PaymentMethod>>,
        /// Money sent to a payee.
        payout: Option<Box<Object>>,
        /// A checkout session.
        checkout: Option<Box<Object>>,
        /// A prepaid balance.
        wallet: Option<Box<Object>>,
        /// Metered usage.
        usage: Option<Box<Object>>,
        /// A right to use something.
        entitlement: Option<Box<Object>>,
        /// A licence.
        license: Option<Box<Object>>,
        /// A definition of what is metered.
        meter: Option<Box<Object>>,
        /// A product or feature.
        product: Option<Box<Object>>,
        /// The account itself.
        account: Option<Box<Object>>,
        /// An API key; never its value.
        api_key: Option<Box<Object>>,
        /// A document to sign.
        document: Option<Box<Object>>,
        /// Somebody who is paid.
        payee: Option<Box<Object>>,
        /// A message to somebody.
        notification: Option<Box<Object>>,
        /// A fee.
        fee: Option<Box<Object>>,
        /// A connection to another system.
        integration: Option<Box<Object>>,
        /// The customer's risk of leaving.
        risk: Option<Box<Object>>,
        /// Changed attributes as the provider gave them.
        previous: Option<Box<RawValue>>,
    }
}

/// What the gateway knows about an event beside the draft.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// `evt_...`.
    pub id: String,
    /// The configured source.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of the request.
    pub provider_delivery_id: Option<String>,
    /// When the webhook was accepted.
    pub received_at: Time,
    /// See [`Event::ordering_key`].
    pub ordering_key: String,
    /// How the sender proved itself.
    pub verified: Verified,
    /// Whether this is a reprocess.
    pub replayed: bool,
    /// The webhook.
    pub raw: Raw,
    /// The plugins so far.
    pub plugins: Vec<PluginRef>,
}

/// How the sender of a webhook proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verified {
    /// A signature over the body.
    Signature,
    /// HTTP basic authentication.
    Basic,
    /// A secret header.
    StaticHeader,
    /// A secret in the query.
    QueryToken,
    /// A public key in the path.
    PathKey,
    /// Nothing: the source takes anything.
    None,
}

/// A reference to the webhook that an event came from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Raw {
    /// `whk_...`.
    pub webhook: String,
    /// SHA-256 of the body as it arrived, in hex.
    pub sha256: String,
    /// Its content type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A plugin that touched an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRef {
    /// Its configured name.
    pub name: String,
    /// The version of its manifest.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
}

/// What a `map` plugin changes (`billhook.patch/1`).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Replaces the event's retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Becomes the event's `annotations.<plugin>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Box<RawValue>>,
    /// Appended to the event's warnings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Event {
    /// Applies what the plugin `name` returned.
    pub fn apply(&mut self, name: &str, patch: Patch) {
        if let Some(retention) = patch.retention {
            self.retention = Some(retention);
        }
        if let Some(annotations) = patch.annotations {
            self.annotations.insert(name.to_owned(), annotations);
        }
        self.warnings.extend(patch.warnings);
    }

    /// When it happened; where the provider does not tell, when the gateway accepted the webhook.
    pub fn happened_at(&self) -> Time {
        self.occurred_at.unwrap_or(self.received_at)
    }

    /// The id of the entity it is about: the subscription's, else the customer's, else the customer's e-mail address, which
    /// is the same in upper and lower case.
    pub fn entity(&self) -> Option<Cow<'_, str>> {
        let subscription = self.subscription.as_ref().and_then(|subscription| subscription.id.as_deref());
        let customer = self.customer.as_ref();
        let id = subscription.or_else(|| customer?.id.as_deref()).map(Cow::Borrowed);
        id.or_else(|| Some(Cow::Owned(customer?.email.as_ref()?.trim().to_lowercase())))
    }

    /// The id of the object that its type is of, where an entity may have many: of `invoice.*` the invoice's, of
    /// `payment.*` that of the invoice it pays, else the payment's, and so on. `None` for what is about the subscription or the
    /// customer itself, and where the provider does not tell.
    pub fn object(&self) -> Option<&str> {
        fn of(object: &Option<Box<Object>>) -> Option<&str> {
            object.as_ref()?.id.as_deref()
        }
        let invoice = || self.invoice.as_ref()?.id.as_deref();
        let payment = || self.payment.as_ref()?.id.as_deref();
        match self.kind.split('.').next()? {
            "invoice" => invoice(),
            "payment" => invoice().or_else(payment),
            "refund" => {
                self.refund.as_ref().and_then(|refund| refund.id.as_deref()).or_else(payment).or_else(invoice)
            }
            "dispute" => self
                .dispute
                .as_ref()
                .and_then(|dispute| dispute.id.as_deref())
                .or_else(payment)
                .or_else(invoice),
            "credit_note" => self.credit_note.as_ref()?.id.as_deref(),
            "payment_method" => self.payment_method.as_ref()?.id.as_deref(),
            "payout" => of(&self.payout).or_else(invoice),
            "checkout" => of(&self.checkout),
            "wallet" => of(&self.wallet),
            "usage" => of(&self.usage),
            "entitlement" => of(&self.entitlement),
            "license" => of(&self.license),
            "meter" => of(&self.meter),
            "product" => of(&self.product),
            "account" => of(&self.account),
            "api_key" => of(&self.api_key),
            "document" => of(&self.document),
            "payee" => of(&self.payee),
            "notification" => of(&self.notification).or_else(invoice),
            "fee" => of(&self.fee),
            "integration" => of(&self.integration),
            _ => None,
        }
    }

    /// What [`Event::ordering_key`] ends with: the entity, else the invoice, else the object, else the event's own id,
    /// the provider's where it gives one.
    pub fn about(&self) -> Cow<'_, str> {
        self.entity().unwrap_or_else(|| {
            let invoice = self.invoice.as_ref().and_then(|invoice| invoice.id.as_deref());
            let object = invoice.or_else(|| self.object()).or(self.provider_event_id.as_deref());
            Cow::Borrowed(object.unwrap_or(&self.id))
        })
    }
}
