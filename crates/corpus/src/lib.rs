//! Lists shards, plans units, streams documents, writes subsets
