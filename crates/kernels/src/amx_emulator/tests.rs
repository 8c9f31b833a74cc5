//! The emulator against naive arithmetic; on a processor with AMX, the same checks of the processor.
//!
//! Tile registers are declared clobbered (`out("tmm0") _` is stable), although the compiler never uses them. They keep
//! their contents between `asm!` blocks, which the language does not promise; nothing but AMX instructions writes them.

use std::io::Read as _;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::sync::Barrier;

use super::*;

/// Lets this process run AMX instructions, on hardware or by emulation.
fn start() {
    install();
    if hardware_has_amx() {
        const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        // SAFETY: asks for tile registers; reads and writes no memory of ours.
        let status = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) };
        assert_eq!(status, 0, "Linux grants no tile registers");
    }
}

/// Configures the first tiles with `(rows, colsb)` each.
fn configure(shapes: &[(u8, u8)]) {
    let mut config = [0_u8; 64];
    config[0] = 1;
    for (tile, &(rows, colsb)) in shapes.iter().enumerate() {
        config[16 + 2 * tile] = colsb;
        config[48 + tile] = rows;
    }
    load_config(&config);
}

fn load_config(config: &[u8; 64]) {
    // SAFETY: reads the 64 bytes of `config`.
    unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack, readonly)) };
}

/// Runs an instruction that only touches tiles.
macro_rules! tile_op {
    ($instruction:literal) => {
        // SAFETY: touches no memory and no register but tiles.
        unsafe {
            asm!($instruction, out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _,
                out("tmm5") _, out("tmm6") _, out("tmm7") _, options(nostack))
        }
    };
}

/// Loads (or stores) a tile with rows `$stride` bytes apart; the caller keeps them inside `$bytes`.
macro_rules! tile_move {
    ($instruction:literal, $bytes:expr, $stride:expr) => {{
        let bytes: &mut [u8] = $bytes;
        // SAFETY: the tests' tiles lie inside `bytes`, or the emulator is meant to stop the process.
        unsafe {
            asm!($instruction, start = in(reg) bytes.as_mut_ptr(), stride = in(reg) $stride as isize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, options(nostack))
        }
    }};
}

/// Returns `(left * right + start)` as computed by one product of `instruction`, for whole tiles in memory order.
macro_rules! product {
    ($instruction:literal, $start:expr, $left:expr, $right:expr) => {{
        let mut result = $start;
        tile_move!("tileloadd tmm0, [{start} + {stride}*1]", &mut result, 64);
        tile_move!("tileloadd tmm1, [{start} + {stride}*1]", &mut $left, 64);
        tile_move!("tileloaddt1 tmm2, [{start} + {stride}*1]", &mut $right, 64);
        tile_op!($instruction);
        tile_move!("tilestored [{start} + {stride}*1], tmm0", &mut result, 64);
        result
    }};
}

/// A full tile of the bytes that a linear congruential generator (Knuth's MMIX constants) draws.
fn random_bytes(seed: u64) -> [u8; 1024] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
}

/// A full tile of f32 in `[-1, 1]`; its upper halves are bf16 of the same range.
fn random_f32(seed: u64) -> [f32; 256] {
    let bytes = random_bytes(seed);
    std::array::from_fn(|at| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|byte| bytes[4 * at + byte]);
        i32::from_le_bytes([a, b, c, d]) as f32 / -(i32::MIN as f32)
    })
}

fn f32_bytes(values: &[f32; 256]) -> [u8; 1024] {
    let mut bytes = [0; 1024];
    bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(chunk, value)| *chunk = value.to_le_bytes());
    bytes
}

fn dword<T>(bytes: &[u8], row: usize, column: usize, convert: fn([u8; 4]) -> T) -> T {
    convert(bytes.as_chunks().0[row * 16 + column])
}

