//! What somebody else has deleted, recorded before another is created in its place.

use super::Applier;
use super::recorder::RecordError;
use crate::state::Event;

impl Applier {
    /// Records, durably, that these instances exist no longer: `events` are [`Event::Gone`], and say what shows it.
    pub async fn lose(&self, events: Vec<Event>) -> Result<(), RecordError> {
        if events.is_empty() {
            return Ok(());
        }
        self.shared.begin().await?;
        for event in events {
            self.shared.pen.record(event).await?;
        }
        Ok(())
    }
}
