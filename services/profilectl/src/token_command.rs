//! `profilectl token`: key sets and tokens for development and tests.

use crate::args::{Global, TokenArgs};
use crate::failure::Failure;

pub(crate) fn run(_global: &Global, _args: &TokenArgs) -> Result<(), Failure> {
    Err(Failure::other("minting is not built in yet"))
}
