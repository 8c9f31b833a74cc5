//! Weights, tokenizer, forward passes with masked heads, losses
