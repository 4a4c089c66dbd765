//! Fixture folders, played natively.

use crate::check::BLESS;
use crate::plugin::build;
use crate::{
    Event, Failure, Filter, Judgement, Map, Normalize, Outgoing, Plugin, Request, Secret, Sending, Transform,
    Verdict, Verify, Webhook,
};
use billhook_event::kind;
use billhook_fixture::{About, Answer, Bytes, Input, Kind, Outcome, Post, Proof, Reply, Sent};
use std::path::Path;

/// A fixture: what a call is given, and what it should answer.
///
/// The folder has `input.json` (what the plugin is asked and given), `expected.json` (what it should answer) and, where
/// the plugin takes a configuration, `config.toml`. The guide, `docs/plugins/testing.md`, shows every shape.
#[derive(Debug)]
pub struct Fixture(billhook_fixture::Fixture);

/// The fixtures in `dir`, by name. Relative to the crate's root, where cargo runs tests.
///
/// ```no_run
/// # use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};
/// # struct Acme;
/// # impl Plugin for Acme {
/// #     type Config = NoConfig;
/// #     fn new(_: NoConfig) -> Result<Acme, Failure> { Ok(Acme) }
/// # }
/// # impl Normalize for Acme {
/// #     fn normalize(&self, _: &Webhook<'_>) -> Result<Vec<Draft>, Failure> { Ok(vec![]) }
/// # }
/// for fixture in billhook_plugin::testing::fixtures("fixtures") {
///     fixture.normalize::<Acme>();
/// }
/// ```
///
/// # Panics
/// If one cannot be read, or there is none.
pub fn fixtures(dir: impl AsRef<Path>) -> Vec<Fixture> {
    match billhook_fixture::Fixture::all(dir.as_ref()) {
        Ok(all) => all.into_iter().map(Fixture).collect(),
        Err(error) => panic!("{error}"),
    }
}

impl Fixture {
    /// What its folder is called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it asks the plugin to do. A plugin of several kinds asks this first.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Asks a verifier.
    ///
    /// # Panics
    /// If the answer is not the expected one, with every difference; with `BILLHOOK_BLESS` set, `expected.json` is
    /// written instead. Also if the fixture is for another kind.
    pub fn verify<P: Verify>(&self) {
        let Input::Request(given) = &self.0.input else { self.is_for_another(Kind::Verify) };
        let mut request = Request::new(&given.source, &given.provider)
            .with_method(&given.method)
            .with_path(&given.path)
            .with_query(&given.query)
            .with_received_at(given.received_at)
            .with_body(&given.body);
        for (name, value) in &given.headers {
            request = request.with_header(name, value);
        }
        if let Some(address) = &given.remote_address {
            request = request.with_remote_address(address);
        }
        self.settle(self.plugin::<P>().and_then(|plugin| plugin.verify(&request)).map(|judgement| {
            match judgement {
                Judgement::Authentic(proof) => Answer::Authentic(Proof {
                    method: proof.method,
                    delivery_id: proof.delivery_id,
                    sent_at: proof.sent_at,
                    extra: proof.extra.into_iter().collect(),
                }),
                Judgement::Refused(why) => Answer::Refused(why),
                // As the gateway has it.
                Judgement::Answer(reply) if !matches!(reply.status, 200..=299 | 400..=499) => {
                    Answer::Invalid(format!(
                        "its output is wrong: a reply of status {}, which is neither 2xx nor 4xx",
                        reply.status
                    ))
                }
                Judgement::Answer(reply) => Answer::Answer(Reply {
                    status: reply.status,
                    content_type: reply.content_type,
                    body: Bytes(reply.body),
                }),
            }
        }));
    }

    /// Asks a normalizer; otherwise as [`Fixture::verify`].
    pub fn normalize<P: Normalize>(&self) {
        let Input::Webhook(given) = &self.0.input else { self.is_for_another(Kind::Normalize) };
        let answer = self.plugin::<P>().and_then(|plugin| plugin.normalize(&webhook(given)));
        self.settle(answer.map(|drafts| {
            match drafts.iter().enumerate().find(|(_, draft)| !kind::is_known(&draft.kind)) {
                // As the gateway has it.
                Some((at, draft)) => Answer::Invalid(format!(
                    "its output is wrong: draft {at} has the type `{}`, which is no canonical type",
                    draft.kind
                )),
                None => Answer::Drafts(drafts),
            }
        }));
    }

    /// Asks a filter; otherwise as [`Fixture::verify`].
    pub fn filter<P: Filter>(&self) {
        let event = self.event(Kind::Filter);
        let answer = self.plugin::<P>().and_then(|plugin| plugin.filter(&event));
        self.settle(answer.map(|verdict| match verdict {
            Verdict::Keep => Answer::Keep,
            Verdict::Drop(why) => Answer::Drop(why),
        }));
    }

