//! What is on record, and on the server, before the first run.

use super::*;

/// Has the server create an instance for `name`, and records that up to `last`; its id.
pub(super) fn make(store: &mut dyn StateStore, world: &World, name: &InstanceName, last: Step) -> InstanceId {
    let attempt = AttemptId::typed(&format!("a-prior-{}", lock(&world.creates).len()));
    lock(&world.names).insert(attempt.clone(), name.clone());
    let answer = world.create(&attempt);
    let (_, id, _) = lock(&world.creates).last().unwrap().clone();
    let intent = Event::Intent { attempt: attempt.clone(), name: name.clone(), kind: InstanceType::WhatsApp, fence: None };
    note(store, intent);
    let sent = note(store, Event::Sent { attempt: attempt.clone() });
    if last >= Step::Received {
        note(store, Event::Received { attempt: attempt.clone(), answer: answer.into() });
    }
    if last >= Step::Created {
        note(store, Event::Created { attempt, id: id.clone(), api_url: None, token_in: Some(sent.next()), token: None });
    }
    id
}

pub(super) fn note(store: &mut dyn StateStore, event: Event) -> Serial {
    store.append(event, Timestamp::UNIX_EPOCH).unwrap()
}

/// Somebody else has the server create an instance.
pub(super) fn make_for_others(world: &World, name: &InstanceName) {
    let attempt = AttemptId::typed(&format!("a-other-{}", lock(&world.creates).len()));
    lock(&world.names).insert(attempt.clone(), name.clone());
    let _ = world.create(&attempt);
}

/// Records a delete of what `name` has, up to `last`; the server has carried it out if that is [`Step::Retired`], which is not recorded.
pub(super) fn begin_delete(store: &mut dyn StateStore, world: &World, name: &InstanceName, last: Step) {
    let id = store.state().record(name).and_then(Record::id).unwrap().clone();
    let attempt = AttemptId::typed(&format!("a-delete-{id}"));
    note(store, Event::Retiring { attempt: attempt.clone(), name: name.clone(), id: id.clone(), unprotected: false });
    if last >= Step::RetireSent {
        note(store, Event::RetireSent { attempt });
    }
    if last >= Step::Retired {
        world.delete(&id).unwrap();
    }
}
