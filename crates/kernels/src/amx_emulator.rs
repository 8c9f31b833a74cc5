//! Runs Intel AMX kernels on x86-64 Linux processors without AMX, so that unit tests can check them there.
//!
//! [`install`] catches the SIGILL that an AMX instruction raises on such a processor. The handler decodes the
//! instruction at RIP, carries it out on tiles of its own, steps RIP over it and returns. Any other illegal instruction
//! kills the process as usual.
//!
//! Emulated: `ldtilecfg`, `tilerelease`, `tilezero`, `tileloadd`, `tileloaddt1`, `tilestored`, `tdpbf16ps`, `tdpbusd`
//! and `tdpbssd`, with every address form but segment overrides. What would fault on hardware (a wrong tile
//! configuration, a tile that is not configured, shapes that do not fit) writes one line to stderr and aborts, so that
//! a test notices. Addresses are not checked: a bad one raises SIGSEGV inside the handler.
//!
//! This is not a model of speed, of restarts (`start_row` must be 0), of `sttilecfg`, nor of processors that support
//! only a part of AMX. Under a debugger pass the signal on: `handle SIGILL nostop noprint pass`.
//!
//! # Source
//! Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, "Programming with Intel AMX", and
//! volume 2, the pages of the instructions named above. Encodings were checked against GNU `as` and LLVM.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, __get_cpuid_max, _xgetbv};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::Once;

#[cfg(test)]
mod tests;

/// Tile registers of palette 1, and the rows and the bytes per row that each has at most.
const TILE_COUNT: usize = 8;
const MAX_ROWS: usize = 16;
const MAX_COLSB: usize = 64;

/// Bytes of the longest x86-64 instruction.
const MAX_INSTRUCTION_BYTES: usize = 15;

/// Makes AMX instructions work on every thread of this process; calling it again does nothing.
///
/// Does nothing either where the processor and the kernel support AMX. There a process must still ask Linux for the
/// tile registers (`arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`) before its first tile instruction.
///
/// # Panics
/// If the processor lacks AVX2 or FMA, which carry out `tdpbf16ps`, or if the handler cannot be set.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !hardware_has_amx() {
            let able = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            assert!(able, "the AMX emulator needs AVX2 and FMA");
            set_handler();
        }
    });
}

/// Returns whether the processor has the emulated instructions and the kernel keeps tile state.
fn hardware_has_amx() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const AMX_BF16_TILE_INT8: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    const XTILECFG_XTILEDATA: u64 = 1 << 17 | 1 << 18;
    if __get_cpuid_max(0).0 < 7 || __cpuid(1).ecx & OSXSAVE == 0 {
        return false;
    }
    // SAFETY: OSXSAVE says that XGETBV may be executed.
    let enabled = unsafe { _xgetbv(0) };
    let has = __cpuid_count(7, 0).edx;
    has & AMX_BF16_TILE_INT8 == AMX_BF16_TILE_INT8 && enabled & XTILECFG_XTILEDATA == XTILECFG_XTILEDATA
}

fn set_handler() {
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_illegal_instruction;
    // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default handler.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: `action` is initialised, its handler has the signature that SA_SIGINFO asks for, and no old action is
    // wanted.
    let status = unsafe { libc::sigaction(libc::SIGILL, &raw const action, std::ptr::null_mut()) };
    assert_eq!(status, 0, "cannot set the SIGILL handler");
}

thread_local! {
    /// The tiles of this thread.
    ///
    /// Safe to use in the handler: initialised at compile time and without a destructor, so an access is a plain read
    /// or write of memory that exists as long as the thread does; nothing is allocated, registered or locked. Nothing
    /// else touches it, and SIGILL is blocked while its handler runs, so no access ever interrupts another. The signal
    /// is synchronous besides: it is taken at an AMX instruction, never in the middle of library code.
    static TILES: Cell<Tiles> = const { Cell::new(Tiles::UNCONFIGURED) };
}
const _: () = assert!(!std::mem::needs_drop::<Tiles>(), "a destructor would be registered on first use");

