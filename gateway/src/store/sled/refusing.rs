//! Refused requests: a ring for each source.

use super::committer::STAGE_BYTES_MIN;
use super::keys;
use super::rows::{self, Pieces, Value};
use super::view::View;
use crate::model::id::RefusedId;
use crate::model::refused::{KEPT_MAX, RefusedHead, RefusedRequest};
use crate::store::StoreError;
use std::collections::BTreeSet;

/// A refused request as it will be written.
pub(super) struct Refusal {
    id: RefusedId,
    source: String,
    head: Value,
    body: Pieces,
}

impl Refusal {
    /// Encodes one: what can be done outside the committer.
    fn new(request: RefusedRequest) -> Refusal {
        let RefusedRequest { id, mut head, body } = request;
        head.body_len = body.len() as u64;
        let source = head.source.clone();
        let head = Value::new(keys::refused(id), rows::encode(&head), 0);
        Refusal { id, source, head, body: Pieces { prefix: keys::refused_body(id), bytes: body } }
    }

    fn bytes(&self) -> usize {
        let head = self.head.pieces.as_ref().map_or(self.head.row.len(), |pieces| pieces.bytes.len());
        head + self.body.bytes.len()
    }
}

/// Encodes requests, and divides them so that each part is small enough for a commit.
pub(super) fn parts(requests: Vec<RefusedRequest>) -> Vec<Vec<Refusal>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for refusal in requests.into_iter().map(Refusal::new) {
        bytes += refusal.bytes();
        if bytes > STAGE_BYTES_MIN && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(Vec::new());
            bytes = refusal.bytes();
        }
        parts.last_mut().expect("there is always one").push(refusal);
    }
    parts
}

/// Keeps requests. The oldest of a source that has too many are forgotten.
pub(super) fn refuse(view: &mut View<'_>, refusals: &[Refusal]) -> Result<(), StoreError> {
    let mut sources = BTreeSet::new();
    for refusal in refusals {
        if view.has(&refusal.head.key)? {
            continue;
        }
        view.put_value(&refusal.head)?;
        view.put_pieces(refusal.head.pieces.iter().chain([&refusal.body]));
        view.put(keys::refused_by(&refusal.source, refusal.id), &[]);
        sources.insert(refusal.source.as_str());
    }
    for source in sources {
        let prefix = keys::refused_by_source(source);
        let kept = view.range(&prefix, &keys::end_of(&prefix)).collect::<Result<Vec<_>, _>>()?;
        for (key, _) in kept.iter().take(kept.len().saturating_sub(KEPT_MAX)) {
            if let Some(id) = keys::last_id(key) {
                forget(view, RefusedId(id))?;
            }
        }
    }
    Ok(())
}

/// Forgets a request; whether there was one.
pub(super) fn forget(view: &mut View<'_>, id: RefusedId) -> Result<bool, StoreError> {
    let Some(head) = head(view, id)? else { return Ok(false) };
    view.remove_value(keys::refused(id))?;
    view.remove_all(&keys::refused_body(id))?;
    view.remove(keys::refused_by(&head.source, id));
    Ok(true)
}

/// A request without its body.
pub(super) fn head(view: &View<'_>, id: RefusedId) -> Result<Option<RefusedHead>, StoreError> {
    view.read("refused request", &keys::refused(id))
}

/// A whole request.
pub(super) fn whole(view: &View<'_>, id: RefusedId) -> Result<Option<RefusedRequest>, StoreError> {
    let Some(head) = head(view, id)? else { return Ok(None) };
    // Without its body it is being forgotten.
    let body = view.join(&keys::refused_body(id), head.body_len)?;
    Ok(body.map(|body| RefusedRequest { id, head, body: body.into() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::refused::Presented;
    use crate::model::source::Place;
    use billhook_event::Time;
    use bytes::Bytes;

    fn request(n: u64, body: usize, header: usize) -> RefusedRequest {
        let at = Time::from_secs(n);
        let head = RefusedHead {
            at,
            source: "acme".into(),
            cause: "no signature matches".into(),
            remote: [192, 0, 2, 7].into(),
            path: "/in/acme".into(),
            query: String::new(),
            headers: vec![("x".into(), vec![b'x'; header])],
            presented: vec![Presented::new(Place::Header("x-secret".into()), "hush", [7; 16])],
            sha256: [7; 32],
            body_len: body as u64,
            whole: true,
        };
        RefusedRequest { id: RefusedId::new(at, n.into()), head, body: Bytes::from(vec![b'b'; body]) }
    }

    #[test]
    fn what_a_ring_forgets_leaves_no_row() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        let mut view = View::of(&db);
        let rows = |view: &View<'_>| view.range(&[0], &[255]).count();
        let sizes = |n: u64| if n.is_multiple_of(2) { (10_000, 10_000) } else { (0, 10) };
        for n in 0..300 {
            let (body, header) = sizes(n);
            refuse(&mut view, &[Refusal::new(request(n, body, header))]).unwrap();
        }
        let prefix = keys::refused_by_source("acme");
        assert_eq!(view.range(&prefix, &keys::end_of(&prefix)).count(), KEPT_MAX);
        for n in 0..300 {
            let (body, header) = sizes(n);
            let expected = (n >= 200).then(|| request(n, body, header));
            let id = request(n, 0, 0).id;
            assert_eq!(whole(&view, id).unwrap(), expected);
            assert_eq!(forget(&mut view, id).unwrap(), n >= 200);
        }
        assert_eq!(rows(&view), 0);
    }

    #[test]
    fn many_and_large_requests_are_divided_into_commits_that_are_small_enough() {
        let requests = (0..20).map(|n| request(n, 60_000, 30_000)).collect();
        let parts = parts(requests);
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 20);
        for part in &parts {
            assert!(part.iter().map(Refusal::bytes).sum::<usize>() <= STAGE_BYTES_MIN, "{}", part.len());
        }
        assert_eq!(super::parts((0..100).map(|n| request(n, 10, 10)).collect()).len(), 1);
    }
}
