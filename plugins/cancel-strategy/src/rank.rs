//! The order of the nine strategies: the reason's own first, then what tenure and revenue ask for.
//!
//! The rules are numbered as the README numbers them. They are applied in the order 2, 3, 5, 4, so that a person's
//! attention, where revenue asks for it, has the last word.

use crate::config::Settings;
use crate::reason::{Match, Reading};
use crate::strategy::Strategy;
use billhook_plugin::Money;
use billhook_plugin::model::{Matched, Retention, Variant};
use std::collections::BTreeMap;

/// What the rules go by, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Days since the customer came.
    pub(crate) tenure_days: Option<u32>,
    /// Whether the trial still runs.
    pub(crate) trialing: bool,
    /// Monthly recurring revenue.
    pub(crate) mrr: Option<Money>,
    /// The plan's billing interval.
    pub(crate) interval: Option<String>,
    /// The plan's id and name.
    pub(crate) plan: Vec<String>,
}

/// Chooses and ranks. Total and deterministic: all nine strategies stand in the answer once, ranked 1 to 9.
pub(crate) fn rank(settings: &Settings, reading: &Reading, facts: &Facts) -> Retention {
    let mut ranking = Ranking::new(reading);
    let config = &settings.written;
    ranking.new_customer(settings, facts);
    let long_standing = ranking.long_standing(settings, facts);
    ranking.plan(settings, reading, facts);
    let requires_human = ranking.revenue(settings, reading, facts);
    ranking.skipped.push("rule 6 (an earlier discount): offers made before are not known".to_owned());

    let percent = if long_standing { config.discount_percent_long_tenure } else { config.discount_percent };
    let extension = facts.trialing.then(|| ("trial_extension_days", i64::from(config.trial_extension_days)));
    let params = |strategy| {
        let own: &[(&str, i64)] = match strategy {
            Strategy::Discount => {
                &[("percent", i64::from(percent)), ("months", i64::from(config.discount_months))]
            }
            Strategy::PauseOption => &[("pause_days", i64::from(config.pause_days))],
            Strategy::UnusedFeature => &[("feature_unlock_days", i64::from(config.feature_unlock_days))],
            Strategy::ValueRecap
            | Strategy::SocialProof
            | Strategy::PainPointFix
            | Strategy::FounderEmail
            | Strategy::FeedbackRequest
            | Strategy::DowngradeOffer => &[],
        };
        let extends = matches!(strategy, Strategy::UnusedFeature | Strategy::ValueRecap);
        let mut params = BTreeMap::new();
        for (name, value) in own.iter().copied().chain(extension.filter(|_| extends)) {
            params.insert(name.to_owned(), value);
        }
        params
    };
    let Ranking { order, mut reasons, skipped } = ranking;
    let variants: Vec<Variant> = (1..)
        .zip(order)
        .map(|(rank, strategy)| {
            let eligible = !config.never.contains(&strategy);
            let mut reasons = std::mem::take(&mut reasons[strategy as usize]);
            if !eligible {
                reasons.push("the configuration says never to offer it".to_owned());
            }
            Variant {
                strategy: strategy.name().to_owned(),
                rank,
                eligible,
                reasons,
                params: params(strategy),
            }
        })
        .collect();
    Retention {
        kind: "retention".to_owned(),
        primary: variants.iter().find(|variant| variant.eligible).map(|variant| variant.strategy.clone()),
        variants,
        matched: Some(match &reading.matched {
            Match::Code(code) => Matched { by: "code".to_owned(), value: Some(code.clone()) },
            Match::Keyword(words) => Matched { by: "keyword".to_owned(), value: Some(words.clone()) },
            Match::Fallback => Matched { by: "fallback".to_owned(), value: None },
        }),
        requires_human,
        skipped_rules: skipped,
    }
}

/// The order so far and why it is so.
struct Ranking {
    order: Vec<Strategy>,
    /// By strategy, in the order of [`Strategy::ALL`].
    reasons: [Vec<String>; Strategy::ALL.len()],
    skipped: Vec<String>,
}

