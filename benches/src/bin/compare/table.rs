//! What is printed.

use std::time::Duration;

/// One run of one client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) wall: Duration,
    pub(crate) client_cpu: Duration,
    pub(crate) daemon_cpu: Duration,
    pub(crate) peak_bytes: u64,
    pub(crate) wire_bytes: u64,
}

/// Prints the medians of rsync, of syncline, and the ratios.
pub(crate) fn print(name: &str, [rsync, syncline]: &[Vec<Sample>; 2]) {
    println!("{name}");
    println!(
        "  {:<10}{}",
        "",
        COLUMNS.map(|(title, _)| format!("{title:>18}")).concat()
    );
    let rows = [rsync, syncline]
        .map(|samples| COLUMNS.map(|(_, value)| median(samples.iter().map(value).collect())));
    for (client, row) in ["rsync", "syncline"].into_iter().zip(&rows) {
        println!(
            "  {client:<10}{}",
            row.map(|value| format!("{value:>18.1}")).concat()
        );
    }
    let ratios = std::array::from_fn::<_, { COLUMNS.len() }, _>(|column| {
        ratio(rows[1][column], rows[0][column])
    });
    println!(
        "  {:<10}{}\n",
        "ratio",
        ratios.map(|text| format!("{text:>18}")).concat()
    );
}

/// Prints p50, p95, p99 and the maximum of each, in milliseconds, and the ratios of the second one to the first.
pub(crate) fn print_latencies(name: &str, [first, second]: &[(&str, Vec<Duration>); 2]) {
    println!("{name}");
    println!(
        "  {:<16}{:>8}{:>12}{:>12}{:>12}{:>12}",
        "", "changes", "p50 ms", "p95 ms", "p99 ms", "max ms"
    );
    let rows = [first, second]
        .map(|(_, times)| [50, 95, 99, 100].map(|percent| percentile(times, percent)));
    for ((name, times), row) in [first, second].into_iter().zip(&rows) {
        let row = row.map(|value| format!("{value:>12.1}")).concat();
        println!("  {name:<16}{:>8}{row}", times.len());
    }
    let ratios = std::array::from_fn::<_, 4, _>(|column| ratio(rows[1][column], rows[0][column]));
    println!(
        "  {:<16}{:>8}{}\n",
        "ratio",
        "",
        ratios.map(|text| format!("{text:>12}")).concat()
    );
}

type Column = (&'static str, fn(&Sample) -> f64);

const COLUMNS: [Column; 5] = [
    ("wall ms", |sample| sample.wall.as_secs_f64() * 1e3),
    ("client CPU ms", |sample| {
        sample.client_cpu.as_secs_f64() * 1e3
    }),
    ("daemon CPU ms", |sample| {
        sample.daemon_cpu.as_secs_f64() * 1e3
    }),
    ("client peak MiB", |sample| {
        sample.peak_bytes as f64 / f64::from(1 << 20)
    }),
    ("wire KB", |sample| sample.wire_bytes as f64 / 1e3),
];

/// The middle value; of two middle ones the lower.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}

/// The smallest time that `percent` of all do not exceed, in milliseconds.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times[rank - 1].as_secs_f64() * 1e3
}

fn ratio(ours: f64, theirs: f64) -> String {
    match theirs > 0.0 {
        true => format!("{:.2}", ours / theirs),
        // Below a clock tick.
        false => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 1.0);
        let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let found = [50, 95, 99, 100].map(|percent| percentile(&times, percent));
        assert_eq!(found, [100.0, 190.0, 198.0, 200.0]);
        assert_eq!(percentile(&times[..1], 50), 1.0);
        assert_eq!(
            (ratio(1.0, 2.0).as_str(), ratio(1.0, 0.0).as_str()),
            ("0.50", "-")
        );
    }
}
