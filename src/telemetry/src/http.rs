//! The HTTP server: health, metrics, status and a page for people. It has no login and no TLS, and
//! changes nothing.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use regraft_core::{Code, Error, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::metrics;

/// Between two turns of the upkeep of histograms, as the exporter itself does it.
const UPKEEP: Duration = Duration::from_secs(5);

/// Requests that are under way at the shutdown may end within this time.
const DRAIN: Duration = Duration::from_secs(2);

/// <https://prometheus.io/docs/instrumenting/exposition_formats/>
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The page is one file, and loads nothing but the status. Its icon is none, so that no browser asks for one.
const PAGE_POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; \
                           style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; \
                           frame-ancestors 'none'";

const PAGE: &str = include_str!("status.html");

/// What the server tells; implemented by whoever runs the pipeline. The methods are called in the
/// server's task, so they must not block.
pub trait StatusSource: Clone + Send + Sync + 'static {
    /// The answer of `/api/v1/status`; `regraft status --json` has the same fields.
    fn status(&self) -> serde_json::Value;

    /// Whether the process works and is not held.
    ///
    /// # Errors
    /// What is wrong: code and message, without values of rows.
    fn healthy(&self) -> Result<(), String>;

    /// Sets the metrics that are of the moment when they are asked for; called before they are rendered.
    fn measure(&self) {}

    /// Whether the target follows the source with a bounded lag.
    ///
    /// # Errors
    /// What it is waiting for.
    fn ready(&self) -> Result<(), String>;
}

/// Listens, and serves until `shutdown` is cancelled; the handle then ends within seconds. Gives the
/// real address: port 0 takes a free one. Starts the collection of metrics.
///
/// # Errors
/// [`Code::ListenFailed`] when the address cannot be listened on, and those of [`metrics::install`].
pub async fn serve(
    listen: SocketAddr,
    status: impl StatusSource,
    shutdown: CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>)> {
    let metrics = metrics::install()?;
    let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, error))?;
    let address = listener.local_addr().map_err(|error| cannot_listen(listen, error))?;
    let router = router(status, metrics.clone());
    let task = tokio::spawn(async move {
        let drained = shutdown.clone();
        let server = axum::serve(Connections::new(listener), router)
            .with_graceful_shutdown(shutdown.cancelled_owned());
        tokio::select! {
            served = server => {
                if let Err(error) = served {
                    tracing::error!(%address, %error, "the HTTP server ended");
                }
            }
            () = upkeep(&metrics) => {}
            () = async { drained.cancelled().await; tokio::time::sleep(DRAIN).await } => {
                tracing::warn!(%address, "HTTP requests were cut off by the shutdown");
            }
        }
    });
    Ok((address, task))
}

/// Histograms keep every observation until a scrape or this: without a scraper they would grow for
/// ever.
async fn upkeep(metrics: &PrometheusHandle) {
    let mut turn = tokio::time::interval(UPKEEP);
    loop {
        turn.tick().await;
        metrics.run_upkeep();
    }
}

fn cannot_listen(listen: SocketAddr, error: std::io::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::AddrInUse => {
            "another program, perhaps another regraft, listens there: stop it, or choose another \
             port with http.listen"
        }
        ErrorKind::AddrNotAvailable => "choose an address of this machine with http.listen",
        ErrorKind::PermissionDenied => "choose a port from 1024 up with http.listen",
        _ => "choose another address with http.listen, or set http.enabled = false",
    };
    Error::new(Code::ListenFailed, "the HTTP server cannot listen")
        .at(listen.to_string())
        .because(error)
        .remedy(remedy)
}

fn router<S: StatusSource>(status: S, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(async |State(status): State<S>| verdict(status.healthy())))
        .route("/readyz", get(async |State(status): State<S>| verdict(status.ready())))
        .route("/api/v1/status", get(async |State(status): State<S>| json(&status.status())))
        .route(
            "/metrics",
            get(async move |State(status): State<S>| {
                status.measure();
                with(header::CONTENT_TYPE, PROMETHEUS, metrics.render())
            }),
        )
        .route("/", get(async || with(header::CONTENT_SECURITY_POLICY, PAGE_POLICY, Html(PAGE))))
        .with_state(status)
}

/// Every answer is of this moment.
fn with(name: HeaderName, value: &'static str, body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], [(name, value)], body).into_response()
}

fn json(value: &serde_json::Value) -> Response {
    with(header::CONTENT_TYPE, "application/json", value.to_string())
}

