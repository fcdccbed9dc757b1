//! A hyper server with a runtime and an endpoint for each of its threads: `async-hyper IFACE ADDRESS/PREFIX [THREADS]`, as
//! `async-hyper veth0 10.99.0.2/24 2`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;

use bytes::Bytes;
use fourtuple::{AsyncEndpoint, AsyncListener, Config, Endpoint, EndpointLimits, Engine, Listen, Listener};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::runtime::Builder;

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("hello from hyper, {}\n", request.uri().path());
    Ok(Response::new(Full::new(text.into())))
}

async fn serve(listener: AsyncListener) -> Result<(), std::io::Error> {
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            let connection = http1::Builder::new().serve_connection(stream, service_fn(answer));
            if let Err(error) = connection.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

/// A thread's part: connections are shared out among the endpoints.
fn run(endpoint: Endpoint, listener: Listener) -> Result<(), std::io::Error> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { serve(AsyncEndpoint::new(endpoint)?.listener(listener)).await })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(iface), Some(ip)) = (words.next(), words.next()) else {
        return Err("usage: async-hyper IFACE ADDRESS/PREFIX [THREADS]".into());
    };
    let threads: usize = words.next().as_deref().unwrap_or("1").parse()?;
    let config = Config {
        iface: vec![iface],
        ip: vec![ip.parse()?],
        ..Config::default()
    };
    let engine = Engine::builder(config)
        .listen(Listen::on(80).for_endpoints())
        .start()?;
    let listener = engine.listeners()[0];
    let mut running = Vec::new();
    for _ in 0..threads {
        let endpoint = engine.endpoint(&EndpointLimits::default())?;
        running.push(std::thread::spawn(move || run(endpoint, listener)));
    }
    eprintln!("listening http://{}/", engine.listening()[0].1[0]);
    for thread in running {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}