/// Splits a dword into its bf16 pair, widened.
fn bf16_pair([a, b, c, d]: [u8; 4]) -> [f64; 2] {
    [[0, 0, a, b], [0, 0, c, d]].map(|bytes| f64::from(f32::from_le_bytes(bytes)))
}

#[test]
fn bf16_product_is_within_its_error_bound() {
    start();
    configure(&[(16, 64); 3]);
    let first = f32_bytes(&random_f32(1));
    // Two draws, so that the odd and the even elements (the halves of a dword) are both bf16 in [-1, 1].
    let pairs = |seed| -> [u8; 1024] {
        let (even, odd) = (f32_bytes(&random_f32(seed)), f32_bytes(&random_f32(seed + 1)));
        std::array::from_fn(|at| if at % 4 < 2 { even[at + 2] } else { odd[at] })
    };
    let (mut left, mut right) = (pairs(2), pairs(4));
    let result = product!("tdpbf16ps tmm0, tmm1, tmm2", first, left, right);
    for m in 0..16 {
        for n in 0..16 {
            let begin = f64::from(dword(&first, m, n, f32::from_le_bytes));
            let (mut exact, mut magnitude) = (begin, begin.abs());
            for k in 0..16 {
                let (a, b) = (dword(&left, m, k, bf16_pair), dword(&right, k, n, bf16_pair));
                exact += a[0] * b[0] + a[1] * b[1];
                magnitude += (a[0] * b[0]).abs() + (a[1] * b[1]).abs();
            }
            // At most 16 fused multiply-adds and two additions touch a term (Higham 2002, lemma 3.1).
            let roundings = 18.0 * f64::from(f32::EPSILON) / 2.0;
            let bound = roundings / (1.0 - roundings) * magnitude;
            let got = f64::from(dword(&result, m, n, f32::from_le_bytes));
            assert!((got - exact).abs() <= bound, "({m}, {n}): {got} is not {exact} within {bound}");
        }
    }
}

#[test]
fn int8_products_are_exact_and_wrap() {
    start();
    configure(&[(16, 64); 3]);
    let mut first = random_bytes(1);
    first[..4].copy_from_slice(&i32::MAX.to_le_bytes());
    let (mut left, mut right) = (random_bytes(2), random_bytes(3));
    left[..64].fill(127); // with the column below: the first sum overflows
    right.as_chunks_mut::<64>().0.iter_mut().for_each(|row| row[..4].fill(127));
    left[64..128].fill(255);
    right.as_chunks_mut::<64>().0.iter_mut().for_each(|row| row[4..8].fill(128));
    let expected = |widen: fn(u8) -> i64| -> [u8; 1024] {
        let mut result = [0; 1024];
        for (at, chunk) in result.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let (m, n) = (at / 16, at % 16);
            let mut sum = i64::from(dword(&first, m, n, i32::from_le_bytes));
            for k in 0..64 {
                let signed = i64::from(right[k / 4 * 64 + 4 * n + k % 4].cast_signed());
                sum += widen(left[64 * m + k]) * signed;
            }
            *chunk = sum.to_le_bytes()[..4].try_into().expect("4 bytes");
        }
        result
    };
    let (unsigned, signed) = (expected(i64::from), expected(|byte| i64::from(byte.cast_signed())));
    assert_eq!(product!("tdpbusd tmm0, tmm1, tmm2", first, left, right), unsigned);
    assert_eq!(product!("tdpbssd tmm0, tmm1, tmm2", first, left, right), signed);
}

/// Returns one element of a bf16 product: a row times a column of pairs.
fn dot(begin: f32, pairs: &[([f32; 2], [f32; 2])]) -> f32 {
    let depth = u8::try_from(pairs.len()).expect("at most 16 pairs");
    configure(&[(1, 4), (1, 4 * depth), (depth, 4)]);
    let [mut left, mut right] = [[0_u8; 1024]; 2];
    for (at, (a, b)) in pairs.iter().enumerate() {
        for (half, (a, b)) in a.iter().zip(b).enumerate() {
            left[4 * at + 2 * half..][..2].copy_from_slice(&a.to_le_bytes()[2..]);
            right[64 * at + 2 * half..][..2].copy_from_slice(&b.to_le_bytes()[2..]);
        }
    }
    let mut first = [0; 1024];
    first[..4].copy_from_slice(&begin.to_le_bytes());
    dword(&product!("tdpbf16ps tmm0, tmm1, tmm2", first, left, right), 0, 0, f32::from_le_bytes)
}

