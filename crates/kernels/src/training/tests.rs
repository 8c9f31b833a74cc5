//! General products, the gradient of the cross-entropy and what lies between products, against float64.

mod cross_entropy;
mod layers;
mod product;
