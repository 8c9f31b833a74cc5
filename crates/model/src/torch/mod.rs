//! The engine of PyTorch: what transformers loads, on the devices that torch has.
//!
//! A worker in Python holds the model on a device; see `torch_worker.py`. Windows are dealt to workers by length, so that all have about as much
//! to do.

mod process;

use std::cmp::Reverse;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use headwater_record::HeadSet;
use headwater_record::run::Numerics;
use serde::{Deserialize, Serialize};

use crate::engine::{shared_layers, validate_rows, validate_window};
use crate::options::CPU;
use crate::{
    AttentionArgmax, Concurrency, Engine, EngineOptions, Error, HeadMask, ModelPaths, ModelShape, Precision,
    WindowLosses,
};
use process::{Setup, Worker};

/// Bytes of a device that a token of a batch takes for each number of the residual stream, of the gates and of the heads' rows, both variants
/// counted.
const COPIES: usize = 24;

/// Tokens of a batch on a CPU, where larger ones gain nothing.
const CPU_BATCH: usize = 2_048;

/// What a worker says of itself.
#[derive(Debug, Deserialize)]
struct Hello {
    shape: Sizes,
    torch: String,
    transformers: String,
    device: String,
}

/// The sizes of a model, as `torch_worker.py` reads them from its configuration.
#[derive(Debug, Deserialize)]
struct Sizes {
    layers: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    hidden: usize,
    intermediate: usize,
    vocab: usize,
    context_tokens: usize,
}

/// What is asked of a worker.
#[derive(Serialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
enum Request<'a> {
    Losses { lengths: Vec<usize>, heads: Vec<(u16, u16)>, kind: &'a str },
    Argmax { rows: [usize; 2] },
    Predictions { rows: [usize; 2], masks: Vec<Vec<(u16, u16)>>, kind: &'a str },
}

/// The engine of PyTorch.
#[derive(Debug)]
pub(crate) struct TorchEngine {
    shape: ModelShape,
    numerics: Numerics,
    workers: Vec<Mutex<Worker>>,
    batch_tokens: usize,
}

impl TorchEngine {
    /// Starts a worker for each device of `options` with the model in `paths`.
    pub(crate) fn load(paths: &ModelPaths, options: &EngineOptions) -> Result<Self, Error> {
        if let Some(level) = options.instructions {
            return Err(Error::InstructionsUnused { level });
        }
        let precision = match options.precision {
            Precision::Auto if options.device == CPU => Precision::F32,
            Precision::Auto => Precision::Bf16,
            Precision::Int8 => {
                let why = "the torch engine has bf16 and f32; int8 is the native engine's, on the cpu".to_owned();
                return Err(Error::Precision { precision: options.precision, why });
            }
            precision => precision,
        };
        let first = paths.weights.first().ok_or_else(|| paths.lacks("config.json"))?;
        let beside = paths.config.as_deref().unwrap_or(first);
        let gguf = paths.gguf().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let setup = |device: &str| Setup {
            python: options.python.clone(),
            path: beside.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")).to_owned(),
            gguf: gguf.clone(),
            device: device.trim().to_owned(),
            precision: precision.as_str(),
            threads: rayon::current_num_threads(),
        };
        let started = at_the_same_time(options.device.split(','), |device| Worker::start::<Hello>(setup(device)))?;
        let (workers, hellos): (Vec<_>, Vec<_>) = started.into_iter().unzip();
        let device = hellos.iter().map(|hello| hello.device.as_str()).collect::<Vec<_>>().join(", ");
        let Some(Hello { shape, torch, transformers, .. }) = hellos.into_iter().next() else {
            return Err(Error::Device { device: options.device.clone(), reason: "it names no device".to_owned() });
        };
        let Sizes { layers, heads, kv_heads, head_dim, hidden, intermediate, vocab, context_tokens } = shape;
        let attention_windows = vec![None; layers];
        let shape = ModelShape {
            layers,
            heads,
            kv_heads,
            head_dim,
            hidden,
            intermediate,
            mlp_maps: 3,
            vocab,
            context_tokens,
            attention_windows,
        };
        shape.validate(beside)?;
        let of_device = batch_tokens(&shape, options);
        // last bits depend on the shapes of products, and these on how windows are batched
        let instructions =
            format!("torch {torch}, transformers {transformers}, batches of {of_device} tokens a device");
        let numerics =
            Numerics { engine: "torch".to_owned(), device, precision: precision.as_str().to_owned(), instructions };
        let batch_tokens = of_device * workers.len();
        Ok(Self { shape, numerics, workers: workers.into_iter().map(Mutex::new).collect(), batch_tokens })
    }

    /// The worker that answers what is asked of one window.
    fn first(&self) -> Result<MutexGuard<'_, Worker>, Error> {
        let lost = || Error::TorchUnusable { reason: "there is no worker".to_owned() };
        Ok(self.workers.first().ok_or_else(lost)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Engine for TorchEngine {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn numerics(&self) -> Numerics {
        self.numerics.clone()
    }

    fn concurrency(&self) -> Concurrency {
        Concurrency::Batch { tokens: self.batch_tokens }
    }

    fn batch_losses(&self, windows: &[&[u32]], mask: &HeadMask) -> Result<Vec<WindowLosses>, Error> {
        windows.iter().try_for_each(|window| validate_window(&self.shape, window))?;
        shared_layers(&self.shape, [mask])?;
        let shares = dealt(windows, self.workers.len());
        let answers = at_the_same_time(self.workers.iter().zip(&shares), |(worker, share)| {
            let share: Vec<&[u32]> = share.iter().map(|at| windows[*at]).collect();
            losses_of(&mut worker.lock().unwrap_or_else(PoisonError::into_inner), &share, mask)
        })?;
        let mut all = vec![WindowLosses { base: Vec::new(), masked: Vec::new() }; windows.len()];
        for (share, answer) in shares.iter().zip(answers) {
            for (at, losses) in share.iter().zip(answer) {
                all[*at] = losses;
            }
        }
        Ok(all)
    }

    fn attention_argmax(&self, tokens: &[u32], rows: Range<usize>) -> Result<AttentionArgmax, Error> {
        validate_rows(&self.shape, tokens, &rows)?;
        let values = self.shape.layers * self.shape.heads * rows.len();
        let request = Request::Argmax { rows: [rows.start, rows.end] };
        let positions = self.first()?.ask(&request, tokens, values)?.into_iter().map(u32::from_le_bytes).collect();
        AttentionArgmax::new(self.shape.layers, self.shape.heads, rows.len(), positions)
    }

    fn predictions(&self, tokens: &[u32], rows: Range<usize>, masks: &[HeadMask]) -> Result<Vec<Vec<u32>>, Error> {
        validate_rows(&self.shape, tokens, &rows)?;
        shared_layers(&self.shape, masks)?;
        let Some(first) = masks.first() else { return Ok(Vec::new()) };
        // masks of several kinds are asked for one after the other
        let (same, others): (Vec<_>, Vec<_>) = masks.iter().partition(|mask| mask.kind == first.kind);
        if !others.is_empty() {
            return masks
                .iter()
                .map(|mask| Ok(self.predictions(tokens, rows.clone(), std::slice::from_ref(mask))?.concat()))
                .collect();
        }
        let request = Request::Predictions {
            rows: [rows.start, rows.end],
            masks: same.iter().map(|mask| pairs(&mask.set)).collect(),
            kind: first.kind.as_str(),
        };
        let ids: Vec<u32> = self
            .first()?
            .ask(&request, tokens, masks.len() * rows.len())?
            .into_iter()
            .map(u32::from_le_bytes)
            .collect();
        Ok(ids.chunks(rows.len()).map(<[u32]>::to_vec).collect())
    }
}

/// Does `work` for each of `items` on a thread of its own, which mostly waits for a worker; of several errors the first is returned.
fn at_the_same_time<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> Result<R, Error> + Sync,
) -> Result<Vec<R>, Error> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        // all are waited for, whatever the first says
        let done: Vec<Result<R, Error>> = threads.into_iter().map(join).collect();
        done.into_iter().collect()
    })
}