#[test]
fn bf16_product_rounds_as_the_manual_says() {
    start();
    let two = |exponent: i32| 2_f32.powi(exponent);
    let subnormal = f32::from_bits(1 << 16); // the smallest subnormal bf16
    // The odd sum joins the even one before the destination does; each tie goes to even.
    assert_eq!(dot(1.0, &[([two(24), 1.0], [1.0, 1.0])]), two(24));
    assert_eq!(dot(two(24), &[([1.0, 1.0], [1.0, 1.0])]), two(24) + 2.0);
    // Even and odd elements are summed apart: 2^24 + 1 never meets the second 1.
    assert_eq!(dot(0.0, &[([two(24), 0.0], [1.0, 1.0]), ([1.0, 0.0], [1.0, 1.0])]), two(24));
    assert_eq!(dot(0.0, &[([two(24), 1.0], [1.0, 1.0]), ([0.0, 1.0], [1.0, 1.0])]), two(24) + 2.0);
    // Subnormal inputs are zero, in the sources and in the destination.
    assert_eq!(dot(1.0, &[([subnormal, 0.0], [two(127), 0.0])]), 1.0);
    assert_eq!(dot(1.0, &[([two(127), 0.0], [subnormal, 0.0])]), 1.0);
    assert_eq!(dot(two(-127), &[([two(-63), 0.0], [two(-63), 0.0])]), two(-126));
    // Subnormal results are flushed, also where a later step would have made them normal ...
    assert_eq!(dot(0.0, &[([two(-64), 0.0], [two(-63), 0.0])]).to_bits(), 0);
    assert_eq!(dot(0.0, &[([two(-64), two(-64)], [two(-63), two(-63)])]).to_bits(), 0);
    assert_eq!(dot(two(-126), &[([-1.5 * two(-63), 0.0], [two(-63), 0.0])]).to_bits(), (-0.0_f32).to_bits());
    let both_flushed = [([-two(-64), -two(-64)], [two(-63), two(-63)])];
    assert_eq!(dot(-0.0, &both_flushed).to_bits(), (-0.0_f32).to_bits()); // and no step adds the padding's +0
    // ... but not a product inside a fused multiply-add.
    let fused = dot(0.0, &[([two(-59), 0.0], [two(-59), 0.0]), ([two(-70), 0.0], [two(-70), 0.0])]);
    assert_eq!(fused, two(-118) + two(-70) * two(-70));
    assert!(dot(1.0, &[([f32::INFINITY, 0.0], [0.0, 0.0])]).is_nan());
    assert_eq!(dot(1.0, &[([two(127), 0.0], [two(127), 0.0])]), f32::INFINITY);
}

