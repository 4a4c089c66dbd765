//! What a verifier is given and what it may say: every part of an answer has a bound.

use crate::model::Time;
use crate::model::webhook::Header;
use crate::plugins::CallError;
use crate::plugins::bindings::verify::exports::billhook::plugin::verify as wit;
use crate::plugins::output::invalid;
use crate::plugins::text::{SHOWN_MAX, one_line};
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use std::net::IpAddr;

/// The most of the cause of a refusal that is kept, in bytes.
const CAUSE_BYTES_MAX: usize = 1 << 10;
/// The longest name of a way to prove oneself.
const METHOD_BYTES_MAX: usize = 64;
/// The longest id of a delivery.
const DELIVERY_ID_BYTES_MAX: usize = 256;
/// The most facts beside it.
const EXTRA_MAX: usize = 16;
/// The longest body of a reply.
const REPLY_BYTES_MAX: usize = 64 << 10;
/// The longest content type of a reply.
const CONTENT_TYPE_BYTES_MAX: usize = 256;

/// What a verifier sees: a request that nobody has vouched for.
#[derive(Clone, Debug)]
pub struct RequestInput {
    /// The source it came to.
    pub source: String,
    /// The source's provider.
    pub provider: String,
    /// Its method.
    pub method: String,
    /// What follows `/in/{source}`, as sent.
    pub path: String,
    /// The query, as sent.
    pub query: String,
    /// All its headers, names in lower case.
    pub headers: Vec<Header>,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// When it arrived.
    pub received_at: Time,
    /// Where the sender's connection came from.
    pub remote: Option<IpAddr>,
}

/// What a verifier says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is genuine.
    Authentic(Proof),
    /// It is not, and why.
    Refused(String),
    /// It is a provider's challenge: this is to be sent, and nothing stored.
    Answer(Reply),
}

/// What a genuine request proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// How, in the plugin's word.
    pub method: String,
    /// The provider's id of the request, which the plugin vouches for.
    pub delivery_id: Option<String>,
    /// When the sender says it was sent.
    pub sent_at: Option<Time>,
    /// Other facts.
    pub extra: Vec<(String, String)>,
}

/// What a provider's challenge is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 2xx or 4xx.
    pub status: StatusCode,
    /// Of the body.
    pub content_type: HeaderValue,
    /// At most 64 KiB.
    pub body: Bytes,
}

/// What a plugin said, if it keeps within the bounds.
pub(super) fn judgement(said: wit::Judgement) -> Result<Judgement, CallError> {
    Ok(match said {
        wit::Judgement::Authentic(proof) => Judgement::Authentic(self::proof(proof)?),
        wit::Judgement::Refused(cause) => Judgement::Refused(one_line(&cause, CAUSE_BYTES_MAX)),
        wit::Judgement::Answer(reply) => Judgement::Answer(self::reply(reply)?),
    })
}

fn proof(proof: wit::Proof) -> Result<Proof, CallError> {
    let wit::Proof { method, delivery_id, sent_at, extra } = proof;
    if let Some(id) = &delivery_id
        && (id.is_empty() || id.len() > DELIVERY_ID_BYTES_MAX || id.chars().any(char::is_control))
    {
        return Err(invalid(&format!(
            "the delivery id is not 1 to {DELIVERY_ID_BYTES_MAX} bytes of text without control characters"
        )));
    }
    if extra.len() > EXTRA_MAX {
        return Err(invalid(&format!("{} facts beside the proof, more than {EXTRA_MAX}", extra.len())));
    }
    let shown = |text: &str| one_line(text, SHOWN_MAX / EXTRA_MAX);
    Ok(Proof {
        method: one_line(&method, METHOD_BYTES_MAX),
        delivery_id,
        sent_at: sent_at.map(Time::from_millis),
        extra: extra.iter().map(|(name, value)| (shown(name), shown(value))).collect(),
    })
}

fn reply(reply: wit::Reply) -> Result<Reply, CallError> {
    let wit::Reply { status, content_type, body } = reply;
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| status.is_success() || status.is_client_error())
        .ok_or_else(|| invalid(&format!("a reply of status {status}, which is neither 2xx nor 4xx")))?;
    let content_type = Some(content_type.as_str())
        .filter(|text| (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len()))
        .and_then(|text| HeaderValue::from_str(text).ok())
        .ok_or_else(|| invalid("a reply whose content type is none"))?;
    if body.len() > REPLY_BYTES_MAX {
        return Err(invalid(&format!("a reply of {} bytes, more than {REPLY_BYTES_MAX}", body.len())));
    }
    Ok(Reply { status, content_type, body: body.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, content_type: &str, bytes: usize) -> Result<Judgement, CallError> {
        let content_type = content_type.to_owned();
        judgement(wit::Judgement::Answer(wit::Reply { status, content_type, body: vec![b'x'; bytes] }))
    }

    #[test]
    fn a_reply_is_one_that_can_be_sent() {
        for (status, content_type, bytes) in [(200, "text/plain", 0), (204, "a/b", 0), (410, "a/b", 65_536)] {
            assert!(answer(status, content_type, bytes).is_ok(), "{status}");
        }
        let cases = [
            (99, "a/b", 1, "status 99"),
            (101, "a/b", 1, "neither 2xx nor 4xx"),
            (302, "a/b", 1, "neither 2xx nor 4xx"),
            (503, "a/b", 1, "neither 2xx nor 4xx"),
            (200, "", 1, "content type"),
            (200, "a/b\r\nx: y", 1, "content type"),
            (200, "a/b", 65_537, "more than 65536"),
        ];
        for (status, content_type, bytes, why) in cases {
            let told = answer(status, content_type, bytes).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn a_proof_and_a_cause_are_short_and_of_one_line() {
        let proof = |id: &str| wit::Proof {
            method: "m\n".repeat(100),
            delivery_id: Some(id.to_owned()),
            sent_at: Some(5),
            extra: Vec::new(),
        };
        let Ok(Judgement::Authentic(kept)) = judgement(wit::Judgement::Authentic(proof("msg_1"))) else {
            panic!()
        };
        assert!(kept.method.starts_with("m\\n") && kept.method.len() < 70, "{}", kept.method);
        assert_eq!((kept.delivery_id.as_deref(), kept.sent_at), (Some("msg_1"), Some(Time::from_millis(5))));
        for id in ["", "a\nb", &"x".repeat(257)] {
            assert!(judgement(wit::Judgement::Authentic(proof(id))).is_err(), "{id:?}");
        }
        let many = wit::Proof { extra: vec![Default::default(); 17], ..proof("a") };
        assert!(judgement(wit::Judgement::Authentic(many)).is_err());
        let refused = judgement(wit::Judgement::Refused("no\n".repeat(1000))).unwrap();
        let Judgement::Refused(cause) = refused else { panic!() };
        assert!(cause.len() <= CAUSE_BYTES_MAX + 3 && !cause.contains('\n'));
    }
}
