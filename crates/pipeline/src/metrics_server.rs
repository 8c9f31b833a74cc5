//! The meters of a pipeline as Prometheus text over HTTP.
//!
//! The server is a few lines on threads: no library that is kept up serves a single page without bringing an async runtime into this
//! crate.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use headwater_record::Metrics;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::meters::Meters;
use crate::{Error, Result};

/// Longest request that is looked at: a line and its headers.
const REQUEST_BYTES: u64 = 16 << 10;

/// How long a client may pause while it asks, or takes the answer.
const PATIENCE: Duration = Duration::from_secs(5);

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves `meters` at `/metrics` of `address` until the process ends; returns the address, whose port the system chose if it was 0.
///
/// # Errors
/// [`Error::MetricsAddress`] if nothing can listen there.
pub fn serve_metrics(address: SocketAddr, meters: Arc<Meters>) -> Result<SocketAddr> {
    let unusable = |source| Error::MetricsAddress { address, source };
    let listener = TcpListener::bind(address).map_err(unusable)?;
    let bound = listener.local_addr().map_err(unusable)?;
    let serving = std::thread::Builder::new().name("headwater-metrics".to_owned()).spawn(move || {
        for connection in listener.incoming() {
            let meters = Arc::clone(&meters);
            // a slow client holds up no other
            std::thread::spawn(move || {
                if let Err(error) = connection.and_then(|connection| answer(&connection, &meters)) {
                    tracing::debug!(%error, "a metrics request was not answered");
                }
            });
        }
    });
    serving.map_err(unusable)?;
    Ok(bound)
}

fn answer(mut connection: &TcpStream, meters: &Meters) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(connection.take(REQUEST_BYTES)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (status, kind, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics" | "/")) => ("200 OK", TEXT, text(&meters.metrics()).map_err(io::Error::other)?),
        (Some("GET"), _) => ("404 Not Found", "text/plain", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "only GET is answered\n".to_owned()),
    };
    let length = body.len();
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// A label's name and value.
type Labels = [(&'static str, String); 1];

/// The meters in the OpenMetrics text format.
fn text(metrics: &Metrics) -> std::result::Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("headwater");
    let totals = [
        ("probe_passes", "Forward passes over probes to find the heads", metrics.probe_passes),
        ("spared_probe_passes", "Forward passes over probes that were not needed", metrics.spared_probe_passes),
        ("documents", "Documents scored", metrics.documents),
        ("tokens", "Tokens scored", metrics.tokens),
        ("rejects", "Rows found unusable", metrics.rejects),
        ("units", "Units whose scores are written", metrics.units),
        ("read_bytes", "Bytes of shards asked for", metrics.traffic.read_bytes),
        ("store_requests", "Requests sent to stores, repeated ones included", metrics.traffic.requests),
        ("store_received_bytes", "Bytes received from stores", metrics.traffic.received_bytes),
        ("store_sent_bytes", "Bytes sent to stores", metrics.traffic.sent_bytes),
    ];
    for (name, help, value) in totals {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    let retries = Family::<Labels, Counter>::default();
    for (reason, count) in &metrics.traffic.retries_by_reason {
        retries.get_or_create(&[("reason", reason.clone())]).inc_by(*count);
    }
    registry.register("store_retries", "Requests that failed in a way that passes, and were repeated", retries);
    let levels = [
        ("units_wanted", "Units that this process is to score", metrics.units_wanted),
        ("needed_bytes", "Compressed size of the columns that scoring needs", metrics.needed_bytes),
        ("peak_memory_bytes", "Greatest resident memory", metrics.peak_memory_bytes.unwrap_or(0)),
    ];
    for (name, help, value) in levels {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
    let stage = Family::<Labels, Gauge>::default();
    for name in metrics.seconds.keys() {
        stage.get_or_create(&[("stage", name.clone())]).set(i64::from(metrics.stage.as_ref() == Some(name)));
    }
    registry.register("stage", "1 for the stage being worked on", stage);
    let seconds = |label: &'static str, values: &std::collections::BTreeMap<String, f64>| {
        let family = Family::<Labels, Counter<f64, AtomicU64>>::default();
        for (name, seconds) in values {
            family.get_or_create(&[(label, name.clone())]).inc_by(*seconds);
        }
        family
    };
    registry.register_with_unit(
        "stage",
        "Time by stage, of the clock",
        Unit::Seconds,
        seconds("stage", &metrics.seconds),
    );
    let phases = seconds("phase", &metrics.phase_seconds);
    registry.register_with_unit("phase", "Time by phase of scoring, summed over threads", Unit::Seconds, phases);
    let waited = Counter::<f64, AtomicU64>::default();
    waited.inc_by(metrics.fetch_wait_seconds);
    registry.register_with_unit("fetch_wait", "Time that threads waited for bytes of shards", Unit::Seconds, waited);
    let mut body = String::new();
    encode(&mut body, &registry)?;
    Ok(body)
}
