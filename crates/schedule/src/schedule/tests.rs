use proptest::prelude::*;

use super::*;
use crate::{Batch, Kind, Length, Periods, RunLength, ScheduleConfig, Shape};

const CURVES: [Curve; 7] = [
    Curve::Linear,
    Curve::OneMinusSqrt,
    Curve::Cosine,
    Curve::OneMinusSquare,
    Curve::MirrorCosine,
    Curve::Exponential { half_life_steps: 10.0 },
    Curve::Polynomial { exponent: 1.7 },
];

fn phases(steps: u64, warmup_steps: u64, decay_steps: u64) -> WsdSteps {
    WsdSteps { steps, warmup_steps, decay_steps }
}

fn frame(steps: u64, warmup_steps: u64) -> Frame {
    Frame { steps, warmup_steps, peak_lr: 1.0, floor: 0.0 }
}

fn rates(schedule: &Schedule, steps: &[u64]) -> Vec<f64> {
    steps.iter().map(|step| schedule.lr(*step)).collect()
}

#[test]
fn boundaries_are_exact() -> Result<(), Error> {
    for curve in CURVES {
        let schedule = Schedule::wsd(phases(100, 10, 40), curve, 3.0e-4, 0.1)?;
        assert_eq!(rates(&schedule, &[0, 5, 10, 60]), [0.0, 1.5e-4, 3.0e-4, 3.0e-4]);
        // 40 steps are four half-lives: a sixteenth, below the floor
        assert_eq!(rates(&schedule, &[100, 1000]), [0.1 * 3.0e-4; 2], "{curve:?}");
    }
    Ok(())
}

#[test]
fn shapes_at_a_quarter_of_the_decay() -> Result<(), Error> {
    let at = |curve| Schedule::wsd(phases(100, 0, 40), curve, 1.0, 0.0).map(|schedule| schedule.lr(70));
    let quarter = 0.853_553_390_593_273_8; // (1 + cos π/4) / 2
    assert_eq!(at(Curve::Linear)?, 0.75);
    assert_eq!(at(Curve::OneMinusSqrt)?, 0.5);
    assert_eq!(at(Curve::OneMinusSquare)?, 0.9375);
    assert_eq!(at(Curve::Exponential { half_life_steps: 10.0 })?, 0.5);
    assert!((at(Curve::Cosine)? - quarter).abs() < 1e-15);
    assert!((at(Curve::MirrorCosine)? - (1.5 - quarter)).abs() < 1e-15);
    assert!((at(Curve::Polynomial { exponent: 2.0 })? - 0.5625).abs() < 1e-15);
    Ok(())
}

/// A half-life that the decay does not exhaust leaves the rate where it is, not at the floor.
#[test]
fn an_exponential_ends_where_it_is() -> Result<(), Error> {
    let schedule = Schedule::wsd(phases(100, 0, 20), Curve::Exponential { half_life_steps: 10.0 }, 1.0, 0.1)?;
    assert_eq!(rates(&schedule, &[80, 90, 100, 500]), [1.0, 0.5, 0.25, 0.25]);
    Ok(())
}

#[test]
fn periods_return_to_the_peak() -> Result<(), Error> {
    let periods = vec![Period { end: 40, decay_steps: 10 }, Period { end: 100, decay_steps: 20 }];
    let schedule = Schedule::new(frame(100, 4), Form::WsdS { periods, curve: Curve::Linear })?;
    assert_eq!(rates(&schedule, &[0, 2, 4, 30, 35, 40, 80, 90, 100]), [0.0, 0.5, 1.0, 1.0, 0.5, 1.0, 1.0, 0.5, 0.0]);
    let names: Vec<_> = schedule.phases().iter().map(|phase| (phase.name, phase.to)).collect();
    assert_eq!(names, [("warm-up", 4), ("stable", 30), ("decay", 40), ("stable", 80), ("decay", 100)]);
    Ok(())
}