    /// Asks a map; otherwise as [`Fixture::verify`].
    pub fn map<P: Map>(&self) {
        let event = self.event(Kind::Map);
        let answer = self.plugin::<P>().and_then(|plugin| plugin.map(&event));
        self.settle(answer.map(|patch| Answer::Patch(patch.map(Box::new))));
    }

    /// Asks a transform; otherwise as [`Fixture::verify`].
    pub fn transform<P: Transform>(&self) {
        let Input::Outgoing(given) = &self.0.input else { self.is_for_another(Kind::Transform) };
        let mut outgoing = Outgoing::new(&given.endpoint, event(&given.about));
        let answer = self.plugin::<P>().and_then(|plugin| plugin.transform(&mut outgoing));
        self.settle(answer.map(|sending| match sending {
            Sending::Drop(why) => Answer::Drop(why),
            Sending::Send => Answer::Send(Sent {
                path: outgoing.path().map(str::to_owned),
                headers: outgoing.headers().into_iter().map(|(name, value)| (name, Bytes(value))).collect(),
                content_type: outgoing.content_type(),
                body: Bytes(outgoing.body().to_vec()),
            }),
        }));
    }

    /// The plugin with the fixture's configuration, clock and secrets.
    fn plugin<P: Plugin>(&self) -> Result<P, Failure> {
        crate::host::set_now(self.0.now);
        for (name, values) in &self.0.secrets {
            Secret::grant(name, values);
            // In the sandbox the manifest says whether it may: it is not known here.
            Secret::grant_reveal(name);
        }
        crate::logger::install();
        build(self.0.config.to_string().as_bytes())
    }

