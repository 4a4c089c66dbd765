//! What an endpoint has taken last of a topic (of an entity a family of types, and the object of it), by when it happened:
//! it is in the entity's row.
//!
//! The rows are the truth. Whoever is handed a delivery must be told what was taken up to then without a read of the
//! tree, which may wait for the disk: so a delivery that is ready in memory knows the row as it was when it
//! was made, and what was taken since is in memory too, up to a bound. Beyond that the row is read.

use super::keys;
use super::rows::{AboutRow, EntityRow, NewestRow};
use super::view::View;
use crate::model::id::{EndpointId, EventId};
use crate::store::StoreError;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most rows that are kept in memory.
const KEPT_MAX: usize = 8192;

/// Most objects that the row of an entity keeps for one endpoint: an entity has ever more invoices. What happened longest
/// ago is forgotten first.
const OBJECTS_MAX: usize = 32;

/// What was taken since.
#[derive(Default)]
pub(super) struct Newest(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// How often what was kept was forgotten.
    forgot: u64,
    kept: HashMap<(EndpointId, [u8; 16]), NewestRow>,
}

/// What was known of a delivery's topic at some time.
#[derive(Clone, Copy)]
pub(super) struct Known {
    forgot: u64,
    newest: Option<NewestRow>,
}

impl Newest {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each change is one call on the map, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known where nothing can have been taken.
    pub(super) fn nothing(&self) -> Known {
        Known { forgot: self.inner().forgot, newest: None }
    }

    /// What is known now.
    pub(super) fn known(
        &self,
        view: &View<'_>,
        endpoint: EndpointId,
        about: Option<&AboutRow>,
    ) -> Result<Known, StoreError> {
        // In this order: what is taken between the two is in memory too.
        let forgot = self.inner().forgot;
        let newest = about.map(|about| read(view, endpoint, about)).transpose()?.flatten();
        Ok(Known { forgot, newest })
    }

    /// Takes note of a row that is applied.
    pub(super) fn note(&self, endpoint: EndpointId, topic: [u8; 16], row: NewestRow) {
        let mut inner = self.inner();
        if inner.kept.len() >= KEPT_MAX {
            inner.kept.clear();
            inner.forgot += 1;
        }
        inner.kept.insert((endpoint, topic), row);
    }

    /// The other event that the endpoint has taken and that happened after this one.
    pub(super) fn later(
        &self,
        view: &View<'_>,
        endpoint: EndpointId,
        event: EventId,
        about: &AboutRow,
        known: Known,
    ) -> Result<Option<EventId>, StoreError> {
        let in_memory = {
            let inner = self.inner();
            let since = inner.kept.get(&(endpoint, about.topic)).copied();
            (inner.forgot == known.forgot).then(|| since.or(known.newest))
        };
        let newest = match in_memory {
            Some(newest) => newest,
            None => read(view, endpoint, about)?,
        };
        // What was taken of the event itself may be of another time, which was wrong.
        let later = |newest: &NewestRow| newest.event != event && newest.at > about.occurred_at;
        Ok(newest.filter(later).map(|newest| newest.event))
    }
}

fn read(view: &View<'_>, endpoint: EndpointId, about: &AboutRow) -> Result<Option<NewestRow>, StoreError> {
    let row: Option<EntityRow> = view.read("entity", &keys::entity_of(&about.topic))?;
    let of = place(endpoint, about);
    let newest = row.into_iter().flat_map(|row| row.newest);
    Ok(newest.filter(|(topic, by, _)| (*topic, *by) == of).map(|(.., newest)| newest).next())
}

/// Where it is in the row: what the topic has beside the entity, and the beginning of the endpoint's id.
fn place(endpoint: EndpointId, about: &AboutRow) -> ([u8; 4], [u8; 4]) {
    let topic = about.topic.last_chunk().copied().expect("a topic has 16 bytes");
    (topic, endpoint.0.first_chunk().copied().expect("an id has 16 bytes"))
}

