//! `fourtuple load`: the generator on a port of this machine, against any TCP. What `demo` has in common with it is here, too.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fourtuple::attach::PortQueue;
use fourtuple::{Config, Engine, KeepAlive, Profile};
use fourtuple_loadgen::{Close, Ending, Limit, Outcome, Pattern, Plan, Report, Run};

use crate::args::{CloseWord, Load, PatternWord, RunArgs};
use crate::attach::config;
use crate::exit::Failure;
use crate::progress::Watcher;
use crate::signals::Signals;
use crate::table;

/// Measured time when neither time nor count is given.
const DURATION: Duration = Duration::from_secs(10);

/// Bytes of an operation when no size is given: rr and crr.
const REQUEST: u32 = 64;

/// And of a stream's block.
const BLOCK: u32 = 64 << 10;

pub(crate) fn run(load: &Load) -> Result<(), Failure> {
    let config = config(
        &load.attach,
        &load.engine,
        load.run.stats,
        room(load.pattern, load.run.connections),
    )?;
    let locals = match sources(&load.run, load.target.ip())? {
        Some(sources) => sources,
        None => config.sources_for(load.target.ip()),
    };
    let plan = plan(load.pattern, load.target, locals, &load.run);
    if plan.locals.is_empty() {
        let family = if load.target.is_ipv4() {
            "an IPv4"
        } else {
            "an IPv6"
        };
        return Err(Failure::Usage(format!(
            "--ip: {} is {family} address; give the engine one, too",
            load.target.ip()
        )));
    }
    let mut config = config;
    config.ephemeral_ports = load.run.src_ports;
    config.source_range = load.run.src_range;
    let profile = profile(&config, &plan, load.run.keepalive);
    let run = Run::new(plan, profile, config.workers)?;
    let signals = Signals::install()?;
    let engine: Engine<PortQueue> = Engine::start_with(config, |worker| run.generator(worker))?;
    tell_stats(&load.run, &engine);
    let outcome = run.drive(&engine, &mut Watcher::new(signals, run.plan(), None));
    engine.drain(farewell(run.plan()));
    engine.stop();
    conclude(
        &run,
        &load.run,
        &outcome,
        Report::new(run.plan(), &outcome, None),
        &[],
    )
}

/// Addresses of `--src-range` to connect from, if it was given.
pub(crate) fn sources(run: &RunArgs, target: IpAddr) -> Result<Option<Vec<IpAddr>>, Failure> {
    let Some(range) = run.src_range else {
        return Ok(None);
    };
    let wrong = |problem: &str| Err(Failure::Usage(format!("--src-range: {range} {problem}")));
    if range.addr().is_ipv4() != target.is_ipv4() {
        return wrong("is of another family than the target");
    }
    if range.contains(&target) {
        return wrong("has the target's own address in it");
    }
    Ok(Some(range.hosts().take(MOST_SOURCES).collect()))
}

/// Most addresses to connect from: the first of a range that has more.
const MOST_SOURCES: usize = 1 << 16;

/// Connections that there has to be room for: with crr, those that are closing and their TIME_WAIT records as well.
pub(crate) fn room(pattern: PatternWord, connections: u32) -> u32 {
    match pattern {
        PatternWord::Crr => connections.saturating_mul(4).saturating_add(1_024),
        PatternWord::Rr | PatternWord::Stream | PatternWord::Hold | PatternWord::Http => connections
            .saturating_add((connections / 4).min(MOST_SPARE))
            .saturating_add(64),
    }
}

/// Most places beside those of the connections: for those that are being opened in the place of others that are closing.
const MOST_SPARE: u32 = 65_536;

/// The run that the flags describe.
pub(crate) fn plan(word: PatternWord, target: SocketAddr, locals: Vec<IpAddr>, run: &RunArgs) -> Plan {
    let pattern = match word {
        PatternWord::Rr => Pattern::RequestResponse,
        PatternWord::Crr => Pattern::ConnectRequestResponse,
        PatternWord::Stream => Pattern::Stream { reverse: run.reverse },
        PatternWord::Hold => Pattern::Hold,
        PatternWord::Http => Pattern::Http,
    };
    let limit = match (run.count, run.duration) {
        (Some(count), _) => Limit::Operations(count),
        (None, duration) => Limit::Time(duration.unwrap_or(DURATION)),
    };
    let size = match word {
        PatternWord::Rr | PatternWord::Crr | PatternWord::Hold => REQUEST,
        PatternWord::Stream => BLOCK,
        PatternWord::Http => 0,
    };
    let default = Plan::new(pattern, target);
    Plan {
        locals,
        connections: run.connections,
        active: run.active,
        limit,
        warmup: run.warmup,
        ramp: run.ramp,
        timeout: run.timeout,
        size: run.size.map_or(size, |sizes| sizes.request),
        response: run.size.and_then(|sizes| sizes.response),
        path: run.path.clone(),
        pipeline: run.pipeline,
        verify: run.verify,
        close: match run.close {
            CloseWord::Client => Close::Client,
            CloseWord::Server => Close::Server,
            CloseWord::Rst => Close::Reset,
        },
        fast_open: run.fast_open,
        seed: run.seed,
        opening: run.opening.unwrap_or(default.opening),
        ..default
    }
}

/// Of requests that go to one connection after the other (`--active`), most connections whose answers' ACKs wait for company: a server
/// may have to keep an answer for each.
pub(crate) const KEPT_ANSWERS: u32 = 1 << 14;

