//! What an application's tasks begin with: an endpoint that a runtime drives.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fourtuple_nic::Queue;

use super::driver::Driver;
use super::listener::AsyncListener;
use super::stream::AsyncStream;
use crate::attach::PortQueue;
use crate::handoff::{Endpoint, Listener};

/// An [`Endpoint`] whose messages are moved by a task of a tokio runtime.
///
/// Copies are the same endpoint. It lives as long as any copy, listener or stream of it, and no longer than its runtime: when
/// that is dropped, connections that are left are closed (unread data: RST, else FIN), and calls give
/// [`io::ErrorKind::NotConnected`]. It does not keep the engine: hold that as long as you serve.
///
/// Runtimes scale best one a core (`new_current_thread`), each with an endpoint of its own; the engine shares connections out
/// among them. A runtime of several threads may use one endpoint from all of them.
///
/// ```no_run
/// use fourtuple::{AsyncEndpoint, Config, EndpointLimits, Engine, Listen};
/// use tokio::io::copy_buf;
///
/// async fn echo(engine: &Engine) -> Result<(), Box<dyn std::error::Error>> {
///     let endpoint = AsyncEndpoint::new(engine.endpoint(&EndpointLimits::default())?)?;
///     let listener = endpoint.listener(engine.listeners()[0]);
///     loop {
///         let (stream, _peer) = listener.accept().await?;
///         tokio::spawn(async move {
///             let (mut reader, mut writer) = stream.into_split();
///             copy_buf(&mut reader, &mut writer).await
///         });
///     }
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let config = Config::from_toml("iface = 'veth0'\nip = ['10.99.0.2/24']")?;
///     let engine = Engine::builder(config).listen(Listen::on(7).for_endpoints()).start()?;
///     let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
///     runtime.block_on(echo(&engine))
/// }
/// ```
pub struct AsyncEndpoint<Q: Queue = PortQueue> {
    held: Arc<Held<Q>>,
}

impl<Q: Queue> AsyncEndpoint<Q> {
    /// Begins to drive an endpoint on the runtime that this is called in, which needs its I/O enabled (`enable_io`).
    ///
    /// # Errors
    /// When there is no runtime, or it can't wait for one more descriptor.
    ///
    /// # Panics
    /// In a runtime that was built without I/O, as every use of its sockets would.
    pub fn new(endpoint: Endpoint<Q>) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let endpoint = Arc::new(endpoint);
        runtime.spawn(Driver::new(Arc::clone(&endpoint))?);
        Ok(Self {
            held: Arc::new(Held(endpoint)),
        })
    }

    /// Accepts this listener's connections; any number of endpoints may.
    pub fn listener(&self, listener: Listener) -> AsyncListener<Q> {
        AsyncListener::new(Arc::clone(&self.held), listener)
    }

    /// Opens a connection. Give it a limit with `tokio::time::timeout`: dropping the future gives up.
    ///
    /// # Errors
    /// Why it could not be opened; the kinds are those of [`StreamError`](crate::StreamError).
    pub async fn connect(&self, remote: SocketAddr) -> io::Result<AsyncStream<Q>> {
        let endpoint = self.held.endpoint();
        let connecting = std::future::poll_fn(|cx| endpoint.poll_start_connect(remote, cx)).await?;
        let stream = std::future::poll_fn(|cx| connecting.poll_finish(cx)).await?;
        Ok(AsyncStream::new(stream, Arc::clone(&self.held)))
    }

    /// Connections that this endpoint has, those included that wait for an accept.
    pub fn connections(&self) -> usize {
        self.held.endpoint().connections()
    }
}

impl<Q: Queue> Clone for AsyncEndpoint<Q> {
    fn clone(&self) -> Self {
        Self {
            held: Arc::clone(&self.held),
        }
    }
}

impl<Q: Queue> fmt::Debug for AsyncEndpoint<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncEndpoint")
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// The endpoint as applications hold it. The driver holds it, too: this tells it that nobody else does any more.
pub(super) struct Held<Q: Queue>(Arc<Endpoint<Q>>);

impl<Q: Queue> Held<Q> {
    pub(super) fn endpoint(&self) -> &Endpoint<Q> {
        &self.0
    }
}

impl<Q: Queue> Drop for Held<Q> {
    fn drop(&mut self) {
        // Rings the driver's bell.
        self.0.leave();
    }
}
