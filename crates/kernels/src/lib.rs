//! CPU kernels with runtime dispatch and a safe read-only file map; the only unsafe code