#[test]
fn partial_tiles_leave_the_rest_alone() {
    start();
    configure(&[(5, 20), (5, 12), (3, 20)]);
    let (mut first, mut left, mut right) = (random_bytes(1), random_bytes(2), random_bytes(3));
    let mut expected = first;
    for m in 0..5 {
        for n in 0..5 {
            let mut sum = dword(&first, m, n, i32::from_le_bytes);
            for k in 0..12 {
                let (a, b) = (left[64 * m + k], right[k / 4 * 64 + 4 * n + k % 4]);
                sum += i32::from(a) * i32::from(b.cast_signed());
            }
            expected[64 * m + 4 * n..][..4].copy_from_slice(&sum.to_le_bytes());
        }
    }
    // Inside rows and columns the product, outside the bytes that were there.
    assert_eq!(product!("tdpbusd tmm0, tmm1, tmm2", first, left, right), expected);
    if !hardware_has_amx() {
        // No instruction shows what a load leaves outside, yet the manual says zero.
        for (at, byte) in TILES.get().tiles[0].as_flattened().as_flattened().iter().enumerate() {
            assert!(*byte == 0 || at / 64 < 5 && at % 64 < 20, "byte {at}");
        }
    }

    tile_op!("tilezero tmm0");
    tile_move!("tilestored [{start} + {stride}*1], tmm0", &mut first, 64);
    for (at, (got, before)) in first.iter().zip(random_bytes(1)).enumerate() {
        let inside = at / 64 < 5 && at % 64 < 20;
        assert_eq!(*got, if inside { 0 } else { before }, "byte {at}");
    }
}

#[test]
fn configuring_zeroes_and_releasing_forgets() {
    start();
    configure(&[(16, 64)]);
    let mut bytes = random_bytes(1);
    tile_move!("tileloadd tmm0, [{start} + {stride}*1]", &mut bytes, 64);
    configure(&[(16, 64)]);
    tile_move!("tilestored [{start} + {stride}*1], tmm0", &mut bytes, 64);
    assert_eq!(bytes, [0; 1024]);
    tile_op!("tilerelease");
    tile_op!("tilerelease");
    if !hardware_has_amx() {
        assert_eq!(TILES.get().rows, [0; 8]);
    }
}

#[test]
fn rows_lie_a_stride_apart() {
    start();
    configure(&[(7, 24)]);
    let source = random_bytes(1);
    let rows = |first: usize, stride: isize| -> Vec<u8> {
        let begins = (0..7).map(|row| first.wrapping_add_signed(row * stride));
        begins.flat_map(|begin| source[begin..begin + 24].to_vec()).collect()
    };
    let mut packed = [0; 7 * 24];
    macro_rules! check {
        ($load:literal, $first:expr, $stride:expr, $read_first:expr, $read_stride:expr) => {
            let mut copy = source;
            tile_move!($load, &mut copy[$first..], $stride);
            tile_move!("tilestored [{start} + {stride}*1], tmm0", &mut packed, 24);
            assert_eq!(packed.to_vec(), rows($read_first, $read_stride), "{}", $load);
        };
    }
    check!("tileloadd tmm0, [{start} + {stride}*1]", 0, 100, 0, 100);
    check!("tileloadd tmm0, [{start} + {stride}*2]", 3, 37, 3, 74);
    check!("tileloadd tmm0, [{start} + {stride}*4 - 128]", 128, 33, 0, 132);
    check!("tileloaddt1 tmm0, [{start} + {stride}*8 + 127]", 0, 1, 127, 8);
    check!("tileloadd tmm0, [{start} + {stride}*1 + 300]", 0, 9, 300, 9);
    check!("tileloadd tmm0, [{start} + {stride}*1 - 300]", 300, 9, 0, 9);
    check!("tileloadd tmm0, [{start} + {stride}*1]", 700, -100, 700, -100);
    // Without an index the stride is 0. The second operand is unused, save by the comment.
    check!("tileloadd tmm0, [{start}] # {stride}", 40, 0, 40, 0);

    let mut spread = source;
    tile_move!("tilestored [{start} + {stride}*4 + 8], tmm0", &mut spread, 30);
    for (at, byte) in spread.into_iter().enumerate() {
        let (row, column) = (at.wrapping_sub(8) / 120, at.wrapping_sub(8) % 120);
        let inside = row < 7 && column < 24;
        assert_eq!(byte, if inside { source[40 + column] } else { source[at] }, "byte {at}");
    }
}

