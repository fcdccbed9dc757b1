//! (being built)
#[allow(dead_code, unused_imports, reason = "called by the shard, which is being written")]
mod host;