impl Ranking {
    /// The order that the reason alone gives.
    fn new(reading: &Reading) -> Ranking {
        let matched = reading.also.iter().map(|(strategy, _)| *strategy);
        let mut order = Vec::with_capacity(Strategy::ALL.len());
        for strategy in [reading.primary].into_iter().chain(matched).chain(Strategy::ALL) {
            if !order.contains(&strategy) {
                order.push(strategy);
            }
        }
        let mut ranking = Ranking { order, reasons: Default::default(), skipped: Vec::new() };
        ranking.say(
            reading.primary,
            match &reading.matched {
                Match::Code(code) => format!("the reason code is `{code}`"),
                Match::Keyword(words) => format!("the reason says `{words}`"),
                Match::Fallback => "the reason says nothing that calls for another strategy".to_owned(),
            },
        );
        for (strategy, words) in &reading.also {
            ranking.say(*strategy, format!("the reason also says `{words}`"));
        }
        ranking
    }

    /// Rule 2: no discount first for somebody who has only just come.
    fn new_customer(&mut self, settings: &Settings, facts: &Facts) {
        let days = settings.written.new_customer_days;
        let why = match facts.tenure_days {
            _ if facts.trialing => "the trial still runs".to_owned(),
            Some(tenure) if tenure < days => format!("a customer for {tenure} days, fewer than {days}"),
            Some(_) => return,
            None => return self.skip("rule 2 (new customers): the tenure is unknown"),
        };
        let below = [Strategy::ValueRecap, Strategy::UnusedFeature, Strategy::FeedbackRequest];
        self.demote(Strategy::Discount, &below, format!("rule 2: demoted, {why}"));
    }

    /// Rule 3: a long-standing customer hears from people. Says whether the customer is one.
    fn long_standing(&mut self, settings: &Settings, facts: &Facts) -> bool {
        let Some(tenure) = facts.tenure_days else {
            self.skip("rule 3 (long-standing customers): the tenure is unknown");
            return false;
        };
        if tenure < settings.written.long_tenure_days {
            return false;
        }
        for strategy in self.order.clone() {
            let at = self.place(strategy);
            // The first place is the reason's: this rule does not take it away.
            if matches!(strategy, Strategy::FounderEmail | Strategy::SocialProof) && at >= 2 {
                self.order.swap(at, at - 1);
                self.say(strategy, format!("rule 3: promoted by one, a customer for {tenure} days"));
            }
        }
        let percent = settings.written.discount_percent_long_tenure;
        self.say(
            Strategy::Discount,
            format!("rule 3: up to {percent} percent, a customer for {tenure} days"),
        );
        true
    }

    /// Rule 5: a smaller plan goes with a price complaint; a year that is paid for is not paused.
    fn plan(&mut self, settings: &Settings, reading: &Reading, facts: &Facts) {
        let cheaper = facts.plan.iter().find_map(|plan| settings.written.cheaper_plans.get(plan));
        match cheaper {
            _ if !reading.about_price => {}
            Some(plan) => {
                let after = self.place(Strategy::Discount);
                let at = self.place(Strategy::DowngradeOffer);
                self.order.remove(at);
                self.order.insert(if at < after { after } else { after + 1 }, Strategy::DowngradeOffer);
                self.say(Strategy::DowngradeOffer, format!("rule 5: price matters and `{plan}` is cheaper"));
            }
            None => self.skip("rule 5 (a cheaper plan): no cheaper plan than this one is known"),
        }
        match facts.interval.as_deref() {
            Some("year") => {
                let below = [Strategy::ValueRecap, Strategy::FeedbackRequest];
                self.demote(Strategy::PauseOption, &below, "rule 5: demoted, the plan is annual".to_owned());
            }
            Some(_) => {}
            None => self.skip("rule 5 (annual plans): the billing interval is unknown"),
        }
    }

