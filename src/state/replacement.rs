//! Replacing an instance on purpose. The one that a name has gets another name first; the name stands without an instance then, and
//! knows by the id what it had. That follows every rename of either.

use super::transition::illegal;
use super::{Illegal, Instance, Phase, Record, State};
use crate::instance::InstanceName;

impl State {
    /// The one that had `name` before, where that was replaced on purpose: it exists, or its record is kept.
    pub fn replaced(&self, name: &InstanceName) -> Option<&Record> {
        let id = self.record(name)?.replaces.as_ref()?;
        self.record(self.known_ids().get(id)?).filter(|old| old.is_replaced)
    }

    /// The same, where that still exists under the name that the replacement gave it, and may be deleted.
    pub fn remainder(&self, name: &InstanceName) -> Option<&Record> {
        let old = self.replaced(name).filter(|old| !old.is_kept && !old.is_protected)?;
        matches!(old.phase, Phase::Created(_) | Phase::Retiring(..)).then_some(old)
    }

    /// What the instance of `record` is called once it is replaced; none: that name is taken.
    pub fn name_aside(&self, record: &Record) -> Option<InstanceName> {
        let aside = record.name.aside(record.id()?);
        InstanceName::parse(&aside).ok().filter(|name| self.record(name).is_none())
    }

    /// The record of the name that has got a new instance in the place of `old`, or is to have one.
    pub fn replacement_of(&self, old: &Record) -> Option<&Record> {
        let id = old.id().filter(|_| old.is_replaced)?;
        self.records().values().find(|new| new.replaces.as_ref() == Some(id))
    }

    /// What `name` had before, where that exists and the new one does not: a replacement was begun, and nothing came of it yet.
    pub fn half_replaced(&self, name: &InstanceName) -> Option<(&Record, &Instance)> {
        let is_vacant = matches!(self.record(name)?.phase, Phase::Absent { .. } | Phase::Intent(_));
        let old = self.replaced(name).filter(|_| is_vacant)?;
        Some((old, old.instance()?))
    }

    /// A rename that is none of the operator's: nobody is asked whether the new one under `name` is the old one.
    pub(super) fn set_aside(&mut self, name: &InstanceName, to: &InstanceName) -> Result<(), Illegal> {
        let record = self.record(name).ok_or_else(|| Illegal::Unknown(name.clone()))?;
        let (kind, id) = (record.kind, record.instance().map(|instance| instance.id.clone()));
        let Some(id) = id.filter(|_| !record.is_protected) else { return Err(illegal(record, "replacing")) };
        self.rename(name, to)?;
        if let Some(old) = self.records.get_mut(to) {
            (old.orphan_noted, old.is_replaced, old.is_kept) = (true, true, false);
        }
        let closed = format!("a new instance is to be created in the place of {id}");
        self.put(Record { replaces: Some(id), ..Record::new(name.clone(), kind, Phase::Absent { closed }) });
        Ok(())
    }
}