/// `DeepSeek` (arXiv 2401.02954) §3.1: 31.6 % of the peak after 80 % of the tokens, 10 % after 90 %.
#[test]
fn milestones_multiply() -> Result<(), Error> {
    let form = Form::MultiStep { milestones: vec![80, 90], factor: 0.1_f64.sqrt() };
    let schedule = Schedule::new(frame(100, 10), form)?;
    assert_eq!(rates(&schedule, &[5, 10, 79]), [0.5, 1.0, 1.0]);
    assert!((schedule.lr(80) - 0.316_227_766).abs() < 1e-9 && (schedule.lr(90) - 0.1).abs() < 1e-15);
    assert_eq!(schedule.lr(90), schedule.lr(100));
    Ok(())
}

#[test]
fn inverse_square_root_cools_down_from_where_it_is() -> Result<(), Error> {
    let decay = Decay { start: 400, steps: 100, curve: Curve::Linear };
    let schedule = Schedule::new(frame(500, 100), Form::InverseSqrt { timescale_steps: 100.0, decay })?;
    // √(100 / 400) = ½, then half of it half way down
    assert_eq!(rates(&schedule, &[50, 100, 400, 450, 500]), [0.5, 1.0, 0.5, 0.25, 0.0]);
    Ok(())
}

/// min(peak, 4.6 · β · n^-0.51), arXiv 2408.13359 eq. 5: with β = 1,024 and n = 10^12, 4710.4 · 10^-6.12 = 0.003573.
#[test]
fn a_power_of_tokens() -> Result<(), Error> {
    let form = Form::Power {
        coefficient: 4.6 * 1024.0,
        exponent: -0.51,
        tokens_per_step: 1_000_000,
        decay: Decay { start: 1_000_000, steps: 0, curve: Curve::Linear },
    };
    let schedule = Schedule::new(Frame { peak_lr: 0.02, ..frame(1_000_000, 0) }, form)?;
    assert!((schedule.lr(1_000_000) - 4710.4 * 10.0_f64.powf(-6.12)).abs() < 1e-15);
    assert_eq!(schedule.lr(0), 0.02);
    Ok(())
}

#[test]
fn an_infinite_schedule_holds() -> Result<(), Error> {
    let form = Form::Infinite {
        cooldown: Decay { start: 10, steps: 20, curve: Curve::Linear },
        hold: 0.5,
        decay: Decay { start: 80, steps: 20, curve: Curve::Linear },
    };
    let schedule = Schedule::new(frame(100, 10), form)?;
    assert_eq!(rates(&schedule, &[5, 10, 20, 30, 80, 90, 100]), [0.5, 1.0, 0.75, 0.5, 0.5, 0.25, 0.0]);
    Ok(())
}

/// The reconstruction of arXiv 2012.13628: 1, 2, 3, 4, 5, 2.5, 1.25, … times the base, an epoch each.
#[test]
fn slow_start_and_fast_decay() -> Result<(), Error> {
    let schedule =
        Schedule::new(Frame { peak_lr: 5.0, ..frame(100, 0) }, Form::SlowStart { ramp: 5, factor: 0.5, epochs: 10 })?;
    let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 2.5, 1.25, 0.625, 0.3125, 0.15625];
    for (epoch, rate) in expected.iter().enumerate() {
        assert_eq!(rates(&schedule, &[10 * epoch as u64, 10 * epoch as u64 + 9]), [*rate; 2]);
    }
    Ok(())
}

#[test]
fn cycles_are_triangles() -> Result<(), Error> {
    let form = Form::Triangular { cycle_steps: 20, rise_steps: 10, damping: 0.5 };
    let schedule = Schedule::new(Frame { floor: 0.2, ..frame(60, 0) }, form)?;
    let found = rates(&schedule, &[0, 5, 10, 15, 20, 30, 40, 50, 60]);
    for (got, expected) in found.iter().zip([0.2, 0.6, 1.0, 0.6, 0.2, 0.6, 0.2, 0.4, 0.2]) {
        assert!((got - expected).abs() < 1e-15, "{found:?}");
    }
    Ok(())
}

