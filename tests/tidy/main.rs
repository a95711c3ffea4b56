//! The habits of this repository, checked. Each rule is a line of a table; a finding names file, line
//! and reason.

mod arrows;
mod dependencies;
mod documents;
mod links;
mod makefile;
mod options;
mod sources;
mod version;
mod words;
