//! A hyper server with a runtime and an endpoint for each of its threads:
//! `async-hyper IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] [THREADS]`, as `async-hyper veth0 10.99.0.2/24,fd99::2/64 2`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;

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
fn take_part(endpoint: Endpoint, listener: Listener) -> Result<(), std::io::Error> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { serve(AsyncEndpoint::new(endpoint)?.listener(listener)).await })
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let threads = words.get(2).map_or(Ok(1), |threads| threads.parse::<usize>());
    let ([iface, addresses, ..], Ok(threads @ 1..), ..=3) = (&words[..], threads, words.len()) else {
        eprintln!("usage: async-hyper IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] [THREADS]");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses, threads) {
        eprintln!("async-hyper: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(iface: &str, addresses: &str, threads: usize) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let engine = Engine::builder(config)
        .listen(Listen::on(80).for_endpoints())
        .start()?;
    let listener = engine.listeners()[0];
    let mut running = Vec::new();
    for _ in 0..threads {
        let endpoint = engine.endpoint(&EndpointLimits::default())?;
        running.push(std::thread::spawn(move || take_part(endpoint, listener)));
    }
    eprintln!("listening http://{}/", engine.listening()[0].1[0]);
    for thread in running {
        thread.join().map_err(|_| "a thread panicked")??;
    }
    Ok(())
}
