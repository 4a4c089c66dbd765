//! The nine ways to win a customer back.

use serde::{Deserialize, Serialize};

/// A retention strategy, by the name that Windback gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// A lower price for a while.
    Discount,
    /// Show what the customer pays for and has not used.
    UnusedFeature,
    /// Recall what the product did for the customer.
    ValueRecap,
    /// What others in the same place do with it.
    SocialProof,
    /// Mend, or plan to mend, the very thing that is missing.
    PainPointFix,
    /// A personal message from the founder.
    FounderEmail,
    /// A pause in place of an end.
    PauseOption,
    /// Ask why, with a small thank-you.
    FeedbackRequest,
    /// A smaller plan.
    DowngradeOffer,
}

impl Strategy {
    /// All nine, in the order in which those stand that no reason and no rule has moved.
    pub const ALL: [Strategy; 9] = [
        Strategy::Discount,
        Strategy::UnusedFeature,
        Strategy::ValueRecap,
        Strategy::SocialProof,
        Strategy::PainPointFix,
        Strategy::FounderEmail,
        Strategy::PauseOption,
        Strategy::FeedbackRequest,
        Strategy::DowngradeOffer,
    ];

    /// Its name in events and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Discount => "discount",
            Strategy::UnusedFeature => "unused_feature",
            Strategy::ValueRecap => "value_recap",
            Strategy::SocialProof => "social_proof",
            Strategy::PainPointFix => "pain_point_fix",
            Strategy::FounderEmail => "founder_email",
            Strategy::PauseOption => "pause_option",
            Strategy::FeedbackRequest => "feedback_request",
            Strategy::DowngradeOffer => "downgrade_offer",
        }
    }
}
