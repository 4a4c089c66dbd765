//! Which endpoints an event goes to.

use crate::model::endpoint::Endpoint;
use billhook_event::{Event, pattern};

pub use billhook_event::pattern::problem;

/// The endpoints that subscribe to `event`, in the order of their configuration.
pub fn targets<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>, event: &Event) -> Vec<&'a Endpoint> {
    endpoints.into_iter().filter(|endpoint| takes(endpoint, event)).collect()
}

fn takes(endpoint: &Endpoint, event: &Event) -> bool {
    let from = endpoint.sources.is_empty() || endpoint.sources.contains(&event.source);
    // A provider that tells no modes apart has only the one that counts.
    let mode = endpoint.terms.livemode.is_none_or(|mode| mode == event.livemode.unwrap_or(true));
    let everything = endpoint.events.is_empty();
    from && mode
        && (everything && matches("*", event)
            || endpoint.events.iter().any(|pattern| matches(pattern, event)))
}

fn matches(pattern: &str, event: &Event) -> bool {
    pattern::matches(pattern, &event.kind, &event.provider, &event.provider_event_type)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;
    use crate::model::endpoint::{DISABLE_AFTER, Terms};
    use crate::model::id::EndpointId;
    use crate::model::profile::Manner;
    use crate::model::retry::Schedule;
    use billhook_event::event::Stamp;
    use billhook_event::kind::KINDS;
    use billhook_event::{Draft, Raw, Verified};
    use std::time::Duration;

    fn event(source: &str, provider: &str, provider_event_type: &str, kind: &str) -> Event {
        let draft = Draft {
            kind: kind.to_owned(),
            provider_event_type: provider_event_type.to_owned(),
            ..Draft::default()
        };
        let stamp = Stamp {
            id: "evt_1".to_owned(),
            source: source.to_owned(),
            provider: provider.to_owned(),
            provider_delivery_id: None,
            received_at: Time::from_secs(1),
            ordering_key: "acme:shop:sub_1".to_owned(),
            verified: Verified::None,
            replayed: false,
            raw: Raw { webhook: "whk_1".to_owned(), sha256: String::new(), content_type: None, bytes: 0 },
            plugins: Vec::new(),
        };
        Event::new(stamp, draft)
    }

    fn endpoint(name: &str, events: &[&str], sources: &[&str]) -> Endpoint {
        Endpoint {
            id: EndpointId::derive(name),
            name: name.to_owned(),
            url: "https://app.example.com/".parse().unwrap(),
            secrets: Vec::new(),
            events: events.iter().map(ToString::to_string).collect(),
            sources: sources.iter().map(ToString::to_string).collect(),
            plugins: Vec::new(),
            schedule: Schedule::default(),
            timeout: Duration::from_secs(15),
            concurrency: 8,
            manner: Manner::default(),
            disable_after: DISABLE_AFTER,
            terms: Terms::default(),
        }
    }

    #[test]
    fn subscriptions_match_by_type_family_provider_name_and_source() {
        let canceled = event("shop", "acme", "sub:gone", "subscription.canceled");
        let unmapped = event("shop", "acme", "weather", "provider.unmapped");
        let cases: [(&[&str], &[&str], bool, bool); 20] = [
            (&[], &[], true, false),
            (&["*"], &[], true, false),
            (&["subscription.canceled"], &[], true, false),
            (&["subscription.*"], &[], true, false),
            (&["provider.*"], &[], false, true),
            (&["provider.unmapped"], &[], false, true),
            (&["*", "provider.*"], &[], true, true),
            (&["invoice.*", "subscription.canceled"], &[], true, false),
            (&["subscription.cancel"], &[], false, false),
            (&["sub.*"], &[], false, false),
            (&["invoice.paid"], &[], false, false),
            (&["acme/sub:gone"], &[], true, false),
            (&["acme/weather"], &[], false, true),
            (&["other/sub:gone"], &[], false, false),
            (&["acme/sub"], &[], false, false),
            (&["acme/*"], &[], true, true),
            (&["acme/s*"], &[], false, false),
            (&["other/*"], &[], false, false),
            (&[], &["shop", "club"], true, false),
            (&["*", "provider.*"], &["club"], false, false),
        ];
        for (events, sources, takes_canceled, takes_unmapped) in cases {
            let endpoint = endpoint("app", events, sources);
            assert_eq!(
                takes(&endpoint, &canceled),
                takes_canceled,
                "{events:?} {sources:?} {}",
                canceled.kind
            );
            assert_eq!(
                takes(&endpoint, &unmapped),
                takes_unmapped,
                "{events:?} {sources:?} {}",
                unmapped.kind
            );
        }
    }

    #[test]
    fn an_endpoint_of_one_mode_takes_what_does_not_say_its_own_for_live() {
        let mut event = event("shop", "acme", "paid", "invoice.paid");
        let cases = [
            (None, [true, true, true]),
            (Some(true), [true, false, true]),
            (Some(false), [false, true, false]),
        ];
        for (livemode, taken) in cases {
            let terms = Terms { livemode, ..Terms::default() };
            let endpoint = Endpoint { terms, ..endpoint("app", &[], &[]) };
            for (said, expected) in [Some(true), Some(false), None].into_iter().zip(taken) {
                event.livemode = said;
                assert_eq!(takes(&endpoint, &event), expected, "{livemode:?} {said:?}");
            }
        }
    }

    #[test]
    fn targets_keep_the_order_of_the_configuration_and_come_once() {
        let endpoints = [
            endpoint("c", &["invoice.paid", "invoice.*", "*"], &[]),
            endpoint("a", &[], &[]),
            endpoint("b", &["fee.*"], &[]),
        ];
        let paid = event("shop", "acme", "paid", "invoice.paid");
        let names: Vec<&str> =
            targets(&endpoints, &paid).iter().map(|endpoint| endpoint.name.as_str()).collect();
        assert_eq!(names, ["c", "a"]);
    }

    /// Every pattern that is not by a provider's name, spelled out as the list of types it stands for.
    fn types(pattern: &str) -> Vec<&'static str> {
        let family = |kind: &str| kind.split('.').next().unwrap_or_default().to_owned();
        KINDS
            .iter()
            .copied()
            .filter(|kind| match pattern {
                "*" => family(kind) != "provider",
                _ if pattern.ends_with(".*") => format!("{}.*", family(kind)) == pattern,
                _ => *kind == pattern,
            })
            .collect()
    }

    #[test]
    fn every_pattern_stands_for_the_types_it_spells() {
        let families = KINDS.iter().map(|kind| format!("{}.*", kind.split('.').next().unwrap()));
        let patterns = KINDS.iter().map(ToString::to_string).chain(families).chain(["*".to_owned()]);
        for pattern in patterns {
            assert_eq!(problem(&pattern), None);
            let endpoint = endpoint("app", &[&pattern], &[]);
            let taken: Vec<&str> = KINDS
                .iter()
                .copied()
                .filter(|kind| takes(&endpoint, &event("shop", "acme", "x", kind)))
                .collect();
            assert_eq!(taken, types(&pattern), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_match_nothing_are_named() {
        for pattern in
            ["", "invoice", "invoice.", "invoice.payed", "sub.*", "*.paid", "**", "acme/", "/paid", ".*"]
        {
            assert!(problem(pattern).is_some_and(|why| why.contains(&format!("`{pattern}`"))), "{pattern:?}");
        }
        assert_eq!(problem("acme/invoice:create"), None);
    }
}
