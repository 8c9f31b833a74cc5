use super::*;
use crate::refine::{GradientNorm, RefineOptions, SPOILT_EDGES, refine_log};

fn read(file: &str, text: &str, column: Option<&str>) -> Result<NormLog, Error> {
    let source = NormSource { file, column };
    match LogFormat::of(Path::new(file))? {
        LogFormat::Csv => source.read_csv(text.as_bytes()),
        LogFormat::Json => source.read_json(text.as_bytes()),
        LogFormat::JsonLines => source.read_json_lines(text.as_bytes()),
        LogFormat::Text => source.read_text(text.as_bytes()),
        LogFormat::Parquet => source.read_columns(&[("n", text.lines().map(|line| line.parse().ok()).collect())]),
    }
}

/// The norms, how many entries had none, and how many were infinite.
fn counted(file: &str, text: &str, column: Option<&str>) -> Result<(Vec<f64>, u64, u64), Error> {
    read(file, text, column).map(|log| (log.norms, log.skipped, log.infinite))
}

/// A norm of a run of 400 steps, which falls and wavers.
fn norm(step: u32) -> f64 {
    2.0 / (1.0 + f64::from(step) / 100.0) + f64::from(step.wrapping_mul(2_654_435_761) % 97) / 1000.0
}

/// The refined schedule of a log, as a table.
fn refined(file: &str, text: &str) -> String {
    let log = read(file, text, None).unwrap_or_else(|error| panic!("{error}"));
    let options = RefineOptions { edges: SPOILT_EDGES, ..RefineOptions::new(GradientNorm::L2) };
    refine_log(&log, &options).expect("enough norms").csv(None)
}

fn csv_of(steps: impl Iterator<Item = u32>) -> String {
    let lines = steps.map(|step| format!("{step},{}\n", norm(step)));
    std::iter::once("step,grad_norm\n".to_owned()).chain(lines).collect()
}

fn json_of(steps: impl Iterator<Item = u32>) -> String {
    steps.map(|step| format!("{{\"step\": {step}, \"grad_norm\": {}}}\n", norm(step))).collect()
}

#[test]
fn logs_of_four_formats() -> Result<(), Error> {
    assert_eq!(counted("a.csv", "1\ninf\n2.5\n", None)?, (vec![1.0, 2.5], 0, 1));
    assert_eq!(counted("a.csv", "step,grad_norm\n1, 0.5\n2,\n3,1e-3\n", None)?, (vec![0.5, 1e-3], 1, 0));
    assert_eq!(counted("a.csv", "step,l1,l2\n1,2,3\n", Some("l1"))?, (vec![2.0], 0, 0));
    let log = "{\"grad_norm\": 2.0, \"loss\": 1}\n{\"eval_loss\": 3}\n\n{\"grad_norm\": Infinity}\n";
    assert_eq!(counted("a.jsonl", log, None)?, (vec![2.0], 1, 1));
    let compact = "{\"note\":\"an Infinity\",\"grad_norm\":1}\n{\"grad_norm\":null}\n";
    assert_eq!(counted("a.jsonl", compact, None)?, (vec![1.0], 1, 0));
    assert_eq!(counted("log.txt", log, None)?, (vec![2.0], 1, 1));
    assert_eq!(counted("lines.json", log, None)?, (vec![2.0], 1, 1));
    let state = "{\"epoch\": 1,\n \"log_history\": [{\"grad_norm\": 0.5, \"step\": 1},\n {\"eval_loss\": NaN}]}";
    assert_eq!(counted("trainer_state.json", state, None)?, (vec![0.5], 1, 0));
    assert_eq!(counted("a.parquet", "0.5\nnull\n4", None)?, (vec![0.5, 4.0], 1, 0));
    assert_eq!(counted("a.json", "[1, 2.5, \"x\", true]", None)?, (vec![1.0, 2.5], 2, 0));
    Ok(())
}

