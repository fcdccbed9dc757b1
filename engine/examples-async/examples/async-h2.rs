//! HTTP/2 by h2 itself: `async-h2 IFACE ADDRESS/PREFIX`, as `async-h2 veth0 10.99.0.2/24`. Needs CAP_NET_RAW.
//!
//! A GET is greeted; what else comes is sent back.

#![forbid(unsafe_code)]

use std::error::Error;

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
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(iface), Some(ip)) = (words.next(), words.next()) else {
        return Err("usage: async-h2 IFACE ADDRESS/PREFIX".into());
    };
    let config = Config {
        iface: vec![iface],
        ip: vec![ip.parse()?],
        ..Config::default()
    };
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
