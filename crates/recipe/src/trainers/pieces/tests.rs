use headwater_schedule::WsdSteps;

use super::*;

/// What a trainer makes of the pieces at `step`, as OLMo-core does.
fn rate(pieces: &[Piece], step: u64) -> f64 {
    let mut before = 0;
    for piece in pieces {
        if step < before + piece.steps {
            let progress = (step - before) as f64 / piece.steps as f64;
            return match piece.shape {
                PieceShape::Linear => piece.start + (piece.end - piece.start) * progress,
                PieceShape::Cosine => {
                    piece.end + (piece.start - piece.end) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
                }
            };
        }
        before += piece.steps;
    }
    pieces.last().unwrap().end
}

fn schedule(steps: u64, form: Form) -> Schedule {
    let warmup_steps = match form {
        Form::SlowStart { .. } | Form::Triangular { .. } | Form::Points(_) => 0,
        _ => steps / 20,
    };
    Schedule::new(Frame { steps, warmup_steps, peak_lr: 4e-4, floor: 0.05 }, form).unwrap()
}

fn decay(start: u64, steps: u64, curve: Curve) -> Decay {
    Decay { start, steps, curve }
}

/// One of each form that pieces make up.
fn expressed() -> Vec<Schedule> {
    let points = |steps: &[(f64, f64)]| {
        Form::Points(steps.iter().map(|(step, multiplier)| Point { step: *step, multiplier: *multiplier }).collect())
    };
    let periods = |decay_steps| [120, 200, 500].map(|end| Period { end, decay_steps }).to_vec();
    let triangular = |cycle_steps, rise_steps, damping| Form::Triangular { cycle_steps, rise_steps, damping };
    vec![
        schedule(500, Form::Wsd(decay(400, 100, Curve::Linear))),
        schedule(500, Form::Wsd(decay(25, 475, Curve::Cosine))),
        schedule(500, Form::Wsd(decay(500, 0, Curve::OneMinusSquare))),
        schedule(500, Form::WsdS { periods: periods(30), curve: Curve::Linear }),
        schedule(500, Form::WsdS { periods: periods(80), curve: Curve::Cosine }),
        schedule(500, Form::WsdS { periods: periods(0), curve: Curve::OneMinusSqrt }),
        schedule(500, Form::MultiStep { milestones: vec![25, 400, 450], factor: 0.316 }),
        schedule(500, Form::MultiStep { milestones: vec![400, 401, 499], factor: 0.1 }),
        schedule(
            500,
            Form::Infinite { cooldown: decay(25, 100, Curve::Cosine), hold: 0.3, decay: decay(450, 50, Curve::Linear) },
        ),
        schedule(
            500,
            Form::Infinite { cooldown: decay(25, 0, Curve::Linear), hold: 0.3, decay: decay(25, 475, Curve::Linear) },
        ),
        schedule(
            500,
            Form::Infinite { cooldown: decay(25, 0, Curve::Linear), hold: 0.3, decay: decay(450, 50, Curve::Linear) },
        ),
        schedule(503, Form::SlowStart { ramp: 4, factor: 0.5, epochs: 10 }),
        schedule(500, Form::SlowStart { ramp: 1, factor: 0.1, epochs: 500 }),
        schedule(500, triangular(100, 40, 1.0)),
        schedule(500, triangular(90, 0, 0.7)),
        schedule(500, triangular(90, 90, 0.7)),
        schedule(500, triangular(2, 0, 1.0)),
        schedule(470, triangular(200, 90, 0.5)),
        schedule(500, points(&[(0.0, 0.0), (150.0, 1.0), (250.0, 0.4), (500.0, 0.0)])),
        schedule(500, points(&[(0.0, 0.3), (150.5, 1.0), (150.75, 0.2), (151.9, 0.9), (500.0, 0.1)])),
    ]
}

#[test]
fn pieces_are_the_schedule_step_by_step() {
    for schedule in expressed() {
        let pieces = pieces(&schedule).unwrap();
        assert_eq!(pieces.iter().map(|piece| piece.steps).sum::<u64>(), schedule.steps(), "{schedule:?}");
        assert!(pieces.iter().all(|piece| piece.steps > 0 && piece.start >= 0.0 && piece.end >= 0.0), "{pieces:?}");
        for step in 0..schedule.steps() {
            let (made, wanted) = (rate(&pieces, step), share(&schedule, step));
            assert!((made - wanted).abs() < 1e-12, "step {step}: {made}, not {wanted}, of {schedule:?}");
        }
    }
}

