//! The recipe for Megatron-LM: its flags, the blend of token files as JSON, and for a run of two stages the flags of each.
//!
//! Lengths are in samples, because only then does Megatron count the samples of a stage. A run of two stages ends at the first's
//! end, with a checkpoint, and is started again for the second.
//!
//! # Source
//! megatron-core 0.19.2: `training/training.py`, `training/arguments.py`, `training/utils`, `core/optimizer_param_scheduler.py`.

mod flags;

use headwater_record::tokens::TokenFormat;
use headwater_schedule::{Curve, Decay, Form, Frame, Schedule};
use serde::Serialize;

use crate::backend::{FollowedSchedule, TrainerBackend, nearest, nearest_of};
use crate::comment::commented;
use crate::file::RecipeFile;
use crate::plan::{Part, TrainingPlan};
use crate::trainers::megatron::flags::{
    CHECKPOINTS, SHAPES, Unit, flag, is_inverse_sqrt, model, quoted, schedule, training, word,
};
use crate::{Result, Trainer};

/// The folder of the recipe in the run's output.
const FOLDER: &str = "recipe/megatron/";

const ARGUMENTS: &str = "recipe/megatron/arguments.txt";

/// The blend of a run of one stage.
const BLEND: &str = "recipe/megatron/data.json";

/// The flags and the blend of each of two stages.
const STAGES: [(&str, &str); 2] = [
    ("recipe/megatron/stage_1.txt", "recipe/megatron/data_1.json"),
    ("recipe/megatron/stage_2.txt", "recipe/megatron/data_2.json"),
];

/// The format of its token files.
const FORMAT: TokenFormat = TokenFormat::Megatron;

/// What seeds stay below: Megatron adds a hundred for every stage of the pipeline, and `NumPy` takes 32 bits.
const SEEDS: u64 = 1 << 31;

pub(crate) struct Megatron;

impl TrainerBackend for Megatron {
    fn trainer(&self) -> Trainer {
        Trainer::Megatron
    }

    fn paths(&self) -> &'static [&'static str] {
        const { &[ARGUMENTS, BLEND, STAGES[0].0, STAGES[0].1, STAGES[1].0, STAGES[1].1] }
    }

    /// Only a run of one stage counts in samples throughout, as a ramp needs.
    fn ramps_batch(&self, plan: &TrainingPlan<'_>) -> bool {
        plan.stages.len() == 1
    }

    fn decay_curves(&self) -> &'static [Curve] {
        const { &[SHAPES[0].0, SHAPES[1].0, SHAPES[2].0] }
    }

    fn supports(&self, schedule: &Schedule) -> bool {
        match schedule.form() {
            Form::Wsd(decay) => decay.steps == 0 || self.decay_curves().contains(&decay.curve),
            _ => is_inverse_sqrt(schedule),
        }
    }

    fn nearest(&self, wanted: &Schedule) -> Result<Schedule> {
        let stable = nearest(self, wanted)?;
        let candidates = std::iter::once(stable.clone()).chain(inverse_sqrts(wanted));
        Ok(nearest_of(candidates, wanted).unwrap_or(stable))
    }

    fn rate(&self, schedule: &Schedule, step: u64) -> f64 {
        schedule.lr(step)
    }

    fn update_logged_at(&self, logged: u64) -> u64 {
        logged
    }

    fn step_convention(&self) -> &'static str {
        "Megatron logs after the scheduler's step, so at iteration k the rate of the update after it; with a warm-up the first update is at 0"
    }

    fn scheduler_keys(&self, wanted: &Schedule) -> Result<String> {
        Ok(schedule(wanted, Unit::Iterations).join("\n") + "\n")
    }

    fn files(&self, plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<RecipeFile>> {
        let mut flags = model(plan)?;
        flags.extend(training(plan));
        flags.extend(schedule(&followed.schedule, Unit::Samples(plan.batch.sequences)));
        let mut files = Vec::new();
        if let [only] = &plan.stages[..] {
            flags.extend(stage_flags(plan, 0, BLEND));
            files.push(RecipeFile::json(BLEND, &blend(plan, &only.parts))?);
        } else {
            flags.extend(plan.stages.get(1).map(|second| flag("phase-transition-iterations", second.start)));
            for (index, (stage, (arguments, data))) in plan.stages.iter().zip(STAGES).enumerate() {
                files.push(RecipeFile::new(arguments, lines(&stage_flags(plan, index, data))));
                files.push(RecipeFile::json(data, &blend(plan, &stage.parts))?);
            }
        }
        let text = commented(&header(plan, followed)?) + &lines(&flags);
        files.insert(0, RecipeFile::new(ARGUMENTS, text));
        Ok(files)
    }
}

