//! How a program of `examples` is started in each of the languages.

use std::path::{Path, PathBuf};

use profile_tests::repository;
use profile_tests::service::binary;
use tokio::process::Command;

#[derive(Clone, Debug)]
pub(crate) enum Language {
    Rust,
    /// The interpreter that has the packages of `examples/python/requirements.txt`.
    Python(PathBuf),
    /// The folder of what `tsc` made of `examples/typescript`.
    TypeScript(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Requester,
    Consumer,
    /// ZITADEL's own client.
    Zitadel,
}

impl Language {
    /// Those of this run.
    pub(crate) fn all() -> Vec<Language> {
        let there = |variable| {
            let path = PathBuf::from(std::env::var_os(variable)?);
            assert!(path.exists(), "{variable}: no {}", path.display());
            Some(path)
        };
        let python = there("EXAMPLES_PYTHON").map(Language::Python);
        let typescript = there("EXAMPLES_TYPESCRIPT").map(Language::TypeScript);
        [Some(Language::Rust), python, typescript]
            .into_iter()
            .flatten()
            .collect()
    }

    /// A word for ids and names.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::Python(_) => "python",
            Language::TypeScript(_) => "typescript",
        }
    }

    /// `None` where there is no such program.
    pub(crate) fn command(&self, program: Program) -> Option<Command> {
        let (with_underscore, with_dash) = match program {
            Program::Requester => ("requester", "requester"),
            Program::Consumer => ("consumer", "consumer"),
            Program::Zitadel => ("zitadel_sdk", "zitadel-sdk"),
        };
        match self {
            Language::Rust => (program != Program::Zitadel).then(|| rust(with_dash)),
            Language::Python(interpreter) => {
                let file = format!("examples/python/{with_underscore}.py");
                Some(interpreted(interpreter, &repository::file(&file)))
            }
            Language::TypeScript(build) => {
                let file = build.join(with_dash).with_extension("js");
                Some(interpreted(Path::new("node"), &file))
            }
        }
    }
}

fn rust(name: &str) -> Command {
    Command::new(binary(name))
}

fn interpreted(interpreter: &Path, file: &Path) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(file);
    // No compiled files between the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
