//! Artefacts to pictures