/// An endpoint has taken an event, perhaps anew and of another time. Answers the row if it is the newest now.
pub(super) fn taken(
    view: &mut View<'_>,
    endpoint: EndpointId,
    about: &AboutRow,
    event: EventId,
) -> Result<Option<NewestRow>, StoreError> {
    let taken = NewestRow { at: about.occurred_at, event };
    let key = keys::entity_of(&about.topic);
    let mut row: EntityRow = view.read("entity", &key)?.unwrap_or_default();
    let (topic, by) = place(endpoint, about);
    match row.newest.iter_mut().find(|newest| (newest.0, newest.1) == (topic, by)) {
        Some((.., before)) if before.at > taken.at && before.event != event => return Ok(None),
        Some((.., before)) => *before = taken,
        None => row.newest.push((topic, by, taken)),
    }
    let is_object = |(topic, of, _): &([u8; 4], [u8; 4], _)| *of == by && topic[3] & keys::OF_OBJECT != 0;
    let objects = (0..row.newest.len()).filter(|n| is_object(&row.newest[*n]));
    if objects.clone().count() > OBJECTS_MAX {
        let oldest = objects.min_by_key(|n| row.newest[*n].2.at);
        oldest.map(|n| row.newest.swap_remove(n));
    }
    view.write(key, &row)?;
    Ok(Some(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::recent::Recent;
    use billhook_event::Time;

    #[test]
    fn of_many_objects_what_happened_longest_ago_is_forgotten_first_and_nothing_else() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let [app, crm] = ["app", "crm"].map(EndpointId::derive);
        let about = |kind, object: Option<usize>| {
            let topic = keys::topic(&[1; 16], kind, object.map(|n| n.to_string()).as_deref());
            AboutRow { topic, occurred_at: Time::from_secs(object.unwrap_or_default() as u64), place: None }
        };
        let event = |n: usize| EventId([n as u8; 16]);
        let mut view = View::of(&db);
        taken(&mut view, app, &about("subscription.canceled", None), event(0)).unwrap();
        taken(&mut view, crm, &about("invoice.paid", Some(1)), event(1)).unwrap();
        for n in (1..=OBJECTS_MAX + 1).rev() {
            taken(&mut view, app, &about("invoice.paid", Some(n)), event(n)).unwrap();
        }
        let known = |by, kind, n| read(&view, by, &about(kind, n)).unwrap().map(|row| row.event);
        assert_eq!(known(app, "invoice.paid", Some(1)), None);
        assert_eq!(known(app, "invoice.paid", Some(2)), Some(event(2)));
        assert_eq!(known(crm, "invoice.paid", Some(1)), Some(event(1)), "each endpoint has its own");
        assert_eq!(
            known(app, "subscription.canceled", None),
            Some(event(0)),
            "it is the oldest, and of no object"
        );
    }

    #[test]
    fn what_was_forgotten_is_read_again() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let recent = Recent::default();
        let view = || View::with(&db, &recent);
        let (newest, app) = (Newest::default(), EndpointId::derive("app"));
        let about = |secs| AboutRow { topic: [1; 16], occurred_at: Time::from_secs(secs), place: None };
        let [first, later] = [1, 2].map(|n| EventId([n; 16]));
        let known = newest.known(&view(), app, Some(&about(10))).unwrap();
        let told = |known| newest.later(&view(), app, first, &about(10), known).unwrap();
        assert_eq!(told(known), None);

        let mut rows = view();
        let row = taken(&mut rows, app, &about(20), later).unwrap().unwrap();
        assert_eq!(taken(&mut rows, app, &about(10), first).unwrap(), None, "it is not the newest");
        recent.take(rows.into_writes());
        newest.note(app, [1; 16], row);
        assert_eq!(told(known), Some(later));
        for n in 0..KEPT_MAX as u128 {
            newest.note(app, (n << 8).to_be_bytes(), row);
        }
        assert!(newest.inner().kept.len() <= KEPT_MAX && !newest.inner().kept.contains_key(&(app, [1; 16])));
        assert_eq!(told(known), Some(later), "from its row");
        assert_eq!(
            newest.later(&view(), app, first, &about(20), known).unwrap(),
            None,
            "as old is not older"
        );
        assert_eq!(newest.later(&view(), app, later, &about(10), known).unwrap(), None, "it itself");
        let mut rows = view();
        let row = taken(&mut rows, app, &about(15), later).unwrap();
        assert_eq!(row.map(|row| row.at), Some(Time::from_secs(15)), "its time was wrong");
        assert_eq!(told(newest.known(&view(), app, Some(&about(10))).unwrap()), Some(later));
    }
}
