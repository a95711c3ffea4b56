// For the build scripts of both programs, by `include!`: what `--version` says, with the commit it was built
// from. `GIT_COMMIT` names it where there is no repository, as in a container image. Debug builds name none:
// every commit would build everything anew.

/// `0.1.0 (commit 0123456789ab)`, or the version alone where no commit is known.
fn version_line(version: &str, commit: Option<&str>) -> String {
    let commit = commit.map(str::trim).filter(|commit| !commit.is_empty());
    match commit.map(|commit| commit.chars().take(12).collect::<String>()) {
        Some(commit) if commit.chars().all(|c| c.is_ascii_hexdigit()) => format!("{version} (commit {commit})"),
        // Whatever else somebody calls it must not break the line.
        Some(_) | None => version.to_owned(),
    }
}

/// What git answers in `folder`; `None` without git, without a repository or with somebody else's.
fn git(folder: &std::path::Path, arguments: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new("git");
    let output = command.args(arguments).current_dir(folder).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The checked-out commit.
fn head(folder: &std::path::Path) -> Option<String> {
    // A repository around an unpacked archive of ours is not ours.
    let tracked = git(folder, &["ls-files", "Cargo.toml"])?;
    if tracked.is_empty() {
        return None;
    }
    git(folder, &["rev-parse", "HEAD"])
}

/// Gives the crate `PROFILE_VERSION`.
fn emit_version() {
    println!("cargo::rerun-if-env-changed=GIT_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../tools/version.rs");
    let variable = |name| std::env::var(name).ok();
    let folder = std::path::PathBuf::from(variable("CARGO_MANIFEST_DIR").unwrap_or_default());
    let named = variable("GIT_COMMIT").filter(|commit| !commit.is_empty());
    let is_release = variable("PROFILE").as_deref() == Some("release");
    let commit = match named {
        None if is_release => {
            // The log of where HEAD was grows with every commit and every checkout.
            for file in ["HEAD", "logs/HEAD"] {
                let path = git(&folder, &["rev-parse", "--git-path", file]);
                let path = path.map(|path| folder.join(path)).filter(|path| path.exists());
                if let Some(path) = path {
                    println!("cargo::rerun-if-changed={}", path.display());
                }
            }
            head(&folder)
        }
        other => other,
    };
    let version = variable("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=PROFILE_VERSION={}", version_line(&version, commit.as_deref()));
}