#[test]
fn points_are_joined() -> Result<(), Error> {
    let point = |step, multiplier| Point { step, multiplier };
    let schedule =
        Schedule::new(frame(100, 0), Form::Points(vec![point(0.0, 0.25), point(12.5, 1.0), point(100.0, 0.0)]))?;
    assert_eq!(rates(&schedule, &[0, 5, 100, 900]), [0.25, 0.55, 0.0, 0.0]);
    Ok(())
}

#[test]
fn no_warmup_and_no_decay_is_constant() -> Result<(), Error> {
    let schedule = Schedule::wsd(phases(9, 0, 0), Curve::Linear, 2.0, 0.0)?;
    assert!((0..20).all(|step| schedule.lr(step) == 2.0));
    Ok(())
}

#[test]
fn bad_values_are_refused() {
    let wsd = |phases, peak, floor| Schedule::wsd(phases, Curve::Linear, peak, floor);
    let error = wsd(phases(100, 60, 50), 1.0, 0.0).unwrap_err().to_string();
    assert!(error.contains("warm-up of 60 steps and decay of 50 steps exceed the run of 100 steps"), "{error}");
    assert!(wsd(phases(100, u64::MAX, 2), 1.0, 0.0).is_err());
    assert!(wsd(phases(100, 2, u64::MAX), 1.0, 0.0).is_err());
    assert!(wsd(phases(0, 0, 0), 1.0, 0.0).is_err());
    assert!(wsd(phases(u64::MAX, 0, 0), 1.0, 0.0).is_err());
    for peak_lr in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(wsd(phases(1, 0, 0), peak_lr, 0.0).is_err());
    }
    assert!(wsd(phases(1, 0, 0), 1.0, f64::NAN).is_err());
    let form = |form| Schedule::new(frame(100, 0), form).unwrap_err().to_string();
    let period = |end, decay_steps| Period { end, decay_steps };
    for (periods, expected) in [
        (vec![period(50, 10), period(90, 10)], "90 steps together, but the run has 100"),
        (vec![period(50, 60), period(100, 10)], "decay of one period of 60 steps exceed"),
        (vec![period(50, 10), period(50, 10)], "lengths above 0"),
        (vec![], "0 steps together"),
    ] {
        let error = form(Form::WsdS { periods, curve: Curve::Linear });
        assert!(error.contains(expected), "{error}");
    }
    let milestones = form(Form::MultiStep { milestones: vec![90, 80], factor: 0.5 });
    assert!(milestones.contains("[90, 80] of 100 steps") && milestones.contains("ascending"), "{milestones}");
    assert!(form(Form::MultiStep { milestones: vec![80], factor: 0.0 }).contains("`factor` must be above 0"));
    assert!(form(Form::SlowStart { ramp: 5, factor: 0.5, epochs: 101 }).contains("`epochs`"));
    assert!(form(Form::Triangular { cycle_steps: 0, rise_steps: 0, damping: 1.0 }).contains("`cycle`"));
    let point = |step, multiplier| Point { step, multiplier };
    assert!(form(Form::Points(vec![point(0.0, 1.0)])).contains("`points`"));
    assert!(form(Form::Points(vec![point(0.0, 1.0), point(100.0, 1.5)])).contains("in [0, 1]"));
    let decay = Decay { start: 90, steps: 10, curve: Curve::Exponential { half_life_steps: 0.0 } };
    assert!(form(Form::Wsd(decay)).contains("`half_life`"));
    assert!(form(Form::InverseSqrt { timescale_steps: 0.0, decay }).contains("`timescale`"));
}

/// A million calls for every form; the bound is of the issue, ten times what a quiet machine needs.
#[test]
fn a_million_rates_take_less_than_50_ms() {
    for config in every_kind() {
        let schedule = config.resolve(run(1_000_000), 4.0e-4).unwrap();
        let time = || {
            let start = std::time::Instant::now();
            std::hint::black_box((0..1_000_000).map(|step| schedule.lr(step)).sum::<f64>());
            start.elapsed()
        };
        // other tests run beside it, so one of several measurements must be in time
        let mut times = vec![time()];
        while times.len() < 20 && times.last().is_some_and(|time| time.as_millis() >= 50) {
            times.push(time());
        }
        let best = times.iter().min().unwrap();
        assert!(best.as_millis() < 50, "{}: {times:?}", schedule.kind());
    }
}

