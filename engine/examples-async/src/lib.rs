//! Unmodified axum, hyper, tokio-rustls, h2 and tonic on Fourtuple: a page each in `examples`, and docs/embedding-async.md beside them.
//!
//! They are a crate of their own, so that the library's tests don't need what they need.
#![forbid(unsafe_code)]