/// Asks a worker for the losses of `windows`.
fn losses_of(worker: &mut Worker, windows: &[&[u32]], mask: &HeadMask) -> Result<Vec<WindowLosses>, Error> {
    let lengths: Vec<usize> = windows.iter().map(|window| window.len()).collect();
    let targets: usize = lengths.iter().map(|length| length - 1).sum();
    if targets == 0 {
        return Ok(vec![WindowLosses { base: Vec::new(), masked: Vec::new() }; windows.len()]);
    }
    let request = Request::Losses { lengths: lengths.clone(), heads: pairs(&mask.set), kind: mask.kind.as_str() };
    let losses: Vec<f32> =
        worker.ask(&request, &windows.concat(), 2 * targets)?.into_iter().map(f32::from_le_bytes).collect();
    let (mut base, mut masked) = losses.split_at(targets);
    let next = |all: &mut &[f32], count: usize| {
        let (these, others) = all.split_at(count);
        *all = others;
        these.to_vec()
    };
    let of_window =
        |length: usize| WindowLosses { base: next(&mut base, length - 1), masked: next(&mut masked, length - 1) };
    Ok(lengths.into_iter().map(of_window).collect())
}

/// The heads of a set as pairs of layer and head.
fn pairs(set: &HeadSet) -> Vec<(u16, u16)> {
    set.as_slice().iter().map(|head| (head.layer, head.head)).collect()
}

/// Deals the numbers of `windows` to `workers`, the longest first, each to the one with the fewest tokens, which is the first of several.
fn dealt(windows: &[&[u32]], workers: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..windows.len()).collect();
    order.sort_by_key(|at| Reverse(windows[*at].len()));
    let mut shares = vec![Vec::new(); workers];
    let mut tokens = vec![0; workers];
    for at in order {
        let Some(least) = (0..workers).min_by_key(|worker| tokens[*worker]) else { break };
        tokens[least] += windows[at].len();
        shares[least].push(at);
    }
    shares
}

/// Tokens of a batch on one device that the memory of `options` has room for, at least one.
fn batch_tokens(shape: &ModelShape, options: &EngineOptions) -> usize {
    if options.device == CPU {
        return CPU_BATCH;
    }
    let numbers = shape.hidden + shape.intermediate + (shape.heads + shape.kv_heads) * shape.head_dim;
    let tokens = options.batch_memory.0 / (COPIES * numbers) as u64;
    usize::try_from(tokens).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_dealt_by_length() {
        let tokens = [0; 9];
        let windows: Vec<&[u32]> = [2, 9, 3, 5].map(|length| &tokens[..length]).to_vec();
        assert_eq!(dealt(&windows, 2), [vec![1], vec![3, 2, 0]]);
        assert_eq!(dealt(&windows, 1), [vec![1, 3, 2, 0]]);
        assert_eq!(dealt(&[], 2), [vec![], Vec::<usize>::new()]);
    }
}
