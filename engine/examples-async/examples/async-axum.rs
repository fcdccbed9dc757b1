//! An axum application: `async-axum IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]`, as
//! `async-axum veth0 10.99.0.2/24,fd99::2/64`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Path;
use axum::routing::{get, post};
use fourtuple::{AsyncEndpoint, AsyncListener, AsyncStream, Config, EndpointLimits, Engine, Listen};

/// What axum asks of a listener.
struct Listener(AsyncListener);

impl axum::serve::Listener for Listener {
    type Io = AsyncStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (AsyncStream, SocketAddr) {
        match self.0.accept().await {
            Ok(accepted) => accepted,
            // The engine has stopped: nobody comes any more.
            Err(_) => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok((Ipv6Addr::UNSPECIFIED, self.0.port()).into())
    }
}

fn application() -> Router {
    Router::new()
        .route("/", get(|| async { "hello from axum\n" }))
        .route(
            "/bytes/{count}",
            get(|Path(count): Path<u32>| async move { "x".repeat(count as usize) }),
        )
        .route("/echo", post(|body: Bytes| async move { body }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses] = &words[..] else {
        eprintln!("usage: async-axum IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses).await {
        eprintln!("async-axum: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(iface: &str, addresses: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let engine = Engine::builder(config)
        .listen(Listen::on(80).for_endpoints())
        .start()?;
    let listener = engine.listeners()[0];
    let endpoint = AsyncEndpoint::new(engine.endpoint(&EndpointLimits::default())?)?;
    eprintln!("listening http://{}/", engine.listening()[0].1[0]);
    axum::serve(Listener(endpoint.listener(listener)), application())
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await?;
    // On a thread of its own: the endpoint goes on while connections finish.
    tokio::task::spawn_blocking(move || engine.drain(Duration::from_secs(5))).await?;
    Ok(())
}
