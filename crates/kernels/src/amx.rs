//! AMX: tiles of 16 rows by 64 bytes, and what their instructions compute of one panel.
//!
//! Rust has neither intrinsics nor detection for AMX, so both are written out. The compiler never uses tile registers, so what one
//! block of assembly leaves in them no other code sees; they are still named as clobbered.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 1, ch. 18; Linux, Documentation/arch/x86/xstate.rst.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _MM_HINT_T1, _mm_prefetch, _xgetbv};
use std::cell::Cell;
use std::sync::OnceLock;

use half::bf16;

use crate::tile::{PANEL, Tile};

/// Rows of a tile of sums: two tile registers.
pub(crate) const ROWS: usize = 32;

/// Whether the processor has AMX-BF16 and AMX-INT8, and the system lets this process use its tiles, which is asked for once.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_tiles() && system_saves_tiles() && request_permission())
}

fn processor_has_tiles() -> bool {
    const AMX_BF16: u32 = 1 << 22;
    const AMX_TILE: u32 = 1 << 24;
    const AMX_INT8: u32 = 1 << 25;
    const ALL: u32 = AMX_BF16 | AMX_TILE | AMX_INT8;
    const OSXSAVE: u32 = 1 << 27;
    let most = __cpuid_count(0, 0).eax;
    let saves_state = __cpuid_count(1, 0).ecx & OSXSAVE != 0;
    most >= 7 && saves_state && __cpuid_count(7, 0).edx & ALL == ALL
}

fn system_saves_tiles() -> bool {
    const TILE_STATE: u64 = 0b11 << 17;
    #[target_feature(enable = "xsave")]
    fn enabled_state() -> u64 {
        // SAFETY: register 0 exists wherever XGETBV does.
        unsafe { _xgetbv(0) }
    }
    // SAFETY: called only after CPUID has said that XGETBV may be used.
    unsafe { enabled_state() & TILE_STATE == TILE_STATE }
}

/// Linux allocates room for tiles only to processes that ask.
#[cfg(target_os = "linux")]
fn request_permission() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call only asks for permission; it takes and changes no memory of this process.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn request_permission() -> bool {
    false
}

/// The shape of every tile, as `ldtilecfg` takes it: palette 1, 16 rows of 64 bytes in each of eight.
#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static TILES: TileConfig = TileConfig {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    row_bytes: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Gives the tiles of this thread their shape, once: it lasts as long as the thread.
///
/// # Safety
/// [`is_available`].
pub(crate) unsafe fn configure() {
    thread_local! {
        static CONFIGURED: Cell<bool> = const { Cell::new(false) };
    }
    if !CONFIGURED.replace(true) {
        // SAFETY: the processor has tiles, and the configuration is 64 bytes of the form that the manual gives.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const TILES, options(nostack, preserves_flags, readonly)) };
    }
}

/// The order in which the tiles of a product are computed: all rows of a panel, then the next panel.
///
/// Both products begin a tile before they finish the one before it, so that vectors work while tiles do.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    /// Panels of the right-hand side.
    pub(crate) panels: usize,
    /// Rows of the left-hand side.
    pub(crate) rows: usize,
}

impl Order {
    fn tiles_of_a_panel(self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// The number of tiles.
    pub(crate) fn count(self) -> usize {
        self.panels * self.tiles_of_a_panel()
    }

    /// The panel and the first row of the tile at `index`.
    pub(crate) fn at(self, index: usize) -> (usize, usize) {
        (index / self.tiles_of_a_panel(), index % self.tiles_of_a_panel() * ROWS)
    }

    /// Asks the second-level cache for a part of `next`, the panel that follows; the tiles of a panel ask for all of it.
    #[inline(always)]
    pub(crate) fn prefetch(self, row: usize, next: &[i8]) {
        /// Two lines: processors fetch them in pairs.
        const LINES: usize = 128;
        let part = next.len().div_ceil(self.tiles_of_a_panel()).next_multiple_of(LINES);
        let start = next.len().min(row / ROWS * part);
        for lines in next[start..next.len().min(start + part)].chunks(LINES) {
            // SAFETY: a prefetch changes nothing that a program sees, and every x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(lines.as_ptr()) };
        }
    }
}

/// Multiplies 32 rows with one panel in four tiles: the loop of both kinds of product, which differ in the instruction alone.
macro_rules! tile_loop {
    ($dot:literal, $rows:expr, $row_bytes:expr, $panel:expr, $steps:expr, $out:expr) => {
        // SAFETY: each step reads 32 rows of 64 bytes, `row_bytes` apart, and 16 rows of 128 bytes of the panel; the caller has
        // asserted that both are there. The stores fill 32 rows of 128 bytes. No other memory is touched, and tile registers
        // are used by nothing else.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{low} + {row_bytes}]",
                "tileloadd tmm6, [{panel} + {panel_bytes}]",
                "tileloadd tmm7, [{panel} + {panel_bytes} + 64]",
                concat!($dot, " tmm0, tmm4, tmm6"),
                concat!($dot, " tmm1, tmm4, tmm7"),
                "tileloadd tmm5, [{high} + {row_bytes}]",
                concat!($dot, " tmm2, tmm5, tmm6"),
                concat!($dot, " tmm3, tmm5, tmm7"),
                "add {low}, 64",
                "add {high}, 64",
                "add {panel}, 2048",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{out} + {panel_bytes}], tmm0",
                "tilestored [{out} + {panel_bytes} + 64], tmm1",
                "tilestored [{out} + {panel_bytes} + 2048], tmm2",
                "tilestored [{out} + {panel_bytes} + 2112], tmm3",
                low = inout(reg) $rows.as_ptr() => _,
                high = inout(reg) $rows.as_ptr().byte_add(16 * $row_bytes) => _,
                panel = inout(reg) $panel.as_ptr() => _,
                steps = inout(reg) $steps => _,
                out = in(reg) $out,
                row_bytes = in(reg) $row_bytes,
                panel_bytes = in(reg) 128_usize,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    };
}

