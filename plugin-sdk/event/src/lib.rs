//! The canonical billing event of Billhook, used by the gateway and by every plugin.
//!
//! A normalizer returns [`Draft`]s (`billhook.draft/1`): what the provider said. The gateway stamps a draft
//! with what it knows itself and keeps the whole as an [`Event`] (`billhook.event/1`), which is also what an
//! endpoint receives. A `map` plugin returns a [`Patch`] (`billhook.patch/1`).
//!
//! The documents grow by optional keys only. Times are RFC 3339 in UTC with milliseconds ([`Time`]); money is
//! an integer of minor units ([`Money`]) and never a float.
//!
//! # Layout
//!
//! - [`event`]: the draft, the event and the patch
//! - [`party`]: who: customer, actor
//! - [`subscription`]: subscription, plan, cancellation and the reason taxonomy
//! - [`billing`]: invoice, payment, refund, dispute, credit note, payment method and the smaller objects
//! - [`decision`]: whether a planned end still stands
//! - [`retention`]: what a strategy plugin decides
//! - [`money`], [`time`]: exact amounts and instants
//! - [`kind`], [`pattern`]: the list of canonical types, and patterns that pick from it
//! - [`header`], [`path`]: what a transform may set of a request

pub mod billing;
pub mod decision;
pub mod event;
pub mod header;
pub mod kind;
pub mod money;
pub mod party;
pub mod path;
pub mod pattern;
pub mod retention;
pub mod subscription;
pub mod time;

pub use billing::{CreditNote, Dispute, Failure, Invoice, Object, Payment, PaymentMethod, Refund};
pub use event::{Draft, Event, Patch, PluginRef, Raw, Verified};
pub use money::Money;
pub use party::{Actor, Customer};
pub use retention::{Matched, Retention, Variant};
pub use subscription::{Cancellation, CancellationKind, Initiator, Phase, Plan, Subscription};
pub use time::Time;
