//! Invoices, payments and the smaller billing objects.

use crate::{Money, Time};
use serde::{Deserialize, Serialize};

/// An invoice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Invoice {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The number printed on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// `draft`, `open`, `paid`, `void`, `uncollectible`, `overdue` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `subscription_create`, `subscription_cycle`, `subscription_update`, `trial`, `threshold`, `one_off`,
    /// `manual`, `proration`, `wallet_topup` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub billing_reason: Option<String>,
    /// The whole sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Money>,
    /// Before tax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subtotal: Option<Money>,
    /// Tax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax: Option<Money>,
    /// What is to be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_due: Option<Money>,
    /// What was paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_paid: Option<Money>,
    /// What is left to pay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_remaining: Option<Money>,
    /// When it is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// Start of the period it bills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_start: Option<Time>,
    /// End of the period it bills.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_end: Option<Time>,
    /// When it became final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finalized_at: Option<Time>,
    /// When it was settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paid_at: Option<Time>,
    /// Where a person can read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A payment, or an attempt at one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Payment {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `created`, `pending`, `requires_action`, `succeeded`, `failed`, `canceled`, `refunded` or
    /// `partially_refunded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `inbound` (the operator is paid) or `outbound`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// What the provider keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<Money>,
    /// `card`, `bank_debit`, `bank_transfer`, `wallet`, `paypal`, `upi`, `app_store`, `cash`, `out_of_band`
    /// or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Brand of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_brand: Option<String>,
    /// Last digits of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_last4: Option<String>,
    /// How often it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt_count: Option<u32>,
    /// When the provider tries again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Time>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why a payment failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// `card_declined`, `insufficient_funds`, `expired_card`, `authentication_required`,
    /// `invalid_payment_details`, `payment_method_missing`, `blocked_card`, `fraud_suspected`,
    /// `issuer_unavailable`, `processor_error`, `canceled` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The provider's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_code: Option<String>,
    /// The provider's finer reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
    /// The provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Money given back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refund {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The payment it reverses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// `pending`, `succeeded`, `failed` or `reversed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// `duplicate`, `fraudulent`, `customer_request`, `service_disruption`, `satisfaction_guarantee`,
    /// `dispute_prevention` or `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The provider's word for `reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
}

/// A dispute or chargeback.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dispute {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The payment in dispute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_id: Option<String>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// `inquiry`, `chargeback`, `pre_arbitration` or `second_chargeback`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// `open`, `under_review`, `won`, `lost` or `closed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The canonical reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The provider's word for `reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
    /// Until when evidence is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    /// `payer`, `payee` or `bank`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
}

/// A credit note.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreditNote {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The number printed on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The invoice it corrects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_id: Option<String>,
    /// How much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// `adjustment` or `refund`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The provider's reason, in lower case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A stored way to pay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PaymentMethod {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// As [`Payment::method`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Brand of the card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Last digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last4: Option<String>,
    /// Month of expiry, 1 to 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_month: Option<u8>,
    /// Year of expiry, four digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_year: Option<u16>,
}

/// An object of the extension families (payout, wallet, usage, ...): what all of them share.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Object {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What kind of object it is, in the family's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its state, in the provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// What part of the account it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Money it holds or moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    /// A quantity or score, as exact decimal text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<String>,
    /// Where a person can open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it is expected to happen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_at: Option<Time>,
    /// How it is done, such as `instant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// What went wrong or happened, in the provider's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
