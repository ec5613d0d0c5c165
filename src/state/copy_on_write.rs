//! A value whose clones cost nothing until one of them is changed.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Shared with its clones; the first change of one that others share copies it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CopyOnWrite<T>(Arc<T>);

impl<T> From<T> for CopyOnWrite<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for CopyOnWrite<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for CopyOnWrite<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}
