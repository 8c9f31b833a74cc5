//! Checks the values of a schedule.

use crate::Error;
use crate::curve::Curve;
use crate::form::{Decay, Form, Frame, Period, Point};
use crate::length::EXACT;

/// Most epochs of a slow start, so that epochs times steps stay exact.
const MOST_EPOCHS: u64 = 1000;

pub(crate) fn frame(frame: &Frame) -> Result<(), Error> {
    let Frame { steps, warmup_steps, peak_lr, floor } = *frame;
    if steps == 0 {
        return Err(Error::NoSteps { tokens: 0, tokens_per_step: 1 });
    }
    if steps > EXACT {
        return Err(Error::TooManySteps { steps });
    }
    if warmup_steps > steps {
        return Err(too_long(&[("warm-up", warmup_steps)], steps));
    }
    value("peak_lr", &peak_lr, peak_lr.is_finite() && peak_lr > 0.0, "positive and finite")?;
    value("floor", &floor, (0.0..=1.0).contains(&floor), "a fraction of the peak in [0, 1]")
}

pub(crate) fn form(frame: &Frame, form: &Form) -> Result<(), Error> {
    match form {
        Form::Wsd(decay) => ends_with_run(frame, decay, 0),
        Form::WsdS { periods, curve } => {
            of_curve(*curve)?;
            of_periods(frame, periods)
        }
        Form::MultiStep { milestones, factor } => {
            value("factor", factor, *factor > 0.0 && *factor <= 1.0, "above 0 and at most 1")?;
            let ascending = milestones.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = milestones.iter().all(|at| (frame.warmup_steps..frame.steps).contains(at));
            let expected = "ascending steps between the end of warm-up and the end of the run";
            value("milestones", &format!("{milestones:?} of {} steps", frame.steps), ascending && inside, expected)
        }
        Form::InverseSqrt { timescale_steps, decay } => {
            let sound = timescale_steps.is_finite() && *timescale_steps > 0.0;
            value("timescale", timescale_steps, sound, "a length above 0, such as { steps = 10000 }")?;
            ends_with_run(frame, decay, 0)
        }
        Form::Power { coefficient, exponent, decay, .. } => {
            value("coefficient", coefficient, coefficient.is_finite() && *coefficient > 0.0, "positive and finite")?;
            value("exponent", exponent, exponent.is_finite() && *exponent <= 0.0, "at most 0, such as -0.51")?;
            ends_with_run(frame, decay, 0)
        }
        Form::Infinite { cooldown, hold, decay } => {
            let expected = "a fraction of the peak between the floor and 1";
            value("hold", hold, *hold >= frame.floor && *hold <= 1.0, expected)?;
            of_curve(cooldown.curve)?;
            ends_with_run(frame, decay, cooldown.steps)
        }
        Form::SlowStart { ramp, factor, epochs } => {
            no_warmup(frame, "slow-start")?;
            value("factor", factor, *factor > 0.0 && *factor <= 1.0, "above 0 and at most 1")?;
            let most = MOST_EPOCHS.min(frame.steps);
            value(
                "epochs",
                epochs,
                (1..=most).contains(epochs),
                "between 1 and 1,000, and at most the steps of the run",
            )?;
            value("ramp", ramp, (1..=*epochs).contains(ramp), "between 1 and `epochs`")
        }
        Form::Triangular { cycle_steps, rise_steps, damping } => {
            no_warmup(frame, "triangular")?;
            value("cycle", cycle_steps, (2..=frame.steps).contains(cycle_steps), "between 2 steps and the run")?;
            value("rise", rise_steps, rise_steps <= cycle_steps, "a fraction of the cycle in [0, 1]")?;
            value("damping", damping, *damping > 0.0 && *damping <= 1.0, "above 0 and at most 1")
        }
        Form::Points(points) => of_points(frame, points),
    }
}

fn ends_with_run(frame: &Frame, decay: &Decay, cooldown_steps: u64) -> Result<(), Error> {
    of_curve(decay.curve)?;
    let phases = [("warm-up", frame.warmup_steps), ("cooldown", cooldown_steps), ("decay", decay.steps)];
    let all = phases.iter().try_fold(0_u64, |sum, (_, steps)| sum.checked_add(*steps));
    if all.is_none_or(|all| all > frame.steps) {
        return Err(too_long(&phases, frame.steps));
    }
    if decay.start + decay.steps == frame.steps {
        Ok(())
    } else {
        value("decay", &format!("from {} to {}", decay.start, decay.end()), false, "a length that ends with the run")
    }
}

fn of_periods(frame: &Frame, periods: &[Period]) -> Result<(), Error> {
    let mut start = 0;
    let mut warmup_steps = frame.warmup_steps;
    for period in periods {
        let steps = period.end.saturating_sub(start);
        if steps == 0 {
            return value("periods", &period.end, false, "lengths above 0");
        }
        if warmup_steps.checked_add(period.decay_steps).is_none_or(|both| both > steps) {
            return Err(too_long(&[("warm-up", warmup_steps), ("decay of one period", period.decay_steps)], steps));
        }
        (start, warmup_steps) = (period.end, 0);
    }
    if start == frame.steps { Ok(()) } else { Err(Error::Periods { got: start, steps: frame.steps }) }
}

fn of_points(frame: &Frame, points: &[Point]) -> Result<(), Error> {
    no_warmup(frame, "points")?;
    let ends = points.first().map(|point| point.step) == Some(0.0)
        && points.last().is_some_and(|point| point.step == frame.steps as f64);
    let ascending = points.windows(2).all(|pair| pair[0].step < pair[1].step);
    let expected = "pairs [fraction of the run, multiplier], the first at 0, the last at 1, ascending";
    value("points", &format!("{} pairs", points.len()), points.len() > 1 && ends && ascending, expected)?;
    let outside = points.iter().find(|point| !(0.0..=1.0).contains(&point.multiplier));
    outside.map_or(Ok(()), |point| value("points", &point.multiplier, false, "multipliers in [0, 1]"))
}

fn of_curve(curve: Curve) -> Result<(), Error> {
    match curve {
        Curve::Exponential { half_life_steps: half } => {
            value("half_life", &half, half.is_finite() && half > 0.0, "a length above 0, such as { steps = 5000 }")
        }
        Curve::Polynomial { exponent } => {
            value("exponent", &exponent, exponent.is_finite() && exponent > 0.0, "positive and finite")
        }
        _ => Ok(()),
    }
}

fn no_warmup(frame: &Frame, kind: &'static str) -> Result<(), Error> {
    match frame.warmup_steps {
        0 => Ok(()),
        steps => {
            value("warmup", &steps, false, if kind == "points" { "0: the points say how the rate rises" } else { "0" })
        }
    }
}

/// The first step of `epoch`, counted from 0: the least `step` with ⌊step · epochs / steps⌋ = epoch.
pub(crate) const fn epoch_start(epoch: u64, epochs: u64, steps: u64) -> u64 {
    (epoch * steps).div_ceil(epochs)
}

fn too_long(phases: &[(&str, u64)], steps: u64) -> Error {
    let phases: Vec<_> =
        phases.iter().filter(|(_, steps)| *steps > 0).map(|(name, steps)| format!("{name} of {steps} steps")).collect();
    Error::TooLong { phases: phases.join(" and "), steps }
}

fn value(key: &'static str, got: &impl ToString, is_sound: bool, expected: &'static str) -> Result<(), Error> {
    if is_sound { Ok(()) } else { Err(Error::Value { key, got: got.to_string(), expected }) }
}
