//! Both formats, brought into one shape.
//!
//! The first is `{id, eventArn, component, action, userId, timestamp, origin, destination, payload}`, the second
//! `{source, event, accountId, isProduction, payload, previousPayload?}`. The first one's `id` names the webhook's
//! definition and is the same in every delivery, so it identifies no event.

use billhook_plugin::{Failure, Fields, Json, Notes, Time};

/// A body, read.
#[derive(Clone)]
pub(crate) struct Envelope<'a> {
    /// `component:action` or `event`, as sent.
    pub(crate) name: String,
    /// Which format.
    pub(crate) version: &'static str,
    /// The object that was affected, or an array of them.
    pub(crate) payload: Option<Json<'a>>,
    /// The object as it was before.
    pub(crate) previous: Option<Json<'a>>,
    /// Who did it.
    pub(crate) user: Option<String>,
    /// The account at Abowire.
    pub(crate) account: Option<String>,
    /// When.
    pub(crate) at: Option<Time>,
    /// Whether it is no test.
    pub(crate) livemode: Option<bool>,
    /// What looked odd.
    pub(crate) notes: Notes,
}

impl<'a> Envelope<'a> {
    /// Reads a body. `outside` is the name that the source's rule found outside of it.
    pub(crate) fn read(body: Fields<'a>, outside: Option<&str>) -> Result<Envelope<'a>, Failure> {
        let mut notes = Notes::default();
        let second = body.text("event");
        let version = if second.is_some() { "v2" } else { "v1" };
        let outside = outside.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        let name = second.or_else(|| first(&body)).or_else(|| of_arn(&body, &mut notes)).or(outside);
        let Some(name) = name else {
            return Err(Failure::invalid(
                "nothing says which event this is: neither `component` and `action` nor `event` is there",
            ));
        };
        Ok(Envelope {
            name,
            version,
            payload: body.get("payload"),
            previous: body.get("previousPayload"),
            user: body.text("userId"),
            account: body.text("accountId"),
            at: body.time("timestamp"),
            livemode: body.flag("isProduction"),
            notes,
        })
    }

    /// How long the texts are that every draft has.
    pub(crate) fn beside_bytes(&self) -> usize {
        [Some(&self.name), self.user.as_ref(), self.account.as_ref()]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum()
    }

    /// Whether it is about many objects at once.
    pub(crate) fn is_bulk(&self) -> bool {
        self.name.to_ascii_lowercase().contains(":bulk-")
    }

    /// Whether it is about an account below that of the operator.
    pub(crate) fn is_of_subaccount(&self) -> bool {
        self.name.to_ascii_lowercase().starts_with("account-subaccount:")
    }
}

fn first(body: &Fields<'_>) -> Option<String> {
    Some(format!("{}:{}", body.text("component")?, body.text("action")?))
}

/// The last two parts of `eventArn`. Its form is not published, so it only stands in.
fn of_arn(body: &Fields<'_>, notes: &mut Notes) -> Option<String> {
    let arn = body.text("eventArn")?;
    let (rest, action) = arn.rsplit_once(':')?;
    let component = rest.rsplit(':').next()?;
    if component.is_empty() || action.is_empty() {
        return None;
    }
    notes.add("the event's name was taken from `eventArn`");
    Some(format!("{component}:{action}"))
}