/// Emulates the AMX instruction that raised the signal; for any other instruction restores the default handler, under
/// which it raises the signal again.
#[expect(clippy::cast_possible_truncation, reason = "x86-64 registers are as wide as usize")]
extern "C" fn on_illegal_instruction(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    /// Where the kernel keeps the registers, in the order of their numbers in instructions.
    #[rustfmt::skip]
    const SAVED: [c_int; 16] = [
        libc::REG_RAX, libc::REG_RCX, libc::REG_RDX, libc::REG_RBX,
        libc::REG_RSP, libc::REG_RBP, libc::REG_RSI, libc::REG_RDI,
        libc::REG_R8, libc::REG_R9, libc::REG_R10, libc::REG_R11,
        libc::REG_R12, libc::REG_R13, libc::REG_R14, libc::REG_R15,
    ];
    const RIP: usize = libc::REG_RIP as usize;

    // SAFETY: a handler set with SA_SIGINFO gets the `ucontext_t` of the interrupted thread, for it alone to change.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let saved = &mut context.uc_mcontext.gregs;
    let code = std::ptr::with_exposed_provenance::<u8>(saved[RIP] as usize);
    let mut length = 0;
    // One byte at a time, as the page behind the instruction may not be mapped.
    let bytes = (0..MAX_INSTRUCTION_BYTES).map(|at| {
        length = at + 1;
        // SAFETY: the decoder asks for no byte beyond the instruction, and the processor fetched that from here.
        unsafe { code.wrapping_add(at).read() }
    });
    let Some(instruction) = decode(bytes) else {
        // SAFETY: SIGILL has a default action, and `signal` may be called in a handler.
        unsafe { libc::signal(libc::SIGILL, libc::SIG_DFL) };
        return;
    };
    let next = saved[RIP] + length as i64;
    let registers = Registers { general: SAVED.map(|slot| saved[slot as usize] as usize), next: next as usize };
    let mut tiles = TILES.get();
    tiles.execute(instruction, &registers);
    TILES.set(tiles);
    saved[RIP] = next;
}

/// The integer registers of the interrupted thread: rax is 0, r15 is 15; `next` is the address after the instruction.
struct Registers {
    general: [usize; 16],
    next: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Instruction {
    LoadConfig(Memory),
    Release,
    Zero(usize),
    Load(usize, Memory),
    Store(Memory, usize),
    Multiply { elements: Elements, destination: usize, left: usize, right: usize },
}

/// What the dwords of the left and of the right tile of a product hold.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Elements {
    Bf16Bf16,
    UnsignedSigned,
    SignedSigned,
}

/// A memory operand as its ModRM and SIB bytes spell it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Memory {
    base: Base,
    /// Register and scale, the scale as a shift.
    index: Option<(usize, u8)>,
    displacement: isize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Base {
    Zero,
    Register(usize),
    NextInstruction,
}

impl Memory {
    /// Returns the address without its index: where the first row of a tile lies.
    fn start(self, registers: &Registers) -> usize {
        let base = match self.base {
            Base::Zero => 0,
            Base::Register(number) => registers.general[number],
            Base::NextInstruction => registers.next,
        };
        base.wrapping_add_signed(self.displacement)
    }

    /// Returns the scaled index: the distance in bytes between the rows of a tile.
    fn stride(self, registers: &Registers) -> usize {
        self.index.map_or(0, |(number, shift)| registers.general[number] << shift)
    }
}