    fn event(&self, kind: Kind) -> Event<'static> {
        match &self.0.input {
            Input::Event(about) if self.0.kind == kind => event(about),
            _ => self.is_for_another(kind),
        }
    }

    fn is_for_another(&self, kind: Kind) -> ! {
        panic!("fixture `{}` is for `{}`, not for `{kind}`", self.0.name, self.0.kind)
    }

    /// Takes what was granted back, and holds the answer against what is expected.
    fn settle(&self, answer: Result<Answer, Failure>) {
        for name in self.0.secrets.keys() {
            Secret::grant(name, [""; 0]);
        }
        let answer = answer.unwrap_or_else(|failure| match failure {
            Failure::Invalid(why) => Answer::Invalid(why),
            Failure::Unavailable(why) => Answer::Unavailable(why),
            Failure::Other(why) => Answer::Other(why),
        });
        let bless = std::env::var_os(BLESS).is_some();
        let name = &self.0.name;
        match self.0.judge(&answer, bless) {
            Ok(Outcome::Same | Outcome::Blessed) => {}
            Ok(Outcome::Unexpected) => {
                let found = answer.tree().map(|tree| tree.pretty()).unwrap_or_default();
                panic!("fixture `{name}` has no expected.json; set {BLESS}=1 to write it:\n{found}")
            }
            Ok(Outcome::Differs(differences)) => {
                let told: Vec<_> = differences.iter().map(ToString::to_string).collect();
                panic!(
                    "fixture `{name}` is answered otherwise; set {BLESS}=1 to take the answer:\n{}",
                    told.join("\n")
                )
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn event(about: &About) -> Event<'static> {
    let event = Event::new(about.event.clone()).with_raw(webhook(&about.webhook));
    about.seen.iter().fold(event, |event, (kind, at)| event.seen(kind, *at))
}

fn webhook(given: &Post) -> Webhook<'static> {
    let mut webhook = Webhook::new(&given.source, &given.provider)
        .with_received_at(given.received_at)
        .with_body(&given.body);
    for (name, value) in &given.headers {
        webhook = webhook.with_header(name, value);
    }
    for (name, value) in &given.query {
        webhook = webhook.with_query(name, value);
    }
    if let Some(name) = &given.event_name {
        webhook = webhook.with_event_name(name);
    }
    if let Some(id) = &given.delivery_id {
        webhook = webhook.with_delivery_id(id);
    }
    webhook
}

#[cfg(test)]
mod tests {
    use super::fixtures;
    use crate::{
        Draft, Event, Failure, Filter, Judgement, Normalize, Plugin, Reply, Request, Secret, Verdict, Verify,
        Webhook,
    };
    use std::fs;
    use std::panic::catch_unwind;

    struct Acme {
        least: u32,
    }

    #[derive(serde::Deserialize)]
    struct Config {
        least: u32,
    }

    impl Plugin for Acme {
        type Config = Config;
        fn new(Config { least }: Config) -> Result<Acme, Failure> {
            log::info!("built with {least}");
            if least == 0 {
                return Err(Failure::invalid("`least` is nothing"));
            }
            Ok(Acme { least })
        }
    }

    impl Normalize for Acme {
        fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
            let kind = webhook.fields()?.text("event").unwrap_or_default();
            Ok(vec![Draft { kind, occurred_at: Some(crate::now()), ..Draft::default() }])
        }
    }

    impl Filter for Acme {
        fn filter(&self, event: &Event<'_>) -> Result<Verdict, Failure> {
            let invoices = event.raw().and_then(|webhook| webhook.count("/lines")).unwrap_or_default();
            Ok(if invoices < self.least { Verdict::Drop("too few".into()) } else { Verdict::Keep })
        }
    }

    impl Verify for Acme {
        fn verify(&self, request: &Request<'_>) -> Result<Judgement, Failure> {
            if let Some(status) = request.header("x-status").and_then(|status| status.parse().ok()) {
                return Ok(Judgement::Answer(Reply { status, content_type: "a/b".into(), body: Vec::new() }));
            }
            let secret = Secret::open("acme").ok_or_else(|| Failure::other("not granted"))?;
            assert!(secret.reveal().is_some_and(|values| values == [b"s"]), "it is revealed too");
            Ok(Judgement::refused(format!("{}", secret.equals(request.body()))))
        }
    }

    /// What playing a fixture of these files with `least = 2` panics with.
    fn played(
        input: &str,
        expected: Option<&str>,
        play: impl Fn(&super::Fixture) + std::panic::RefUnwindSafe,
    ) -> Option<String> {
        configured("least = 2", input, expected, play)
    }

    fn configured(
        config: &str,
        input: &str,
        expected: Option<&str>,
        play: impl Fn(&super::Fixture) + std::panic::RefUnwindSafe,
    ) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("one");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("input.json"), input).unwrap();
        fs::write(folder.join("config.toml"), config).unwrap();
        if let Some(expected) = expected {
            fs::write(folder.join("expected.json"), expected).unwrap();
        }
        let panicked = catch_unwind(|| play(&fixtures(dir.path())[0])).err()?;
        panicked.downcast_ref::<String>().cloned()
    }

    #[test]
    fn a_fixture_holds_a_plugin_to_its_answer() {
        let paid = r#"{"kind":"normalize","now":"2026-08-10T12:00:00Z","webhook":{"body":{"event":"invoice.paid"}}}"#;
        let draft = r#"{"drafts":[{"type":"invoice.paid","provider_event_type":"","occurred_at":"2026-08-10T12:00:00.000Z"}]}"#;
        let normalize = |fixture: &super::Fixture| fixture.normalize::<Acme>();
        assert_eq!(played(paid, Some(draft), normalize), None);
        let told = played(paid, Some(&draft.replace("paid", "sent")), normalize).unwrap();
        assert!(
            told.contains("/drafts/0/type\n  expected  \"invoice.sent\"\n  found     \"invoice.paid\""),
            "{told}"
        );
        let told = played(paid, None, normalize).unwrap();
        assert!(told.contains("has no expected.json") && told.contains("\"drafts\""), "{told}");
        let told = played(paid, Some(draft), |fixture| fixture.filter::<Acme>()).unwrap();
        assert!(told.contains("is for `normalize`, not for `filter`"), "{told}");
        let odd = paid.replace("invoice.paid", "invoice.eaten");
        let wrong = r#"{"invalid":"its output is wrong: draft 0 has the type `invoice.eaten`, which is no canonical type"}"#;
        assert_eq!(played(&odd, Some(wrong), normalize), None);
    }

    #[test]
    fn configuration_webhook_and_secrets_are_the_fixtures() {
        let event = r#"{"kind":"filter","event":{},"webhook":{"body":{"lines":[1]}}}"#;
        let filter = |fixture: &super::Fixture| fixture.filter::<Acme>();
        assert_eq!(played(event, Some(r#"{"drop":"too few"}"#), filter), None);
        assert_eq!(played(&event.replace("[1]", "[1,2]"), Some("\"keep\""), filter), None);
        let request = r#"{"kind":"verify","secrets":{"acme":["s"]},"request":{"body":"s"}}"#;
        let verify = |fixture: &super::Fixture| fixture.verify::<Acme>();
        assert_eq!(played(request, Some(r#"{"refused":"true"}"#), verify), None);
        assert!(Secret::open("acme").is_none(), "it is taken back");
        // A plugin that cannot be built is no fault of the input.
        for (config, why) in
            [("least = 0", "`least` is nothing"), ("", "config: missing field `least` at line 1 column 2")]
        {
            let told = serde_json::json!({ "other": why }).to_string();
            assert_eq!(configured(config, event, Some(&told), filter), None, "{config}");
        }
        let asked = |status: u16| {
            format!(r#"{{"kind":"verify","request":{{"headers":{{"x-status":"{status}"}},"body":""}}}}"#)
        };
        let refused =
            r#"{"invalid":"its output is wrong: a reply of status 302, which is neither 2xx nor 4xx"}"#;
        assert_eq!(played(&asked(302), Some(refused), verify), None);
        assert_ne!(played(&asked(204), Some(refused), verify), None);
    }
}
