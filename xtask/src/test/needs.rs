//! What the tests need from the system, installed when it is missing.

use std::env;
use std::process::{Command, Stdio};

use super::summary::Summary;

struct Need {
    command: &'static str,
    package: &'static str,
    purpose: &'static str,
}

const NEEDS: &[Need] = &[
    Need {
        command: "cc",
        package: "build-essential",
        purpose: "building C dependencies",
    },
    Need {
        command: "strace",
        package: "strace",
        purpose: "failing syncs on purpose",
    },
    Need {
        command: "mkfs.ext4",
        package: "e2fsprogs",
        purpose: "power cuts",
    },
    Need {
        command: "losetup",
        package: "mount",
        purpose: "power cuts",
    },
    Need {
        command: "mount",
        package: "mount",
        purpose: "power cuts and full disks",
    },
    Need {
        command: "python3",
        package: "python3",
        purpose: "the link vectors' second reader",
    },
    Need {
        command: "node",
        package: "nodejs",
        purpose: "the second reader of HTTP",
    },
];

/// Installs what is missing; what cannot be had is named in the summary.
pub(super) fn install(summary: &mut Summary) {
    let missing = || NEEDS.iter().filter(|need| !is_there(need.command));
    let mut packages: Vec<&str> = missing().map(|need| need.package).collect();
    packages.dedup();
    if packages.is_empty() {
        return;
    }
    println!("== installing {}", packages.join(" "));
    let outcome = apt_get(&["update", "-qq"]).and_then(|()| {
        let mut arguments = vec!["install", "-y", "-qq", "--no-install-recommends"];
        arguments.extend(&packages);
        apt_get(&arguments)
    });
    let why = outcome
        .err()
        .unwrap_or_else(|| "its package does not hold it".to_owned());
    for need in missing() {
        let Need {
            command, purpose, ..
        } = need;
        summary.could_not_run(purpose, &format!("{command} is missing: {why}"));
    }
}

/// Whether a command is on the path or where root finds it.
pub(crate) fn is_there(command: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(Into::into));
    folders.iter().any(|folder| folder.join(command).is_file())
}

/// Runs apt-get as root, or says why not.
pub(crate) fn apt_get(arguments: &[&str]) -> Result<(), String> {
    if !is_there("apt-get") {
        return Err("there is no apt-get here".to_owned());
    }
    let mut command = match is_root() {
        true => Command::new("apt-get"),
        false if is_there("sudo") => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "apt-get"]);
            sudo
        }
        false => return Err("not root, and no sudo".to_owned()),
    };
    let status = command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get {} failed: {status}", arguments.join(" "))),
        Err(error) => Err(format!("apt-get: {error}")),
    }
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
