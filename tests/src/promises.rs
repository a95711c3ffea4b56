//! The promises of the service, checked from outside while something bad happens to it: clients that keep
//! a record of what they heard, and checks over answers, histories, gets and the event stream.

pub mod check;
pub mod client;
pub mod observe;
pub mod world;
