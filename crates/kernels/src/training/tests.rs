//! General products, the gradient of the cross-entropy and what lies between products against float64, and their bytes for any number of threads.

mod cross_entropy;
mod layers;
mod product;

use super::Threads;

/// Runs `work` on the calling thread, and on pools of one, two and three threads; asserts that all give the same bits.
fn assert_threads_agree(work: impl Fn(Threads) -> Vec<f32> + Sync) -> Vec<f32> {
    let expected = work(Threads::Calling);
    for threads in 1..=3 {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let got = pool.install(|| work(Threads::Pool));
        assert_eq!(got.len(), expected.len());
        let different = got.iter().zip(&expected).position(|(got, expected)| got.to_bits() != expected.to_bits());
        assert_eq!(different, None, "{threads} threads give other bits");
    }
    expected
}
