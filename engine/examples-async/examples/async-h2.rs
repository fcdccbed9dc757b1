//! HTTP/2 by h2 itself: `async-h2 IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]`, as
//! `async-h2 veth0 10.99.0.2/24,fd99::2/64`. Needs CAP_NET_RAW.
//!
//! A GET is greeted; what else comes is sent back.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use bytes::Bytes;
use fourtuple::{AsyncEndpoint, AsyncStream, Config, EndpointLimits, Engine, Listen};
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Method, Request, Response};

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (head, mut body) = request.into_parts();
    let mut answer = respond.send_response(Response::new(()), false)?;
    if head.method == Method::GET {
        answer.send_data(Bytes::from_static(b"hello over HTTP/2\n"), true)?;
        return Ok(());
    }
    while let Some(part) = body.data().await {
        let part = part?;
        // The peer may send so much more.
        body.flow_control().release_capacity(part.len())?;
        answer.send_data(part, false)?;
    }
    answer.send_data(Bytes::new(), true)?;
    Ok(())
}

async fn serve(stream: AsyncStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, respond) = request?;
        tokio::spawn(async move {
            if let Err(error) = answer(request, respond).await {
                eprintln!("{error}");
            }
        });
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses] = &words[..] else {
        eprintln!("usage: async-h2 IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX]");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses).await {
        eprintln!("async-h2: {why}");
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
    let listener = AsyncEndpoint::new(engine.endpoint(&EndpointLimits::default())?)?.listener(listener);
    eprintln!("listening http://{}/", engine.listening()[0].1[0]);
    loop {
        let (stream, peer) = listener.accept().await?;
        tokio::spawn(async move {
            if let Err(error) = serve(stream).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
