//! Units to sidecars: batching, resumption
