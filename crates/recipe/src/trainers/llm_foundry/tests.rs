use headwater_schedule::{Decay, Form, Frame, Period, Point};
use serde_json::{Value, json};

use super::*;

fn keys_of(frame: Frame, form: Form) -> Value {
    let schedule = Schedule::new(frame, form).unwrap();
    serde_saphyr::from_str(&LlmFoundry.scheduler_keys(&schedule).unwrap()).unwrap()
}

fn frame(warmup_steps: u64, floor: f64) -> Frame {
    Frame { steps: 1000, warmup_steps, peak_lr: 1e-3, floor }
}

fn wsd(warmup_steps: u64, decay_steps: u64, curve: Curve, floor: f64) -> Value {
    let decay = Decay { start: 1000 - decay_steps, steps: decay_steps, curve };
    keys_of(frame(warmup_steps, floor), Form::Wsd(decay))
}

#[test]
fn a_linear_decay_is_its_inverse_square_root_with_a_flat_stretch() {
    assert_eq!(
        wsd(100, 250, Curve::Linear, 0.1),
        json!({"max_duration": "1000ba", "scheduler": {
            "name": "inv_sqrt_with_warmup", "t_warmup": "100ba", "t_scale": "100ba", "t_cooldown": "250ba",
            "alpha_f_decay": 1.0, "alpha_f_cooldown": 0.1,
        }})
    );
}

#[test]
fn corners_keep_a_scale_and_a_cooldown() {
    let scheduler = |warmup, decay| wsd(warmup, decay, Curve::OneMinusSqrt, 0.0)["scheduler"].clone();
    assert_eq!(wsd(0, 1000, Curve::Linear, 0.0)["scheduler"]["t_scale"], "1ba");
    assert_eq!(scheduler(0, 0)["t_cooldown"], "0ba");
    assert_eq!(scheduler(0, 0)["name"], "inv_sqrt_with_warmup");
    assert_eq!(scheduler(1000, 0)["t_warmup"], "1000ba");
    // warm-up and decay alone, and the decay alone
    assert_eq!(scheduler(400, 600)["phases"].as_array().unwrap().len(), 2);
    assert_eq!(scheduler(0, 1000)["phases"].as_array().unwrap().len(), 1);
}

#[test]
fn a_cosine_is_its_own_without_a_plateau_and_phases_with_one() {
    let plain = wsd(100, 900, Curve::Cosine, 0.1);
    assert_eq!(plain["scheduler"], json!({"name": "cosine_with_warmup", "t_warmup": "100ba", "alpha_f": 0.1}));
    assert_eq!(plain.get("code_paths"), None);
    let late = wsd(100, 500, Curve::Cosine, 0.1);
    assert_eq!(late["code_paths"], json!([SCHEDULE]));
    assert_eq!(
        late["scheduler"]["phases"],
        json!([
            {"start": 0, "end": 100, "from": 0.0, "to": 1.0, "shape": "linear"},
            {"start": 100, "end": 500, "from": 1.0, "to": 1.0, "shape": "linear"},
            {"start": 500, "end": 1000, "from": 1.0, "to": 0.1, "shape": "cosine"},
        ])
    );
}

#[test]
fn an_inverse_square_root_is_its_own_without_a_floor() {
    let of = |floor, timescale_steps, curve| {
        let decay = Decay { start: 800, steps: 200, curve };
        keys_of(frame(100, floor), Form::InverseSqrt { timescale_steps, decay })["scheduler"].clone()
    };
    let own = of(0.0, 50.0, Curve::Linear);
    assert_eq!((&own["t_scale"], &own["alpha_f_decay"]), (&json!("50ba"), &json!(0.0)));
    for scheduler in [of(0.1, 50.0, Curve::Linear), of(0.0, 50.5, Curve::Linear), of(0.0, 50.0, Curve::OneMinusSqrt)] {
        assert_eq!(scheduler["phases"][1]["shape"], "inverse-sqrt", "{scheduler}");
        assert_eq!(scheduler["phases"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn phases_say_every_other_form() {
    let shapes = |frame, form| {
        let keys = keys_of(frame, form);
        let phases = keys["scheduler"]["phases"].as_array().unwrap().clone();
        let ends: Vec<_> = phases.iter().map(|phase| phase["end"].as_f64().unwrap()).collect();
        assert!(ends.is_sorted() && ends.last().is_some_and(|end| *end >= 1000.0), "{ends:?}");
        ends
    };
    let periods = vec![Period { end: 400, decay_steps: 50 }, Period { end: 1000, decay_steps: 100 }];
    let wsd_s = Form::WsdS { periods, curve: Curve::MirrorCosine };
    assert_eq!(shapes(frame(10, 0.1), wsd_s), [10.0, 350.0, 400.0, 900.0, 1000.0]);
    let points = [(0.0, 0.0), (333.3, 1.0), (1000.0, 0.0)].map(|(step, multiplier)| Point { step, multiplier });
    assert_eq!(shapes(frame(0, 0.0), Form::Points(points.to_vec())), [333.3, 1000.0]);
    let steps = Form::MultiStep { milestones: vec![800, 900], factor: 0.3 };
    assert_eq!(shapes(frame(10, 0.0), steps), [10.0, 800.0, 900.0, 1000.0]);
    let triangular = Form::Triangular { cycle_steps: 600, rise_steps: 200, damping: 0.5 };
    assert_eq!(shapes(frame(0, 0.0), triangular), [200.0, 600.0, 800.0, 1200.0]);
    let many = Form::Triangular { cycle_steps: 2, rise_steps: 1, damping: 1.0 };
    assert!(LlmFoundry.supports(&Schedule::new(frame(0, 0.0), many.clone()).unwrap()));
    let longer = Frame { steps: 2000, ..frame(0, 0.0) };
    assert!(!LlmFoundry.supports(&Schedule::new(longer, many).unwrap()));
}

#[test]
fn an_update_is_made_at_the_rate_of_the_one_before() {
    let schedule =
        Schedule::new(frame(100, 0.0), Form::Wsd(Decay { start: 1000, steps: 0, curve: Curve::Linear })).unwrap();
    assert_eq!([0, 1, 2].map(|update| LlmFoundry.rate(&schedule, update)), [0.0, 0.0, schedule.lr(1)]);
}
