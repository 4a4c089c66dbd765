//! The exported functions, for any plugin type. [`crate::plugin!`] names the type and exports them.

use crate::bindings::{self, imports};
use crate::plugin::{FAILURE_BYTES_MAX, cut};
use crate::{
    Event, Failure, Filter, Judgement, Map, NoConfig, Normalize, Outgoing, Plugin, Request, Sending, Time,
    Transform, Verdict, Verify, Webhook,
};
use std::any::TypeId;
use std::cell::OnceCell;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::thread::LocalKey;

/// The room that is made for a document at first: few are longer.
const DOCUMENT_BYTES: usize = 2048;

/// What the component says it was written with.
pub const SDK: &str = concat!("billhook-plugin ", env!("CARGO_PKG_VERSION"));

/// [`SDK`] as the bytes of a custom section.
pub const fn sdk() -> [u8; SDK.len()] {
    let mut bytes = [0; SDK.len()];
    bytes.copy_from_slice(SDK.as_bytes());
    bytes
}

/// A plugin type with a place for its only value; implemented by [`crate::plugin!`].
pub trait Instance: Plugin + 'static {
    /// Where the value is kept once it is built.
    fn place() -> &'static LocalKey<OnceCell<Self>>;
}

/// What the exports are implemented for.
pub struct Exports<P>(PhantomData<P>);

/// Runs `call` with the plugin, which the first call of an instance builds from the configuration.
fn with<P: Instance, T>(call: impl FnOnce(&P) -> Result<T, Failure>) -> Result<T, imports::types::Failure> {
    let answer = P::place().with(|place| {
        let plugin = match place.get() {
            Some(plugin) => plugin,
            None => {
                crate::logger::install();
                let built = crate::plugin::build(&config::<P>())?;
                place.get_or_init(|| built)
            }
        };
        call(plugin)
    });
    answer.map_err(|failure| match failure {
        Failure::Invalid(why) => imports::types::Failure::Invalid(cut(why, FAILURE_BYTES_MAX)),
        Failure::Unavailable(why) => imports::types::Failure::Unavailable(cut(why, FAILURE_BYTES_MAX)),
        Failure::Other(why) => imports::types::Failure::Other(cut(why, FAILURE_BYTES_MAX)),
    })
}

/// The configuration as JSON. A plugin with nothing to set does not ask for it, nor import it.
fn config<P: Plugin>() -> Vec<u8> {
    match TypeId::of::<P::Config>() == TypeId::of::<NoConfig>() {
        true => b"{}".to_vec(),
        false => imports::config::json(),
    }
}

/// JSON for the gateway. A document that cannot be written is a defect of the plugin.
fn json(document: &impl serde::Serialize) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::with_capacity(DOCUMENT_BYTES);
    serde_json::to_writer(&mut text, document)?;
    Ok(text)
}

impl<P: Instance + Verify> bindings::verify::exports::billhook::plugin::verify::Guest for Exports<P> {
    fn verify(
        request: &imports::ingress::Request,
    ) -> Result<bindings::verify::exports::billhook::plugin::verify::Judgement, imports::types::Failure> {
        use bindings::verify::exports::billhook::plugin::verify as wit;
        with::<P, _>(|plugin| {
            Ok(match plugin.verify(&Request::from(request))? {
                Judgement::Authentic(proof) => wit::Judgement::Authentic(wit::Proof {
                    method: proof.method,
                    delivery_id: proof.delivery_id,
                    sent_at: proof.sent_at.map(Time::millis),
                    extra: proof.extra,
                }),
                Judgement::Refused(why) => wit::Judgement::Refused(why),
                Judgement::Answer(reply) => wit::Judgement::Answer(wit::Reply {
                    status: reply.status,
                    content_type: reply.content_type,
                    body: reply.body,
                }),
            })
        })
    }
}

impl<P: Instance + Normalize> bindings::normalize::exports::billhook::plugin::normalize::Guest
    for Exports<P>
{
    fn normalize(webhook: &imports::webhooks::Webhook) -> Result<Vec<Vec<u8>>, imports::types::Failure> {
        // Neither is taken apart again: the instance serves this call and is gone.
        with::<P, _>(|plugin| {
            let webhook = ManuallyDrop::new(Webhook::from(webhook));
            let mut drafts = ManuallyDrop::new(plugin.normalize(&webhook)?);
            let written = drafts.iter().map(json).collect::<Result<_, _>>()?;
            crate::draft::bounded(&mut drafts, written)
        })
    }
}

impl<P: Instance + Filter> bindings::filter::exports::billhook::plugin::filter::Guest for Exports<P> {
    fn filter(
        event: &imports::events::Event,
    ) -> Result<bindings::filter::exports::billhook::plugin::filter::Verdict, imports::types::Failure> {
        use bindings::filter::exports::billhook::plugin::filter as wit;
        with::<P, _>(|plugin| {
            Ok(match plugin.filter(&Event::from(event))? {
                Verdict::Keep => wit::Verdict::Keep,
                Verdict::Drop(why) => wit::Verdict::Drop(why),
            })
        })
    }
}

impl<P: Instance + Map> bindings::map::exports::billhook::plugin::map::Guest for Exports<P> {
    fn map(event: &imports::events::Event) -> Result<Option<Vec<u8>>, imports::types::Failure> {
        with::<P, _>(|plugin| plugin.map(&Event::from(event))?.as_ref().map(json).transpose())
    }
}

impl<P: Instance + Transform> bindings::transform::exports::billhook::plugin::transform::Guest
    for Exports<P>
{
    fn transform(
        outgoing: &imports::deliveries::Outgoing,
    ) -> Result<bindings::transform::exports::billhook::plugin::transform::Verdict, imports::types::Failure>
    {
        use bindings::transform::exports::billhook::plugin::transform as wit;
        with::<P, _>(|plugin| {
            Ok(match plugin.transform(&mut Outgoing::from(outgoing))? {
                Sending::Send => wit::Verdict::Send,
                Sending::Drop(why) => wit::Verdict::Drop(why),
            })
        })
    }
}
