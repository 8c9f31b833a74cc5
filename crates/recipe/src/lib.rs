//! Selection and schedule to trainer configs
