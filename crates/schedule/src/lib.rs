//! Step to learning rate; pure