#[test]
fn every_tracker_writes_the_same_run() {
    let clean = refined("clean.csv", &csv_of(1..=400));
    assert_eq!(clean.lines().count(), 401);
    let rows = |head: &str, row: &dyn Fn(u32, f64) -> String| {
        let rows: String = (1..=400).map(|step| row(step, norm(step))).collect();
        format!("{head}{rows}")
    };
    let wandb = "\"Step\",\"calm-sun - 3 - train/grad_norm\",\"calm-sun - 3 - train/grad_norm__MIN\",\"calm-sun - 3 - train/grad_norm__MAX\"\n";
    let megatron = |step: u32, norm: f64| {
        format!(
            " [2026-01-01 00:00:00] iteration {step:8}/     400 | consumed samples: {step:12} | elapsed time per iteration (ms): \
             533.6 | learning rate: 1.2E-04 | lm loss: 7.2E+00 | grad norm: {norm} | params norm: 3.1 | number of nan iterations:   \
             0 |\n validation loss at iteration {step} | lm loss value: 3.0E+00 |\n"
        )
    };
    for (file, text) in [
        ("wandb.csv", rows(wandb, &|step, norm| format!("\"{step}\",\"{norm}\",\"{norm}\",\"{norm}\"\n"))),
        ("tb.csv", rows("Wall time,Step,Value\n", &|step, norm| format!("17{step}.5,{step},{norm}\n"))),
        ("windows.csv", rows("\u{feff}step,grad_norm\r\n", &|step, norm| format!("{step},{norm}\r\n"))),
        (
            "excel.csv",
            rows("step;train/grad_norm;loss\n", &|step, norm| format!("{step};{norm};2\n").replace('.', ",")),
        ),
        ("a.tsv", rows("iteration\tloss\tgnorm\n", &|step, norm| format!("{step}\t2.5\t{norm}\n"))),
        ("tabs.csv", rows("loss\tgrad_norm\tglobal_step\n", &|step, norm| format!("2\t{norm}\t{step}\n"))),
        (
            "nested.jsonl",
            rows("", &|step, norm| {
                format!("{{\"_step\": {step}, \"train\": {{\"grad_norm\": {norm}, \"loss\": 1}}}}\n")
            }),
        ),
        (
            "slash.jsonl",
            rows("", &|step, norm| format!("{{\"train/grad_norm\": {norm}, \"train/global_step\": {step}}}\n")),
        ),
        (
            "dot.ndjson",
            rows("", &|step, norm| format!("{{\"train.grad_norm\": \"{norm}\", \"trainer/global_step\": {step}}}\n")),
        ),
        ("tb.json", format!("[{}]", rows("", &|step, norm| format!("[1.5, {step}, {norm}],")).trim_end_matches(','))),
        ("megatron.log", rows("starting\n", &megatron)),
        ("megatron.txt", rows("", &|step, norm| format!("iteration: {step} / 400 | grad_norm: {norm} |\n"))),
    ] {
        assert!(refined(file, &text) == clean, "{file}");
    }
    let columns = |names: [&'static str; 2]| {
        let (steps, norms) = (1..=400).map(|step| (Some(f64::from(step)), Some(norm(step)))).unzip();
        [("loss", Vec::new()), (names[0], steps), (names[1], norms)]
    };
    let source = NormSource { file: "a.parquet", column: None };
    assert_eq!(source.columns_among(&["loss", "_step", "train/grad_norm"]), [1, 2]);
    let log = source.read_columns(&columns(["_step", "train/grad_norm"])).expect("norms");
    assert_eq!((log.norms, log.run.and_then(|run| run.steps)), ((1..=400).map(norm).collect(), Some(400)));
}