/// Checks one pair of base and index registers, in loads, stores and `ldtilecfg`.
macro_rules! check_registers {
    ($base:tt, $index:tt) => {{
        let mut config = [0_u8; 64];
        (config[0], config[16], config[48]) = (1, 64, 16);
        let source = random_bytes(7);
        let mut copy = [0_u8; 1024];
        // SAFETY: reads the 64 bytes of `config`, at its start plus 4 * 16 - 64.
        unsafe {
            asm!(concat!("ldtilecfg [", $base, " + 4*", $index, " - 64]"), in($base) &config, in($index) 16,
                options(nostack))
        };
        // SAFETY: reads the 1024 bytes of `source`.
        unsafe {
            asm!(concat!("tileloadd tmm0, [", $base, " + ", $index, "*8]"), in($base) &source, in($index) 8,
                out("tmm0") _, options(nostack))
        };
        // SAFETY: writes the 1024 bytes of `copy`.
        unsafe {
            asm!(concat!("tilestored [", $base, " + ", $index, "*1], tmm0"), in($base) &mut copy, in($index) 64,
                options(nostack))
        };
        assert_eq!(copy, source, concat!("base ", $base, ", index ", $index));
    }};
}

#[test]
fn every_register_can_address() {
    start();
    check_registers!("rax", "rcx");
    check_registers!("rcx", "rdx");
    check_registers!("rdx", "rsi");
    check_registers!("rsi", "rdi");
    check_registers!("rdi", "r8");
    check_registers!("r8", "r9");
    check_registers!("r9", "r10");
    check_registers!("r10", "r11");
    check_registers!("r11", "r12");
    check_registers!("r12", "r13");
    check_registers!("r13", "r14");
    check_registers!("r14", "r15");
    check_registers!("r15", "rax");
    check_registers!("r13", "r12");
}

/// Rust reserves rbx, rbp and rsp, so that these are swapped in by hand.
#[test]
fn reserved_registers_can_address() {
    start();
    configure(&[(16, 64); 4]);
    let source = random_bytes(7);
    let mut copies = [[0_u8; 1024]; 4];
    // SAFETY: reads the 1024 bytes of `source`, writes those of the first two `copies`, restores rbx and rbp.
    unsafe {
        asm!(
            "xchg rbx, rax",
            "xchg rbp, rcx",
            "tileloadd tmm0, [rbx + rbp*1]",
            "xchg rbx, rdx",
            "tilestored [rbx + rbp*1], tmm0",
            "xchg rbx, rbp",
            "lea rbp, [rbp + 1024]",
            "tilestored [rbp + rbx*1], tmm0",
            "lea rbp, [rbp - 1024]",
            "xchg rbx, rbp",
            "xchg rbx, rdx",
            "xchg rbp, rcx",
            "xchg rbx, rax",
            inout("rax") &source => _, inout("rcx") 64_usize => _, inout("rdx") &mut copies => _, out("tmm0") _,
        );
    }
    // SAFETY: copies `source` onto the stack, loads and stores it there, writes the other two `copies`, restores rsp.
    unsafe {
        asm!(
            "sub rsp, 2048",
            "mov rdi, rsp",
            "mov rcx, 1024",
            "rep movsb",
            "tileloadd tmm1, [rsp + {stride}*1]",
            "tilestored [rsp + {stride}*1 + 1024], tmm1",
            "tileloadd tmm2, [rsp + {stride}*1 + 1024]",
            "add rsp, 2048",
            "tilestored [rdx + {stride}*1 + 2048], tmm1",
            "tilestored [rdx + {stride}*1 + 3072], tmm2",
            stride = in(reg) 64_usize, in("rdx") &mut copies, inout("rsi") &source => _, out("rdi") _, out("rcx") _,
            out("tmm1") _, out("tmm2") _,
        );
    }
    for copy in copies {
        assert_eq!(copy, source);
    }
}