/// What the generator's connections are opened with: no Nagle, and nobody waits for longer than the time-out. Where requests go to
/// one connection after the other, of very many, an answer's ACK would wait in vain for the next request, and the server would keep
/// all answers of that while: it leaves at once.
pub(crate) fn profile(config: &Config, plan: &Plan, keepalive: Option<KeepAlive>) -> Profile {
    Profile::default().with(|profile| {
        profile.nodelay = true;
        if plan.active.is_some() && plan.connections > KEPT_ANSWERS {
            profile.delayed_ack = Duration::ZERO;
        }
        profile.keepalive = keepalive.or_else(|| held(plan));
        profile.connect_timeout = plan.timeout;
        profile.msl = config.msl;
        profile.congestion = config.congestion;
        profile.ecn = config.ecn;
        profile.receive_buffer = config.receive_buffer;
        profile.send_buffer = config.send_buffer;
        profile.send_buffer_most = config.send_buffer_most;
    })
}

/// Held connections say nothing: whether their peers are still there is asked within half of the time, not more often than
/// each second, and of no more than some 200,000 a second.
fn held(plan: &Plan) -> Option<KeepAlive> {
    let (Pattern::Hold, Limit::Time(span)) = (plan.pattern, plan.limit) else {
        return None;
    };
    let all = ASKED_EACH * plan.connections;
    Some(KeepAlive::new(
        (span / 4)
            .max(all)
            .clamp(Duration::from_secs(1), Duration::from_secs(60)),
        (span / 8).clamp(Duration::from_secs(1), Duration::from_secs(10)),
        2,
    ))
}

/// What a question of keep-alive may take of both ends, in time.
const ASKED_EACH: Duration = Duration::from_micros(5);

/// How long connections may take to close at the end of a run: all are closed in order, as long as that takes.
pub(crate) fn farewell(plan: &Plan) -> Duration {
    let patience = match plan.pattern {
        Pattern::Hold => plan.timeout,
        Pattern::RequestResponse
        | Pattern::ConnectRequestResponse
        | Pattern::Stream { .. }
        | Pattern::Http => Duration::from_millis(500),
    };
    patience + CLOSED_EACH * plan.connections
}

/// What a connection may take to close when many do, in time.
const CLOSED_EACH: Duration = Duration::from_micros(50);

/// Where the stats endpoint listens, if it was asked for.
pub(crate) fn tell_stats(run: &RunArgs, engine: &Engine<PortQueue>) {
    if let Some(address) = engine.stats_address()
        && !run.json
    {
        let _ = writeln!(std::io::stderr(), "stats: http://{address}/");
    }
}

/// Tells the result, and says whether it is a good one.
pub(crate) fn conclude(
    run: &Run,
    args: &RunArgs,
    outcome: &Outcome,
    report: Report,
    notes: &[String],
) -> Result<(), Failure> {
    if let Ending::Unreachable(why) = &outcome.ending {
        return Err(Failure::Run(why.clone()));
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let text = serde_json::to_string(&report).map_err(|error| Failure::Run(error.to_string()))?;
        writeln!(out, "{text}")?;
    } else {
        out.write_all(table::of(run.plan(), &report, notes).as_bytes())?;
    }
    out.flush()?;
    judge(&outcome.ending, &report, args.max_error_rate)
}

fn judge(ending: &Ending, report: &Report, max_error_rate: f64) -> Result<(), Failure> {
    match ending {
        Ending::Interrupted => return Err(Failure::Interrupted),
        Ending::Stalled(why) | Ending::Unreachable(why) => return Err(Failure::Run(why.clone())),
        Ending::Complete => {}
    }
    if report.operations == 0 {
        return Err(Failure::Run(match report.errors.status {
            Some(1..) => "no operation succeeded: no answer had a status of 2xx; does the server have what --path names?".into(),
            Some(0) | None => "no operation succeeded".into(),
        }));
    }
    let rate = report.error_rate();
    if rate > max_error_rate {
        return Err(Failure::ErrorRate(format!(
            "{} operations failed, {:.4} %; allowed are {:.4} % (--max-error-rate)",
            report.errors.sum(),
            rate * 100.0,
            max_error_rate * 100.0
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fourtuple_loadgen::{Errors, Outcome};

    use super::*;

    #[test]
    fn an_ending_has_its_code() {
        let plan = Plan::new(Pattern::RequestResponse, "10.0.0.1:7".parse().unwrap());
        let mut report = Report::new(&plan, &Outcome::default(), None);
        let code = |ending: &Ending, report: &Report, limit| {
            judge(ending, report, limit).map_err(|failure| failure.code())
        };
        assert_eq!(code(&Ending::Complete, &report, 0.0), Err(1), "nothing succeeded");
        report.operations = 999;
        assert_eq!(code(&Ending::Complete, &report, 0.0), Ok(()));
        report.errors = Errors {
            timeout: 1,
            ..Errors::default()
        };
        assert_eq!(code(&Ending::Complete, &report, 0.0), Err(4));
        assert_eq!(
            code(&Ending::Complete, &report, 0.001),
            Ok(()),
            "at the limit is within it"
        );
        assert_eq!(code(&Ending::Interrupted, &report, 0.0), Err(130));
        assert_eq!(code(&Ending::Stalled("why".into()), &report, 1.0), Err(1));
    }
}
