//! `exchange SERVER CONNECTIONS EXCHANGES BYTES`: requests and answers between two shards in this process, on one thread, for
//! counting instructions; SERVER is `handler`, `thread`, `tasks` or `chunks`.

use fourtuple::exchange::{Server, run};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [server, connections, exchanges, bytes] = words.as_slice() else {
        return Err("usage: exchange handler|thread|tasks|chunks CONNECTIONS EXCHANGES BYTES".into());
    };
    let server = match server.as_str() {
        "handler" => Server::Handler,
        "thread" => Server::Thread,
        "tasks" => Server::Tasks,
        "chunks" => Server::Chunks,
        other => return Err(format!("no server is called {other}").into()),
    };
    let done = run(server, connections.parse()?, exchanges.parse()?, bytes.parse()?);
    eprintln!("{done} exchanges");
    Ok(())
}
