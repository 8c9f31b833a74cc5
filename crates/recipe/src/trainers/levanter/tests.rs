use headwater_schedule::{Decay, Frame};
use serde_json::{Value, json};

use super::*;

fn schedule(frame: Frame, form: Form) -> Schedule {
    Schedule::new(frame, form).unwrap()
}

fn frame(warmup_steps: u64, floor: f64) -> Frame {
    Frame { steps: 1000, warmup_steps, peak_lr: 1e-3, floor }
}

fn wsd(warmup_steps: u64, decay_steps: u64, curve: Curve, floor: f64) -> Schedule {
    let decay = Decay { start: 1000 - decay_steps, steps: decay_steps, curve };
    schedule(frame(warmup_steps, floor), Form::Wsd(decay))
}

fn optimizer(schedule: &Schedule) -> Value {
    let keys: Value = serde_saphyr::from_str(&Levanter.scheduler_keys(schedule).unwrap()).unwrap();
    keys["optimizer"].clone()
}

#[test]
fn a_decay_of_a_stable_phase() {
    assert_eq!(
        optimizer(&wsd(100, 250, Curve::Linear, 0.1)),
        json!({"learning_rate": 1e-3, "lr_schedule": "linear", "warmup": 100, "decay": 250, "min_lr_ratio": 0.1})
    );
    let polynomial = optimizer(&wsd(100, 250, Curve::Polynomial { exponent: 2.5 }, 0.0));
    assert_eq!(polynomial["lr_schedule"], json!({"type": "polynomial", "power": 2.5}));
}

#[test]
fn one_step_is_a_share_and_none_is_none() {
    let lengths = |warmup, decay| {
        let keys = optimizer(&wsd(warmup, decay, Curve::Linear, 0.0));
        (keys["warmup"].clone(), keys["decay"].clone())
    };
    assert_eq!(lengths(1, 1), (json!(0.0015), json!(0.0015)));
    assert_eq!(lengths(0, 0), (json!(0), json!(0)));
    assert_eq!(lengths(0, 1000), (json!(0), json!(1000)));
    assert_eq!(lengths(1000, 0), (json!(1000), json!(0)));
    for of in 1..5000_u64 {
        let Length::Share(share) = length(1, of) else { panic!("{of}") };
        assert!(share <= 1.0 && (share * of as f64).floor() == 1.0, "{of}");
    }
}

#[test]
fn periods_need_decays_of_one_length_above_a_step() {
    let of = |decays: [u64; 2]| {
        let periods = vec![Period { end: 400, decay_steps: decays[0] }, Period { end: 1000, decay_steps: decays[1] }];
        schedule(frame(10, 0.1), Form::WsdS { periods, curve: Curve::Linear })
    };
    let keys = optimizer(&of([50, 50]));
    assert_eq!((&keys["cycles"], &keys["rewarmup"], &keys["decay"]), (&json!([400, 1000]), &json!(0), &json!(50)));
    assert!(!Levanter.supports(&of([50, 60])) && !Levanter.supports(&of([1, 1])));
}

#[test]
fn an_inverse_square_root_of_any_timescale_with_a_linear_cooldown() {
    let of = |start, curve| {
        let decay = Decay { start, steps: 1000 - start, curve };
        schedule(frame(100, 0.0), Form::InverseSqrt { timescale_steps: 50.0, decay })
    };
    let keys = optimizer(&of(800, Curve::Linear));
    assert_eq!(keys["lr_schedule"], json!({"type": "inv_sqrt_decay", "decay_constant": 14.0}));
    assert_eq!((&keys["decay"], &keys["cooldown"]), (&Value::Null, &json!(200)));
    assert_eq!(optimizer(&of(1000, Curve::Linear)).get("cooldown"), None);
    assert!(!Levanter.supports(&of(800, Curve::Cosine)));
}

#[test]
fn what_it_lacks() {
    assert!(!Levanter.supports(&wsd(10, 200, Curve::OneMinusSqrt, 0.0)));
    assert!(!Levanter.supports(&schedule(frame(10, 0.0), Form::MultiStep { milestones: vec![500], factor: 0.5 })));
}

#[test]
fn it_logs_from_the_third_update_to_the_last() {
    assert_eq!(Levanter.logged_steps(1000), 2..=999);
    assert_eq!((Levanter.logged_steps(1), Levanter.logged_steps(2)), (0..=0, 1..=1));
}
