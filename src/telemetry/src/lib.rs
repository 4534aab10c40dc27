//! What a running regraft tells the outside: log lines, metrics, health and a status page.
//!
//! - [`logging`]: lines on standard error, for people or as JSON.
//! - [`metrics`]: every metric, and [`Recorder`], one function per event.
//! - [`http`]: the server with `/healthz`, `/readyz`, `/metrics`, `/api/v1/status` and the page.
//!
//! Nothing here knows what a pipeline is; it is told through [`StatusSource`] and the functions of
//! [`Recorder`]. Values of rows and secrets do not come here.

mod connections;
pub mod http;
pub mod logging;
pub mod metrics;

pub use http::{StatusSource, serve};
pub use logging::{LogFormat, init_logging};
pub use metrics::Recorder;
