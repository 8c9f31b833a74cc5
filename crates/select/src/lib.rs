//! Sidecars to exact cuts and mixtures
