//! AttentionInfluence (arXiv 2505.07293) §4 and table 9: 1T tokens in batches of 1,024 × 8,192, peak 4e-4, WSD with 0.1 %
//! warm-up and a final 25 % decay. The paper prints no step counts; these follow from its numbers.

use headwater_schedule::{Batch, Error, RunLength, ScheduleConfig};

const BATCH: Batch = Batch { sequences: 1024, sequence_tokens: 8192 };

#[test]
fn the_papers_plan_in_steps() -> Result<(), Error> {
    let run = RunLength::of_tokens(1_000_000_000_000, BATCH)?;
    assert_eq!(run.steps, 119_209); // 10^12 / 8,388,608 = 119,209.29
    let schedule = ScheduleConfig::default().resolve(run, 4.0e-4)?;
    assert_eq!(schedule.warmup_steps(), 119); // 0.001 × 119,209 = 119.209
    assert_eq!(schedule.steps() - schedule.decay_start(), 29_802); // 0.25 × 119,209 = 29,802.25
    assert_eq!(schedule.decay_start(), 89_407);
    assert_eq!(schedule.lr(0), 0.0);
    assert_eq!(schedule.lr(119), 4.0e-4);
    assert_eq!(schedule.lr(89_407), 4.0e-4);
    assert_eq!(schedule.lr(119_209), 0.0);
    Ok(())
}

/// §4: "before decay" is reported at 746B tokens; decay of this plan starts at 750.0B, one checkpoint later.
#[test]
fn decay_starts_at_three_quarters_of_the_tokens() -> Result<(), Error> {
    let run = RunLength::of_tokens(1_000_000_000_000, BATCH)?;
    let start = ScheduleConfig::default().resolve(run, 4.0e-4)?.decay_start();
    assert_eq!(start * run.batch.tokens(), 750_000_275_456);
    Ok(())
}
