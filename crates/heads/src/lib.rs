//! Probes, retrieval scores, head set, health
