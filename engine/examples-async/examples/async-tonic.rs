//! gRPC by tonic: `async-tonic IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]`, as
//! `async-tonic veth0 10.99.0.2/24,fd99::2/64`. Needs CAP_NET_RAW.
//!
//! A service that others wrote, `grpc.health.v1.Health`, as it is; and `fourtuple.Echo`, which sends a stream of messages back.

#![forbid(unsafe_code)]

use std::error::Error;
use std::future::{Ready, ready};
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::post;
use fourtuple::{AsyncEndpoint, AsyncListener, AsyncStream, Config, EndpointLimits, Engine, Listen};
use http::{Request, Response};
use tonic::server::{Grpc, StreamingService};
use tonic::service::Routes;
use tonic::{Status, Streaming};
use tonic_health::ServingStatus;
use tonic_prost::ProstCodec;

/// What axum asks of a listener; a tonic service is an axum application, too.
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

/// `rpc Echo(stream google.protobuf.BytesValue) returns (stream google.protobuf.BytesValue)`.
struct Echo;

impl StreamingService<Bytes> for Echo {
    type Response = Bytes;
    type ResponseStream = Streaming<Bytes>;
    type Future = Ready<Result<tonic::Response<Streaming<Bytes>>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        ready(Ok(tonic::Response::new(request.into_inner())))
    }
}

/// What tonic-build would make of that line; so the example needs no protoc.
async fn echo(request: Request<Body>) -> Response<tonic::body::Body> {
    let codec = ProstCodec::<Bytes, Bytes>::default();
    Grpc::new(codec).streaming(Echo, request).await
}

async fn application() -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("fourtuple.Echo", ServingStatus::Serving)
        .await;
    Routes::new(health)
        .into_axum_router()
        .route("/fourtuple.Echo/Echo", post(echo))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses] = &words[..] else {
        eprintln!("usage: async-tonic IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses).await {
        eprintln!("async-tonic: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(iface: &str, addresses: &str) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let engine = Engine::builder(config)
        .listen(Listen::on(80).for_endpoints())
        .start()?;
    let listener = engine.listeners()[0];
    let endpoint = AsyncEndpoint::new(engine.endpoint(&EndpointLimits::default())?)?;
    eprintln!("listening http://{}/", engine.listening()[0].1[0]);
    axum::serve(Listener(endpoint.listener(listener)), application().await)
        .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or_default() })
        .await?;
    // On a thread of its own: the endpoint goes on while connections finish.
    tokio::task::spawn_blocking(move || engine.drain(Duration::from_secs(5))).await?;
    Ok(())
}