/// The schedules of √(W / t) with the warm-up and the peak of `wanted`: one that falls on and one with its last rate as floor.
fn inverse_sqrts(wanted: &Schedule) -> Vec<Schedule> {
    let (frame, last) = (*wanted.frame(), wanted.lr(wanted.steps()) / wanted.peak_lr());
    let decay = Decay { start: frame.steps, steps: 0, curve: Curve::Linear };
    let form = Form::InverseSqrt { timescale_steps: frame.warmup_steps as f64, decay };
    let schedules = [0.0, last.clamp(0.0, 1.0)].map(|floor| Schedule::new(Frame { floor, ..frame }, form.clone()));
    schedules.into_iter().flatten().filter(is_inverse_sqrt).collect()
}

fn lines(flags: &[String]) -> String {
    flags.join("\n") + "\n"
}

/// The flags that one stage alone has, or a run of one stage.
fn stage_flags(plan: &TrainingPlan<'_>, stage: usize, blend: &str) -> [String; 2] {
    [word("per-split-data-args-path", &plan.place(blend)), flag("seed", seed(plan, stage))]
}

fn seed(plan: &TrainingPlan<'_>, stage: usize) -> u64 {
    plan.stage_seed(stage) % SEEDS
}

/// What `--per-split-data-args-path` names.
#[derive(Serialize)]
struct Blend {
    /// Weight and prefix in turn.
    train: Vec<String>,
    valid: Option<Vec<String>>,
    test: Option<Vec<String>>,
}

fn blend(plan: &TrainingPlan<'_>, parts: &[Part]) -> Blend {
    let entries = parts.iter().flat_map(|part| entries(plan, part));
    let train = entries.flat_map(|(weight, prefix)| [format!("{weight:?}"), prefix]).collect();
    Blend { train, valid: None, test: None }
}

/// Weight and prefix of the token files of a part: the part's weight shared by their tokens.
fn entries(plan: &TrainingPlan<'_>, part: &Part) -> Vec<(f64, String)> {
    let files = plan.token_files(part.name, FORMAT);
    let tokens: f64 = files.iter().map(|file| file.tokens.0 as f64).sum();
    if files.is_empty() {
        return vec![(part.token_weight, presumed(plan, part))];
    }
    files.iter().map(|file| (part.token_weight * (file.tokens.0 as f64 / tokens), file.path.clone())).collect()
}

/// The prefix of the first token file that a part will have.
fn presumed(plan: &TrainingPlan<'_>, part: &Part) -> String {
    let source = plan.inputs.corpus.first().map_or("corpus", |source| source.name.as_str());
    format!("{}/{source}-00000", plan.token_folder(part.name, FORMAT))
}

fn header(plan: &TrainingPlan<'_>, followed: &FollowedSchedule) -> Result<Vec<String>> {
    let mut text = vec!["Pretraining flags for Megatron-LM, written by headwater.".to_owned(), String::new()];
    text.extend(plan.arithmetic(followed));
    text.push(batch_line(plan)?);
    if let Some(ramp) = plan.ramp.filter(|_| Megatron.ramps_batch(plan)) {
        text.push(ramp.sentence(plan.batch));
        text.push(format!(
            "The rate follows samples: that of step k in expected_lr.csv holds after k × {} sequences, in a later iteration.",
            plan.batch.sequences
        ));
    }
    if seed(plan, 0) != plan.seed() {
        text.push(format!("Seed: {} mod 2^31 = {}, because Megatron adds to it.", plan.seed(), seed(plan, 0)));
    }
    text.push(String::new());
    text.extend(start_lines(plan));
    text.extend(["", "Before it runs:"].map(str::to_owned));
    text.extend(token_lines(plan));
    text.extend(
        [
            "- Needed: Megatron-LM's pretrain_gpt.py with megatron-core 0.19 (read and checked with 0.19.2), Transformer Engine.",
            "- Set CUDA_DEVICE_MAX_CONNECTIONS=1 if --tensor-model-parallel-size is above 1, on GPUs before Blackwell.",
            "- Fit the parallel sizes and --micro-batch-size to your machines: replicas × micro batch must divide --global-batch-size.",
            "",
            "While it runs:",
            "- After an interruption the same command goes on from the last checkpoint in checkpoints.",
            "- Leave the flags of the schedule as they are: a checkpoint is refused under others. Megatron also refuses -iters beside -samples.",
            "- --min-lr is a rate, not a share of the peak.",
        ]
        .map(str::to_owned),
    );
    text.extend(branch_lines(plan, &followed.schedule));
    Ok(text)
}

