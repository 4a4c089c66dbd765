//! Typed ids: 16 bytes inside, a prefix and Crockford base 32 outside, sort order is time order.

use billhook_event::Time;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Why a text is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what} id: expected `{prefix}` and 26 letters and digits")]
pub struct NotAnId {
    text: String,
    what: &'static str,
    prefix: &'static str,
}

/// Defines the id types: one prefix each and nothing else that differs.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $what:literal $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// What every text form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The bytes, in sort order.
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, ulid::Ulid::from_bytes(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                text.strip_prefix($prefix)
                    .and_then(|rest| ulid::Ulid::from_string(rest).ok())
                    .map(|ulid| $name(ulid.to_bytes()))
                    .ok_or_else(|| NotAnId { text: text.to_owned(), what: $what, prefix: $prefix })
            }
        }
    )*};
}

ids! {
    /// A webhook: a ULID.
    WebhookId "webhook" "whk_";
    /// A refused request: a ULID.
    RefusedId "refused request" "rfs_";
    /// A job: a ULID.
    JobId "job" "job_";
    /// An event: its webhook's time, and a hash of the webhook's id and the event's place in it.
    EventId "event" "evt_";
    /// An endpoint: a hash of its name.
    EndpointId "endpoint" "ep_";
    /// A delivery: its event's time, and a hash of event, endpoint and resend number.
    DeliveryId "delivery" "dlv_";
    /// An attempt: its delivery's time, and a hash of delivery and attempt number.
    AttemptId "attempt" "att_";
}

/// Defines how the ids that are ULIDs are made.
macro_rules! ulids {
    ($($name:ident)*) => {$(
        impl $name {
            /// A new id from the time of what it is for and 80 random bits (the high bits of `random` are dropped).
            pub fn new(now: Time, random: u128) -> $name {
                $name(ulid::Ulid::from_parts(now.millis(), random).to_bytes())
            }
        }
    )*};
}

ulids! { WebhookId RefusedId JobId }

impl WebhookId {
    /// When the webhook arrived.
    pub fn time(&self) -> Time {
        Time::from_millis(ulid::Ulid::from_bytes(self.0).timestamp_ms())
    }
}

/// Makes ids that sort in the order in which they were asked for, also within a millisecond, as the ULID specification
/// calls monotonic: what waits is read back in the order of its ids.
#[derive(Debug, Default)]
pub struct WebhookIds(Option<ulid::Ulid>);

impl WebhookIds {
    /// An id as of [`WebhookId::new`], or the one after the last where that would come before it at the same time.
    pub fn next(&mut self, now: Time, random: u128) -> WebhookId {
        let new = ulid::Ulid::from_parts(now.millis(), random);
        let before = self.0.filter(|last| last.timestamp_ms() == new.timestamp_ms() && *last >= new);
        let next = before.and_then(|last| last.increment()).unwrap_or(new);
        self.0 = Some(next);
        WebhookId(next.to_bytes())
    }
}

impl EventId {
    /// The id of the event at `index` among those that the webhook gives. Neither type nor plugin is in it, so a
    /// rerun or a corrected mapping gives the same id.
    pub fn derive(webhook: WebhookId, index: u32) -> EventId {
        EventId(derive(&webhook.0, &[&webhook.0, &index.to_be_bytes()]))
    }

    /// The `webhook-id` that a revision of the event is sent under: the id, and from the second on `-r2`, `-r3`.
    pub fn webhook_id(&self, revision: u32) -> String {
        if revision > 1 { format!("{self}-r{revision}") } else { self.to_string() }
    }

    /// The event of a `webhook-id`, whichever revision was sent under it.
    ///
    /// # Errors
    /// If it is none.
    pub fn of_webhook_id(text: &str) -> Result<EventId, NotAnId> {
        let is_revision = |n: &str| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit());
        let id = text.rsplit_once("-r").filter(|(_, n)| is_revision(n)).map_or(text, |(id, _)| id);
        id.parse()
    }
}

impl EndpointId {
    /// The id of the endpoint that is called `name`.
    pub fn derive(name: &str) -> EndpointId {
        let hash = Sha256::digest(name.as_bytes());
        let mut id: [u8; 16] = hash[..16].try_into().expect("a SHA-256 has 32 bytes");
        id[0] &= 0x7f;
        EndpointId(id)
    }
}

impl DeliveryId {
    /// The id of the delivery of `event` to `endpoint`; `resend` is 0 for the first, and one more for each resend
    /// or redrive.
    pub fn derive(event: EventId, endpoint: EndpointId, resend: u32) -> DeliveryId {
        DeliveryId(derive(&event.0, &[&event.0, &endpoint.0, &resend.to_be_bytes()]))
    }
}

impl AttemptId {
    /// The id of the attempt number `n` (from 1) of `delivery`.
    pub fn derive(delivery: DeliveryId, n: u32) -> AttemptId {
        AttemptId(derive(&delivery.0, &[&delivery.0, &n.to_be_bytes()]))
    }
}

/// The 48-bit time of `parent`, then 80 bits of the SHA-256 of `parts`.
fn derive(parent: &[u8; 16], parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut id = [0; 16];
    id[..6].copy_from_slice(&parent[..6]);
    id[6..].copy_from_slice(&hash.finalize()[..10]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_millisecond_are_in_the_order_of_their_making() {
        let mut ids = WebhookIds::default();
        let mut made = |millis, random| ids.next(Time::from_millis(millis), random);
        let made = [made(5, 9), made(5, 3), made(5, 9), made(5, 20), made(6, 1), made(4, 7)];
        assert!(made[..5].is_sorted_by(|one, next| one < next), "{made:?}");
        assert_eq!(made[3], WebhookId::new(Time::from_millis(5), 20));
        assert_eq!(made[5].time(), Time::from_millis(4), "a clock that was set back");
    }

    #[test]
    fn ids_round_trip_and_refuse_each_other() {
        let id = WebhookId::new(Time::from_millis(1_786_363_200_042), 7);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.time(), Time::from_millis(1_786_363_200_042));
        assert!(id.to_string().parse::<EventId>().is_err());
        assert!("whk_".parse::<WebhookId>().is_err());
    }

    #[test]
    fn derived_ids_are_stable_distinct_and_in_time_order() {
        let early = WebhookId::new(Time::from_millis(1_000_000), 1);
        let late = WebhookId::new(Time::from_millis(2_000_000), 0);
        assert_eq!(EventId::derive(early, 0), EventId::derive(early, 0));
        assert_ne!(EventId::derive(early, 0), EventId::derive(early, 1));
        assert!(EventId::derive(early, 9) < EventId::derive(late, 0));
        let (a, b) = (EndpointId::derive("a"), EndpointId::derive("b"));
        let event = EventId::derive(early, 0);
        assert_ne!(DeliveryId::derive(event, a, 0), DeliveryId::derive(event, b, 0));
        assert_ne!(DeliveryId::derive(event, a, 0), DeliveryId::derive(event, a, 1));
        assert_eq!(a.to_string().parse(), Ok(a));
    }
}
