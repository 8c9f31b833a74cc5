//! Matrix products in the precision of the run.

use candle_core::{D, DType, Device, Result, Tensor};

use crate::{NormKind, Precision};

/// Where weights live and what matrix products round to.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    /// The device.
    pub(super) device: Device,
    precision: Precision,
}

impl Placement {
    pub(super) fn new(device: &Device, precision: Precision) -> Self {
        Self { device: device.clone(), precision }
    }

    /// Moves a float32 weight to the device, as an operand of [`Self::matmul`].
    pub(super) fn operand(&self, weight: &Tensor) -> Result<Tensor> {
        self.rounded(&weight.to_device(&self.device)?)
    }

    /// Rounds a float32 tensor to the precision of the run.
    ///
    /// candle has no bfloat16 product on a CPU, so there the rounded values stay in float32: products of two
    /// bfloat16 are exact in float32, and sums are float32 as they are on an accelerator.
    pub(super) fn rounded(&self, x: &Tensor) -> Result<Tensor> {
        match (self.precision, &self.device) {
            (Precision::F32, _) => Ok(x.clone()),
            (_, Device::Cpu) => x.to_dtype(DType::BF16)?.to_dtype(DType::F32),
            // int8 is refused, and `auto` settled, before this engine is made
            (_, _) => x.to_dtype(DType::BF16),
        }
    }

    /// Multiplies two operands that [`Self::rounded`] made; the result is float32.
    pub(super) fn matmul(&self, a: &Tensor, b: &Tensor) -> Result<Tensor> {
        a.matmul(b)?.to_dtype(DType::F32)
    }
}

/// A linear map, with a bias where the checkpoint has one.
#[derive(Debug)]
pub(super) struct Linear {
    /// `(in, out)`, a transposed view of the stored `(out, in)`.
    weight: Tensor,
    /// `(out,)`.
    bias: Option<Tensor>,
    placement: Placement,
}

impl Linear {
    /// Takes a float32 weight `(out, in)` and bias `(out,)`.
    pub(super) fn new(weight: &Tensor, bias: Option<&Tensor>, placement: &Placement) -> Result<Self> {
        let bias = bias.map(|bias| bias.to_device(&placement.device)).transpose()?;
        Ok(Self { weight: placement.operand(weight)?.t()?, bias, placement: placement.clone() })
    }

    /// `(t, in)` → `(t, out)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.placement.matmul(&self.placement.rounded(x)?, &self.weight)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// A norm, in float32.
#[derive(Debug)]
pub(super) struct Norm {
    kind: NormKind,
    /// `(width,)`.
    weight: Tensor,
    /// What a layer norm adds, `(width,)`.
    bias: Option<Tensor>,
    eps: f32,
}

impl Norm {
    /// Takes a float32 weight `(width,)` and bias `(width,)`.
    #[expect(clippy::cast_possible_truncation, reason = "ε is stored as float32 in checkpoints")]
    pub(super) fn new(
        kind: NormKind,
        weight: &Tensor,
        bias: Option<&Tensor>,
        eps: f64,
        placement: &Placement,
    ) -> Result<Self> {
        let bias = bias.map(|bias| bias.to_device(&placement.device)).transpose()?;
        Ok(Self { kind, weight: weight.to_device(&placement.device)?, bias, eps: eps as f32 })
    }

    /// `(…, width)` → `(…, width)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = match self.kind {
            NormKind::Rms => x.contiguous()?,
            // a layer norm is a root-mean-square norm of what is left of the mean
            NormKind::Layer => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?.contiguous()?,
        };
        let normed = candle_nn::ops::rms_norm(&x, &self.weight, self.eps)?;
        match &self.bias {
            Some(bias) => normed.broadcast_add(bias),
            None => Ok(normed),
        }
    }
}

/// c · tanh(x / c), if there is a cap c.
pub(super) fn capped(x: Tensor, cap: Option<f64>) -> Result<Tensor> {
    match cap {
        Some(cap) => (x / cap)?.tanh()? * cap,
        None => Ok(x),
    }
}