#[test]
fn a_resumed_run_counts_its_last_value_of_a_step() {
    let dirty = |old: f64| {
        let first = (1..=220).map(|step| format!("{step},{}\n", if step > 200 { old } else { norm(step) }));
        let second = (201..=400).map(|step| format!("{step},{}\n", norm(step)));
        std::iter::once("step,grad_norm\n".to_owned()).chain(first).chain(second).collect::<String>()
    };
    let clean = refined("a.csv", &csv_of(1..=400));
    assert!(refined("a.csv", &dirty(70.0)) == clean);
    let log = read("a.csv", &dirty(70.0), None).expect("norms");
    assert_eq!((log.norms.len(), log.repeated, log.column.as_str()), (400, 20, "grad_norm"));
    assert!(refined("a.csv", &csv_of((1..=400).rev())) == clean, "order does not matter");
    assert!(refined("a.jsonl", &json_of((1..=220).chain(201..=400))) == clean);
}

#[test]
fn a_value_that_is_no_number_is_as_if_it_were_not_there() {
    let clean = refined("a.csv", &csv_of((1..=400).filter(|step| step % 50 != 3)));
    assert_eq!(clean.lines().count(), 401, "the steps tell how long the run is");
    for wrong in ["NaN", "nan", "inf", "-inf", "", "null", "None", "\"\"", "diverged", "-"] {
        let lines = csv_of(1..=400);
        let lines = lines.lines().map(|line| match line.split_once(',') {
            Some((step, _)) if step.parse::<u32>().is_ok_and(|step| step % 50 == 3) => format!("{step},{wrong}\n"),
            _ => format!("{line}\n"),
        });
        let dirty: String = lines.collect();
        assert!(refined("a.csv", &dirty) == clean, "{wrong}");
        let log = read("a.csv", &dirty, None).expect("norms");
        assert_eq!(log.skipped + log.infinite, 8, "{wrong}");
    }
    for wrong in ["NaN", "Infinity", "-Infinity", "null", "\"NaN\"", "\"\"", "true", "[]", "{}"] {
        let lines = (1..=400_u32).map(|step| match step % 50 {
            3 => format!("{{\"step\": {step}, \"grad_norm\": {wrong}}}\n"),
            _ => json_of(step..=step),
        });
        assert!(refined("a.jsonl", &lines.collect::<String>()) == clean, "{wrong}");
    }
    let between = (1..=400).map(|step| format!("{}{{\"step\": {step}, \"eval_loss\": 2}}\n", json_of(step..=step)));
    assert!(refined("a.jsonl", &between.collect::<String>()) == refined("a.csv", &csv_of(1..=400)), "other entries");
}

#[test]
fn a_torn_last_line_is_passed_over() {
    let (csv, json) = (csv_of(1..=399), json_of(1..=399));
    let clean = refined("a.csv", &csv);
    for torn in ["4", "400", "400,\"0.2", "400,0.1,7", "40,0.25", "400,4.", "400,4e-"] {
        let dirty = format!("{csv}{torn}");
        assert!(refined("a.csv", &dirty) == clean, "{torn}");
        assert_eq!(read("a.csv", &dirty, None).expect("norms").passed_over, Some(401), "{torn}");
    }
    for torn in ["{", "{\"step\": 400, \"grad_n", "{\"step\": 400, \"grad_norm\": 0.4", "\0\0\0", "{\"step\": 400,\n\n"]
    {
        let dirty = format!("{json}{torn}");
        assert!(refined("a.jsonl", &dirty) == clean, "{torn}");
        assert!(refined("a.json", &dirty) == clean, "{torn}");
        assert_eq!(read("a.jsonl", &dirty, None).expect("norms").passed_over, Some(400), "{torn}");
    }
    let line = |step: u32| format!(" iteration {step}/ 400 | lm loss: 1.0 | grad norm: {} |\n", norm(step));
    let text: String = (1..=399).map(line).collect();
    let log = read("a.log", &format!("{text} iteration 400/ 400 | lm loss: 1.0 | grad norm: 0."), None).expect("norms");
    assert_eq!((log.norms.len(), log.passed_over), (399, Some(400)));
    assert_eq!(read("a.csv", "grad_norm\n1\n2", None).expect("norms").norms, [1.0, 2.0], "the last end may be missing");
}

