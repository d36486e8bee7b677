//! What a plugin may ask of the host, one module per import of the contract.
//!
//! **Invariant:** every capability fails while a component only describes itself.

mod checkpoint;
mod connection;
pub mod http;
mod log;
pub mod tool;