#[test]
fn every_tile_is_its_own() {
    start();
    configure(&[(16, 64); 8]);
    let mut tiles: [[u8; 1024]; 8] = std::array::from_fn(|tile| random_bytes(tile as u64));
    let (before, start) = (tiles, tiles.as_mut_ptr());
    macro_rules! each {
        ($($tile:literal),*) => {
            // SAFETY: each load reads one element of `tiles`.
            unsafe {
                asm!($(concat!("tileloadd tmm", $tile, ", [{start} + {stride}*1 + 1024*", $tile, "]")),*,
                    start = in(reg) start, stride = in(reg) 64_usize, options(nostack))
            };
            tile_op!("tdpbssd tmm7, tmm0, tmm6");
            tile_op!("tilezero tmm3");
            // SAFETY: each store writes one element of `tiles`.
            unsafe {
                asm!($(concat!("tilestored [{start} + {stride}*1 + 1024*", $tile, "], tmm", $tile)),*,
                    start = in(reg) start, stride = in(reg) 64_usize, options(nostack))
            };
        };
    }
    each!(0, 1, 2, 3, 4, 5, 6, 7);
    for tile in [0, 1, 2, 4, 5, 6] {
        assert_eq!(tiles[tile], before[tile], "tile {tile}");
    }
    assert_eq!(tiles[3], [0; 1024]);
    configure(&[(16, 64); 3]);
    let (mut left, mut right) = (before[0], before[6]);
    assert_eq!(tiles[7], product!("tdpbssd tmm0, tmm1, tmm2", before[7], left, right));
}

#[test]
fn threads_have_their_own_tiles() {
    start();
    let step = Barrier::new(2);
    let run = |seed: u64, rows: u8| {
        let (mut source, mut copy) = (random_bytes(seed), [0; 1024]);
        for _ in 0..20 {
            configure(&[(rows, 64)]);
            step.wait();
            tile_move!("tileloadd tmm0, [{start} + {stride}*1]", &mut source, 64);
            step.wait();
            tile_move!("tilestored [{start} + {stride}*1], tmm0", &mut copy, 64);
            let end = 64 * usize::from(rows);
            assert_eq!((&copy[..end], &copy[end..]), (&source[..end], &[0; 1024][end..]));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| run(1, 16));
        scope.spawn(|| run(2, 9));
    });
}

/// Returns the signal that ends a child process running `act`, and what the child wrote to stderr.
fn death(act: impl FnOnce()) -> (libc::c_int, String) {
    let mut pipe = [0; 2];
    // SAFETY: `pipe` has room for two descriptors.
    assert_eq!(unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: the child makes system calls and runs AMX instructions only, which needs no lock of another thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no core file; touches no memory.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        // SAFETY: both descriptors are open.
        unsafe { libc::dup2(pipe[1], libc::STDERR_FILENO) };
        act();
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: the parent owns both descriptors and wraps each once.
    let [read, write] = pipe.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    drop(write);
    let mut message = String::new();
    std::fs::File::from(read).read_to_string(&mut message).expect("the child's stderr");
    let mut status = 0;
    // SAFETY: `status` is writable.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert!(libc::WIFSIGNALED(status), "the child lives: status {status}, stderr `{message}`");
    (libc::WTERMSIG(status), message)
}

#[test]
fn misuse_stops_the_process() {
    start();
    if hardware_has_amx() {
        return; // where the processor raises other signals
    }
    let aborts = |expected: &str, act: &dyn Fn()| {
        assert_eq!(death(act), (libc::SIGABRT, format!("amx emulator: {expected}\n")));
    };
    let product = |shapes: &'static [(u8, u8)]| {
        move || {
            configure(shapes);
            tile_op!("tdpbf16ps tmm0, tmm1, tmm2");
        }
    };
    aborts("a tile product whose rows differ", &product(&[(4, 64), (5, 64), (16, 64)]));
    aborts("a tile product whose columns differ", &product(&[(4, 60), (4, 64), (16, 64)]));
    aborts("a tile product whose inner dimensions differ", &product(&[(4, 64), (4, 64), (15, 64)]));
    aborts("use of a tile that is not configured", &product(&[(4, 64), (4, 64)]));
    aborts("use of a tile whose rows are not whole dwords", &product(&[(4, 62), (4, 64), (16, 62)]));
    aborts("a tile product that names a tile twice", &|| {
        configure(&[(16, 64); 2]);
        tile_op!(".byte 0xC4, 0xE2, 0x73, 0x5E, 0xC1"); // tdpbssd tmm0, tmm1, tmm1, which no assembler takes
    });
    aborts("tilezero of a tile that is not configured", &|| {
        configure(&[(16, 64)]);
        tile_op!("tilerelease");
        tile_op!("tilezero tmm0");
    });
    aborts("use of a tile that is not configured", &|| {
        configure(&[(16, 64)]);
        tile_move!("tileloadd tmm1, [{start} + {stride}*1]", &mut [0; 1024], 64);
    });
    let config = |byte: usize, value: u8| {
        move || {
            let mut config = [0; 64];
            (config[0], config[16], config[48]) = (1, 64, 16);
            config[byte] = value;
            load_config(&config);
        }
    };
    aborts("ldtilecfg with a palette other than 0 and 1", &config(0, 2));
    aborts("ldtilecfg with a start_row other than 0, which is not emulated", &config(1, 1));
    for byte in [2, 15, 32, 47, 56, 63] {
        aborts("ldtilecfg with reserved bytes other than 0", &config(byte, 1));
    }
    for (byte, value) in [(16, 65), (17, 1), (48, 17)] {
        aborts("ldtilecfg with more than 16 rows or 64 bytes per row", &config(byte, value));
    }
    for byte in [16, 48] {
        aborts("ldtilecfg with rows but no columns or columns but no rows", &config(byte, 0));
    }
}

