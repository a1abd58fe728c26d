//! Debian packages.

use super::has_program;
use crate::error::Missing;
use crate::process::Process;

/// Packages that an installation may take away: their newer releases (from backports) break the emulator of the stable
/// release, and `apt-get` then refuses unless it may remove them. They hold disk-image tools that nothing here uses.
const MAY_BE_REMOVED: [&str; 2] = ["qemu-utils", "qemu-block-extra"];

/// Installs packages unless all are there. Recommended packages are left out: they pull in a desktop, and clash with
/// backported parts of the emulator.
pub(crate) fn provide(what: &str, packages: &[&str], install: bool) -> Result<(), Missing> {
    let missing = |why: &str| Missing {
        what: what.to_owned(),
        why: why.to_owned(),
        commands: vec![
            "apt-get update".to_owned(),
            format!("apt-get install --no-install-recommends {}", packages.join(" ")),
        ],
    };
    if packages.iter().all(|package| is_installed(package)) {
        return Ok(());
    }
    if !has_program("apt-get") {
        return Err(missing("no apt-get here: install these by this system's own means"));
    }
    if !install {
        return Err(missing("not allowed to install"));
    }
    let Some(prefix) = administrator() else {
        return Err(missing("installing packages needs root"));
    };
    let apt = |arguments: &[&str]| {
        let words: Vec<&str> = prefix
            .iter()
            .copied()
            .chain(["apt-get"])
            .chain(arguments.iter().copied())
            .collect();
        Process::new(words[0])
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .limit(1200)
    };
    // A list that cannot be refreshed may still be good enough: the installation itself decides.
    let _ = apt(&["update", "-qq"]).silent();
    let simulated: Vec<&str> = ["install", "--simulate", "--no-install-recommends"]
        .iter()
        .chain(packages)
        .copied()
        .collect();
    let plan = apt(&simulated).silent().map_err(|error| missing(&error.to_string()))?;
    if !plan.status.success() {
        return Err(missing(&format!(
            "apt-get finds no way to install it: {}",
            last_line(&plan.errors)
        )));
    }
    if let Some(removed) = removals(&plan.output).find(|removed| !MAY_BE_REMOVED.contains(removed)) {
        return Err(missing(&format!("installing it would remove the package {removed}")));
    }
    println!("installing {} ({what})", packages.join(" "));
    let real: Vec<&str> = ["install", "-qq", "--yes", "--no-install-recommends"]
        .iter()
        .chain(packages)
        .copied()
        .collect();
    let done = apt(&real).silent().map_err(|error| missing(&error.to_string()))?;
    if !done.status.success() {
        return Err(missing(&format!("apt-get failed: {}", last_line(&done.errors))));
    }
    for removed in removals(&plan.output) {
        println!("note: this replaced the package {removed}, which clashes with it");
    }
    Ok(())
}

/// The files that an installed package owns.
pub(crate) fn files_of(package: &str) -> Vec<String> {
    match Process::new("dpkg").args(["--listfiles", package]).silent() {
        Ok(listed) if listed.status.success() => listed.output.lines().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn is_installed(package: &str) -> bool {
    let query = Process::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .silent();
    query.is_ok_and(|found| found.status.success() && found.output == "installed")
}

/// The words before `apt-get` that make it run as root; `None` where there is no way to become root.
fn administrator() -> Option<Vec<&'static str>> {
    let is_root = Process::new("id")
        .arg("-u")
        .silent()
        .is_ok_and(|id| id.output.trim() == "0");
    if is_root {
        return Some(Vec::new());
    }
    let can_sudo = Process::new("sudo")
        .args(["-n", "true"])
        .silent()
        .is_ok_and(|sudo| sudo.status.success());
    can_sudo.then(|| vec!["sudo", "-n"])
}

/// The packages that a simulated installation says it removes.
fn removals(simulation: &str) -> impl Iterator<Item = &str> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Remv ")?.split_whitespace().next())
}

fn last_line(text: &str) -> &str {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it gave no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_simulation_would_remove() {
        let text =
            "Remv qemu-utils [1:10.0.2+ds-2]\nInst libfdt1 (1.6.1-4 Debian:12 [amd64])\nConf libfdt1 (1.6.1-4)\n";
        assert_eq!(removals(text).collect::<Vec<_>>(), ["qemu-utils"]);
    }

    #[test]
    fn a_refusal_names_the_exact_commands() {
        let missing = provide("a test package", &["pliant-no-such-package"], false).unwrap_err();
        assert!(
            missing
                .commands
                .iter()
                .any(|line| line.ends_with("install --no-install-recommends pliant-no-such-package"))
        );
    }
}
