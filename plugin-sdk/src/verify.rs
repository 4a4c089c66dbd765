//! Judging whether a request is authentic.

use crate::{Failure, Plugin, Request, Time};

/// Says whether a request is authentic, for a provider that proves itself in a way the gateway does not know.
///
/// It is the only kind that runs before the sender is answered: it should be quick, and open nothing but its
/// secrets. A plugin may read the same provider's webhooks too: `Acme: Verify + Normalize`.
///
/// ```
/// use billhook_plugin::{Failure, Judgement, NoConfig, Plugin, Proof, Request, Secret, Time, Verify};
/// use std::time::Duration;
///
/// const TOLERANCE: Duration = Duration::from_secs(300);
///
/// struct Acme;
///
/// impl Plugin for Acme {
///     type Config = NoConfig;
///     fn new(_: NoConfig) -> Result<Acme, Failure> {
///         Ok(Acme)
///     }
/// }
///
/// impl Verify for Acme {
///     fn verify(&self, request: &Request<'_>) -> Result<Judgement, Failure> {
///         let secret = Secret::open("acme").ok_or_else(|| Failure::other("`secret:acme` is not granted"))?;
///         let (Some(time), Some(tag)) = (request.header("acme-time"), request.header("acme-signature")) else {
///             return Ok(Judgement::refused("`acme-time` or `acme-signature` is missing"));
///         };
///         let Ok(tag) = hex::decode(tag) else {
///             return Ok(Judgement::refused("`acme-signature` is not hexadecimal"));
///         };
///         let signed = [time.as_bytes(), b".", request.body()].concat();
///         if !secret.verify_hmac_sha256(&signed, &tag) {
///             return Ok(Judgement::refused("the signature is that of no live secret"));
///         }
///         let received_at = request.received_at();
///         let is_near = |at: &Time| received_at.since(*at).max(at.since(received_at)) <= TOLERANCE;
///         let Some(sent_at) = Time::parse(&time).filter(is_near) else {
///             return Ok(Judgement::refused("`acme-time` is too far from when it came"));
///         };
///         Ok(Judgement::Authentic(Proof { sent_at: Some(sent_at), ..Proof::by("acme-hmac") }))
///     }
/// }
///
/// Secret::grant("acme", ["a secret"]);
/// let tag = Secret::open("acme").unwrap().hmac_sha256(b"1786363200.{}");
/// let signed = Request::new("acme", "acme")
///     .with_header("acme-time", "1786363200")
///     .with_header("acme-signature", hex::encode(tag))
///     .with_received_at(Time::from_secs(1_786_363_201))
///     .with_body("{}");
/// assert!(matches!(Acme.verify(&signed), Ok(Judgement::Authentic(_))));
///
/// let forged = signed.with_body("{} ");
/// assert!(matches!(Acme.verify(&forged), Ok(Judgement::Refused(_))));
/// ```
pub trait Verify: Plugin {
    /// Whether the request is what the provider sent.
    ///
    /// A request that lacks something or is malformed is [`Judgement::Refused`]. An error says that the plugin cannot
    /// tell: the sender is to be answered 503, so that it sends again.
    fn verify(&self, request: &Request<'_>) -> Result<Judgement, Failure>;
}

/// What a verifier says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The provider sent it, and nobody has changed it: it is accepted.
    Authentic(Proof),
    /// It is not accepted, for this cause. The operator reads the cause among the refused requests; the sender sees
    /// 401 and nothing of it.
    Refused(String),
    /// A provider's challenge, as when an endpoint is registered: it is answered so, and nothing is stored.
    Answer(Reply),
}

impl Judgement {
    /// [`Judgement::Refused`] from anything that is text.
    pub fn refused(cause: impl Into<String>) -> Judgement {
        Judgement::Refused(cause.into())
    }
}

/// How a request proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The name of the method, such as `acme-hmac`. Events tell it as `verified`: `basic`, `static_header`,
    /// `query_token`, `path_key` and `none` as they are, and any other name as `signature`.
    pub method: String,
    /// The provider's id of the request, if it has one and the proof covers it; events tell it as
    /// `provider_delivery_id`. By itself it makes no duplicate: a header with this id counts for `dedupe`, where the
    /// manifest or the source names that header.
    pub delivery_id: Option<String>,
    /// When the provider sent it, if it says so and the proof covers it. It ends in the gateway's log, at `debug`: to
    /// refuse what is too old is the plugin's part.
    pub sent_at: Option<Time>,
    /// What else is to be known, by name: for the gateway's log too. No name has a meaning yet.
    pub extra: Vec<(String, String)>,
}

impl Proof {
    /// A proof by `method` that tells nothing else.
    pub fn by(method: impl Into<String>) -> Proof {
        Proof { method: method.into(), delivery_id: None, sent_at: None, extra: Vec::new() }
    }
}

/// An answer to the sender, in place of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, such as 200.
    pub status: u16,
    /// The content type, such as `text/plain`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}