fn state(steps: impl Iterator<Item = u32>, rest: &str) -> String {
    let entries: Vec<String> =
        steps.map(|step| format!("{{\"step\": {step}, \"grad_norm\": {}, \"epoch\": 0.5}}", norm(step))).collect();
    format!("{{\"log_history\": [{}], {rest}}}", entries.join(",\n"))
}

#[test]
fn a_run_that_is_logged_now_and_then_keeps_its_length() {
    let every = |step: usize| (10..=400).step_by(step);
    let text = state(every(10), "\"logging_steps\": 10, \"max_steps\": 400");
    let table = refined("trainer_state.json", &text);
    assert_eq!(table.lines().count(), 401);
    assert!(table.ends_with("\n399,0.0\n"), "{table}");
    assert!(table == refined("a.csv", &csv_of(every(10))));
    assert!(table == refined("a.jsonl", &json_of(every(10))));
    let without = text.replace("\"step\"", "\"at\"");
    assert!(table == refined("trainer_state.json", &without), "entries without steps");
    let rarely = state((30..=400).step_by(30), "\"logging_steps\": 30, \"max_steps\": 400");
    assert_eq!(refined("trainer_state.json", &rarely).lines().count(), 401);
    let run = |text: &str| read("trainer_state.json", text, None).expect("norms").run.expect("steps");
    let ended = run(&state((10..=200).step_by(10), "\"logging_steps\": 10, \"max_steps\": 400"));
    assert_eq!((ended.steps, ended.planned), (Some(200), Some(400)));
    let megatron: String =
        every(10).map(|step| format!("iteration {step:8}/     400 | grad norm: {} |\n", norm(step))).collect();
    assert!(refined("a.log", &megatron) == table);
}

/// Where steps are logged more often at first, each norm still weighs where it was logged.
#[test]
fn uneven_steps_keep_their_places() {
    let log = |steps: &mut dyn Iterator<Item = u32>| {
        let text: String = steps.map(|step| format!("{step},{}\n", if step <= 100 { 1 } else { 2 })).collect();
        let log = read("a.csv", &format!("step,grad_norm\n{text}"), None).expect("norms");
        refine_log(&log, &RefineOptions { tau: 0.0, ..RefineOptions::new(GradientNorm::L1) }).expect("norms").logged()
    };
    let every = log(&mut (1..=400));
    let uneven = log(&mut (1..=100).chain((110..=400).step_by(10)));
    assert_eq!((every.len(), uneven.len()), (400, 400));
    let off = every.iter().zip(&uneven).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(off < 0.25, "{off}");
    let (a, b) = (every.iter().sum::<f64>() / 400.0, uneven.iter().sum::<f64>() / 400.0);
    assert!((a - b).abs() < 0.01, "{a} {b}");
}