/// Decodes one instruction; `None` if it is not one of those emulated.
///
/// All of them lie in opcode map 0F38, for which only the three-byte VEX prefix (C4) has room.
fn decode(mut code: impl Iterator<Item = u8>) -> Option<Instruction> {
    const NONE: u8 = 0;
    const P66: u8 = 1;
    const PF3: u8 = 2;
    const PF2: u8 = 3;
    if code.next()? != 0xC4 {
        return None;
    }
    let (first, second) = (code.next()?, code.next()?);
    if first & 0x1F != 2 || second & 0x84 != 0 {
        return None; // another map, VEX.W or VEX.L
    }
    // VEX holds R, X, B and vvvv inverted.
    let [r, x, b] = [7, 6, 5].map(|bit| usize::from(!first >> bit & 1) << 3);
    let vvvv = usize::from(!second >> 3 & 15);
    let (opcode, modrm) = (code.next()?, code.next()?);
    let (in_register, reg, rm) = (modrm >> 6 == 3, usize::from(modrm >> 3 & 7), usize::from(modrm & 7));
    let tile = |number: usize| (number < TILE_COUNT).then_some(number);
    let instruction = match (opcode, second & 3, in_register) {
        (0x49, NONE, false) if reg == 0 => Instruction::LoadConfig(decode_memory(modrm, x, b, code)?),
        (0x49, NONE, true) if reg == 0 && rm == 0 => Instruction::Release,
        (0x49, PF2, true) if rm == 0 => Instruction::Zero(tile(r | reg)?),
        // Tiles need a SIB byte.
        (0x4B, PF2 | P66, false) if rm == 4 => Instruction::Load(tile(r | reg)?, decode_memory(modrm, x, b, code)?),
        (0x4B, PF3, false) if rm == 4 => Instruction::Store(decode_memory(modrm, x, b, code)?, tile(r | reg)?),
        (0x5C | 0x5E, prefix, true) => {
            let elements = match (opcode, prefix) {
                (0x5C, PF3) => Elements::Bf16Bf16,
                (0x5E, P66) => Elements::UnsignedSigned,
                (0x5E, PF2) => Elements::SignedSigned,
                _ => return None,
            };
            let (destination, left, right) = (tile(r | reg)?, tile(b | rm)?, tile(vvvv)?);
            return Some(Instruction::Multiply { elements, destination, left, right });
        }
        _ => return None,
    };
    (vvvv == 0).then_some(instruction)
}

/// Decodes what follows a ModRM byte that names memory; `x` and `b` are 8 where VEX extends the index and the base.
fn decode_memory(modrm: u8, x: usize, b: usize, mut code: impl Iterator<Item = u8>) -> Option<Memory> {
    let mode = modrm >> 6;
    let (mut low_base, mut index, mut absent) = (modrm & 7, None, Base::NextInstruction);
    if low_base == 4 {
        let sib = code.next()?;
        let number = usize::from(sib >> 3 & 7) | x;
        index = (number != 4).then_some((number, sib >> 6)); // rsp cannot be an index, r12 can
        low_base = sib & 7;
        absent = Base::Zero;
    }
    let without_base = mode == 0 && low_base == 5;
    let base = if without_base { absent } else { Base::Register(usize::from(low_base) | b) };
    let displacement = match mode {
        1 => isize::from(code.next()?.cast_signed()),
        _ if mode == 2 || without_base => {
            let bytes = [code.next()?, code.next()?, code.next()?, code.next()?];
            i32::from_le_bytes(bytes) as isize
        }
        _ => 0,
    };
    Some(Memory { base, index, displacement })
}

/// The rows of a tile in dwords, four bytes each.
type Tile = [[[u8; 4]; MAX_COLSB / 4]; MAX_ROWS];

/// The tile state of one thread. A tile that is not configured has no rows; bytes outside the configured rows and
/// columns are zero.
#[derive(Clone, Copy)]
struct Tiles {
    rows: [usize; TILE_COUNT],
    colsb: [usize; TILE_COUNT],
    tiles: [Tile; TILE_COUNT],
}

impl Tiles {
    const ZERO: Tile = [[[0; 4]; MAX_COLSB / 4]; MAX_ROWS];
    const UNCONFIGURED: Self = Self { rows: [0; TILE_COUNT], colsb: [0; TILE_COUNT], tiles: [Self::ZERO; TILE_COUNT] };

    fn execute(&mut self, instruction: Instruction, registers: &Registers) {
        match instruction {
            Instruction::LoadConfig(memory) => {
                let address = memory.start(registers).wrapping_add(memory.stride(registers));
                // SAFETY: the instruction reads 64 bytes here; the code under test answers for them.
                let config = unsafe { std::ptr::with_exposed_provenance::<[u8; 64]>(address).read() };
                *self = Self::configured(&config);
            }
            Instruction::Release => *self = Self::UNCONFIGURED,
            Instruction::Zero(tile) => {
                require(self.rows[tile] != 0, "tilezero of a tile that is not configured");
                self.tiles[tile] = Self::ZERO;
            }
            Instruction::Load(tile, memory) => self.load(tile, memory.start(registers), memory.stride(registers)),
            Instruction::Store(memory, tile) => self.store(tile, memory.start(registers), memory.stride(registers)),
            Instruction::Multiply { elements, destination, left, right } => {
                self.multiply(elements, destination, left, right);
            }
        }
    }