#[test]
fn equal_stretches_are_one_piece() {
    let form = Form::SlowStart { ramp: 1, factor: 0.1, epochs: 500 };
    assert_eq!(pieces(&schedule(500, form)).unwrap().len(), 3);
}

#[test]
fn curves_are_no_pieces() {
    for curve in [
        Curve::OneMinusSqrt,
        Curve::OneMinusSquare,
        Curve::MirrorCosine,
        Curve::Polynomial { exponent: 2.0 },
        Curve::Exponential { half_life_steps: 20.0 },
    ] {
        assert_eq!(pieces(&schedule(500, Form::Wsd(decay(400, 100, curve)))), None, "{curve:?}");
    }
    let none = decay(500, 0, Curve::Linear);
    assert_eq!(pieces(&schedule(500, Form::InverseSqrt { timescale_steps: 25.0, decay: none })), None);
    assert_eq!(pieces(&schedule(10_000, Form::Triangular { cycle_steps: 4, rise_steps: 2, damping: 1.0 })), None);
}

#[test]
fn lines_stay_close_to_every_curve_and_are_few() {
    let (steps, start) = (20_000, 16_000);
    let half_life_steps = 500.0;
    let forms = [
        Form::Wsd(decay(start, steps - start, Curve::OneMinusSqrt)),
        Form::Wsd(decay(1000, steps - 1000, Curve::OneMinusSqrt)),
        Form::Wsd(decay(start, steps - start, Curve::OneMinusSquare)),
        Form::Wsd(decay(start, steps - start, Curve::MirrorCosine)),
        Form::Wsd(decay(start, steps - start, Curve::Exponential { half_life_steps })),
        Form::Wsd(decay(start, steps - start, Curve::Polynomial { exponent: 0.3 })),
        Form::InverseSqrt { timescale_steps: 1000.0, decay: decay(start, steps - start, Curve::OneMinusSqrt) },
        Form::Power {
            coefficient: 4.6,
            exponent: -0.51,
            tokens_per_step: 8192,
            decay: decay(start, steps - start, Curve::Linear),
        },
    ];
    for form in forms {
        let wanted = schedule(steps, form);
        let lines = lines(&wanted).unwrap();
        let count = pieces(&lines).unwrap().len();
        assert!(count <= MOST_LINES, "{count} lines for {:?}", wanted.form());
        for step in 0..steps {
            let gap = (share(&lines, step) - share(&wanted, step)).abs();
            assert!(gap <= 1.02 * TOLERANCE, "{gap} at step {step} of {:?}", wanted.form());
        }
    }
}

#[test]
fn lines_keep_the_jumps_between_periods() {
    let periods = [5000, 10_000, 20_000].map(|end| Period { end, decay_steps: 2000 }).to_vec();
    let wanted = schedule(20_000, Form::WsdS { periods, curve: Curve::OneMinusSqrt });
    let lines = lines(&wanted).unwrap();
    for step in [4999, 5000, 9999, 10_000] {
        assert!((share(&lines, step) - share(&wanted, step)).abs() < 1e-12, "step {step}");
    }
}

#[test]
fn many_periods_loosen_the_lines() {
    let periods = (1..=40).map(|period| Period { end: period * 500, decay_steps: 400 }).collect();
    let wanted = schedule_without_warmup(Form::WsdS { periods, curve: Curve::OneMinusSqrt });
    let lines = lines(&wanted).unwrap();
    let worst = (0..20_000).map(|step| (share(&lines, step) - share(&wanted, step)).abs()).fold(0.0, f64::max);
    assert!(worst > TOLERANCE && worst < 0.11, "{worst}");
    assert!(pieces(&lines).unwrap().len() <= 2 * MOST_LINES);
}

fn schedule_without_warmup(form: Form) -> Schedule {
    Schedule::new(Frame { steps: 20_000, warmup_steps: 0, peak_lr: 4e-4, floor: 0.0 }, form).unwrap()
}

#[test]
fn lines_of_a_short_or_endless_run() {
    for steps in [1, 2, 3, 1 << 40] {
        let phases = WsdSteps { steps, warmup_steps: 0, decay_steps: steps };
        let wanted = Schedule::wsd(phases, Curve::OneMinusSqrt, 4e-4, 0.0).unwrap();
        let lines = lines(&wanted).unwrap();
        assert!((share(&lines, steps / 2) - share(&wanted, steps / 2)).abs() < 1.02 * TOLERANCE);
    }
}