#[test]
fn columns_are_chosen_by_name() -> Result<(), Error> {
    let taken = |text: &str, column| read("a.csv", text, column).map(|log| (log.column, log.norms));
    let of = |column: &str, norm: f64| (column.to_owned(), vec![norm]);
    assert_eq!(taken("loss,grad_norm,train/grad_norm\n1,2,3\n", None)?, of("grad_norm", 2.0));
    assert_eq!(taken("a - grad_norm,b - grad_norm\n1,\n", None)?, of("a - grad_norm", 1.0), "the other run is empty");
    assert_eq!(taken("a - train/grad_norm,loss\n1,2\n", Some("train/grad_norm"))?, of("a - train/grad_norm", 1.0));
    assert_eq!(taken("max_grad_norm,train/grad_norm\n1,2\n", None)?, of("train/grad_norm", 2.0));
    assert_eq!(read("a.jsonl", "{\"a\": {\"b\": {\"c\": 4}}}\n", Some("a.b/c"))?.norms, [4.0]);
    // W&B counts its calls in `_step`; a step that most entries lack is none
    let log = "_step,train/global_step,grad_norm\n1,10,1\n2,20,2\n3,30,3\n4,40,4\n";
    assert_eq!(read("a.csv", log, None)?.run.and_then(|run| run.steps), Some(40));
    let log = (0..20_u8).map(|at| format!("{},1\n", if at == 0 { -1 } else { i32::from(at) })).collect::<String>();
    let log = read("a.csv", &format!("step,grad_norm\n{log}"), None)?;
    assert_eq!((log.skipped, log.run.and_then(|run| run.steps)), (1, Some(19)), "a step below 0 is none");
    let log = "_step,train/global_step,grad_norm\n1,,1\n2,20,2\n3,,3\n4,40,4\n";
    assert_eq!(read("a.csv", log, None)?.run.and_then(|run| run.steps), Some(4));
    Ok(())
}

#[test]
fn mistakes_name_the_file_the_line_and_the_columns() {
    for (name, text, column, expected) in [
        ("a.csv", "", None, "a.csv: has no gradient norms"),
        ("a.csv", "grad_norm\n1\n-2\n", None, "a.csv:3: gradient norm -2"),
        ("a.csv", "grad_norm\nmany\n", None, "a.csv: has no gradient norms"),
        ("a.csv", "step,norm\n1,2\n", None, "a.csv: has no column `grad_norm`; name one of step, norm"),
        ("a.csv", "step,norm\n1,2\n", Some("l1"), "a.csv: has no column `l1`; name one of step, norm"),
        ("a.csv", "tag,step,value\nloss,1,2\n", None, "a.csv: has no column `grad_norm`; name one of tag, step, value"),
        (
            "a.csv",
            "r - grad_norm,s - grad_norm\n1,2\n",
            None,
            "a.csv: `r - grad_norm`, `s - grad_norm` may all be the gradient norms; name one",
        ),
        (
            "a.csv",
            "r - grad_norm,s - grad_norm\n1,2\n",
            Some("grad_norm"),
            "a.csv: `r - grad_norm`, `s - grad_norm` may all",
        ),
        ("a.csv", "1,2\n", None, "a.csv: has 2 columns and no header line that names them"),
        ("a.csv", "1\n2\n", Some("l1"), "a.csv: has no header line to find `l1` in"),
        ("a.csv", "1\n2,3\n4\n", None, "a.csv:2: has 2 fields where the first line has 1"),
        (
            "a.csv",
            "step,grad_norm\r\n1,1\r\n\r\n2\r\n3,3\r\n",
            None,
            "a.csv:4: has 1 fields where the first line has 2",
        ),
        ("a.csv", "step,grad_norm\n1,\"1\n2,2\n", None, "a.csv:2: has a quote that is not closed"),
        ("a.jsonl", "{\"loss\": 1}\n", None, "a.jsonl: has no column `grad_norm`; name one of loss"),
        ("a.jsonl", "{\"grad_norm\": NaN}\n", None, "a.jsonl: has no gradient norms"),
        ("a.jsonl", "1\n\n{\n2\n", None, "a.jsonl:3: is no JSON"),
        ("a.jsonl", "{\n", None, "a.jsonl:1: is no JSON"),
        ("a.json", "{\"log_history\": [\n{\"grad_norm\": 1},\n{\"gra", None, "a.json:3: is no JSON"),
        ("a.parquet", "1\n-1", None, "a.parquet:2: gradient norm -1"),
        ("a.log", "hello\n", None, "a.log: has no gradient norms"),
        ("a.md", "1", None, "a.md: gradient norms are read from .csv, .tsv, .jsonl, .json, .parquet"),
    ] {
        let error = read(name, text, column).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
