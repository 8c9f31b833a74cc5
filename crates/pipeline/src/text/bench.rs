//! What a measurement came to.

use headwater_record::{ByteCount, TokenCount};

use super::format::{counted, duration, printable};
use crate::{BenchReport, OtherPrecision, Throughput};

/// What a measurement came to and what follows for the corpus, a line each.
#[must_use]
pub fn bench(report: &BenchReport) -> String {
    bench_lines(report).into_iter().map(|(what, text)| format!("{what:<10}  {text}\n")).collect()
}

fn bench_lines(report: &BenchReport) -> Vec<(&'static str, String)> {
    let BenchReport { numerics, corpus, measured, heads, .. } = report;
    let Throughput { documents, tokens, seconds, is_whole_corpus, speed, .. } = *measured;
    let engine = [&numerics.engine, &numerics.precision, &numerics.instructions];
    let engine: Vec<&str> = engine.into_iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
    let masked = match heads.first_layer {
        Some(first) => format!("{} heads from layer {first} of {}", heads.count, heads.layers),
        None => "no heads".to_owned(),
    };
    let end = if is_whole_corpus { ", all there is: with so little text the speed is rough" } else { "" };
    let share = report.peak_flops_per_second.filter(|peak| *peak > 0.0).map(|peak| {
        let percent = 100.0 * measured.flops_per_second / peak;
        format!(": {percent:.0} % of the {} that this processor does at most", flops(peak))
    });
    let memory = report.peak_memory_bytes.map(|bytes| ("memory", format!("{} at the peak", ByteCount(bytes))));
    let head = [
        ("processor", format!("{}, {} threads", report.processor, report.threads)),
        ("model", printable(&format!("{} on {} ({})", report.model, numerics.device, engine.join(", ")))),
        ("head set", format!("{masked} ({})", heads.origin)),
        (
            "measured",
            format!("{} documents, {} tokens in {seconds:.1} s{end}", TokenCount(documents), TokenCount(tokens)),
        ),
        (
            "speed",
            format!("{} tokens/s, {:.2} documents/s", counted(speed.tokens_per_second), measured.documents_per_second),
        ),
        ("text", format!("{:.2} bytes a token", speed.bytes_per_token)),
        ("arithmetic", format!("{}{}", flops(measured.flops_per_second), share.unwrap_or_default())),
    ];
    let others: Vec<String> = report.others.iter().map(|other| against(other, speed.tokens_per_second)).collect();
    let others = (!others.is_empty()).then(|| ("otherwise", others.join(", ")));
    let hours = duration(corpus.machine_hours);
    let tail = [
        ("corpus", format!("≈ {} of text, ≈ {} tokens", corpus.text_bytes, corpus.tokens)),
        ("time", format!("≈ {hours} on this machine, and an n-th of that on n of them")),
    ];
    head.into_iter().chain(memory).chain(others).chain(tail).collect()
}

/// The speed of another precision, and how many times `speed` it is.
fn against(other: &OtherPrecision, speed: f64) -> String {
    let OtherPrecision { precision, tokens_per_second } = *other;
    format!("{} {} tokens/s ({:.2} ×)", precision.as_str(), counted(tokens_per_second), tokens_per_second / speed)
}

/// Operations a second, for people.
fn flops(per_second: f64) -> String {
    match per_second {
        flops if flops >= 1e12 => format!("{:.2} TFLOP/s", flops / 1e12),
        flops => format!("{:.2} GFLOP/s", flops / 1e9),
    }
}
