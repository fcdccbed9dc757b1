//! What an application's tasks begin with: an endpoint that a runtime drives.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fourtuple_nic::Queue;

use super::driver::Driver;
use super::held::Held;
use super::listener::AsyncListener;
use super::stream::AsyncStream;
use super::waiting::Waiting;
use crate::attach::PortQueue;
use crate::handoff::{Endpoint, EndpointHandle, Listener};
use crate::shard::ConnectOptions;

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
            held: Arc::new(Held::new(endpoint)),
        })
    }

    /// Accepts this listener's connections; any number of endpoints may, and one endpoint from any number of listeners.
    ///
    /// ```no_run
    /// # async fn both(engine: &fourtuple::Engine, endpoint: &fourtuple::AsyncEndpoint) -> std::io::Result<()> {
    /// let [plain, tls] = [0, 1].map(|number| endpoint.listener(engine.listeners()[number]));
    /// loop {
    ///     let (stream, peer) = tokio::select! {
    ///         accepted = plain.accept() => accepted?,
    ///         accepted = tls.accept() => accepted?,
    ///     };
    ///     println!("{peer} at port {}", stream.local().port());
    /// }
    /// # }
    /// ```
    pub fn listener(&self, listener: Listener) -> AsyncListener<Q> {
        AsyncListener::new(Arc::clone(&self.held), listener)
    }

    /// Opens a connection. Dropping the future gives it up.
    ///
    /// # Errors
    /// Why it could not be opened; the kinds are those of [`StreamError`](crate::StreamError).
    pub async fn connect(&self, remote: SocketAddr) -> io::Result<AsyncStream<Q>> {
        self.open(remote, None).await
    }

    /// Opens a connection as `options` say: from which address and port, on whose worker, with which options of TCP.
    ///
    /// ```no_run
    /// # async fn beside(endpoint: &fourtuple::AsyncEndpoint, client: &fourtuple::AsyncStream) -> std::io::Result<fourtuple::AsyncStream> {
    /// let mut options = fourtuple::ConnectOptions::default();
    /// options.beside = Some(client.id());
    /// endpoint.connect_with(([10, 99, 0, 1], 80).into(), &options).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`io::ErrorKind::AddrInUse`] when no worker can have the port.
    pub async fn connect_with(
        &self,
        remote: SocketAddr,
        options: &ConnectOptions,
    ) -> io::Result<AsyncStream<Q>> {
        self.open(remote, Some(options)).await
    }

    /// Opens a connection, and gives it up after `timeout`.
    ///
    /// ```no_run
    /// # async fn soon(endpoint: &fourtuple::AsyncEndpoint) -> std::io::Result<fourtuple::AsyncStream> {
    /// endpoint.connect_within(([10, 99, 0, 1], 80).into(), std::time::Duration::from_secs(3)).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] when the time is up; else as [`connect`](Self::connect).
    ///
    /// # Panics
    /// In a runtime that was built without time (`enable_time`).
    pub async fn connect_within(&self, remote: SocketAddr, timeout: Duration) -> io::Result<AsyncStream<Q>> {
        match tokio::time::timeout(timeout, self.connect(remote)).await {
            Ok(opened) => opened,
            Err(late) => Err(io::Error::new(io::ErrorKind::TimedOut, late)),
        }
    }

    async fn open(&self, remote: SocketAddr, options: Option<&ConnectOptions>) -> io::Result<AsyncStream<Q>> {
        let endpoint = self.held.endpoint();
        let connecting = std::future::poll_fn(|cx| endpoint.poll_start_connect(remote, options, cx)).await?;
        let stream = std::future::poll_fn(|cx| connecting.poll_finish(cx)).await?;
        Ok(AsyncStream::new(stream, Arc::clone(&self.held)))
    }

    /// Its name, for those that give it connections: [handlers](crate::Connection::hand_off) and
    /// [other endpoints](crate::Stream::move_to).
    pub fn handle(&self) -> EndpointHandle<Q> {
        self.held.endpoint().handle()
    }

    /// The next connection that was handed over, and the number that it came with. What its owner before did not read is here to be
    /// read. Cancel-safe: what a dropped call did not return is the next one's.
    ///
    /// ```no_run
    /// # async fn serve(endpoint: fourtuple::AsyncEndpoint) -> std::io::Result<()> {
    /// loop {
    ///     let (stream, mark) = endpoint.take_handed().await?;
    ///     println!("{} as number {mark}", stream.peer());
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] when the engine or the endpoint's runtime has gone.
    pub async fn take_handed(&self) -> io::Result<(AsyncStream<Q>, u64)> {
        let endpoint = self.held.endpoint();
        let handed = Waiting::new(
            |ticket, cx| endpoint.poll_handed_as(ticket, cx),
            |ticket| endpoint.forget_handed(ticket),
        )
        .await?;
        let stream = AsyncStream::new(handed.stream, Arc::clone(&self.held));
        Ok((stream, handed.mark))
    }

    /// Bytes that were copied to be sent, because they lay in memory that no NIC was told of.
    pub fn tx_copied_bytes(&self) -> u64 {
        self.held.endpoint().tx_copied_bytes()
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