fn batch_line(plan: &TrainingPlan<'_>) -> Result<String> {
    let machines = &plan.preset.machines;
    let replicas = machines.data_parallel();
    let accumulation =
        plan.accumulation(Trainer::Megatron, [("replicas", replicas), ("micro_batch", machines.micro_batch)])?;
    Ok(format!(
        "Batch: {replicas} replicas × {} sequences × {accumulation} accumulated = {} sequences; start {} processes.",
        machines.micro_batch, plan.batch.sequences, machines.devices
    ))
}

/// How to start, by the names that the files have.
fn start_lines(plan: &TrainingPlan<'_>) -> Vec<String> {
    let command = |own: &str| {
        let files = [ARGUMENTS, own].into_iter().filter(|file| !file.is_empty());
        let files: Vec<_> = files.map(|file| quoted(&plan.place(file))).collect();
        format!("  grep -hv '^#' {} | xargs torchrun --nproc-per-node 8 pretrain_gpt.py", files.join(" "))
    };
    let mut text = vec!["To start, from the folder that the pipeline ran in:".to_owned()];
    if let [_, second] = &plan.stages[..] {
        text.extend([
            command(STAGES[0].0),
            format!("It ends after iteration {} with a checkpoint. Then:", second.start),
            command(STAGES[1].0),
            "Each stage shuffles anew: a part that both read begins again, in another order.".to_owned(),
        ]);
    } else {
        text.push(command(""));
    }
    if plan.beside().contains("://") {
        text.push(format!(
            "Megatron reads flags, blend and tokens from a disk: copy {} and the token files, and change the paths.",
            plan.place(FOLDER)
        ));
    }
    text
}

fn token_lines(plan: &TrainingPlan<'_>) -> Vec<String> {
    let missing: Vec<_> = plan.parts().filter(|part| plan.token_files(part.name, FORMAT).is_empty()).collect();
    let mut text = Vec::new();
    for part in &missing {
        let (name, prefix) = (part.name.name(), presumed(plan, part));
        text.push(format!("- The token files of {name} were not there when this was written. One is named: {prefix}."));
    }
    if !missing.is_empty() {
        text.push(
            "  `headwater tokens PIPELINE` with [tokens] formats = [\"megatron\"] writes them. Then run `headwater recipe` again: it names each."
                .to_owned(),
        );
    }
    text.extend([
        format!(
            "- The files hold ids of the tokenizer {}; so Megatron needs none, which NullTokenizer says.",
            plan.preset.tokenizer.name
        ),
        "- The weights are shares of tokens. Megatron goes through a file again if its weight asks for more than it holds.".to_owned(),
        "- Nothing is held out: valid and test are null in the data file, so give no --split.".to_owned(),
    ]);
    text
}

fn branch_lines(plan: &TrainingPlan<'_>, followed: &Schedule) -> Vec<String> {
    if followed.decay().is_none() {
        return Vec::new();
    }
    vec![
        String::new(),
        format!(
            "To branch off a cooldown, from a checkpoint of iteration K, at most {}, in a copy of these flags:",
            followed.decay_start()
        ),
        format!("- --load {CHECKPOINTS} --ckpt-step K, and --save elsewhere."),
        format!(
            "- --train-samples and --lr-decay-samples {} × the branch's last iteration; --lr-wsd-decay-samples from K to there.",
            plan.batch.sequences
        ),
        "- --override-opt-param-scheduler, since the checkpoint holds the old lengths.".to_owned(),
        "- --phase-transition-iterations K and another --seed: the branch then draws data of its own.".to_owned(),
    ]
}

#[cfg(test)]
mod tests;