    /// Returns zeroed tiles of the shapes in `config`, which is laid out as in the manual's page on LDTILECFG.
    fn configured(config: &[u8; 64]) -> Self {
        let mut state = Self::UNCONFIGURED;
        if config[0] == 0 {
            return state;
        }
        require(config[0] == 1, "ldtilecfg with a palette other than 0 and 1");
        require(config[1] == 0, "ldtilecfg with a start_row other than 0, which is not emulated");
        let mut reserved = [&config[2..16], &config[32..48], &config[56..]].into_iter().flatten();
        require(reserved.all(|&byte| byte == 0), "ldtilecfg with reserved bytes other than 0");
        for tile in 0..TILE_COUNT {
            let rows = usize::from(config[48 + tile]);
            let colsb = usize::from(u16::from_le_bytes([config[16 + 2 * tile], config[17 + 2 * tile]]));
            require(rows <= MAX_ROWS && colsb <= MAX_COLSB, "ldtilecfg with more than 16 rows or 64 bytes per row");
            require((rows == 0) == (colsb == 0), "ldtilecfg with rows but no columns or columns but no rows");
            state.rows[tile] = rows;
            state.colsb[tile] = colsb;
        }
        state
    }

    fn load(&mut self, tile: usize, start: usize, stride: usize) {
        self.require_dwords(tile);
        self.tiles[tile] = Self::ZERO;
        for (at, row) in self.tiles[tile].iter_mut().take(self.rows[tile]).enumerate() {
            let from = std::ptr::with_exposed_provenance::<u8>(start.wrapping_add(at.wrapping_mul(stride)));
            // SAFETY: the instruction reads `colsb` bytes here; the code under test answers for them. A row holds
            // 64 bytes and lies in this thread's own copy of the tiles.
            unsafe { from.copy_to_nonoverlapping(row.as_flattened_mut().as_mut_ptr(), self.colsb[tile]) };
        }
    }

    fn store(&self, tile: usize, start: usize, stride: usize) {
        self.require_dwords(tile);
        for (at, row) in self.tiles[tile].iter().take(self.rows[tile]).enumerate() {
            let to = std::ptr::with_exposed_provenance_mut::<u8>(start.wrapping_add(at.wrapping_mul(stride)));
            // SAFETY: the instruction writes `colsb` bytes here; the code under test answers for them. A row holds
            // 64 bytes and lies in this thread's own copy of the tiles.
            unsafe { to.copy_from_nonoverlapping(row.as_flattened().as_ptr(), self.colsb[tile]) };
        }
    }

    /// Adds to each dword of `destination` `(m, n)` the dot product of row `m` of `left` `(m, k)` and column `n` of
    /// `right` `(k, n)`.
    fn multiply(&mut self, elements: Elements, destination: usize, left: usize, right: usize) {
        let distinct = destination != left && destination != right && left != right;
        require(distinct, "a tile product that names a tile twice");
        for tile in [destination, left, right] {
            self.require_dwords(tile);
        }
        require(self.rows[destination] == self.rows[left], "a tile product whose rows differ");
        require(self.colsb[destination] == self.colsb[right], "a tile product whose columns differ");
        require(self.colsb[left] / 4 == self.rows[right], "a tile product whose inner dimensions differ");

        let depth = self.rows[right];
        let (left, right) = (self.tiles[left], self.tiles[right]);
        for (row, left_row) in self.tiles[destination].iter_mut().zip(&left).take(self.rows[destination]) {
            for (n, dword) in row.iter_mut().take(self.colsb[destination] / 4).enumerate() {
                let column: [[u8; 4]; MAX_ROWS] = std::array::from_fn(|k| right[k][n]);
                let (left, right) = (&left_row[..depth], &column[..depth]);
                *dword = match elements {
                    Elements::Bf16Bf16 => dot_bf16(*dword, left, right),
                    Elements::UnsignedSigned => dot_int8(*dword, left, right, i32::from),
                    Elements::SignedSigned => dot_int8(*dword, left, right, |byte| i32::from(byte.cast_signed())),
                };
            }
        }
    }

