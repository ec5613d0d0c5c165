//! A lock file that was merged line by line may say two things of one name, or of one id. It is refused: whichever of the two were
//! believed, the other one would be created again, or deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::LockFile;
use crate::instance::{InstanceId, InstanceName};

/// An object in which no name stands twice.
pub(super) fn once<'de, D: Deserializer<'de>, V: Deserialize<'de>>(from: D) -> Result<BTreeMap<InstanceName, V>, D::Error> {
    struct Members<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Members<V> {
        type Value = BTreeMap<InstanceName, V>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of names")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut all = BTreeMap::new();
            while let Some((name, value)) = members.next_entry::<InstanceName, V>()? {
                if all.contains_key(&name) {
                    return Err(A::Error::custom(format!("`{name}` stands in it twice")));
                }
                all.insert(name, value);
            }
            Ok(all)
        }
    }
    from.deserialize_map(Members(PhantomData))
}

impl LockFile {
    /// Each name has one instance, or is in doubt, and each id has one name. What was deleted may have both again.
    pub(super) fn check(&self) -> Result<(), serde_json::Error> {
        let mut owners: Vec<(&InstanceId, &InstanceName)> = self.known().map(|(name, instance)| (&instance.id, name)).collect();
        owners.sort_unstable();
        if let Some([(id, one), (_, other)]) = owners.array_windows().find(|[(one, _), (other, _)]| one == other) {
            return Err(Error::custom(format!("`{one}` and `{other}` are both {id}")));
        }
        let is_there_twice = |name: &&InstanceName| {
            let is_released = self.released.contains_key(*name);
            let is_deleted = self.deleted.contains_key(*name);
            let is_open = self.in_doubt.contains_key(*name);
            let exists = self.instances.contains_key(*name);
            exists && (is_released || is_deleted || is_open) || is_released && (is_deleted || is_open)
        };
        match self.released.keys().chain(self.deleted.keys()).chain(self.in_doubt.keys()).find(is_there_twice) {
            Some(name) => Err(Error::custom(format!("it says two things of `{name}`"))),
            None => Ok(()),
        }
    }
}
