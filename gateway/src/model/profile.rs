//! How an endpoint is spoken to: the format of its deliveries, who signs them how, which answer is success. A profile
//! is a name for what one ecosystem does in all of these, and in its schedule; each part can also be set alone.

use crate::model::attempt::{Failure, Outcome};
use crate::model::retry::Schedule;
use crate::model::source::Encoding;
use http::{HeaderMap, HeaderName};
use std::time::Duration;

/// A name for one ecosystem's delivery defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Profile {
    /// What Billhook does where nobody says otherwise: Standard Webhooks 1.0.0.
    #[default]
    Standard,
    /// Flexprice: its envelope, any 2xx, an exponential schedule.
    Flexprice,
    /// Abowire: its envelope without a signature, 200 only, three retries within half a minute.
    Abowire,
    /// Wingspan: its envelope, and the hex HMAC of the body.
    Wingspan,
    /// Wingback: the event's name and an id.
    Wingback,
    /// Windback's custom webhook; its URL holds the public key.
    Windback,
}

impl Profile {
    /// Every profile, by the name that the configuration gives it.
    pub const NAMED: [(&'static str, Profile); 6] = [
        ("standard", Profile::Standard),
        ("flexprice", Profile::Flexprice),
        ("abowire", Profile::Abowire),
        ("wingspan", Profile::Wingspan),
        ("wingback", Profile::Wingback),
        ("windback", Profile::Windback),
    ];

    /// What it posts.
    pub fn format(self) -> Format {
        match self {
            Profile::Standard => Format::Standard,
            Profile::Flexprice => Format::Flexprice,
            Profile::Abowire => Format::Abowire,
            Profile::Wingspan => Format::Wingspan,
            Profile::Wingback => Format::Wingback,
            Profile::Windback => Format::Windback,
        }
    }

    /// How it signs.
    pub fn signature(self) -> Signature {
        match self {
            Profile::Standard | Profile::Flexprice | Profile::Wingback => Signature::Standard,
            Profile::Wingspan => Signature::Body {
                header: HeaderName::from_static("x-wingspan-signature"),
                prefix: String::new(),
                encoding: Encoding::Hex,
            },
            Profile::Abowire | Profile::Windback => Signature::None,
        }
    }

    /// What it takes for success.
    pub fn success(self) -> Success {
        match self {
            Profile::Abowire => Success::Only200,
            Profile::Standard
            | Profile::Flexprice
            | Profile::Wingspan
            | Profile::Wingback
            | Profile::Windback => Success::Any2xx,
        }
    }

    /// When it tries again. A schedule of the ecosystem's own is not stretched for an overloaded receiver.
    pub fn schedule(self) -> Schedule {
        let secs = Duration::from_secs;
        match self {
            Profile::Flexprice => Schedule {
                overload_wait: Duration::ZERO,
                ..Schedule::exponential(secs(10), 3, secs(3 * 3600), 10)
            },
            Profile::Abowire => Schedule {
                waits: [5, 10, 15].map(secs).to_vec(),
                jitter: false,
                overload_wait: Duration::ZERO,
            },
            Profile::Standard | Profile::Wingspan | Profile::Wingback | Profile::Windback => {
                Schedule::default()
            }
        }
    }
}

/// What is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// `{type, timestamp, data}` around the event.
    #[default]
    Standard,
    /// CloudEvents 1.0, structured mode.
    CloudEvents,
    /// The webhook's bytes as they came.
    Raw,
    /// Flexprice's envelope.
    Flexprice,
    /// Abowire's envelope.
    Abowire,
    /// Wingspan's envelope.
    Wingspan,
    /// Wingback's `{event, id}`.
    Wingback,
    /// Windback's custom webhook.
    Windback,
}

impl Format {
    /// Every format, by the name that the configuration gives it.
    pub const NAMED: [(&'static str, Format); 8] = [
        ("standard", Format::Standard),
        ("cloudevents", Format::CloudEvents),
        ("raw", Format::Raw),
        ("flexprice", Format::Flexprice),
        ("abowire", Format::Abowire),
        ("wingspan", Format::Wingspan),
        ("wingback", Format::Wingback),
        ("windback", Format::Windback),
    ];
}

/// How a delivery is signed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Signature {
    /// Standard Webhooks 1.0.0: one for each live secret, `v1` or `v1a`, in `webhook-signature`.
    #[default]
    Standard,
    /// The HMAC-SHA256 of the body alone, keyed with the bytes of the one secret.
    Body {
        /// The header that holds it.
        header: HeaderName,
        /// What stands before it there, such as `sha256=`.
        prefix: String,
        /// How its bytes are written.
        encoding: Encoding,
    },
    /// Not at all.
    None,
}

impl Signature {
    /// Those that have a name in the configuration.
    pub fn named() -> [(&'static str, Signature); 3] {
        [
            ("standard", Signature::Standard),
            ("wingspan", Profile::Wingspan.signature()),
            ("none", Signature::None),
        ]
    }
}

/// Which answer is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Success {
    /// Any 2xx.
    #[default]
    Any2xx,
    /// 200 and no other.
    Only200,
}

impl Success {
    /// Every rule, by the name that the configuration gives it.
    pub const NAMED: [(&'static str, Success); 2] = [("2xx", Success::Any2xx), ("200", Success::Only200)];

    /// How an attempt ended by this rule, which was a success if any 2xx is one.
    pub fn judge(self, outcome: Outcome) -> Outcome {
        match (self, outcome) {
            (Success::Only200, Outcome::Delivered { status }) if status != 200 => {
                Outcome::Failed(Failure::Status(status))
            }
            (_, outcome) => outcome,
        }
    }
}

/// How an endpoint's deliveries are put: a profile with what was set alone.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// What is posted.
    pub format: Format,
    /// With [`Format::Raw`]: the headers of the webhook that go along, by their names in lower case; `*` for all.
    pub original_headers: Vec<String>,
    /// How it is signed.
    pub signature: Signature,
    /// Which answer is success.
    pub success: Success,
    /// Headers that every attempt has, `authorization` among them. Their values are secrets, marked as sensitive.
    pub headers: HeaderMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abowire_takes_200_and_nothing_else() {
        let delivered = |status| Outcome::Delivered { status };
        let failed = |status| Outcome::Failed(Failure::Status(status));
        for status in [200, 201, 202, 204] {
            assert_eq!(Profile::Standard.success().judge(delivered(status)), delivered(status));
            let expected = if status == 200 { delivered(200) } else { failed(status) };
            assert_eq!(Profile::Abowire.success().judge(delivered(status)), expected);
        }
        for outcome in [failed(500), Outcome::Failed(Failure::Timeout), Outcome::Skipped("x".to_owned())] {
            assert_eq!(Success::Only200.judge(outcome.clone()), outcome);
        }
    }

    #[test]
    fn every_profile_has_its_name_and_its_schedule() {
        for (name, profile) in Profile::NAMED {
            let format = Format::NAMED.iter().find(|(format, _)| *format == name).map(|(_, format)| *format);
            assert_eq!(format, Some(profile.format()), "{name}");
            let waits: Vec<u64> = profile.schedule().waits.iter().map(Duration::as_secs).collect();
            match name {
                "abowire" => assert_eq!(waits, [5, 10, 15]),
                "flexprice" => {
                    assert_eq!(waits, [10, 30, 90, 270, 810, 2430, 7290, 10_800, 10_800])
                }
                _ => assert_eq!(profile.schedule(), Schedule::default(), "{name}"),
            }
        }
    }
}
