//! What [`Engine`](headwater_model::Engine) promises, on a tiny model and on one large enough to run on several threads.

#[path = "fixture/engines.rs"]
mod engines;
mod fixture;

use std::path::Path;
use std::process::Command;

use engines::engines;
use fixture::{Outcome, load, paths, tiny};
use headwater_model::{
    Engine, EngineChoice, EngineOptions, Error, HeadMask, Level, MaskKind, Model, Precision, WindowLosses,
};
use headwater_record::{ContentHash, HeadSet};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize_to_file};

/// Models whose layers need different memory: norms before, windows and norms around, attention and MLP side by side.
const VARIED: [&str; 3] = ["qwen3", "gemma2", "gpt_neox"];

fn mask(heads: &str, kind: MaskKind) -> Result<HeadMask, serde_json::Error> {
    Ok(HeadMask { set: serde_json::from_str::<HeadSet>(heads)?, kind })
}

fn bits(losses: &WindowLosses) -> Vec<u32> {
    losses.base.iter().chain(&losses.masked).map(|loss| loss.to_bits()).collect()
}

fn window(seed: u64, tokens: usize, vocab: u32) -> Vec<u32> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..tokens).map(|_| random.random_range(0..vocab)).collect()
}

/// Every engine in every precision that it has.
fn all_engines() -> impl Iterator<Item = EngineOptions> {
    [Precision::F32, Precision::Bf16, Precision::Int8].into_iter().flat_map(engines)
}

/// Loads the model at `path` into every engine, in float32, and runs `test` on each.
fn on_every_engine(path: &Path, test: impl Fn(&dyn Engine) -> Outcome) -> Outcome {
    engines(Precision::F32).iter().try_for_each(|options| test(load(path, options)?.engine()))
}

/// Streams share what is the same in the layer of the first masked head; alone there is nothing to share.
#[test]
fn a_stream_is_the_same_alone_and_beside_masked_ones() -> Outcome {
    for (options, name) in all_engines().flat_map(|options| VARIED.map(|name| (options.clone(), name))) {
        let model = load(&tiny(name), &options)?;
        let (engine, tokens) = (model.engine(), window(9, 201, 304));
        let masks = [
            mask("[[1, 0], [1, 3], [2, 2]]", MaskKind::CausalUniform)?,
            mask("[[1, 1]]", MaskKind::Zero)?,
            mask("[[2, 0]]", MaskKind::CausalUniform)?,
            HeadMask::default(),
        ];
        let alone = engine.losses(&tokens, &HeadMask::default())?;
        for mask in &masks {
            let beside = engine.losses(&tokens, mask)?;
            let as_bits = |losses: &[f32]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
            // the other engines take the streams of a batch in one product, whose sums may be in another order
            if options.engine == EngineChoice::Native {
                assert_eq!(as_bits(&beside.base), as_bits(&alone.base), "{name}, {options:?}");
            }
        }
        let together = engine.predictions(&tokens, 0..201, &masks)?;
        for (mask, together) in masks.iter().zip(&together) {
            let alone = engine.predictions(&tokens, 0..201, std::slice::from_ref(mask))?;
            assert_eq!(&alone[0], together, "{name}, {options:?}: {mask:?}");
        }
    }
    Ok(())
}

#[test]
fn a_window_scores_the_same_alone_and_among_others() -> Outcome {
    for (options, name) in all_engines().flat_map(|options| VARIED.map(|name| (options.clone(), name))) {
        let mask = mask("[[1, 0], [1, 3], [2, 2]]", MaskKind::CausalUniform)?;
        let alone = bits(&load(&tiny(name), &options)?.engine().losses(&window(1, 200, 304), &mask)?);
        let model = load(&tiny(name), &options)?;
        for (seed, tokens) in [(2, 3), (1, 200), (3, 256), (1, 200), (4, 129), (1, 200)] {
            let losses = model.engine().losses(&window(seed, tokens, 304), &mask)?;
            assert!(seed != 1 || bits(&losses) == alone, "{name}, {options:?}: other windows change the losses");
        }
        let together: Result<Vec<_>, _> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| model.engine().losses(&window(1, 200, 304), &mask))).collect();
            threads.into_iter().map(|thread| thread.join().expect("losses do not panic")).collect()
        });
        assert!(
            together?.iter().all(|losses| bits(losses) == alone),
            "{name}, {options:?}: other threads change the losses"
        );
    }
    Ok(())
}

