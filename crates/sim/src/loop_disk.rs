//! An ext4 file system in a sparse file, whose power can be cut.
//!
//! The cut is `FS_IOC_SHUTDOWN`: everything that was not written to the device is gone and every
//! later call fails, as after a power cut. What the device holds stays, synced or not, so a cut
//! alone does not show a missing sync; the device's count of flushes does.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::ioctl::{Setter, ioctl};

/// `_IOR('X', 125, __u32)` of `linux/fs.h`.
const FS_IOC_SHUTDOWN: u32 = 0x8004_587d;

/// What a cut does with the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Cut {
    /// The journal reaches the device first.
    FlushJournal = 1,
    /// Nothing is written any more.
    FlushNothing = 2,
}

/// A file system on a loop device; unmounted and given back when it is dropped.
#[derive(Debug)]
pub struct LoopDisk {
    device: PathBuf,
    mount: PathBuf,
}

impl LoopDisk {
    /// Why there can be none on this machine.
    pub fn missing() -> Option<String> {
        if !rustix::process::geteuid().is_root() {
            return Some("mounting needs root".to_owned());
        }
        if !Path::new("/dev/loop-control").exists() {
            return Some("there are no loop devices".to_owned());
        }
        let tools = ["mkfs.ext4", "losetup", "mount", "umount"];
        let is_missing = |tool: &&&str| {
            let found = Command::new(tool)
                .arg("--version")
                .stderr(Stdio::null())
                .output();
            found.is_err()
        };
        tools
            .iter()
            .find(is_missing)
            .map(|tool| format!("{tool} is not installed"))
    }

    /// Makes a file system of so many bytes in `image` and mounts it on `mount`.
    pub fn make(image: &Path, bytes: u64, mount: &Path) -> Result<LoopDisk> {
        File::create(image)?.set_len(bytes)?;
        run(
            "mkfs.ext4",
            &["-q", "-F", "-E", "lazy_itable_init=1", &text(image)],
        )?;
        let device = run("losetup", &["--find", "--show", &text(image)])?;
        fs::create_dir_all(mount)?;
        let disk = LoopDisk {
            device: device.trim().into(),
            mount: mount.to_owned(),
        };
        disk.mount()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Mounts it, which replays the journal.
    pub fn mount(&self) -> Result<()> {
        run(
            "mount",
            &["-t", "ext4", &text(&self.device), &text(&self.mount)],
        )?;
        Ok(())
    }

    /// Unmounts it; nobody may have a file open.
    pub fn unmount(&self) -> Result<()> {
        run("umount", &[&text(&self.mount)])?;
        Ok(())
    }

    /// Cuts the power of the file system. Only [`LoopDisk::unmount`] makes sense afterwards.
    #[expect(
        unsafe_code,
        reason = "the ioctl of the trial; it reads one number and keeps nothing"
    )]
    pub fn cut(&self, cut: Cut) -> io::Result<()> {
        let root = File::open(&self.mount)?;
        // SAFETY: FS_IOC_SHUTDOWN reads a `__u32` from the pointer and writes nothing to us.
        unsafe { ioctl(&root, Setter::<FS_IOC_SHUTDOWN, u32>::new(cut as u32))? };
        Ok(())
    }

    /// How many flushes the device has completed: field 16 of its `stat` file.
    pub fn flushes(&self) -> Result<u64> {
        let name = self.device.file_name().context("a device has a name")?;
        let path = Path::new("/sys/block").join(name).join("stat");
        let stat = fs::read_to_string(&path).with_context(|| text(&path))?;
        let field = stat
            .split_whitespace()
            .nth(15)
            .context("the kernel counts no flushes")?;
        Ok(field.parse()?)
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // A trial that failed half-way may have left it mounted or not; both are fine here.
        drop(run("umount", &["-l", &text(&self.mount)]));
        drop(run("losetup", &["-d", &text(&self.device)]));
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.with_context(|| program.to_owned())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
