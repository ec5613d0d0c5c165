//! The same operations for code that is not asynchronous. Not to be used inside an asynchronous runtime.

use std::io;

use tokio::runtime::{Builder, Runtime};

use super::{
    ClientBuilder, ClientError, CreateError, CreateInstanceRequest, CreateInstanceResult, DeleteError, ListError, Listing,
};
use crate::instance::InstanceId;

/// A server and an account; each call blocks until it is done.
#[derive(Debug)]
pub struct Client {
    inner: super::Client,
    runtime: Runtime,
}

/// A blocking client could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum BlockingClientError {
    /// The client itself.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The machinery behind it.
    #[error("cannot start the client's runtime")]
    Runtime(#[source] io::Error),
}

impl Client {
    /// From the same settings as the asynchronous one: `Client::new(chatapi::Client::builder(url, key))`.
    pub fn new(settings: ClientBuilder) -> Result<Self, BlockingClientError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(BlockingClientError::Runtime)?;
        Ok(Self { inner: settings.build()?, runtime })
    }

    /// Creates an instance. Sent at most once.
    pub fn create_instance(&self, request: impl Into<CreateInstanceRequest>) -> Result<CreateInstanceResult, CreateError> {
        self.runtime.block_on(self.inner.create_instance(request))
    }

    /// Lists the account's instances, without tokens.
    pub fn list_instances(&self) -> Result<Listing, ListError> {
        self.runtime.block_on(self.inner.list_instances())
    }

    /// Deletes an instance.
    pub fn delete_instance(&self, id: &InstanceId) -> Result<(), DeleteError> {
        self.runtime.block_on(self.inner.delete_instance(id))
    }
}