    /// Rule 4: much revenue deserves a person, little does not pay for one. Says whether a person should act.
    fn revenue(&mut self, settings: &Settings, reading: &Reading, facts: &Facts) -> bool {
        let Some(mrr) = &facts.mrr else {
            self.skip("rule 4 (revenue): the monthly revenue is unknown");
            return false;
        };
        let currency = &settings.currency;
        if mrr.currency != *currency {
            self.skip(&format!("rule 4 (revenue): it is in {}, and `currency` is {currency}", mrr.currency));
            return false;
        }
        let amount = mrr.major();
        if amount >= settings.high_mrr {
            let first = reading.matched == Match::Fallback || self.order[0] == Strategy::FounderEmail;
            let at = self.place(Strategy::FounderEmail);
            self.order.remove(at);
            self.order.insert(usize::from(!first), Strategy::FounderEmail);
            let high = settings.high_mrr;
            self.say(
                Strategy::FounderEmail,
                format!("rule 4: promoted, {amount} {currency} a month is at least {high}"),
            );
            return true;
        }
        if amount < settings.low_mrr {
            let low = settings.low_mrr;
            let why = format!("rule 4: demoted, {amount} {currency} a month is less than {low}");
            self.demote(Strategy::FounderEmail, &[Strategy::PainPointFix, Strategy::FeedbackRequest], why);
        }
        false
    }

    /// Puts those of `below` that stand after `strategy` directly before it.
    fn demote(&mut self, strategy: Strategy, below: &[Strategy], why: String) {
        for other in below {
            let (at, own) = (self.place(*other), self.place(strategy));
            if own < at {
                self.order.remove(at);
                self.order.insert(own, *other);
                self.say(*other, format!("stands in for `{}`", strategy.name()));
            }
        }
        self.say(strategy, why);
    }

    fn place(&self, strategy: Strategy) -> usize {
        self.order.iter().position(|other| *other == strategy).expect("the order always holds all nine")
    }

    fn say(&mut self, strategy: Strategy, reason: String) {
        self.reasons[strategy as usize].push(reason);
    }

    fn skip(&mut self, rule: &str) {
        self.skipped.push(rule.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::{Facts, rank};
    use crate::config::{Config, Settings};
    use crate::reason::Said;
    use crate::strategy::Strategy;
    use billhook_plugin::Money;
    use billhook_plugin::model::{Retention, Variant};

    fn ranked(config: &str, reason: &str, facts: &Facts) -> Retention {
        let settings = Settings::new(serde_json::from_str::<Config>(config).unwrap()).unwrap();
        let reading = settings.tables.read(Said { reason: Some(reason), ..Said::default() });
        rank(&settings, &reading, facts)
    }

    fn order(retention: &Retention) -> Vec<&str> {
        retention.variants.iter().map(|variant| variant.strategy.as_str()).collect()
    }

    fn variant<'a>(retention: &'a Retention, strategy: &str) -> &'a Variant {
        retention.variants.iter().find(|variant| variant.strategy == strategy).unwrap()
    }

    /// Facts that trigger no rule.
    fn plain() -> Facts {
        Facts {
            tenure_days: Some(100),
            trialing: false,
            mrr: Money::from_minor(10_000, "USD"),
            interval: Some("month".to_owned()),
            plan: vec!["pro".to_owned()],
        }
    }

    #[test]
    fn without_rules_the_reason_comes_first_then_what_else_matched_then_the_rest() {
        let retention = ranked("{}", "switching, and full of bugs", &plain());
        assert_eq!(
            order(&retention),
            [
                "value_recap",
                "founder_email",
                "discount",
                "unused_feature",
                "social_proof",
                "pain_point_fix",
                "pause_option",
                "feedback_request",
                "downgrade_offer"
            ]
        );
        assert_eq!(variant(&retention, "value_recap").reasons, ["the reason says `switching`"]);
        assert_eq!(variant(&retention, "founder_email").reasons, ["the reason also says `bugs`"]);
        assert!(!retention.requires_human);
        assert_eq!(retention.skipped_rules.len(), 1);
        assert!(retention.skipped_rules[0].starts_with("rule 6"));
    }

