//! What a server lists of an account: read from its answer by `provider`, weighed as evidence by `plan`. Pure.

use jiff::Timestamp;

use crate::instance::{ApiUrl, InstanceId, InstanceType};

/// An account's instances as the server lists them. No listing shows a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// The instances that could be read, by id.
    pub instances: Vec<ListedInstance>,
    /// Items whose id could not be read, or stood twice: with one of these, absence from the list proves nothing.
    pub odd_items: usize,
}

/// One instance in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedInstance {
    /// The server's id.
    pub id: InstanceId,
    /// The server's label, often empty.
    pub name: String,
    /// The type in the server's words.
    pub type_text: String,
    /// The type, where we know it.
    pub kind: Option<InstanceType>,
    /// Its address.
    pub api_url: Option<ApiUrl>,
    /// Whether it is stopped; none: unknown.
    pub stopped: Option<bool>,
    /// Until when it is paid; none: unknown.
    pub paid_till: Option<Timestamp>,
    /// How often it was paid.
    pub payments_count: Option<u64>,
}

#[cfg(test)]
impl ListedInstance {
    /// With nothing but an id and a type.
    pub(crate) fn bare(id: InstanceId, kind: InstanceType) -> Self {
        Self {
            id,
            name: String::new(),
            type_text: kind.as_str().to_owned(),
            kind: Some(kind),
            api_url: None,
            stopped: None,
            paid_till: None,
            payments_count: None,
        }
    }
}
