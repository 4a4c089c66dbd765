//! The event around the object.

use billhook_plugin::{Failure, Fields, Json, Time};

/// An event, taken apart.
pub(crate) struct Envelope<'a> {
    pub(crate) id: Option<String>,
    /// The event's name as sent.
    pub(crate) name: String,
    /// The id of the object of an event that has ids only.
    pub(crate) related: Option<String>,
    /// The connected account that it happened to.
    pub(crate) account: Option<String>,
    pub(crate) api_version: Option<String>,
    pub(crate) livemode: Option<bool>,
    /// When it happened.
    pub(crate) created: Option<Time>,
    /// `data.object`; empty where the event has ids only.
    pub(crate) object: Fields<'a>,
    /// `data.previous_attributes`, where it is an object: what an update changed.
    pub(crate) previous: Option<(Json<'a>, Fields<'a>)>,
    /// Whether there is no object.
    pub(crate) thin: bool,
}

impl<'a> Envelope<'a> {
    /// Reads a body. `outside` is the name that the source's rule found outside of it.
    pub(crate) fn read(body: Fields<'a>, outside: Option<&str>) -> Result<Envelope<'a>, Failure> {
        let name = body.text("type").or_else(|| outside.map(str::to_owned));
        let name =
            name.ok_or_else(|| Failure::invalid("the body has no `type`: it is no event of Stripe's"))?;
        let data = body.fields("data").unwrap_or_default();
        let object = data.fields("object");
        let previous = data.get("previous_attributes");
        let thin = object.is_none();
        Ok(Envelope {
            id: body.text("id"),
            name,
            related: thin.then(|| body.text_at("/related_object/id")).flatten(),
            account: body.text("account").or_else(|| body.text("context")),
            api_version: body.text("api_version"),
            livemode: body.flag("livemode"),
            created: body.time("created"),
            thin,
            object: object.unwrap_or_default(),
            previous: previous.and_then(|json| Some((json, json.fields()?))),
        })
    }

    /// The name that the event has where its object is in it: thin ones have `v1.` before it.
    pub(crate) fn full_name(&self) -> &str {
        self.name.strip_prefix("v1.").unwrap_or(&self.name)
    }

    /// What kind of object the event is about, as its name begins: `customer.subscription`, `invoice`, ...
    pub(crate) fn about(&self) -> &str {
        self.full_name().rsplit_once('.').map_or("", |(about, _)| about)
    }
}

/// The id of another object, which stands there as its id or, expanded, as itself.
pub(crate) fn id_of(object: &Fields<'_>, name: &str) -> Option<String> {
    object.text(name).or_else(|| object.fields(name)?.text("id"))
}
