//! The two envelopes, read into one shape: a name, and objects by key.

use crate::catalogue::object_key;
use billhook_plugin::Fields;

/// A body, with every object that stands in it.
pub(crate) struct Envelope<'a> {
    /// The event's name as sent, or as documented for an alert that is sent without; bodies from before August 2025
    /// have none.
    pub(crate) name: Option<String>,
    /// The members beside the objects.
    pub(crate) body: Fields<'a>,
    objects: Vec<(String, Fields<'a>)>,
    main: Option<usize>,
}

impl<'a> Envelope<'a> {
    /// Reads a body. `outside` is the name that the source's rule found outside of it.
    pub(crate) fn read(body: Fields<'a>, outside: Option<&str>) -> Envelope<'a> {
        let name = body.text("event_type").or_else(|| body.text("webhook_type"));
        let name = name.or_else(|| outside.map(str::to_owned));
        let name = name.or_else(|| alert_name(&body).map(str::to_owned));
        let key = name.as_deref().and_then(object_key);
        let mut objects = Vec::new();
        match body.fields("data").and_then(|data| data.fields("object")) {
            // {"webhook_type", "object_type", "data": {"object": {...}}}
            Some(object) => {
                let key = key.map(str::to_owned).or_else(|| body.text("object_type"));
                objects.push((key.unwrap_or_default(), object));
            }
            // {"event_type", "subscription": {...}}: every object under its own key
            None => {
                let named =
                    body.iter().filter_map(|(key, value)| Some((canonical(key).to_owned(), value.fields()?)));
                objects.extend(named);
            }
        }
        let main = key.and_then(|key| objects.iter().position(|(known, _)| known == key));
        let main =
            main.or_else(|| CLUES.iter().find_map(|key| objects.iter().position(|(known, _)| known == key)));
        Envelope { name, body, objects, main }
    }

    /// The object that bears `key`.
    pub(crate) fn object(&self, key: &str) -> Option<&Fields<'a>> {
        self.objects.iter().find(|(known, _)| known == key).map(|(_, object)| object)
    }

    /// The object that the event is about, with its key.
    pub(crate) fn main(&self) -> Option<(&str, &Fields<'a>)> {
        self.main.map(|at| (self.objects[at].0.as_str(), &self.objects[at].1))
    }

    /// A text of the main object, else one beside the objects, else of any object.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let main = self.main().and_then(|(_, object)| object.text(name));
        let anywhere = || self.objects.iter().find_map(|(_, object)| object.text(name));
        main.or_else(|| self.body.text(name)).or_else(anywhere)
    }
}

/// The documented name of an alert that Flexprice sends without one.
fn alert_name(body: &Fields<'_>) -> Option<&'static str> {
    if body.get("entitlement_grant_id").is_some() {
        return Some("entitlement.grant.exhausted");
    }
    body.get("current_spend")?;
    let has = |fields: [&str; 2]| fields.iter().any(|field| body.get(field).is_some());
    let is_calm = alert_status(body).is_some_and(|status| status == "ok");
    Some(match (has(["group_id", "group"]), has(["subscription_line_item_id", "subscription_line_item"])) {
        (true, _) if is_calm => "subscription.group_spend.threshold_recovered",
        (true, _) => "subscription.group_spend.threshold_reached",
        (_, true) if is_calm => "subscription.line_item_spend.threshold_recovered",
        (_, true) => "subscription.line_item_spend.threshold_reached",
        _ if is_calm => "subscription.spend.threshold_recovered",
        _ => "subscription.spend.threshold_reached",
    })
}

/// The status of an alert, under its name of now or of before.
pub(crate) fn alert_status(body: &Fields<'_>) -> Option<String> {
    body.text("alert_status").or_else(|| body.text("alert_state"))
}

/// Which object a body without a known name is about: the first of these that it has.
const CLUES: &[&str] = &[
    "phase",
    "entitlement_grant",
    "transaction",
    "credit_note",
    "payment",
    "invoice",
    "checkout_session",
    "event",
    "fee",
    "billable_metric",
    "wallet",
    "entitlement",
    "feature",
    "subscription",
    "customer",
];

/// One name for the spellings of a key.
fn canonical(key: &str) -> &str {
    match key {
        "updated_transaction" | "wallet_transaction" => "transaction",
        "subscription_phase" => "phase",
        _ => key,
    }
}
