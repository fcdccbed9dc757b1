//! HTTPS by tokio-rustls and hyper:
//! `async-rustls IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] CERTIFICATES.pem KEY.pem`. Needs CAP_NET_RAW.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use fourtuple::{AsyncEndpoint, AsyncStream, Config, EndpointLimits, Engine, Listen};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = format!("hello over TLS, {}\n", request.uri().path());
    Ok(Response::new(Full::new(text.into())))
}

async fn serve(stream: AsyncStream, tls: TlsAcceptor) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = TokioIo::new(tls.accept(stream).await?);
    let connection = http1::Builder::new().serve_connection(stream, service_fn(answer));
    Ok(connection.await?)
}

fn acceptor(certificates: &str, key: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificates)
        .and_then(Iterator::collect)
        .map_err(|why| format!("{certificates}: {why}"))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|why| format!("{key}: {why}"))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [iface, addresses, certificates, key] = &words[..] else {
        eprintln!("usage: async-rustls IFACE ADDRESS/PREFIX[,ADDRESS/PREFIX] CERTIFICATES.pem KEY.pem");
        return ExitCode::from(2);
    };
    if let Err(why) = run(iface, addresses, certificates, key).await {
        eprintln!("async-rustls: {why}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(iface: &str, addresses: &str, certificates: &str, key: &str) -> Result<(), Box<dyn Error>> {
    let tls = acceptor(certificates, key)?;
    let mut config = Config::default();
    config.iface = vec![iface.to_owned()];
    config.ip = addresses.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let engine = Engine::builder(config)
        .listen(Listen::on(443).for_endpoints())
        .start()?;
    let listener = engine.listeners()[0];
    let listener = AsyncEndpoint::new(engine.endpoint(&EndpointLimits::default())?)?.listener(listener);
    eprintln!("listening https://{}/", engine.listening()[0].1[0]);
    loop {
        let (stream, peer) = listener.accept().await?;
        let tls = tls.clone();
        tokio::spawn(async move {
            if let Err(error) = serve(stream, tls).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