#[test]
fn windows_of_a_batch_do_not_see_each_other() -> Outcome {
    for (kind, name) in
        [MaskKind::CausalUniform, MaskKind::Zero].into_iter().flat_map(|kind| VARIED.map(|name| (kind, name)))
    {
        let mask = mask("[[0, 2], [2, 3]]", kind)?;
        on_every_engine(&tiny(name), |engine| {
            let lengths = [129, 200, 1, 3, 200];
            let batch = |seeds: [u64; 5]| -> Vec<Vec<u32>> {
                seeds.iter().zip(lengths).map(|(seed, tokens)| window(*seed, tokens, 304)).collect()
            };
            let losses = |windows: &[Vec<u32>]| {
                engine.batch_losses(&windows.iter().map(|window| &window[..]).collect::<Vec<_>>(), &mask)
            };
            let windows = batch([1, 2, 3, 4, 5]);
            let together = losses(&windows)?;
            assert_eq!(together.len(), windows.len());
            for (window, together) in windows.iter().zip(&together) {
                let alone = engine.losses(window, &mask)?;
                for (alone, together) in [(&alone.base, &together.base), (&alone.masked, &together.masked)] {
                    assert_eq!((alone.len(), together.len()), (window.len() - 1, window.len() - 1));
                    assert!(alone.iter().zip(together).all(|(alone, together)| (alone - together).abs() < 1e-4));
                }
            }
            let others = losses(&batch([6, 2, 7, 8, 9]))?;
            assert_eq!(bits(&together[1]), bits(&others[1]), "what the others hold does not matter to the last bit");
            let short = losses(&[window(1, 1, 304), window(2, 1, 304)])?;
            assert!(short.iter().all(|losses| losses.base.is_empty() && losses.masked.is_empty()));
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_loss_does_not_depend_on_later_tokens() -> Outcome {
    let mask = mask("[[0, 2], [2, 3]]", MaskKind::CausalUniform)?;
    let whole = window(5, 200, 304);
    on_every_engine(&tiny("llama"), |engine| {
        let long = engine.losses(&whole, &mask)?;
        let short = engine.losses(&whole[..140], &mask)?;
        for (long, short) in [(&long.base, &short.base), (&long.masked, &short.masked)] {
            assert_eq!(short.len(), 139);
            assert!(long.iter().zip(short).all(|(long, short)| (long - short).abs() < 1e-4));
        }
        Ok(())
    })
}

#[test]
fn windows_that_do_not_fit_are_errors() -> Outcome {
    on_every_engine(&tiny("llama"), windows_are_checked)
}

fn windows_are_checked(engine: &dyn Engine) -> Outcome {
    let intact = HeadMask::default();
    assert!(matches!(engine.losses(&[], &intact), Err(Error::WindowLength { tokens: 0, context: 256 })));
    assert!(matches!(engine.losses(&[1; 257], &intact), Err(Error::WindowLength { tokens: 257, context: 256 })));
    let outside = engine.losses(&[1, 304], &intact);
    assert!(matches!(outside, Err(Error::TokenOutOfRange { token: 304, vocabulary: 304 })));
    assert!(matches!(engine.attention_argmax(&[], 0..1), Err(Error::WindowLength { .. })));
    assert!(matches!(engine.predictions(&[u32::MAX], 0..1, &[]), Err(Error::TokenOutOfRange { .. })));
    assert!(engine.losses(&[303; 256], &intact)?.base.iter().all(|loss| loss.is_finite()));
    assert!(engine.losses(&[7], &intact)?.base.is_empty(), "one token has no target");
    Ok(())
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "reversed rows are what is refused")]
fn rows_outside_the_window_are_errors() -> Outcome {
    on_every_engine(&tiny("llama"), |engine| {
        for rows in [0..0, 3..3, 2..1, 0..4, 3..4] {
            let argmax = engine.attention_argmax(&[1, 2, 3], rows.clone());
            assert!(matches!(argmax, Err(Error::Rows { tokens: 3, .. })), "{rows:?}");
            let predictions = engine.predictions(&[1, 2, 3], rows.clone(), &[HeadMask::default()]);
            assert!(matches!(predictions, Err(Error::Rows { tokens: 3, .. })), "{rows:?}");
        }
        Ok(())
    })
}

#[test]
fn heads_that_the_model_lacks_are_errors() -> Outcome {
    on_every_engine(&tiny("llama"), |engine| {
        for heads in ["[[3, 0]]", "[[0, 4]]"] {
            let mask = mask(heads, MaskKind::Zero)?;
            assert!(matches!(engine.losses(&[1, 2, 3], &mask), Err(Error::Mask(_))));
            assert!(matches!(engine.predictions(&[1, 2, 3], 0..1, &[mask]), Err(Error::Mask(_))));
        }
        Ok(())
    })
}

#[test]
fn an_empty_mask_changes_nothing() -> Outcome {
    let tokens = window(6, 150, 304);
    on_every_engine(&tiny("qwen2"), |engine| {
        let intact = engine.losses(&tokens, &HeadMask::default())?;
        assert_eq!(intact.base, intact.masked);
        let masked = engine.losses(&tokens, &mask("[[2, 1]]", MaskKind::Zero)?)?;
        assert_eq!(masked.base, intact.base);
        assert_ne!(masked.masked, intact.base);
        Ok(())
    })
}

#[test]
fn nan_weights_give_nan_losses() -> Outcome {
    let folder = tempfile::tempdir()?;
    for file in ["config.json", "tokenizer.json"] {
        fs_err::copy(tiny("llama").join(file), folder.path().join(file))?;
    }
    let bytes = fs_err::read(tiny("llama/model.safetensors"))?;
    let nans = f32::NAN.to_le_bytes().repeat(32);
    let mut tensors = SafeTensors::deserialize(&bytes)?.tensors();
    for (name, tensor) in &mut tensors {
        if name == "model.layers.1.input_layernorm.weight" {
            *tensor = TensorView::new(Dtype::F32, vec![32], &nans)?;
        }
    }
    serialize_to_file(tensors, None, &folder.path().join("model.safetensors"))?;
    for options in all_engines() {
        let model = load(folder.path(), &options)?;
        let tokens = window(8, 140, 304);
        for kind in [MaskKind::CausalUniform, MaskKind::Zero] {
            let losses = model.engine().losses(&tokens, &mask("[[1, 1]]", kind)?)?;
            assert!(losses.base.iter().chain(&losses.masked).all(|loss| loss.is_nan()), "{options:?}");
        }
        assert_eq!(model.engine().attention_argmax(&tokens, 139..140)?.position(1, 0, 0), 0);
        assert_eq!(model.engine().predictions(&tokens, 139..140, &[HeadMask::default()])?, [[0]]);
    }
    Ok(())
}

/// Writes a random llama that is large enough for candle to use every thread.
fn write_large(folder: &std::path::Path) -> Outcome {
    let (hidden, keys, inner, vocab) = (256, 128, 512, 2048);
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..3 {
        for (part, shape) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![keys, hidden]),
            ("self_attn.v_proj", vec![keys, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("mlp.gate_proj", vec![inner, hidden]),
            ("mlp.up_proj", vec![inner, hidden]),
            ("mlp.down_proj", vec![hidden, inner]),
        ] {
            shapes.push((format!("model.layers.{layer}.{part}.weight"), shape));
        }
    }
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut values = |shape: &[usize]| -> Vec<u8> {
        (0..shape.iter().product()).flat_map(|_| random.random_range(-0.15_f32..0.15).to_le_bytes()).collect()
    };
    let tensors: Vec<_> = shapes.into_iter().map(|(name, shape)| (name, values(&shape), shape)).collect();
    let views =
        tensors.iter().map(|(name, bytes, shape)| Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
    let views = views.collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    serialize_to_file(views, None, &folder.join("model.safetensors"))?;
    fs_err::copy(tiny("llama/tokenizer.json"), folder.join("tokenizer.json"))?;
    fs_err::write(
        folder.join("config.json"),
        r#"{"model_type": "llama", "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 4,
            "hidden_size": 256, "intermediate_size": 512, "vocab_size": 2048, "hidden_act": "silu",
            "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true}"#,
    )?;
    Ok(())
}

/// Prints a hash of the losses of the large model; [`any_number_of_threads_gives_the_same_bits`] runs it.
#[test]
fn large_model_hash() -> Outcome {
    let folder = tempfile::tempdir()?;
    write_large(folder.path())?;
    let mask = mask("[[1, 0], [1, 5], [2, 2]]", MaskKind::CausalUniform)?;
    for precision in [Precision::F32, Precision::Bf16] {
        let options = EngineOptions { engine: EngineChoice::Candle, precision, ..EngineOptions::default() };
        let model = Model::load(&paths(folder.path())?, &options)?;
        let losses = model.engine().losses(&window(9, 512, 2048), &mask)?;
        assert!(losses.base.iter().chain(&losses.masked).all(|loss| loss.is_finite()));
        let bytes: Vec<u8> = bits(&losses).into_iter().flat_map(u32::to_le_bytes).collect();
        println!("losses {precision:?} {}", ContentHash::of(&bytes));
    }
    Ok(())
}

#[test]
fn any_number_of_threads_gives_the_same_bits() -> Outcome {
    let mut hashes = Vec::new();
    for threads in ["1", "2", "4"] {
        let child = Command::new(std::env::current_exe()?)
            .args(["--exact", "large_model_hash", "--nocapture"])
            .env("RAYON_NUM_THREADS", threads)
            .output()?;
        let printed = String::from_utf8(child.stdout)?;
        let lines = printed.lines().filter_map(|line| line.split_once("losses ")).map(|(_, hash)| hash.to_owned());
        let lines: Vec<String> = lines.collect();
        assert_eq!(lines.len(), 2, "with {threads} threads: {printed}");
        hashes.push(lines);
    }
    assert!(hashes.iter().all(|lines| *lines == hashes[0]), "{hashes:?}");
    Ok(())
}

#[test]
fn the_native_engine_refuses_what_it_cannot_run_on() -> Outcome {
    let native = EngineOptions { engine: EngineChoice::Native, ..EngineOptions::default() };
    let elsewhere = EngineOptions { device: "cuda:0".to_owned(), ..native.clone() };
    let error = Model::load(&paths(&tiny("llama"))?, &elsewhere).expect_err("the native engine runs on the cpu");
    assert!(error.to_string().contains("cuda:0") && error.to_string().contains("candle"), "{error}");
    let stranger = Level::ALL.iter().copied().find(|level| !level.is_available()).ok_or("every level is available")?;
    let options = EngineOptions { instructions: Some(stranger), ..native };
    let error = Model::load(&paths(&tiny("llama"))?, &options).expect_err("a level of another processor");
    assert!(error.to_string().contains(stranger.as_str()), "{error}");
    Ok(())
}

#[test]
fn int8_is_refused_where_it_cannot_run() -> Outcome {
    let int8 = EngineOptions { precision: Precision::Int8, ..EngineOptions::default() };
    let candle = EngineOptions { engine: EngineChoice::Candle, ..int8 };
    let error = Model::load(&paths(&tiny("llama"))?, &candle).expect_err("there are no products of int8");
    assert!(error.to_string().contains("int8") && error.to_string().contains("candle"), "{error}");
    Ok(())
}

#[test]
fn the_precision_that_is_chosen_is_int8_where_vectors_multiply_it() -> Outcome {
    let precision = |options: &EngineOptions| -> Result<String, Box<dyn std::error::Error>> {
        Ok(load(&tiny("llama"), options)?.numerics().precision)
    };
    let auto = EngineOptions::default();
    assert_eq!(auto.precision, Precision::Auto);
    let plain = EngineOptions { instructions: Some(Level::Plain), ..auto.clone() };
    let candle = EngineOptions { engine: EngineChoice::Candle, ..auto.clone() };
    assert_eq!((precision(&plain)?, precision(&candle)?), ("bf16".to_owned(), "bf16".to_owned()));
    if Level::Avx2.is_available() {
        assert_eq!(precision(&auto)?, "int8-hadamard");
    }
    Ok(())
}

/// Both engines compute the same function: their losses differ by roundings alone.
#[test]
fn the_engines_agree() -> Outcome {
    let folder = tempfile::tempdir()?;
    write_large(folder.path())?;
    let mask = mask("[[1, 0], [1, 5], [2, 2]]", MaskKind::CausalUniform)?;
    let tokens = window(12, 700, 2048);
    let candle = EngineOptions { engine: EngineChoice::Candle, precision: Precision::F32, ..EngineOptions::default() };
    let expected = load(folder.path(), &candle)?.engine().losses(&tokens, &mask)?;
    on_every_engine(folder.path(), |engine| {
        let losses = engine.losses(&tokens, &mask)?;
        for (got, expected) in [(&losses.base, &expected.base), (&losses.masked, &expected.masked)] {
            let off = got.iter().zip(expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
            assert!(off <= 2e-4, "{:?}: off by {off}", engine.numerics());
        }
        Ok(())
    })
}

/// A text that grows by pieces: what follows each is what follows the same tokens as one window.
#[test]
fn a_text_that_grows_is_the_text_as_a_whole() -> Outcome {
    // learned positions, windows of attention, caps, biases, parallel residual, a norm over each head
    for name in ["llama", "gpt2", "gemma2", "gemma3_text", "gpt_neox", "qwen3", "olmo2", "phi3"] {
        let options =
            EngineOptions { engine: EngineChoice::Candle, precision: Precision::F32, ..EngineOptions::default() };
        let model = load(&tiny(name), &options)?;
        let vocabulary = u32::try_from(model.shape().vocab)?;
        // more than a block of query rows
        let ids = window(1, 200.min(model.shape().context_tokens), vocabulary);
        let whole = model.engine().predictions(&ids, 0..ids.len(), &[HeadMask::default()])?.concat();
        let mut at_once = Vec::new();
        for pieces in [vec![ids.len()], vec![1; ids.len()], vec![7, 1, 1, 130, 1, ids.len() - 140]] {
            let mut text = model.engine().continuation()?;
            assert!(text.is_empty(), "{name}");
            let mut logits = Vec::new();
            for piece in &pieces {
                let from = text.len();
                logits = text.extend(&ids[from..from + piece])?;
                let best = (0..vocabulary).rev().max_by(|a, b| logits[*a as usize].total_cmp(&logits[*b as usize]));
                assert_eq!(best, Some(whole[from + piece - 1]), "{name} after {} tokens in {pieces:?}", text.len());
            }
            if at_once.is_empty() {
                at_once.clone_from(&logits);
            }
            let off = logits.iter().zip(&at_once).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(logits.len() == model.shape().vocab && off < 1e-3, "{name}: off by {off} in {pieces:?}");
            assert!(matches!(text.extend(&[vocabulary]), Err(Error::TokenOutOfRange { .. })));
            assert!(matches!(text.extend(&[]), Err(Error::WindowLength { .. })));
            let rest = vec![0; model.shape().context_tokens + 1 - text.len()];
            assert!(matches!(text.extend(&rest), Err(Error::WindowLength { .. })), "{name}");
        }
    }
    let native = load(&tiny("llama"), &EngineOptions::default())?;
    let refused = native.engine().continuation().err().ok_or("a continuation")?;
    assert!(refused.to_string().contains("the candle engine does"), "{refused}");
    Ok(())
}
