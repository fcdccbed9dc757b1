//! `fourtuple serve`: services on a port of this machine until a signal comes.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use fourtuple::attach::PortQueue;
use fourtuple::{ConfigError, ConnectionOption, Engine, Listen, Listener};

use crate::args::{Mode, Serve};
use crate::attach::config;
use crate::exit::Failure;
use crate::services::http_files::{Files, RootError};
use crate::services::on_threads::Threads;
use crate::services::on_worker::Services;
use crate::services::{Kind, Service, Site};
use crate::signals::Signals;

/// How often the main thread looks for a signal.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(serve: &Serve) -> Result<(), Failure> {
    check(serve)?;
    let site = site(serve)?;
    let config = config(&serve.attach, &serve.engine, serve.stats, serve.max_connections)?;
    let signals = Signals::install()?;
    let mut builder = Engine::builder(config.clone());
    for service in &serve.services {
        builder = builder.listen(listen(serve, service));
    }
    let engine = match serve.mode {
        Mode::Handler => {
            let kinds: Arc<[Kind]> = serve.services.iter().map(|service| service.kind).collect();
            builder.start_with(|_| Services::new(Arc::clone(&kinds), site.clone()))?
        }
        Mode::Threads(_) => builder.start()?,
    };
    // Their numbers count from 0, in the order of the services.
    let kinds = serve.services.iter().map(|service| service.kind);
    let listeners: Vec<(Listener, Kind)> = engine.listeners().iter().copied().zip(kinds).collect();
    let threads = match serve.mode {
        Mode::Handler => None,
        Mode::Threads(count) => Some(Threads::start(&engine, &listeners, count, &site)?),
    };
    announce(&serve.services, &engine)?;
    while !signals.came() {
        std::thread::sleep(LOOK);
    }
    tracing::info!("draining for at most {:?}", serve.drain_timeout);
    if let Some(threads) = &threads {
        threads.drain();
    }
    let reset = engine.drain(serve.drain_timeout);
    if reset > 0 {
        tracing::warn!("{reset} connections were reset at the end of --drain-timeout");
    }
    if let Some(threads) = threads {
        threads.stop();
    }
    engine.stop();
    Ok(())
}

/// No services, a port twice, or a folder that nothing serves.
fn check(serve: &Serve) -> Result<(), Failure> {
    let services = &serve.services;
    if services.is_empty() {
        return Err(Failure::Usage(
            "name a service, as echo:7, discard:9, chargen:19, daytime:13 or http:80".into(),
        ));
    }
    for (place, service) in services.iter().enumerate() {
        let both = services[..place]
            .iter()
            .map(|other| (other.first.max(service.first), other.last.min(service.last)))
            .find(|(first, last)| first <= last);
        if let Some((first, _)) = both {
            return Err(ConfigError::PortTaken(first).into());
        }
    }
    if serve.root.is_some() && services.iter().all(|service| service.kind != Kind::Http) {
        return Err(Failure::Usage(
            "--root: no http service is there to serve its files; add http:80".into(),
        ));
    }
    Ok(())
}

/// What http serves; the files of `--root` are read here.
fn site(serve: &Serve) -> Result<Site, Failure> {
    let Some(root) = &serve.root else {
        return Ok(Site::Page(serve.body_size));
    };
    let files = Files::load(root).map_err(|error| match error {
        RootError::Unreadable(..) => Failure::Unusable(error.to_string()),
        RootError::NoFolder(..) | RootError::TooLarge(_) | RootError::TooMany(_) => {
            Failure::Usage(error.to_string())
        }
    })?;
    let (count, bytes) = files.extent();
    let _ = writeln!(
        std::io::stderr(),
        "root: {count} files, {bytes} bytes of {} in memory; a change needs a restart",
        root.display()
    );
    Ok(Site::Files(Arc::new(files)))
}

/// How to listen for a service.
fn listen(serve: &Serve, service: &Service) -> Listen {
    let listen = Listen::on_ports(service.first..=service.last)
        .with_backlog(serve.backlog)
        .with_syn_queue(serve.syn_queue)
        .with_syn_cookies(serve.syn_cookies.into())
        .with_fast_open(serve.fast_open)
        .with(ConnectionOption::NoDelay(true))
        .with(ConnectionOption::KeepAlive(serve.keepalive));
    match serve.mode {
        Mode::Handler => listen,
        Mode::Threads(_) => listen.for_endpoints(),
    }
}

/// One line a service, for people and for scripts that wait for it.
fn announce(services: &[Service], engine: &Engine<PortQueue>) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for service in services {
        write!(out, "listening {}", service.kind.name())?;
        for net in &engine.config().ip {
            write!(out, " {}", std::net::SocketAddr::new(net.addr(), service.first))?;
            if service.last > service.first {
                write!(out, "-{}", service.last)?;
            }
        }
        writeln!(out)?;
    }
    out.flush()?;
    Ok(())
}
