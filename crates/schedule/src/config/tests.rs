use super::*;
use crate::Batch;

fn run(steps: u64) -> RunLength {
    RunLength { steps, batch: Batch { sequences: 1, sequence_tokens: 100 } }
}

fn read(text: &str) -> ScheduleConfig {
    toml::from_str(text).unwrap()
}

#[test]
fn lengths_are_fractions_steps_or_tokens() {
    let config = read("warmup = { steps = 7 }\ndecay = { tokens = 2.5e4 }\nshape = \"linear\"");
    let schedule = config.resolve(run(1000), 1.0).unwrap();
    assert_eq!((schedule.warmup_steps(), schedule.decay_start()), (7, 750));
    assert_eq!(read(""), ScheduleConfig::default());
    assert_eq!(read(&toml::to_string(&config).unwrap()), config);
}

#[test]
fn every_kind_is_written_by_its_name() {
    for (text, start, end) in [
        ("kind = \"wsd\"", 0.0, 0.0),
        ("kind = \"wsd-s\"\nperiods = [0.25, 0.25, 0.5]", 0.0, 0.0),
        ("kind = \"wsd-s\"\nperiods = 4\ndecay = { steps = 10 }", 0.0, 0.0),
        ("kind = \"linear\"\nfloor = 0.1", 0.0, 0.1),
        ("kind = \"cosine\"\nwarmup = 0.0", 1.0, 0.0),
        ("kind = \"polynomial\"\nexponent = 2.0", 0.0, 0.0),
        ("kind = \"constant\"", 0.0, 1.0),
        ("kind = \"multi-step\"\nfactor = 0.5", 0.0, 0.25),
        ("kind = \"inverse-sqrt\"\nwarmup = 0.1", 0.0, 0.0),
        ("kind = \"power\"", 0.0, 0.0),
        ("kind = \"infinite\"\nfloor = 0.05", 0.0, 0.05),
        ("kind = \"slow-start\"\nepochs = 5", 0.2, 1.0),
        ("kind = \"triangular\"\ncycle = 0.5", 0.0, 0.0),
        ("kind = \"points\"\npoints = [[0, 0.5], [1, 0.25]]", 0.5, 0.25),
    ] {
        let config = read(text);
        let schedule = config.resolve(run(10_000), 1.0).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((schedule.lr(0), schedule.lr(10_000)), (start, end), "{text}");
        assert_eq!(read(&toml::to_string(&config).unwrap()), config, "{text}");
    }
    for kind in Kind::ALL {
        assert_eq!(toml::Value::try_from(kind).unwrap().as_str(), Some(kind.name()));
    }
}

#[test]
fn equal_fractions_fill_any_run() {
    for steps in [119_209, 20_001, 7] {
        let schedule =
            read("kind = \"wsd-s\"\nperiods = [0.2, 0.2, 0.2, 0.2, 0.2]\ndecay = 0.5").resolve(run(steps), 1.0);
        assert!(schedule.is_ok(), "{steps}: {schedule:?}");
    }
}

#[test]
fn a_base_makes_the_peak() {
    let schedule = read("kind = \"slow-start\"\nbase = 0.001\nramp = 5").resolve(run(1000), 9.0).unwrap();
    assert_eq!((schedule.peak_lr(), schedule.lr(0)), (0.005, 0.001));
}

#[test]
fn mistakes_say_what_to_write() {
    let error = |text: &str| toml::from_str::<ScheduleConfig>(text).unwrap_err().to_string();
    assert!(error("warmup = 2000").contains("{ steps = 2000 }"), "{}", error("warmup = 2000"));
    assert!(error("warmup = { steps = 1.5 }").contains("whole number of steps"));
    assert!(error("warmup = { epochs = 1 }").contains("expected `steps` or `tokens`"));
    assert!(error("decays = 0.1").contains("unknown field `decays`"));
    assert!(error("shape = \"sqrt\"").contains("1-sqrt"));
    assert!(error("periods = \"four\"").contains("a list of lengths"), "{}", error("periods = \"four\""));
}

#[test]
fn keys_of_another_kind_are_refused() {
    let error = |text: &str| read(text).resolve(run(1000), 1.0).unwrap_err().to_string();
    for (text, expected) in [
        ("kind = \"cosine\"\ndecay = 0.1", "`decay` is no key of kind \"cosine\", which takes warmup, floor"),
        ("milestones = [0.5]", "`milestones` is no key of kind \"wsd\""),
        ("shape = \"exponential\"", "kind \"wsd\" needs `half_life`"),
        ("kind = \"slow-start\"\nbase = -1.0", "`base` must be positive"),
        ("exponent = 2.0", "only with shape = \"polynomial\""),
        ("kind = \"wsd-s\"\nperiods = 100000", "at most 10,000"),
        ("half_life = 0.1", "only with shape = \"exponential\""),
        ("kind = \"wsd-s\"", "needs `periods`, such as 4"),
        ("kind = \"wsd-s\"\nperiods = [0.25, 0.25]", "500 steps together, but the run has 1000"),
        ("kind = \"triangular\"", "needs `cycle`"),
        ("kind = \"points\"", "needs `points`"),
        ("kind = \"inverse-sqrt\"\nwarmup = 0.0", "`timescale` must be a length above 0"),
        ("kind = \"triangular\"\ncycle = 0.1\nrise = 2.0", "`rise` must be a fraction"),
        ("decay = { steps = 2000 }", "decay of 2000 steps exceed the run of 1000 steps"),
    ] {
        assert!(error(text).contains(expected), "{text}: {}", error(text));
    }
}