    fn require_dwords(&self, tile: usize) {
        require(self.rows[tile] != 0, "use of a tile that is not configured");
        require(self.colsb[tile].is_multiple_of(4), "use of a tile whose rows are not whole dwords");
    }
}

/// Adds the products of the bytes of `left` and of `right`, which is signed, to `start`; wraps on overflow.
fn dot_int8(start: [u8; 4], left: &[[u8; 4]], right: &[[u8; 4]], widen_left: fn(u8) -> i32) -> [u8; 4] {
    let bytes = left.as_flattened().iter().zip(right.as_flattened());
    let products = bytes.map(|(&left, &right)| widen_left(left) * i32::from(right.cast_signed()));
    products.fold(i32::from_le_bytes(start), i32::wrapping_add).to_le_bytes()
}

/// Adds the products of the bf16 pairs of `left` and of `right` to the f32 `start`.
///
/// As in the manual: the even and the odd elements each have a sum of their own, from zero, by fused multiply-adds;
/// then `start + (even + odd)`. Each step rounds to nearest even, takes subnormal inputs for zero and flushes subnormal
/// results. The processor's own arithmetic does that in the right mode, and Rust's must not run in another mode than
/// the default one: hence assembly.
fn dot_bf16(start: [u8; 4], left: &[[u8; 4]], right: &[[u8; 4]]) -> [u8; 4] {
    /// All exceptions masked, denormals-are-zeros and flush-to-zero set, round to nearest even.
    static AMX_MXCSR: u32 = 0x9FC0;
    assert!(!left.is_empty() && left.len() == right.len(), "invariant: a configured tile has rows");
    let mut sum = f32::from_le_bytes(start);
    let mut saved_mxcsr = 0_u32;
    // SAFETY: reads `left.len()` dwords of each slice, writes `saved_mxcsr`, restores MXCSR; `install` checked that the
    // processor has AVX2 and FMA.
    unsafe {
        asm!(
            "vstmxcsr dword ptr [{saved}]",
            "vldmxcsr dword ptr [{amx}]",
            "vxorps {sums}, {sums}, {sums}", // even sum in lane 0, odd in lane 1
            "2:",
            "vmovd {l}, dword ptr [{left} + 4*{k}]",
            "vmovd {r}, dword ptr [{right} + 4*{k}]",
            "vpmovzxwd {l}, {l}",
            "vpmovzxwd {r}, {r}",
            "vpslld {l}, {l}, 16",
            "vpslld {r}, {r}, 16",
            "vfmadd231ps {sums}, {l}, {r}",
            "inc {k}",
            "cmp {k}, {depth}",
            "jb 2b",
            "vmovshdup {r}, {sums}",
            "vaddss {sums}, {sums}, {r}",
            "vaddss {sum}, {sum}, {sums}",
            "vldmxcsr dword ptr [{saved}]",
            saved = in(reg) &raw mut saved_mxcsr,
            amx = in(reg) &raw const AMX_MXCSR,
            left = in(reg) left.as_ptr(),
            right = in(reg) right.as_ptr(),
            depth = in(reg) left.len(),
            k = inout(reg) 0_usize => _,
            sum = inout(xmm_reg) sum,
            sums = out(xmm_reg) _,
            l = out(xmm_reg) _,
            r = out(xmm_reg) _,
            options(nostack),
        );
    }
    sum.to_le_bytes()
}

/// Aborts the process with `violation` on stderr unless `holds`; only calls what a signal handler may call.
fn require(holds: bool, violation: &str) {
    if holds {
        return;
    }
    for text in ["amx emulator: ", violation, "\n"] {
        // SAFETY: the pointer and the length are those of one string.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
    }
    // SAFETY: `abort` may be called anywhere.
    unsafe { libc::abort() };
}
