//! Token files of small corpora, byte by byte and read back.

mod goldens;
mod resumption;
mod round_trips;
mod settings;
mod support;