fn run(steps: u64) -> RunLength {
    RunLength { steps, batch: Batch { sequences: 8, sequence_tokens: 128 } }
}

/// A table of every kind, with every shape of the decay, lengths as fractions.
fn every_kind() -> Vec<ScheduleConfig> {
    let of = |kind| ScheduleConfig { kind, ..ScheduleConfig::default() };
    let half_life = Some(Length::Fraction(0.05));
    let mut configs: Vec<_> = [
        Shape::Linear,
        Shape::OneMinusSqrt,
        Shape::Cosine,
        Shape::OneMinusSquare,
        Shape::MirrorCosine,
        Shape::Polynomial,
    ]
    .map(|shape| ScheduleConfig { shape: Some(shape), floor: Some(0.1), ..of(Kind::Wsd) })
    .into();
    configs.push(ScheduleConfig { shape: Some(Shape::Exponential), half_life, ..of(Kind::Wsd) });
    configs.push(ScheduleConfig { periods: Some(Periods::Equal(3)), ..of(Kind::WsdS) });
    configs.extend([Kind::Linear, Kind::Cosine, Kind::Polynomial, Kind::Constant, Kind::MultiStep].map(of));
    configs.push(ScheduleConfig { warmup: Some(Length::Fraction(0.1)), ..of(Kind::InverseSqrt) });
    configs.extend([Kind::Power, Kind::Infinite, Kind::SlowStart].map(of));
    configs.push(ScheduleConfig { cycle: Some(Length::Fraction(0.1)), ..of(Kind::Triangular) });
    configs.push(ScheduleConfig { points: Some(vec![(0.0, 0.0), (0.1, 1.0), (1.0, 0.0)]), ..of(Kind::Points) });
    configs
}

/// Closed forms of Σ lr(t) over the updates 0..N of a WSD run with peak 1, W > 0 and D > 0: (W − 1)/2 + S − W + Σ shape.
#[test]
fn areas_are_those_of_the_formulas() -> Result<(), Error> {
    let (steps, warm, decay) = (10_000_u64, 200_u64, 2500_u64);
    let before = (warm - 1) as f64 / 2.0 + (steps - decay - warm) as f64;
    let d = decay as f64;
    let below = |curve: Curve| match curve {
        Curve::Linear => f64::midpoint(d, 1.0),
        // Σ_{k<D} (1 + cos πk/D)/2 = (D + 1)/2, as Σ cos πk/D = 1
        Curve::Cosine => f64::midpoint(d, 1.0),
        // D − (D − 1)(2D − 1)/(6D)
        Curve::OneMinusSquare => d - (d - 1.0) * (2.0 * d - 1.0) / (6.0 * d),
        Curve::MirrorCosine => (d + 1.0) - f64::midpoint(d, 1.0),
        // a geometric series of ratio 2^(-1/h)
        Curve::Exponential { half_life_steps } => {
            let ratio = (-1.0 / half_life_steps).exp2();
            (1.0 - ratio.powf(d)) / (1.0 - ratio)
        }
        _ => f64::NAN,
    };
    for curve in CURVES.into_iter().chain([Curve::Exponential { half_life_steps: 700.0 }]) {
        let schedule = Schedule::wsd(phases(steps, warm, decay), curve, 1.0, 0.0)?;
        let sum: f64 = (0..steps).map(|step| schedule.lr(step)).sum();
        let expected = before + below(curve);
        assert!(expected.is_nan() || (sum - expected).abs() < 1e-8 * expected, "{curve:?}: {sum}, not {expected}");
        assert!((schedule.mean() - sum / steps as f64).abs() < 1e-12);
    }
    Ok(())
}

