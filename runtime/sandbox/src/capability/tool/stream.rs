//! A tool's output as the guest reads it.

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

/// What a tool wrote and the guest has not read yet; the tool's output limit bounds it.
pub(super) struct ToolStream {
    chunks: Option<UnboundedReceiver<Bytes>>,
    unread: Bytes,
}

impl ToolStream {
    pub(super) fn new(chunks: UnboundedReceiver<Bytes>) -> Self {
        Self { chunks: Some(chunks), unread: Bytes::new() }
    }

    /// One of which all is there already.
    pub(super) fn of(content: Vec<u8>) -> Self {
        Self { chunks: None, unread: content.into() }
    }

    /// One that is at its end.
    pub(super) fn empty() -> Self {
        Self { chunks: None, unread: Bytes::new() }
    }
}

#[async_trait]
impl Pollable for ToolStream {
    async fn ready(&mut self) {
        if let Some(chunks) = &mut self.chunks
            && self.unread.is_empty()
        {
            match chunks.recv().await {
                Some(chunk) => self.unread = chunk,
                None => self.chunks = None,
            }
        }
    }
}

#[async_trait]
impl InputStream for ToolStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.unread.is_empty() {
            match self.chunks.as_mut().map(UnboundedReceiver::try_recv) {
                Some(Ok(chunk)) => self.unread = chunk,
                Some(Err(TryRecvError::Empty)) => return Ok(Bytes::new()),
                Some(Err(TryRecvError::Disconnected)) | None => return Err(StreamError::Closed),
            }
        }
        Ok(self.unread.split_to(size.min(self.unread.len())))
    }
}