fn verdict(verdict: Result<(), String>) -> Response {
    let (status, mut text) = match verdict {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    };
    text.push('\n');
    (status, with(header::CONTENT_TYPE, "text/plain; charset=utf-8", text)).into_response()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::connections::{CONNECTIONS_MAX, REQUEST_TIME};

    #[derive(Clone)]
    struct Fixed {
        held: Option<&'static str>,
        waiting: Option<&'static str>,
    }

    impl StatusSource for Fixed {
        fn status(&self) -> serde_json::Value {
            serde_json::json!({"name": "ai", "phase": "streaming", "tables": []})
        }

        fn healthy(&self) -> Result<(), String> {
            self.held.map_or(Ok(()), |why| Err(why.to_owned()))
        }

        fn ready(&self) -> Result<(), String> {
            self.waiting.map_or(Ok(()), |why| Err(why.to_owned()))
        }
    }

    const WELL: Fixed = Fixed { held: None, waiting: None };

    async fn start(status: Fixed) -> (SocketAddr, JoinHandle<()>, CancellationToken) {
        let shutdown = CancellationToken::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, task) = serve(any, status, shutdown.clone()).await.unwrap();
        assert_ne!(address.port(), 0);
        (address, task, shutdown)
    }

    /// Status line and headers in lower case, and body.
    async fn get(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn health_and_readiness_say_ok_or_why_not() {
        let (address, ..) = start(WELL).await;
        for path in ["/healthz", "/readyz"] {
            let (head, body) = get(address, path).await;
            assert!(head.starts_with("http/1.1 200 "), "{head}");
            assert!(head.contains("cache-control: no-store"), "{head}");
            assert_eq!(body, "ok\n");
        }
        let held = Fixed { held: Some("RG2008: the slot is gone"), waiting: Some("backfill") };
        let (address, ..) = start(held).await;
        for (path, why) in [("/healthz", "RG2008: the slot is gone\n"), ("/readyz", "backfill\n")] {
            let (head, body) = get(address, path).await;
            assert!(head.starts_with("http/1.1 503 "), "{head}");
            assert_eq!(body, why);
        }
    }

    #[tokio::test]
    async fn metrics_are_text_for_prometheus() {
        let (address, ..) = start(WELL).await;
        metrics::Recorder::default().batch(10, 1000, Duration::from_millis(5));
        let (head, body) = get(address, "/metrics").await;
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert_eq!(head.matches("content-type").count(), 1, "{head}");
        for name in ["# TYPE regraft_batch_rows histogram", "regraft_build_info{version="] {
            assert!(body.contains(name), "{name} is not in\n{body}");
        }
    }

    #[tokio::test]
    async fn the_status_is_the_json_of_its_source() {
        let (address, ..) = start(WELL).await;
        let (head, body) = get(address, "/api/v1/status").await;
        assert!(head.contains("content-type: application/json"), "{head}");
        assert_eq!(head.matches("content-type").count(), 1, "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), WELL.status());
    }

    #[tokio::test]
    async fn the_page_is_whole_in_itself_and_puts_no_text_into_html() {
        let (address, ..) = start(WELL).await;
        let (head, body) = get(address, "/").await;
        assert!(head.starts_with("http/1.1 200 ") && head.contains("text/html"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        assert_eq!(body, PAGE);
        assert!(body.contains("/api/v1/status") && body.contains("textContent"));
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "://"] {
            assert!(!body.contains(forbidden), "{forbidden}");
        }
        assert!(get(address, "/none").await.0.starts_with("http/1.1 404 "));
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_with_its_remedy() {
        let (address, ..) = start(WELL).await;
        let error = serve(address, WELL, CancellationToken::new()).await.expect_err("in use");
        assert_eq!(error.code(), Code::ListenFailed);
        assert_eq!(error.place(), Some(address.to_string().as_str()));
        assert!(error.remedy_text().unwrap().contains("http.listen"));
    }

    #[tokio::test]
    async fn slow_connections_leave_room_for_others_and_are_closed() {
        let (address, ..) = start(WELL).await;
        let mut slow = Vec::new();
        for _ in 0..CONNECTIONS_MAX * 4 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"G").await.unwrap();
            slow.push(stream);
        }
        assert!(get(address, "/healthz").await.0.starts_with("http/1.1 200 "));
        // The oldest ones had to go; the others go by themselves, without an answer.
        for mut stream in slow {
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
        }
    }

    #[tokio::test]
    async fn a_connection_that_asks_now_and_then_stays() {
        let (address, ..) = start(WELL).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begin = std::time::Instant::now();
        let mut asked = 0;
        while begin.elapsed() < REQUEST_TIME + Duration::from_secs(2) {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n").await.unwrap();
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 200");
            while !answer.ends_with(b"ok\n") {
                let last = stream.read_u8().await.unwrap();
                answer.rotate_left(1);
                answer[11] = last;
            }
            asked += 1;
            tokio::time::sleep(REQUEST_TIME / 4).await;
        }
        assert!(asked > 3, "{asked}");
    }

    #[tokio::test]
    async fn the_server_ends_when_it_is_cancelled_whoever_is_still_connected() {
        let (address, task, shutdown) = start(WELL).await;
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.unwrap();
        get(address, "/healthz").await;
        shutdown.cancel();
        task.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