#[test]
fn other_illegal_instructions_kill_as_usual() {
    start();
    // SAFETY: never returns, touches nothing.
    let undefined = || unsafe { asm!("ud2", options(nostack)) };
    assert_eq!(death(undefined), (libc::SIGILL, String::new()));
}

/// Bytes from GNU `as` 2.40; LLVM's assembler agrees.
#[test]
#[rustfmt::skip]
fn decodes_what_the_assembler_encodes() {
    use Base::{NextInstruction, Register, Zero};
    use Elements::{Bf16Bf16, SignedSigned, UnsignedSigned};
    let at = |base, index, displacement| Memory { base, index, displacement };
    let multiply =
        |elements, destination, left, right| Instruction::Multiply { elements, destination, left, right };
    let cases: &[(&[u8], Instruction)] = &[
        // ldtilecfg [rax], [r12], [r13], [rip + 0x1234], [rsp - 8], [0x1000], [r13 + r12*4 + 9]
        (&[0xC4, 0xE2, 0x78, 0x49, 0x00], Instruction::LoadConfig(at(Register(0), None, 0))),
        (&[0xC4, 0xC2, 0x78, 0x49, 0x04, 0x24], Instruction::LoadConfig(at(Register(12), None, 0))),
        (&[0xC4, 0xC2, 0x78, 0x49, 0x45, 0x00], Instruction::LoadConfig(at(Register(13), None, 0))),
        (&[0xC4, 0xE2, 0x78, 0x49, 0x05, 0x34, 0x12, 0, 0], Instruction::LoadConfig(at(NextInstruction, None, 0x1234))),
        (&[0xC4, 0xE2, 0x78, 0x49, 0x44, 0x24, 0xF8], Instruction::LoadConfig(at(Register(4), None, -8))),
        (&[0xC4, 0xE2, 0x78, 0x49, 0x04, 0x25, 0, 0x10, 0, 0], Instruction::LoadConfig(at(Zero, None, 0x1000))),
        (&[0xC4, 0x82, 0x78, 0x49, 0x44, 0xA5, 9], Instruction::LoadConfig(at(Register(13), Some((12, 2)), 9))),
        // tilerelease; tilezero tmm5
        (&[0xC4, 0xE2, 0x78, 0x49, 0xC0], Instruction::Release),
        (&[0xC4, 0xE2, 0x7B, 0x49, 0xE8], Instruction::Zero(5)),
        // tileloadd tmm3, [r13 + r12*8 - 4], [rax], [rax*4 + 0x100]; tileloaddt1 tmm7, [r15 + r14 + 0x7f]
        (&[0xC4, 0x82, 0x7B, 0x4B, 0x5C, 0xE5, 0xFC], Instruction::Load(3, at(Register(13), Some((12, 3)), -4))),
        (&[0xC4, 0xE2, 0x7B, 0x4B, 0x1C, 0x20], Instruction::Load(3, at(Register(0), None, 0))),
        (&[0xC4, 0xE2, 0x7B, 0x4B, 0x1C, 0x85, 0, 1, 0, 0], Instruction::Load(3, at(Zero, Some((0, 2)), 0x100))),
        (&[0xC4, 0x82, 0x79, 0x4B, 0x7C, 0x37, 0x7F], Instruction::Load(7, at(Register(15), Some((14, 0)), 0x7F))),
        // The same with VEX.B set, which extends no base here; objdump and LLVM read it so, no assembler writes it.
        (&[0xC4, 0xC2, 0x7B, 0x4B, 0x1C, 0x85, 0, 1, 0, 0], Instruction::Load(3, at(Zero, Some((0, 2)), 0x100))),
        (&[0xC4, 0xC2, 0x78, 0x49, 0x05, 0x34, 0x12, 0, 0], Instruction::LoadConfig(at(NextInstruction, None, 0x1234))),
        // tilestored [rdi + rsi - 0x80], tmm6
        (&[0xC4, 0xE2, 0x7A, 0x4B, 0x74, 0x37, 0x80], Instruction::Store(at(Register(7), Some((6, 0)), -0x80), 6)),
        // tdpbf16ps tmm7, tmm6, tmm5; tdpbusd tmm0, tmm1, tmm2; tdpbssd tmm3, tmm4, tmm5
        (&[0xC4, 0xE2, 0x52, 0x5C, 0xFE], multiply(Bf16Bf16, 7, 6, 5)),
        (&[0xC4, 0xE2, 0x69, 0x5E, 0xC1], multiply(UnsignedSigned, 0, 1, 2)),
        (&[0xC4, 0xE2, 0x53, 0x5E, 0xDC], multiply(SignedSigned, 3, 4, 5)),
    ];
    for (bytes, expected) in cases {
        let mut code = bytes.iter().copied();
        assert_eq!(decode(&mut code), Some(*expected), "{bytes:02X?}");
        assert_eq!(code.len(), 0, "{bytes:02X?} is longer than decoded");
    }
    let others: &[&[u8]] = &[
        &[0x0F, 0x0B],                   // ud2
        &[0xC4, 0xE2, 0x79, 0x49, 0x00], // sttilecfg [rax]
        &[0xC4, 0xE2, 0x50, 0x5E, 0xDC], // tdpbuud tmm3, tmm4, tmm5
        &[0xC4, 0xE2, 0x7B, 0x4B, 0x18], // tileloadd without SIB
        &[0xC4, 0xE2, 0x7B, 0x49, 0xE9], // tilezero with a non-zero r/m
        &[0xC4, 0xE2, 0x70, 0x49, 0xC0], // tilerelease with a vvvv operand
        &[0xC4, 0x62, 0x7B, 0x49, 0xC0], // tilezero tmm8
        &[0xC4, 0xE2, 0xF8, 0x49, 0xC0], // tilerelease with VEX.W
        &[0xC4, 0xE2, 0x7C, 0x49, 0xC0], // tilerelease with VEX.L
        &[0xC4, 0xE3, 0x78, 0x49, 0xC0], // map 0F3A
    ];
    for bytes in others {
        assert_eq!(decode(bytes.iter().copied()), None, "{bytes:02X?}");
    }
}