/// Computes 32 rows of one panel of bfloat16.
///
/// # Shapes
/// - `rows`: 32 rows, `stride` apart
/// - `panel`: `(depth / 2, 32, 2)`
///
/// # Safety
/// Tiles are available and configured on this thread.
pub(crate) unsafe fn bf16_tile(rows: &[bf16], stride: usize, panel: &[bf16], tile: &mut Tile) {
    let depth = panel.len() / PANEL;
    assert!(depth.is_multiple_of(32) && depth > 0, "whole tiles");
    assert!(rows.len() >= (ROWS - 1) * stride + depth, "a tile has all its rows");
    tile_loop!("tdpbf16ps", rows, stride * size_of::<bf16>(), panel, depth / 32, tile.as_mut_ptr());
}

/// Computes 32 rows of one panel of int8.
///
/// # Shapes
/// - `rows`: 32 rows of unsigned bytes, `stride` apart
/// - `panel`: `(depth / 4, 32, 4)`
///
/// # Safety
/// Tiles are available and configured on this thread.
pub(crate) unsafe fn int8_tile(rows: &[u8], stride: usize, panel: &[i8], sums: &mut [[i32; PANEL]; ROWS]) {
    let depth = panel.len() / PANEL;
    assert!(depth.is_multiple_of(64) && depth > 0, "whole tiles");
    assert!(rows.len() >= (ROWS - 1) * stride + depth, "a tile has all its rows");
    tile_loop!("tdpbusd", rows, stride, panel, depth / 64, sums.as_mut_ptr());
}

/// Multiplies tiles of zeros in registers alone, four at a time.
macro_rules! saturate {
    ($dot:literal, $rounds:expr) => {
        // SAFETY: the caller has configured tiles on this thread; the assembly touches tile registers and a counter, no memory.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "tilezero tmm4",
                "tilezero tmm5",
                "tilezero tmm6",
                "tilezero tmm7",
                "2:",
                concat!($dot, " tmm0, tmm4, tmm6"),
                concat!($dot, " tmm1, tmm4, tmm7"),
                concat!($dot, " tmm2, tmm5, tmm6"),
                concat!($dot, " tmm3, tmm5, tmm7"),
                "dec {rounds}",
                "jnz 2b",
                rounds = inout(reg) $rounds => _,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _, out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, nomem),
            );
        }
    };
}

/// Multiplies tiles of bfloat16 zeros for `rounds` rounds; returns the number of operations.
///
/// # Safety
/// [`is_available`].
pub(crate) unsafe fn saturate_bf16(rounds: usize) -> u64 {
    // SAFETY: the caller has seen that tiles are available.
    unsafe { configure() };
    saturate!("tdpbf16ps", rounds);
    (rounds * 4 * 16 * 16 * 32 * 2) as u64
}

/// Multiplies tiles of int8 zeros for `rounds` rounds; returns the number of operations.
///
/// # Safety
/// [`is_available`].
pub(crate) unsafe fn saturate_int8(rounds: usize) -> u64 {
    // SAFETY: the caller has seen that tiles are available.
    unsafe { configure() };
    saturate!("tdpbusd", rounds);
    (rounds * 4 * 16 * 16 * 64 * 2) as u64
}