    #[test]
    fn rule_2_no_discount_first_for_new_customers_and_trials() {
        for (tenure_days, trialing, demoted) in [
            (Some(0), false, true),
            (Some(29), false, true),
            (Some(30), false, false),
            (Some(200), true, true),
            (None, true, true),
            (None, false, false),
        ] {
            let facts = Facts { tenure_days, trialing, ..plain() };
            let retention = ranked("{}", "too expensive", &facts);
            let expected = if demoted { "value_recap" } else { "discount" };
            assert_eq!(retention.primary.as_deref(), Some(expected), "{tenure_days:?} {trialing}");
            if demoted {
                let head = &order(&retention)[..4];
                assert_eq!(head, ["value_recap", "unused_feature", "feedback_request", "discount"]);
            }
            let extension = variant(&retention, "value_recap").params.get("trial_extension_days");
            assert_eq!(extension.is_some(), trialing, "{tenure_days:?}");
        }
    }

    #[test]
    fn rule_3_long_standing_customers_hear_from_people_and_get_more() {
        let facts = Facts { tenure_days: Some(365), ..plain() };
        let retention = ranked("{}", "the price", &facts);
        assert_eq!(
            order(&retention),
            [
                "discount",
                "unused_feature",
                "social_proof",
                "value_recap",
                "founder_email",
                "pain_point_fix",
                "pause_option",
                "feedback_request",
                "downgrade_offer"
            ]
        );
        assert_eq!(variant(&retention, "discount").params["percent"], 35);
        assert_eq!(variant(&ranked("{}", "the price", &plain()), "discount").params["percent"], 25);
        let both = ranked("{}", "price and bugs", &facts);
        assert_eq!(order(&both)[..2], ["discount", "founder_email"], "the reason's own place is not taken");
    }