/// Kinds whose rate jumps at a boundary.
fn jumps(schedule: &Schedule) -> bool {
    matches!(schedule.form(), Form::WsdS { .. } | Form::MultiStep { .. } | Form::SlowStart { .. })
}

proptest! {
    #[test]
    fn every_kind_stays_between_floor_and_peak(steps in 40_u64..2000, floor in 0.0..0.2) {
        for config in every_kind() {
            let config = if config.floor.is_some() { ScheduleConfig { floor: Some(floor), ..config } } else { config };
            let schedule = config.resolve(run(steps), 3.0e-4).unwrap();
            for step in schedule.warmup_steps()..steps + 3 {
                let rate = schedule.lr(step);
                prop_assert!((schedule.floor_lr()..=schedule.peak_lr()).contains(&rate), "{} step {step}: {rate}", schedule.kind());
            }
        }
    }

    /// In one step the rate moves by no more than its steepest slope allows: 1/W up, and down at most as 1-sqrt begins.
    #[test]
    fn rates_are_continuous(steps in 400_u64..4000) {
        for config in every_kind() {
            let schedule = config.resolve(run(steps), 1.0).unwrap();
            if jumps(&schedule) {
                continue;
            }
            let up = 1.0 / (schedule.warmup_steps().max(1) as f64);
            let most = (up + 1e-12).max(5.0 / (steps as f64).sqrt());
            for step in 0..steps {
                let moved = (schedule.lr(step + 1) - schedule.lr(step)).abs();
                prop_assert!(moved <= most, "{} of {steps} moves {moved} at {step}", schedule.kind());
            }
        }
    }

    #[test]
    fn wsd_rises_then_never_rises(steps in 1_u64..400, warmup in 0.0..0.5, decay in 0.0..0.5, floor in 0.0..=1.0) {
        let part = |fraction: f64| Length::Fraction(fraction).steps(run(steps));
        let phases = phases(steps, part(warmup).min(steps / 2), part(decay).min(steps / 2));
        for curve in CURVES {
            let schedule = Schedule::wsd(phases, curve, 1.0, floor).unwrap();
            for step in 0..steps + 3 {
                let (now, next) = (schedule.lr(step), schedule.lr(step + 1));
                let ordered = if step < phases.warmup_steps { next > now } else { next <= now };
                prop_assert!(ordered, "step {}: {} then {}", step, now, next);
            }
        }
    }

    #[test]
    fn lengths_in_steps_and_in_tokens_agree(steps in 10_u64..100_000, warmup in 0_u64..5, decay in 0_u64..5) {
        let of = |warmup, decay| ScheduleConfig { warmup: Some(warmup), decay: Some(decay), ..ScheduleConfig::default() };
        let in_steps = of(Length::Steps(warmup), Length::Steps(decay)).resolve(run(steps), 1.0);
        let in_tokens = of(Length::Tokens(warmup * 1024), Length::Tokens(decay * 1024)).resolve(run(steps), 1.0);
        prop_assert_eq!(in_steps.map_err(|error| error.to_string()), in_tokens.map_err(|error| error.to_string()));
    }

    #[test]
    fn samples_hold_every_boundary(steps in 40_u64..1_000_000, rows in 1_u64..500) {
        for config in every_kind() {
            let schedule = config.resolve(run(steps), 1.0).unwrap();
            let (samples, bounds) = (schedule.sampled_steps(rows), schedule.boundaries());
            prop_assert!(samples.len() as u64 <= rows + 3 * bounds.len() as u64 + 1);
            prop_assert!(samples.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(bounds.iter().chain(&[0, steps - 1, steps]).all(|step| samples.contains(step)));
        }
    }

    #[test]
    fn phases_are_the_run(steps in 40_u64..100_000) {
        for config in every_kind() {
            let schedule = config.resolve(run(steps), 1.0).unwrap();
            let phases = schedule.phases();
            prop_assert!(phases.windows(2).all(|pair| pair[0].to == pair[1].from));
            prop_assert_eq!((phases[0].from, phases[phases.len() - 1].to), (0, steps));
        }
    }
}
