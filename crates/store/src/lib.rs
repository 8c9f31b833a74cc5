//! Object stores, atomic and conditional puts, artefact files, model download
