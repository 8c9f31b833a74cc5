//! Corrected influence on planted signals, strata and buckets against what they promise.

#![expect(clippy::cast_possible_truncation, reason = "made-up numbers and few rows")]

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{InMemory, Line, Shard, kept, no_progress};
use crate::{By, Error, RankBy, Rule, SelectConfig, UpsampleConfig, cut};
use headwater_record::statistics::{pearson, ranks, spearman};

/// Draws of a normal distribution.
struct Normal(ChaCha8Rng);

impl Normal {
    fn uniform(&mut self) -> f64 {
        (f64::from(self.0.next_u32()) + 0.5) / 4_294_967_296.0
    }

    fn draw(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// Documents whose log influence is a bent function of loss, compression and length, plus a signal, plus noise of a known error.
/// Gives the shards and each document's signal.
pub(super) fn planted(documents: usize, signal_share: f64, noise: f64) -> (Vec<Shard>, Vec<f64>) {
    let mut draws = Normal(ChaCha8Rng::seed_from_u64(7));
    let (mut lines, mut nuisances, mut signals) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..documents {
        let (a, b, c) = (draws.draw(), draws.draw(), draws.draw());
        let (loss, compression) = ((0.9 + 0.3 * a).exp(), (0.8 + 0.2 * b + 0.1 * a).exp());
        let tokens = (6.5 + 0.9 * c).exp().max(40.0).round();
        let (dense, long) = ((compression.ln() - 0.8) / 0.2, tokens.ln() - 6.5);
        nuisances.push(
            -0.30 * a + 0.05 * a * a - 0.08 * (1.5 * dense).tanh() + 0.06 * long - 0.03 * long * long
                + 0.03 * a * dense,
        );
        lines.push((loss, compression, tokens));
        signals.push(draws.draw());
    }
    let centre = nuisances.iter().sum::<f64>() / documents as f64;
    let spread = (nuisances.iter().map(|n| (n - centre).powi(2)).sum::<f64>() / documents as f64).sqrt();
    let scale = spread * signal_share.sqrt();
    signals.iter_mut().for_each(|signal| *signal *= scale);
    let line = |((loss, compression, tokens), (nuisance, signal)): ((f64, f64, f64), (f64, &f64))| {
        // noise of a document falls with the root of its targets
        let stderr = noise * scale.max(spread * 0.3) / (tokens / 500.0).sqrt();
        let log = 0.5 + nuisance + signal + stderr * draws.draw();
        let influence = (log.exp() - 1.0) as f32;
        Line {
            stderr: Some((stderr * log.exp()) as f32),
            loss: Some(loss as f32),
            compression: compression as f32,
            ..Line::scored("web", influence, tokens as u32 + 1)
        }
    };
    let lines: Vec<Line> = lines.into_iter().zip(nuisances.into_iter().zip(&signals)).map(line).collect();
    let units = lines.chunks(1_000).map(<[Line]>::to_vec).collect();
    (vec![Shard { source: "web".into(), path: "a.parquet".into(), units }], signals)
}

fn corrected() -> SelectConfig {
    SelectConfig { rank: RankBy::Corrected, ..SelectConfig::default() }
}

/// The value of every document under the rank of `config`, in order.
fn values(sidecars: &InMemory, config: &SelectConfig) -> Vec<f64> {
    let everything = SelectConfig { fraction: 1.0, ..config.clone() };
    let selection = cut(sidecars, Rule { config: &everything, seed: 3 }, &no_progress).unwrap();
    let mut values = Vec::new();
    let digest = |rows: &crate::rows::UnitRows<'_>| selection.membership.members(rows);
    let scores = crate::scan::Scores { sidecars, on_progress: &no_progress };
    let visit = |_, members: Vec<crate::membership::Member>| {
        values.extend(members.iter().map(|member| selection.membership.rank.value(member.key)));
        Ok(())
    };
    scores.scan_all(selection.membership.columns(), digest, visit).unwrap();
    values
}

#[test]
fn a_planted_signal_is_recovered() {
    for share in [0.1, 0.5] {
        let (shards, signals) = planted(100_000, share, 0.1);
        let sidecars = InMemory::new(shards).unwrap();
        let (raw, corrected) = (values(&sidecars, &SelectConfig::default()), values(&sidecars, &corrected()));
        let (before, after) = (spearman(&raw, &signals), spearman(&corrected, &signals));
        assert!(after >= 0.95 && before < 0.8, "share {share}: {before} raw, {after} corrected");
    }
}

#[test]
fn nothing_of_the_nuisances_is_left() {
    let (shards, _) = planted(20_000, 0.3, 0.5);
    let selection = cut(&InMemory::new(shards).unwrap(), Rule { config: &corrected(), seed: 3 }, &no_progress).unwrap();
    let correction = selection.file.domains[0].correction.as_ref().unwrap();
    assert!(correction.r2_before > 0.6 && correction.r2_after <= 0.01, "{correction:?}");
    for nuisance in &correction.nuisances {
        assert!(nuisance.spearman_after.abs() <= 0.05, "{nuisance:?}");
    }
    assert_eq!(correction.terms, "fine splines");
}

/// Without a signal, what is kept of each stratum of nuisances is what chance keeps: χ² over 4 × 4 × 4 strata.
#[test]
fn without_a_signal_the_kept_are_random_inside_strata() {
    let (shards, _) = planted(100_000, 0.0, 1.0);
    let lines: Vec<Line> = shards[0].units.concat();
    let sidecars = InMemory::new(shards).unwrap();
    let selection = cut(&sidecars, Rule { config: &corrected(), seed: 3 }, &no_progress).unwrap();
    let kept = &kept(&selection, &sidecars)["web"][&0];
    let quarter = |values: Vec<f64>| {
        let ranks = ranks(&values);
        let size = values.len() as f64 / 4.0;
        ranks.into_iter().map(move |rank| (((rank - 1.0) / size) as usize).min(3))
    };
    let by = |value: fn(&Line) -> f64| quarter(lines.iter().map(value).collect()).collect::<Vec<_>>();
    let loss = by(|line| f64::from(line.loss.unwrap()));
    let compression = by(|line| f64::from(line.compression));
    // within a quarter of length, noise is alike: the shrinkage favours long documents by design, so length is held fixed
    let length = by(|line| f64::from(line.tokens));
    let rows: std::collections::BTreeSet<u64> = kept.iter().map(|address| address.row).collect();
    for quarter in 0..4 {
        let (mut all, mut held) = ([0.0_f64; 16], [0.0_f64; 16]);
        for row in (0..lines.len()).filter(|row| length[*row] == quarter) {
            let stratum = 4 * loss[row] + compression[row];
            all[stratum] += 1.0;
            held[stratum] += f64::from(u8::from(rows.contains(&(row as u64))));
        }
        let share = held.iter().sum::<f64>() / all.iter().sum::<f64>();
        let chi2: f64 =
            all.iter().zip(held).map(|(all, held)| (held - share * all).powi(2) / (share * (1.0 - share) * all)).sum();
        // 15 degrees of freedom: 37.7 is exceeded once in a thousand times
        assert!(chi2 < 37.7, "quarter {quarter} of length: χ² {chi2}");
    }
}

#[test]
fn short_documents_do_not_win_by_noise() {
    let (shards, _) = planted(20_000, 0.0, 1.0);
    let sidecars = InMemory::new(shards.clone()).unwrap();
    let selection =
        cut(&sidecars, Rule { config: &SelectConfig { fraction: 0.02, ..corrected() }, seed: 3 }, &no_progress)
            .unwrap();
    let lines: Vec<Line> = shards[0].units.concat();
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        let values: Vec<f64> = values.collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let kept = &kept(&selection, &sidecars)["web"][&0];
    let all = mean(&mut lines.iter().map(|line| f64::from(line.tokens).ln()));
    let top = mean(&mut kept.iter().map(|address| f64::from(lines[address.row as usize].tokens).ln()));
    assert!(top > all - 0.2, "the top's mean log length is {top}, the domain's {all}");
}

#[test]
fn strata_keep_the_distribution_of_lengths() {
    let (shards, _) = planted(50_000, 0.5, 0.1);
    let lines: Vec<Line> = shards[0].units.concat();
    let sidecars = InMemory::new(shards).unwrap();
    let lengths: Vec<f64> = lines.iter().map(|line| f64::from(line.tokens)).collect();
    let ranks = ranks(&lengths);
    let decile = |row: usize| ((ranks[row] - 1.0) / lines.len() as f64 * 10.0) as usize;
    for by in [By::Documents, By::Tokens] {
        let config = SelectConfig { by, length_strata: 20, fraction: 0.2, ..SelectConfig::default() };
        let selection = cut(&sidecars, Rule { config: &config, seed: 3 }, &no_progress).unwrap();
        let kept = &kept(&selection, &sidecars)["web"][&0];
        let mut held = [0.0_f64; 10];
        let mut all = [0.0_f64; 10];
        // what is cut by tokens keeps the distribution of tokens
        let weight = |row: usize| if by == By::Documents { 1.0 } else { lengths[row] };
        kept.iter().for_each(|address| held[decile(address.row as usize)] += weight(address.row as usize));
        (0..lines.len()).for_each(|row| all[decile(row)] += weight(row));
        let share = held.iter().sum::<f64>() / all.iter().sum::<f64>();
        for (held, all) in held.iter().zip(all) {
            assert!((held / (share * all) - 1.0).abs() <= 0.02, "{by:?}: {held} of {all} in a decile, {share} in all");
        }
        let domain = &selection.file.domains[0];
        let kept_tokens: u64 = kept.iter().map(|address| u64::from(lines[address.row as usize].tokens)).sum();
        assert_eq!((domain.kept_documents, domain.kept_tokens.0), (kept.len() as u64, kept_tokens));
        assert_eq!(domain.strata.iter().map(|stratum| stratum.kept_tokens.0).sum::<u64>(), kept_tokens);
        if by == By::Tokens {
            let goal = domain.ranked_tokens.0 / 5;
            let longest = lines.iter().map(|line| u64::from(line.tokens)).max().unwrap();
            assert!(kept_tokens <= goal && goal - kept_tokens < longest, "{kept_tokens} of {goal}");
        }
    }
}

#[test]
fn buckets_are_stretches_of_equal_tokens_and_reach_the_target() {
    let (shards, _) = planted(20_000, 0.5, 0.1);
    let lines: Vec<Line> = shards[0].units.concat();
    let sidecars = InMemory::new(shards).unwrap();
    let total: u64 = lines.iter().map(|line| u64::from(line.tokens)).sum();
    let target = total as f64 * 1.2;
    let config = SelectConfig { by: By::Upsample, tokens: Some(target), ..SelectConfig::default() };
    let selection = cut(&sidecars, Rule { config: &config, seed: 3 }, &no_progress).unwrap();
    let file = &selection.file;
    assert_eq!(file.buckets.len(), 12);
    assert!((file.trained_tokens() / target - 1.0).abs() < 0.001);
    assert!(file.buckets.iter().all(|bucket| bucket.repeat <= 7.0 + 1e-9));
    let longest = lines.iter().map(|line| f64::from(line.tokens)).fold(0.0, f64::max);
    let kept = &kept(&selection, &sidecars)["web"];
    let influence = |row: u64| lines[row as usize].influence.unwrap();
    for (at, bucket) in file.buckets.iter().enumerate() {
        assert!((bucket.tokens.0 as f64 - total as f64 * 0.05).abs() <= longest, "{bucket:?}");
        let rows = &kept[&at];
        assert_eq!(rows.len() as u64, bucket.documents);
        let lowest = rows.iter().map(|address| influence(address.row)).fold(f32::INFINITY, f32::min);
        if let Some(next) = kept.get(&(at + 1)) {
            assert!(next.iter().all(|address| influence(address.row) <= lowest));
        }
    }
    let short = SelectConfig { tokens: Some(total as f64 * 5.0), ..config };
    let error = cut(&sidecars, Rule { config: &short, seed: 3 }, &no_progress).unwrap_err();
    assert!(matches!(error, Error::OutOfReach { .. }) && error.to_string().contains("select.upsample.cap"), "{error}");
    assert_eq!(UpsampleConfig::default().cap, 7.0);
}

#[test]
fn a_sum_of_ranks_follows_its_parts() {
    let (shards, _) = planted(3_000, 0.5, 0.1);
    let sidecars = InMemory::new(shards).unwrap();
    let of = |rank| values(&sidecars, &SelectConfig { rank, ..SelectConfig::default() });
    let (influence, loss) = (of(RankBy::Influence), of(RankBy::Loss));
    let sum = |weight: f64| {
        let rank_sum = [(RankBy::Influence, 1.0), (RankBy::Loss, weight)].into();
        values(&sidecars, &SelectConfig { rank: RankBy::RankSum, rank_sum, ..SelectConfig::default() })
    };
    let expected: Vec<f64> = ranks(&influence)
        .into_iter()
        .zip(ranks(&loss))
        .map(|(a, b)| (a - 0.5) / 3_000.0 + 0.5 * (b - 0.5) / 3_000.0)
        .collect();
    let got = sum(0.5);
    let furthest = got.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(furthest < 1e-6, "{furthest}");
    assert!(pearson(&sum(-5.0), &loss) < -0.9);
}

/// Samples must not be drawn by the very numbers of the `random` rank: of more documents than a sample holds, percentiles would be cut off.
#[test]
fn a_sum_of_random_alone_is_random() {
    let (shards, _) = planted(100_000, 0.5, 0.1);
    let sidecars = InMemory::new(shards).unwrap();
    let random = values(&sidecars, &SelectConfig { rank: RankBy::Random, ..SelectConfig::default() });
    let rank_sum = [(RankBy::Random, 1.0)].into();
    let sum = values(&sidecars, &SelectConfig { rank: RankBy::RankSum, rank_sum, ..SelectConfig::default() });
    let furthest = random.iter().zip(&sum).map(|(draw, percentile)| (draw - percentile).abs()).fold(0.0, f64::max);
    assert!(furthest < 0.01, "{furthest}");
}
