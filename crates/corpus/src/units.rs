//! Cuts shards into units.

use headwater_record::{ByteCount, ContentHash, ShardId, UnitKey};

use crate::groups::Groups;

/// Rows of a unit, at most: bounds what a row costs beside its text.
const UNIT_ROWS: u64 = 1 << 18;

/// Units of a row group, at most, unless it has too many rows: a footer may claim any number of bytes.
const MOST_UNITS: u64 = 1 << 16;

/// The least and the most text of a unit whose size is not given.
const LEAST_BYTES: u64 = 32 << 10;
const MOST_BYTES: u64 = 16 << 20;

/// Units of a shard whose size is not given, about.
const UNITS: u64 = 128;

/// Bytes of text that a unit of a shard should hold: as many as are asked for, or else by the shard alone, so that other shards change
/// nothing.
pub(crate) fn unit_bytes(asked: Option<ByteCount>, groups: &Groups) -> u64 {
    let all = || groups.texts().map(|(_, _, bytes)| bytes).fold(0, u64::saturating_add);
    asked.map_or_else(|| (all() / UNITS).clamp(LEAST_BYTES, MOST_BYTES), |asked| asked.0)
}

/// Cuts a shard into units of about `unit_bytes` of text, of at least one row and at most [`UNIT_ROWS`].
///
/// A row group that holds more is cut into ranges of equal length (± 1 row). Smaller ones that follow one another are joined, so that
/// the row groups of a thousand rows that some writers make are not units of their own.
///
/// # Units
/// Bytes of text are the uncompressed size of the text column, as the footer gives it.
pub(crate) fn cut(shard: &ShardId, groups: &Groups, unit_bytes: u64) -> Vec<UnitKey> {
    let mut units = Vec::new();
    let mut joined: Option<(UnitKey, u64)> = None;
    for (row_group, (start, rows, bytes)) in (0_u32..).zip(groups.texts()) {
        let by_text = (bytes.saturating_add(unit_bytes / 2) / unit_bytes).min(MOST_UNITS);
        let parts = by_text.max(rows.div_ceil(UNIT_ROWS)).max(1).min(rows);
        if parts == 1
            && let Some((unit, held)) = &mut joined
            && unit.rows + rows <= UNIT_ROWS
            && held.saturating_add(bytes / 2) <= unit_bytes
        {
            unit.rows += rows;
            *held = held.saturating_add(bytes);
            continue;
        }
        // an empty row group ends no unit
        if parts > 0 {
            units.extend(joined.take().map(|(unit, _)| unit));
        }
        for part in 0..parts {
            let (before, rows) = part_of(rows, part, parts);
            let unit = UnitKey { shard: shard.clone(), row_group, first_row: start + before, rows };
            if parts == 1 { joined = Some((unit, bytes)) } else { units.push(unit) }
        }
    }
    units.extend(joined.map(|(unit, _)| unit));
    units
}

/// The rows before part `part` of `parts`, which are of equal length (± 1 row), and the rows of the part.
pub(crate) fn part_of(rows: u64, part: u64, parts: u64) -> (u64, u64) {
    let (each, longer) = (rows / parts, rows % parts);
    (part * each + part.min(longer), each + u64::from(part < longer))
}

/// Where a unit falls in [0, 2^64) when a sample is drawn under `seed`.
pub(crate) fn draw(seed: u64, unit: &UnitKey) -> u64 {
    let hash = ContentHash::of_fields([&seed.to_le_bytes()[..], unit.to_string().as_bytes()]);
    u64::from_str_radix(&hash.short(16), 16).unwrap_or(0)
}

/// Whether a unit drawn at `drawn` belongs to a sample of the share `sample`; a larger share contains every smaller one.
pub(crate) fn is_sampled(drawn: u64, sample: f64) -> bool {
    // 53 bits are what an f64 holds exactly.
    let unit_interval = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
    unit_interval < sample
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_holds_little_of_a_small_shard() {
        let groups = |bytes| Groups::of_sizes(&[(1_000_000, bytes)]);
        assert_eq!(unit_bytes(None, &groups(1 << 20)), 32 << 10);
        assert_eq!(unit_bytes(None, &groups(64 << 20)), 512 << 10);
        assert_eq!(unit_bytes(None, &groups(1 << 40)), 16 << 20);
        assert_eq!(unit_bytes(Some(ByteCount(7)), &groups(1 << 40)), 7);
    }

    /// Row group, first row and rows of each unit.
    fn cut_of(sizes: &[(u64, u64)], unit_bytes: u64) -> Vec<(u32, u64, u64)> {
        let units = cut(&ShardId::new("a.parquet", 1, b"f"), &Groups::of_sizes(sizes), unit_bytes);
        units.into_iter().map(|unit| (unit.row_group, unit.first_row, unit.rows)).collect()
    }

    #[test]
    fn small_row_groups_are_joined_and_large_ones_cut() {
        assert_eq!(cut_of(&[(10, 40); 5], 100), [(0, 0, 30), (3, 30, 20)]);
        assert_eq!(
            cut_of(&[(10, 40), (10, 400), (10, 40), (0, 0), (10, 40)], 200),
            [(0, 0, 10), (1, 10, 5), (1, 15, 5), (2, 20, 20)]
        );
        assert_eq!(cut_of(&[(0, 0), (3, 0), (0, 0)], 200), [(1, 0, 3)]);
        let most = UNIT_ROWS;
        assert_eq!(cut_of(&[(most - 1, 0), (1, 0), (1, 0)], 200), [(0, 0, most), (2, most, 1)]);
        assert_eq!(cut_of(&[], 200), []);
    }

    #[test]
    fn the_row_groups_of_a_hub_make_units_of_the_size_that_is_asked_for() {
        // 10,000 row groups of a thousand rows of 3 kB
        let units = cut_of(&[(1000, 3_000_000); 10_000], 16 << 20);
        assert!((1_600..2_100).contains(&units.len()), "{}", units.len());
        assert_eq!(units.iter().map(|(_, _, rows)| rows).sum::<u64>(), 10_000_000);
    }

    #[test]
    fn parts_follow_one_another() {
        let parts: Vec<(u64, u64)> = (0..3).map(|part| part_of(8, part, 3)).collect();
        assert_eq!(parts, [(0, 3), (3, 3), (6, 2)]);
    }

    #[test]
    fn a_sample_is_nested_and_of_the_share() {
        let shard = ShardId::new("a.parquet", 1, b"f");
        let unit = |first_row| UnitKey { shard: shard.clone(), row_group: 0, first_row, rows: 1 };
        let drawn: Vec<u64> = (0..2000).map(|row| draw(7, &unit(row))).collect();
        let count = |share| drawn.iter().filter(|drawn| is_sampled(**drawn, share)).count();
        assert!((150..250).contains(&count(0.1)), "{}", count(0.1));
        assert!(count(0.1) <= count(0.2) && count(1.0) == 2000);
        assert_ne!(drawn[0], draw(8, &unit(0)));
    }
}
