//! The two formats of four bits whose steps are not equal: IQ4_NL and IQ4_XS.
//!
//! Source: ggml's `dequantize_row_iq4_nl` and `dequantize_row_iq4_xs`, whose layouts these are.

use half::f16;

/// The sixteen values of four bits.
const VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Numbers that share a scale.
const BLOCK: usize = 32;

/// Numbers and bytes of a block of IQ4_NL.
pub(super) const NL: (usize, usize) = (BLOCK, 2 + BLOCK / 2);

/// Numbers and bytes of a block of IQ4_XS, which has eight scales of six bits.
pub(super) const XS: (usize, usize) = (256, 8 + 256 / 2);

/// The numbers in `bytes`, whole blocks of IQ4_NL: a scale, then 32 numbers of which each byte holds one in either half.
pub(super) fn nl(bytes: &[u8]) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(bytes.len() / NL.1 * NL.0);
    for block in bytes.chunks_exact(NL.1) {
        push(&mut numbers, half(&block[..2]), &block[2..]);
    }
    numbers
}

/// The numbers in `bytes`, whole blocks of IQ4_XS: a scale, two bits of eight scales, their other four bits, then the numbers.
pub(super) fn xs(bytes: &[u8]) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(bytes.len() / XS.1 * XS.0);
    for block in bytes.chunks_exact(XS.1) {
        let (scale, high) = (half(&block[..2]), u16::from_le_bytes([block[2], block[3]]));
        for (index, quarters) in block[8..].chunks_exact(BLOCK / 2).enumerate() {
            let low = block[4 + index / 2] >> (4 * (index % 2)) & 0xf;
            let bits = u16::from(low) | (high >> (2 * index) & 3) << 4;
            push(&mut numbers, scale * (f32::from(bits) - 32.0), quarters);
        }
    }
    numbers
}

fn half(bytes: &[u8]) -> f32 {
    f16::from_le_bytes([bytes[0], bytes[1]]).to_f32()
}

/// Adds the low halves of `bytes`, then the high ones.
fn push(numbers: &mut Vec<f32>, scale: f32, bytes: &[u8]) {
    let value = |bits: u8| scale * f32::from(VALUES[usize::from(bits)]);
    numbers.extend(bytes.iter().map(|byte| value(byte & 0xf)));
    numbers.extend(bytes.iter().map(|byte| value(byte >> 4)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_nl_have_one_scale() {
        let mut bytes = f16::from_f32(0.5).to_le_bytes().to_vec();
        bytes.extend([0x0f; 16]);
        let numbers = nl(&bytes);
        assert_eq!(numbers.len(), 32);
        assert!(numbers[..16].iter().all(|x| *x == 56.5) && numbers[16..].iter().all(|x| *x == -63.5), "{numbers:?}");
    }

    #[test]
    fn blocks_of_xs_have_eight_scales_of_six_bits() {
        let mut bytes = f16::from_f32(1.0).to_le_bytes().to_vec();
        // the scales 1, 17, 33 and 49 less 32, and the same again: two bits each here, four bits 1 below
        bytes.extend(0b11_10_01_00_11_10_01_00_u16.to_le_bytes());
        bytes.extend([0x11; 4]);
        bytes.extend([0x88; 128]);
        let numbers = xs(&bytes);
        let expected = [-31.0, -15.0, 1.0, 17.0, -31.0, -15.0, 1.0, 17.0].map(|scale: f32| [scale; 32]);
        assert_eq!(numbers, expected.as_flattened());
    }
}
