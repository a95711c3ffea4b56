mod algorithms;
mod claims;
mod dev;
mod key_sets;
mod rights;
mod support;