    #[test]
    fn rule_4_revenue_in_the_reporting_currency_decides_about_a_person() {
        let at = |minor, currency, reason| {
            let facts = Facts { mrr: Money::from_minor(minor, currency), ..plain() };
            ranked("{}", reason, &facts)
        };
        let high = at(50_000, "USD", "the price");
        assert!(high.requires_human);
        assert_eq!(order(&high)[..2], ["discount", "founder_email"]);
        assert_eq!(at(50_000, "USD", "").primary.as_deref(), Some("founder_email"));
        assert!(!at(49_999, "USD", "the price").requires_human);

        let low = at(1_999, "USD", "full of bugs");
        assert_eq!(order(&low)[..3], ["pain_point_fix", "feedback_request", "founder_email"]);
        assert_eq!(at(2_000, "USD", "full of bugs").primary.as_deref(), Some("founder_email"));

        for (minor, currency) in [(50_000, "EUR"), (1, "JPY")] {
            let other = at(minor, currency, "full of bugs");
            assert_eq!(other.primary.as_deref(), Some("founder_email"));
            assert!(!other.requires_human);
            assert!(
                other
                    .skipped_rules
                    .contains(&format!("rule 4 (revenue): it is in {currency}, and `currency` is USD"))
            );
        }
        let yen = Facts { mrr: Money::from_minor(500, "JPY"), ..plain() };
        assert!(ranked(r#"{"currency":"jpy"}"#, "", &yen).requires_human, "500 yen are 500.00 major units");
    }

    #[test]
    fn rule_5_a_cheaper_plan_follows_the_discount_and_a_year_is_not_paused() {
        let config = r#"{"cheaper_plans":{"pro":"basic"}}"#;
        let retention = ranked(config, "price", &plain());
        assert_eq!(order(&retention)[..2], ["discount", "downgrade_offer"]);
        assert!(variant(&retention, "downgrade_offer").reasons[0].contains("`basic`"));
        assert_eq!(order(&ranked(config, "full of bugs", &plain()))[8], "downgrade_offer");
        let unknown = ranked("{}", "price", &plain());
        assert!(unknown.skipped_rules.iter().any(|rule| rule.starts_with("rule 5 (a cheaper plan)")));

        let annual = Facts { interval: Some("year".to_owned()), ..plain() };
        let retention = ranked("{}", "need a break", &annual);
        assert_eq!(order(&retention)[..3], ["value_recap", "feedback_request", "pause_option"]);
    }

    #[test]
    fn rule_7_what_is_unknown_is_skipped_and_listed() {
        let retention = ranked("{}", "too expensive", &Facts::default());
        assert_eq!(retention.primary.as_deref(), Some("discount"));
        let rules: Vec<_> = retention.skipped_rules.iter().map(|rule| &rule[..6]).collect();
        assert_eq!(rules, ["rule 2", "rule 3", "rule 5", "rule 5", "rule 4", "rule 6"]);
    }

    #[test]
    fn what_is_never_offered_stays_ranked_and_is_not_primary() {
        let retention = ranked(r#"{"never":["discount","unused_feature"]}"#, "too expensive", &plain());
        assert_eq!(order(&retention)[..2], ["discount", "unused_feature"]);
        assert_eq!(retention.primary.as_deref(), Some("value_recap"));
        assert!(!variant(&retention, "discount").eligible);
        let all = serde_json::json!({ "never": Strategy::ALL }).to_string();
        assert_eq!(ranked(&all, "too expensive", &plain()).primary, None);
    }

    /// Texts that hit one row, several and none, and others put together from pieces by a seeded generator.
    fn texts() -> Vec<String> {
        let pieces = [
            "too",
            "expensive",
            "price",
            "cost",
            "not",
            "using",
            "don\u{2019}t",
            "use",
            "missing",
            "feature",
            "need",
            "switching",
            "break",
            "bug",
            "other",
            "poor_support",
            ":",
            ",",
            "'",
            "\u{1f4b8}\u{200d}",
            "\u{0}",
            "\u{212b}\u{130}\u{df}",
            "\u{d7ff}",
            "\u{9ad8}",
            "\u{301}",
            "to cancel",
            "",
            "\n",
            "_",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        let chosen =
            ["", "missing feature", "price, pause, bug, switching, don't use, need y", "''''", "::: other"];
        let mut texts = chosen.map(str::to_owned).to_vec();
        for _ in 0..30 {
            let words: Vec<&str> = (0..next(12)).map(|_| pieces[next(pieces.len())]).collect();
            texts.push(words.join(["", " "][next(2)]));
        }
        texts
    }

    #[test]
    fn the_choice_is_total_and_always_the_same() {
        let mut all = Strategy::ALL.map(Strategy::name);
        all.sort_unstable();
        let amounts =
            [None, Some((0, "USD")), Some((i64::MAX, "USD")), Some((i64::MIN, "USD")), Some((5, "EUR"))];
        let mut facts = Vec::new();
        for tenure_days in [None, Some(0), Some(30), Some(365), Some(u32::MAX)] {
            for amount in amounts {
                for (trialing, interval) in [(false, None), (true, Some("year")), (false, Some("month"))] {
                    let mrr = amount.and_then(|(minor, currency)| Money::from_minor(minor, currency));
                    let (interval, plan) = (interval.map(str::to_owned), vec!["pro".to_owned()]);
                    facts.push(Facts { tenure_days, trialing, mrr, interval, plan });
                }
            }
        }
        for config in ["{}", r#"{"never":["discount","founder_email"],"cheaper_plans":{"pro":"basic"}}"#] {
            let settings = Settings::new(serde_json::from_str::<Config>(config).unwrap()).unwrap();
            for text in texts() {
                let said = Said { reason: Some(&text), comment: Some(&text), code: None };
                for facts in &facts {
                    let retention = rank(&settings, &settings.tables.read(said), facts);
                    assert_eq!(retention, rank(&settings, &settings.tables.read(said), facts), "{text:?}");
                    let ranks: Vec<u8> = retention.variants.iter().map(|variant| variant.rank).collect();
                    assert_eq!(ranks, [1, 2, 3, 4, 5, 6, 7, 8, 9], "{text:?}");
                    let mut names = order(&retention);
                    names.sort_unstable();
                    assert_eq!(names, all, "{text:?} {facts:?}");
                    let first = retention.variants.iter().find(|variant| variant.eligible).unwrap();
                    assert_eq!(retention.primary.as_ref(), Some(&first.strategy), "{text:?} {facts:?}");
                }
            }
        }
    }
}
